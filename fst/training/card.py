"""The card, `style.json`: which styles a network holds, how it was trained, and how well."""

import datetime
import os
import platform

import keras
import numpy as np
import tensorflow as tf

import fst
from fst import collection
from fst.config import NOTHING, last_part
from fst.errors import UserError
from fst.models.network import paint
from fst.models.perceptual import LossTerms
from fst.models.precision import resolve
from fst.training.history import COLUMNS, read_history
from fst.words import plural

MEASURED_AT = 512
"""Long side, in px, of the photos that the losses of the card are measured on."""

_NAMED = 100  # skipped photos that the card names; it counts them all


def make_card(config, network, losses, photos, styles, state, target):
    """The card as a dictionary of JSON types.

    Args:
        config: the `TrainingConfig`.
        network: the trained network.
        losses: for every style what `measure` returned, or None.
        photos: the content photos.
        styles: the `fst.training.style_images.Style`s, in the network's order.
        state: the finished `State`.
        target: the `Checkpoint`, whose history is read.
    """
    history = read_history(target.history_path)
    recent = history[-max(1, len(history) // 20) :].mean(axis=0)
    skipped = {**state.skipped, **photos.skipped}
    return {
        "format": 2,
        "name": config.name,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "config": config.to_json(),
        "styles": [_describe(*each) for each in zip(styles, losses, strict=True)],
        "photos": len(photos),
        "skipped_photos": {"count": len(skipped), "named": dict(list(skipped.items())[:_NAMED])},
        "steps": state.step,
        "images_seen": state.step * config.batch_size,
        "started_from": _started_from(config),
        "seconds": round(state.seconds),
        "device": device_name(),
        "precision": resolve(config.precision),
        "parameters": network.count_params(),
        "training_losses": {
            name: _short(recent[COLUMNS.index(name)]) for name in LossTerms._fields
        },
        "versions": {
            "fst": fst.__version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def _describe(style, losses):
    return {
        "name": style.name,
        "source": style.source,
        "sha256": style.sha256,
        "height": style.image.shape[0],
        "width": style.image.shape[1],
        "held_out_losses": losses,
    }


def measure(network, loss, photos, index=0):
    """The losses of one style on photos kept out of training: the mean over whole pictures.

    Of several styles each is measured on its share of the photos, two at least: all of them in
    every style would take hours.

    Args:
        network: the trained network, in float32.
        loss: the `PerceptualLoss` of all styles, in float32, or what was handed in for it.
        photos: the content photos.
        index: the style's place.

    Returns:
        A dictionary with `photos`, how many, `long_side` in px, and the unweighted terms; None if
        no photo was kept out.
    """
    count = max(2, len(photos.held_out) // loss.styles)
    shares = np.eye(loss.styles, dtype=np.float32)[index : index + 1]
    rows = []
    for _, picture in photos.pictures(photos.held_out[:count], MEASURED_AT):
        painted = paint(network, picture[None], shares)
        terms = loss.of_each(painted, loss.content_features(picture[None]), shares)
        rows.append([float(term[0]) for term in terms])
    if not rows:
        return None
    means = zip(LossTerms._fields, np.mean(rows, axis=0), strict=True)
    return {
        "photos": len(rows),
        "long_side": MEASURED_AT,
        **{name: _short(value) for name, value in means},
    }


def device_name():
    """The device that TensorFlow computes on, in words: its GPUs, or the CPU and its cores."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
        return f"{len(gpus)} x {name}" if len(gpus) > 1 else name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"CPU, {plural(cores, 'core')}, {platform.machine()}"


def _started_from(config):
    """The style that this one started from, and all photos that it had seen by then."""
    if config.start_from == NOTHING:
        return None
    try:
        trained = collection.find_start(config.start_from, config.output)
        card = trained.read_card()
    except UserError:  # It was there when the run began, and may be gone by now.
        return {"name": config.to_json()["start_from"], "images_seen": None}
    before = (card.get("started_from") or {}).get("images_seen") or 0
    seen = card.get("images_seen", 0) + before
    return {"name": last_part(trained.name), "images_seen": seen}


def _short(value):
    return float(f"{value:.5g}")
