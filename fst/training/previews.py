"""Which photos are stylised again and again as training goes on."""

import itertools

from fst.errors import UserError
from fst.media import images

_COUNT = 4  # photos, unless --preview names some
_COUNT_OF_MANY = 2  # where there are more styles than that: each draws them all, at every preview


def choose_previews(photos, config, styles=1):
    """The photos for `fst.training.callbacks.Previews`: a list of float32 `[H, W, 3]`, 0-255.

    Args:
        photos: the content photos; some of those kept out of training are taken, if there are any.
        config: the `TrainingConfig`: its `preview` names photos to take instead.
        styles: how many styles there are.

    Raises:
        ImageError: a photo that `--preview` names cannot be read.
        UserError: no content photo can be read.
    """
    if config.preview:
        return [images.load_rgb(source) for source in config.preview]
    wanted = itertools.chain(photos.held_out, photos)
    found = photos.pictures(wanted, long_side=512)
    count = _COUNT if styles <= _COUNT else _COUNT_OF_MANY
    originals = [picture for _, picture in itertools.islice(found, count)]
    if not originals:
        raise UserError("‹content›: none of its photos can be read")
    return originals
