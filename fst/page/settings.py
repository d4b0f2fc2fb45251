"""What the owner of a page can set, by environment variables."""

import os
from pathlib import Path

from fst import collection


def styles_folder():
    """The folder of trained styles: FST_PAGE_CHECKPOINTS, or `checkpoints/`."""
    return Path(os.environ.get("FST_PAGE_CHECKPOINTS", collection.ROOT))


def runs_folder():
    """The folder for logs and style pictures of trainings: FST_PAGE_RUNS, or `runs/`."""
    return Path(os.environ.get("FST_PAGE_RUNS", "runs"))


def photos_folder():
    """The folder of photos to train on, FST_PAGE_PHOTOS; None where visitors may name any."""
    return os.environ.get("FST_PAGE_PHOTOS")


def training_offered():
    """Whether visitors may train: FST_PAGE_TRAINING=off hides it."""
    return os.environ.get("FST_PAGE_TRAINING", "on").lower() not in ("off", "0", "no")
