"""What a caller of `train` hands in for the project's own, and checks that name the argument."""

from typing import NamedTuple

import keras
import numpy as np

from fst.config import NOTHING
from fst.errors import first_line
from fst.models.architecture import layers
from fst.models.network import paint, styles_of


class HandedIn(NamedTuple):
    """What was handed in; None stands for the project's own."""

    network: object = None
    loss: object = None
    optimizer: object = None


OUR_OWN = HandedIn()
"""Nothing was handed in."""


def check(config, given, callbacks):
    """Raises a ValueError that names the argument, where one cannot work with `config`.

    Args:
        config: the `TrainingConfig`.
        given: the `HandedIn`.
        callbacks: Keras callbacks.
    """
    for name, value in given._asdict().items():
        if value is not None and config.distribute != "none":
            raise ValueError(
                f"{name}: cannot be handed in with distribute='{config.distribute}': its variables "
                "would be on one device alone"
            )
    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.Callback):
            raise ValueError(f"callbacks: {callback!r} is no keras.callbacks.Callback")
    if given.optimizer is not None and not isinstance(given.optimizer, keras.optimizers.Optimizer):
        raise ValueError(f"optimizer: {given.optimizer!r} is no keras.optimizers.Optimizer")
    if given.optimizer is not None and given.network is None:
        check_optimizer(given.optimizer, None)
    if given.network is not None:
        _check_network(config, given.network)
    for method in ("of_each", "content_features", "styles") if given.loss is not None else ():
        if not hasattr(given.loss, method):
            raise ValueError(f"loss: has no {method}, as a PerceptualLoss has")


def check_styles(given, count):
    """Raises a ValueError where the network or the loss is of another number of styles."""
    if given.network is not None and styles_of(given.network) != count:
        raise ValueError(
            f"network: holds {styles_of(given.network)} styles, and {count} are to be trained"
        )
    if given.loss is not None and given.loss.styles != count:
        raise ValueError(f"loss: is of {given.loss.styles} styles, and {count} are to be trained")


def check_optimizer(optimizer, network):
    """Raises a ValueError where an optimizer was made for other variables than the network's.

    None stands for a network that is yet to be built, for which only an unused one can be.
    """
    made_for = {id(variable) for variable in getattr(optimizer, "_trainable_variables", ())}
    variables = network.trainable_variables if network is not None else ()
    if optimizer.built and made_for != {id(v) for v in variables}:
        raise ValueError("optimizer: was used with another network already; hand in a new one")


def is_of_table(network, width, styles):
    """Whether a network has the layers of `fst.models.architecture`, and so can be folded."""
    found = {layer.name: layer.get_weights() for layer in network.layers if layer.weights}
    shapes = {name: [array.shape for array in arrays] for name, arrays in found.items()}
    rows = (styles,) if styles > 1 else ()
    wanted = {}
    for layer in layers(width):
        wanted[layer.conv] = [layer.shape, (layer.outputs,)]
        if layer.normalise:
            wanted[layer.norm] = [(*rows, layer.outputs)] * 2
    return shapes == wanted


def _check_network(config, network):
    if not isinstance(network, keras.Model) or not network.built:
        raise ValueError("network: is no keras.Model that is built; give it its inputs")
    image, *others = network.inputs
    if tuple(image.shape)[3:] != (3,) or len(others) > 1:
        raise ValueError(
            f"network: takes {[tuple(i.shape) for i in network.inputs]}, not photos [B, H, W, 3] "
            "and with several styles their shares [B, styles]"
        )
    if tuple(network.outputs[0].shape)[3:] != (3,) or len(network.outputs) > 1:
        shapes = [tuple(output.shape) for output in network.outputs]
        raise ValueError(f"network: gives {shapes}, not stylised photos [B, H, W, 3]")
    for height, width in ((config.crop_size, config.crop_size), (37, 50)):
        _check_size(network, np.zeros((1, height, width, 3), np.float32))
    if not is_of_table(network, config.width, styles_of(network)):
        if config.add_to:
            raise ValueError("network: is not of this gallery's layers, so that add_to cannot work")
        if config.learn == "style":
            raise ValueError("network: learn='style' needs one from build_network")
    if config.start_from not in (NOTHING, type(config).start_from, config.add_to):
        raise ValueError(
            f"network: has weights of its own; leave start_from='{config.start_from}' out"
        )


def _check_size(network, photo):
    shares = np.eye(styles_of(network), dtype=np.float32)[:1]
    try:
        found = list(paint(network, photo, shares).shape)
    except Exception as error:  # Whatever its layers raise.
        raise ValueError(
            f"network: fails on a photo of {list(photo.shape[1:])} ({first_line(error)})"
        ) from error
    if found != list(photo.shape):
        raise ValueError(
            f"network: makes {found[1:]} of a photo of {list(photo.shape[1:])}, and is to keep the "
            "height and width of every photo"
        )
