"""Keras dtype policies for a part of the program, not for all of it."""

import contextlib

import keras


@contextlib.contextmanager
def dtype_policy(name):
    """Gives the layers built inside the `with` block the Keras dtype policy `name`, if any."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name or before)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
