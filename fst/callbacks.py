"""Keras callbacks for training a `StyleTransfer`: losses in a table, previews, a saved state."""

from fst.training.callbacks import LossHistory, Previews, Progress, SavedState

__all__ = ["LossHistory", "Previews", "Progress", "SavedState"]
