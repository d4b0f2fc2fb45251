"""The card of a style, `style.json`: what it was trained on, how, and how well."""

import datetime
import os
import platform

import keras
import numpy as np
import tensorflow as tf

import fst
from fst import checkpoint
from fst.config import last_part
from fst.errors import UserError
from fst.history import COLUMNS, read_history
from fst.perceptual import LossTerms

MEASURED_AT = 512
"""Long side, in px, of the photos that the losses of the card are measured on."""

_NAMED = 100  # skipped photos that the card names; it counts them all


def make_card(config, network, loss, photos, style, state, target):
    """The card as a dictionary of JSON types.

    Args:
        config: the `TrainingConfig`.
        network: the trained network.
        loss: the `PerceptualLoss`, in float32.
        photos: the content photos.
        style: the style image as trained with, `[H, W, 3]`.
        state: the finished `State`.
        target: the `Checkpoint`, whose history is read.
    """
    history = read_history(target.history_path)
    recent = history[-max(1, len(history) // 20) :].mean(axis=0)
    skipped = {**state.skipped, **photos.skipped}
    return {
        "format": 1,
        "name": config.name,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "config": config.to_json(),
        "style": {"sha256": state.style_hash, "height": style.shape[0], "width": style.shape[1]},
        "photos": len(photos),
        "skipped_photos": {"count": len(skipped), "named": dict(list(skipped.items())[:_NAMED])},
        "steps": config.steps,
        "images_seen": config.steps * config.batch_size,
        "started_from": _started_from(config),
        "seconds": round(state.seconds),
        "device": device_name(),
        "parameters": network.count_params(),
        "training_losses": {
            name: _short(recent[COLUMNS.index(name)]) for name in LossTerms._fields
        },
        "held_out_losses": measure(network, loss, photos),
        "versions": {
            "fst": fst.__version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def measure(network, loss, photos):
    """The losses of the photos kept out of training: the mean over whole pictures.

    Returns:
        A dictionary with `photos`, how many, `long_side` in px, and the unweighted terms; None if
        no photo was kept out.
    """
    rows = []
    for _, picture in photos.pictures(photos.held_out, MEASURED_AT):
        terms = loss(network(picture[None]), loss.content_features(picture[None]))
        rows.append([float(term) for term in terms])
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
    return f"CPU, {cores} cores, {platform.machine()}"


def _started_from(config):
    """The style that lent its weights, and the photos that it and its own forebears have seen."""
    if not config.start_from:
        return None
    try:
        trained = checkpoint.find(config.start_from, config.output)
        card = trained.read_card()
    except UserError:  # It was there when the run began, and may be gone by now.
        return {"name": config.to_json()["start_from"], "images_seen": None}
    before = (card.get("started_from") or {}).get("images_seen") or 0
    seen = card.get("images_seen", 0) + before
    return {"name": last_part(trained.folder.name), "images_seen": seen}


def _short(value):
    return float(f"{value:.5g}")
