"""A trained style as a TensorFlow SavedModel, for code that has TensorFlow and not fst."""

import numpy as np
import tensorflow as tf

from fst import files
from fst.network import MIN_SIZE


class _Servable(tf.Module):
    """The network as two signatures, with its weights in half precision.

    Half precision halves the folder; the numbers are those of `network.weights.h5`, so that both
    make the same picture. They are float32 again before anything is computed.
    """

    def __init__(self, network):
        super().__init__()
        self._half = [tf.Variable(w.astype(np.float16)) for w in network.get_weights()]

        def stylise(image):
            weights = [tf.cast(half, tf.float32) for half in self._half]
            _, height, width, _ = tf.unstack(tf.shape(image))
            image = tf.gather(tf.gather(image, _mirrored(height), axis=1), _mirrored(width), axis=2)
            stylised, _ = network.stateless_call(weights, [], image)
            return stylised[:, :height, :width]

        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, "image")])
        def from_bytes(image):
            stylised = stylise(tf.cast(image, tf.float32))
            return {"stylized": tf.cast(tf.round(stylised), tf.uint8)}

        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32, "image")])
        def from_floats(image):
            return {"stylized": stylise(image)}

        self.endpoints = {"serving_default": from_bytes, "float": from_floats}


def _mirrored(size):
    """Indices 0 to size - 1, and as many mirrored ones after them as the network needs."""
    positions = tf.range(tf.maximum(size, MIN_SIZE)) % (2 * size)
    return tf.minimum(positions, 2 * size - 1 - positions)


def export_saved_model(network, folder):
    """Writes a SavedModel that TensorFlow and TensorFlow Serving load as it is.

    Its signatures take `image` and give `stylized`, both `[B, H, W, 3]` RGB of any `B`, `H`
    and `W`: `serving_default` in uint8, `float` in float32 0-255.

    Args:
        network: a trained float32 network (`fst.network.build_network`).
        folder: the folder to write; one that is there is replaced once the new one is whole.
    """
    module = _Servable(network)
    with files.atomic_path(folder) as path:
        tf.saved_model.save(module, path, signatures=module.endpoints)
