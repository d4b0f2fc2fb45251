"""A trained style, applied to a picture of any size."""

import numpy as np

from fst import checkpoint
from fst.network import MIN_SIZE


class Stylizer:
    """Stylises pictures with one trained style; call it with a picture.

    Args:
        trained: the `fst.checkpoint.Checkpoint`.

    Raises:
        UserError: its files are missing or damaged.
    """

    def __init__(self, trained):
        self.card = trained.read_card()
        self._network = trained.read_network()
        self._function = None

    def __call__(self, image):
        """Stylises one picture.

        Args:
            image: `[H, W, 3]` RGB in 0-255, uint8 or float, of any size. Below 16 px on a side it
                is mirrored up to 16 px and the result cropped back.

        Returns:
            The stylised picture in the same shape; uint8 for uint8, else float32.

        Raises:
            ValueError: the shape is not `[H, W, 3]`.
        """
        image = np.asarray(image)
        if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f"a picture has the shape [height, width, 3], not {image.shape}")
        height, width, _ = image.shape
        padded = _at_least(image.astype(np.float32), MIN_SIZE)
        stylised = self._run(padded[None])[0, :height, :width]
        if image.dtype == np.uint8:
            return np.rint(stylised).astype(np.uint8)
        return stylised

    def _run(self, batch):
        import tensorflow as tf

        if self._function is None:
            spec = tf.TensorSpec([None, None, None, 3], tf.float32)
            self._function = tf.function(
                lambda image: self._network(image, training=False), input_signature=[spec]
            )
        return self._function(batch).numpy()


def load(name_or_path, root=checkpoint.ROOT):
    """Loads a trained style by its name under `root`, or by the path of its folder.

    Returns:
        A `Stylizer`: `fst.load("starry_night")(photo)`.

    Raises:
        UserError: there is no such style, with the names that there are.
    """
    return Stylizer(checkpoint.find(name_or_path, root))


def _at_least(image, size):
    height, width, _ = image.shape
    grow = [(0, max(0, size - height)), (0, max(0, size - width)), (0, 0)]
    return np.pad(image, grow, mode="symmetric") if height < size or width < size else image
