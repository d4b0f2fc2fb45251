"""TensorFlow without graphs, for tests in which a graph would run but once."""

import contextlib

import tensorflow as tf


@contextlib.contextmanager
def eagerly():
    """Runs functions operation by operation: to build their graphs takes far longer than a step."""
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)
