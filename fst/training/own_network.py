"""A network that was handed in and has other layers: written by Keras and TensorFlow."""

import tensorflow as tf

from fst import files

NAME = "network.keras"
"""The file with the whole network, which `keras.saving.load_model` reads."""


def write_own_network(folder, saved_model, network):
    """Writes a network as Keras's file and as a SavedModel.

    Args:
        folder: for the file `NAME`.
        saved_model: the SavedModel's folder. Its signatures are those of a style:
            `serving_default` takes uint8 `image` `[B, H, W, 3]`, `float` float32, both with
            `style`, float32 `[B, styles]`, where the network holds several.
        network: the `keras.Model`.

    Raises:
        OSError: it cannot be written.
    """
    with files.atomic_path(folder / NAME) as path:
        network.save(path)
    module, signatures = _servable(network)
    with files.atomic_path(saved_model) as path:
        tf.saved_model.save(module, str(path), signatures)


def _servable(network):
    module = tf.Module()
    module.network = network
    shape = [None, None, None, 3]
    others = [tf.TensorSpec([None, i.shape[-1]], tf.float32, "style") for i in network.inputs[1:]]

    @tf.function(
        autograph=False, input_signature=[tf.TensorSpec(shape, tf.float32, "image"), *others]
    )
    def from_floats(image, *style):
        stylised = network([image, *style] if style else image, training=False)
        return {"stylized": tf.cast(stylised, tf.float32)}

    @tf.function(
        autograph=False, input_signature=[tf.TensorSpec(shape, tf.uint8, "image"), *others]
    )
    def from_bytes(image, *style):
        stylised = from_floats(tf.cast(image, tf.float32), *style)["stylized"]
        return {"stylized": tf.cast(tf.round(tf.clip_by_value(stylised, 0.0, 255.0)), tf.uint8)}

    return module, {"serving_default": from_bytes, "float": from_floats}
