"""A trained style as a TensorFlow SavedModel, for code that has TensorFlow and not fst."""

import numpy as np
import tensorflow as tf

from fst import images


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
            stylised, _ = network.stateless_call(weights, [], image)
            return stylised

        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, "image")])
        def from_bytes(image):
            stylised = stylise(tf.cast(image, tf.float32))
            return {"stylized": tf.cast(tf.round(stylised), tf.uint8)}

        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32, "image")])
        def from_floats(image):
            return {"stylized": stylise(image)}

        self.endpoints = {"serving_default": from_bytes, "float": from_floats}


def export_saved_model(network, folder):
    """Writes a SavedModel that TensorFlow and TensorFlow Serving load as it is.

    Its signatures take `image` and give `stylized`, both `[B, H, W, 3]` RGB of any `B` and any
    `H, W >= 16`: `serving_default` in uint8, `float` in float32 0-255.

    Args:
        network: a trained float32 network (`fst.network.build_network`).
        folder: the folder to write; one that is there is replaced once the new one is whole.
    """
    module = _Servable(network)
    with images.atomic_path(folder) as path:
        tf.saved_model.save(module, path, signatures=module.endpoints)
