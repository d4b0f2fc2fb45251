"""Where training starts from: another style's weights, or the style of a gallery that is nearest.

A new style is learnt in few steps from a network that already paints other styles (Dumoulin et al.
2017, section 3.2): the convolutions can draw already, and the scales and shifts of the nearest
style are a good start for those of the new one.
"""

import itertools
import os

import numpy as np
import tensorflow as tf

from fst import collection
from fst.errors import UserError
from fst.models.network import build_network, paint, styles_of, width_of

_JUDGED_ON = 2  # photos that every style of the gallery paints, to find the nearest
_AT = 112  # px of their long side; larger ones take longer and name the same styles


def start_from(config, step, photos, styles, on_event):
    """Puts the weights of `--start-from` into the network of a `TrainingStep`.

    Convolutions are taken as they are. A style takes its scales and shifts from the style of the
    same name, where the gallery has it and several are trained, else from the nearest.

    Args:
        config: the `TrainingConfig`.
        step: the `TrainingStep`, not yet trained.
        photos: the content photos.
        styles: the `Style`s that are trained.
        on_event: called with a line that names the nearest style.

    Raises:
        UserError: there is no such style or gallery, or it has another width.
    """
    trained = collection.find_start(config.start_from, config.output)
    width = trained.read_width()
    if width != config.width:
        raise UserError(
            f"‹start_from› {trained.name}: has width {width}; give ‹width› {width}, or "
            "‹start_from› none"
        )
    base = trained.read_conditional() if trained.style_weights is None else trained.read_network()
    rows = [0] * len(styles)
    if len(base.inputs) > 1:
        known = [style["name"] for style in trained.styles()]
        rows = _rows(base, known, step, photos, styles, on_event)
    _copy(base, step.network, rows)


def check_kept(config, target):
    """Raises a UserError where `--overwrite` would remove the very style that the run starts from.

    A run that fails before it has saved anything would leave neither.
    """
    trained = collection.find_start(config.start_from, config.output)
    if os.path.realpath(trained.folder) == os.path.realpath(target.folder):
        raise UserError(
            f"‹overwrite› would remove {target.folder}, which this run starts from: choose another "
            "‹name›"
        )


def freeze_convolutions(network):
    """Leaves only the scales and shifts of a network trainable."""
    for layer in network.layers:
        layer.trainable = layer.name.endswith("_norm")


def _rows(base, known, step, photos, styles, on_event):
    """For every style to train, the style of the base network that it starts from."""
    rows, losses = [], None
    for index, style in enumerate(styles):
        if len(styles) > 1 and style.name in known:
            rows.append(known.index(style.name))
            continue
        if losses is None:
            losses = _losses(base, step, photos)
        rows.append(int(np.argmin(losses[:, index])))
        on_event(f"{style.name} starts from {known[rows[-1]]}, the nearest style that is there")
    return rows


def _losses(base, step, photos):
    """How far every style of `base` is from every style to train: mean totals, `[base, styles]`.

    Judged by what each paints, with the loss of training, and not by its style image: so nothing
    but the network needs to be kept, and a style that was learnt badly is not taken for near.
    """
    count = styles_of(base)
    fast = build_network(width_of(step.network), step.precision, count)
    fast.set_weights(base.get_weights())
    wanted = np.eye(step.loss.styles, dtype=np.float32)

    @tf.function(
        autograph=False,
        input_signature=[tf.TensorSpec([1, None, None, 3]), tf.TensorSpec([1, count])],
    )
    def judge(photo, shares):
        painted = tf.repeat(paint(fast, photo, shares), len(wanted), axis=0)
        content = [tf.repeat(f, len(wanted), axis=0) for f in step.loss.content_features(photo)]
        return step.loss.of_each(painted, content, wanted).total

    pictures = photos.pictures(itertools.chain(photos.held_out, photos), _AT)
    chosen = [photo[None] for _, photo in itertools.islice(pictures, _JUDGED_ON)]
    if not chosen:
        raise UserError("‹content›: none of its photos can be read")
    styles = np.eye(count, dtype=np.float32)[:, None]
    return np.array([np.mean([judge(photo, one) for photo in chosen], 0) for one in styles])


def _copy(base, network, rows):
    """Copies the weights of `base`; style `i` of `network` takes row `rows[i]` of its styles'."""
    for layer in base.layers:
        weights = layer.get_weights()
        if not weights:
            continue
        if layer.name.endswith("_norm"):
            tables = [np.atleast_2d(table)[rows] for table in weights]
            single = network.get_layer(layer.name).weights[0].ndim == 1
            weights = [table[0] for table in tables] if single else tables
        network.get_layer(layer.name).set_weights(weights)
