"""The same few photos, stylised again and again as training goes on, in every style."""

import itertools

import numpy as np

from fst.errors import UserError
from fst.media import images
from fst.models.network import paint

_HEIGHT = 288  # px of each picture in the strip
_WIDEST = 4  # heights; of a wider photo the left part is shown
_COUNT = 4  # photos, unless --preview names some
_COUNT_OF_MANY = 2  # where there are more styles than that: each draws them all, at every preview


class Previews:
    """Draws stylised photos into `previews/`: a row for each style.

    Args:
        folder: the folder for `photos.jpg`, the originals, and `step_000250.jpg` and so on.
        photos: the content photos; some of those kept out of training are taken, if there are any.
        config: the `TrainingConfig`: its `preview` names photos to take instead.
        styles: how many styles there are.

    Raises:
        ImageError: a photo that `--preview` names cannot be read.
        UserError: no content photo can be read.
    """

    def __init__(self, folder, photos, config, styles=1):
        self._folder, self._styles = folder, styles
        count = _COUNT if styles <= _COUNT else _COUNT_OF_MANY
        if config.preview:
            originals = [images.load_rgb(source) for source in config.preview]
        else:
            wanted = itertools.chain(photos.held_out, photos)
            found = photos.pictures(wanted, long_side=512)
            originals = [picture for _, picture in itertools.islice(found, count)]
        if not originals:
            raise UserError("--content: none of its photos can be read")
        self._pictures = [_scaled(picture) for picture in originals]

    def draw_originals(self):
        """Writes the photos as they are, to look at beside the others."""
        self._write("photos.jpg", [self._pictures])

    def draw(self, network, step):
        """Stylises the photos with `network` as it is after `step` steps."""
        rows = [
            [np.asarray(paint(network, p[None], shares))[0] for p in self._pictures]
            for shares in np.eye(self._styles, dtype=np.float32)[:, None]
        ]
        self._write(f"step_{step:06d}.jpg", rows)

    def _write(self, name, rows):
        strips = [np.concatenate(row, axis=1) for row in rows]
        images.save_picture(self._folder / name, np.concatenate(strips, axis=0))


def _scaled(picture):
    height = picture.shape[0]
    picture = picture[:, : _WIDEST * height]
    return images.resize(picture, _HEIGHT, max(16, round(picture.shape[1] * _HEIGHT / height)))
