"""Less flicker in a stylised video: parts that do not move in the video do not change.

Frame by frame a network also paints the camera's grain, and turns noise that nobody notices into
strokes that jump. `Steady` distinguishes grain from change. Where nothing has changed, it averages
over time, twice: the input of the network, and its output.
"""

import numpy as np
from scipy import ndimage

from fst.media import images

_KEEP = 0.85  # of the last frame, where nothing moves: an average over about 13 frames
_BLOCK = 4  # px: change is looked for in blocks
# From where to where a difference goes over from grain to change, in grey levels beyond the grain:
# a codec gathers grain at edges, and there renews it in jumps.
_SIZE = 1.7, 4.5
_SHIFT = 1.0, 2.5  # the same for the mean of the difference,
_LEFT = 0.3  # in which so much of the grain is left
_GRAIN = 1.0, 14.0  # grey levels: below lies rounding, beyond, it could be gravel that moves
_REACH = 2  # blocks around a change that count as changed: a stroke there may be its
_TURN = 0.4, 0.75  # the share of the frame that moves: the camera stands, the camera moves


class Steady:
    """A function that stylises the frames of one video, one after the other, without flicker.

    Args:
        stylise: a function from a picture to its stylised one, uint8 `[H, W, 3]` both.

    Example:
        >>> stylise = Steady(fst.load("udnie"))
        >>> frames = [stylise(frame) for frame in (photo, photo)]
    """

    def __init__(self, stylise):
        self._stylise = stylise
        self._seen = self._painted = None

    def __call__(self, frame):
        """Stylises the next frame, uint8 `[H, W, 3]`; after a cut it starts again by itself."""
        seen = frame.astype(np.float32)
        if self._seen is None or self._seen.shape != seen.shape:
            painted = self._stylise(frame).astype(np.float32)
        else:
            keep = _KEEP * still(seen, self._seen)[..., None]
            seen += keep * (self._seen - seen)
            painted = self._stylise(images.to_levels(seen)).astype(np.float32)
            painted += keep * (self._painted - painted)
        # Not rounded, or a slow change would never be more than half a level and never show.
        self._seen, self._painted = seen, painted
        return images.to_levels(painted)


def still(frame, before):
    """How certain it is that each pixel shows the same as before, apart from grain.

    Args:
        frame: float32 `[H, W, 3]`, 0-255.
        before: the frame before it, or an average of several, of the same shape.

    Returns:
        float32 `[H, W]`: 1 where nothing has changed, 0 where something has, or near to it. All 0
        where most of the picture changes: at a cut, or when the camera moves.
    """
    difference = frame - before
    mean = _blocks(difference)
    # Over some blocks the energy of grain is well known, and its mean is next to nothing.
    energy = _blocks(difference * difference).mean(-1)
    size = np.sqrt(ndimage.gaussian_filter(energy, 1.0))
    shift = np.abs(ndimage.gaussian_filter(mean, (1.0, 1.0, 0))).max(-1)
    grain = _grain(frame, size)
    changed = np.maximum(_ramp(size - grain, *_SIZE), _ramp(shift - _LEFT * grain, *_SHIFT))
    calm = 1 - _ramp(np.float32((changed > 0.5).mean()), *_TURN)
    changed = ndimage.maximum_filter(changed, 2 * _REACH + 1)
    return calm * (1 - _enlarged(ndimage.gaussian_filter(changed, 0.7), *frame.shape[:2]))


def flicker(frames):
    """How much a video changes from frame to frame: what should stand still, flickers by that.

    Args:
        frames: an iterable of pictures of one shape, uint8 or float, 0-255; at least two.

    Returns:
        The mean absolute difference of consecutive frames, in grey levels, a float. It means
        flicker where the film shows a scene that stands still; else it is motion too.

    Raises:
        ValueError: there are fewer than two frames.
    """
    last, changes = None, []
    for frame in frames:
        frame = np.asarray(frame, np.float32)
        if last is not None:
            changes.append(np.abs(frame - last).mean())
        last = frame
    if not changes:
        raise ValueError("flicker lies between frames: there must be two at least")
    return float(np.mean(changes))


def _grain(frame, size):
    """The size of a difference that the camera's grain makes, in grey levels.

    The lower of two guesses: the difference's own, too high where the camera moves, and what is
    left in the frame beside smooth surfaces, too high where it is full of detail.
    """
    luma = frame.mean(-1)
    # Immerkær's mask, blind to slopes and edges; 1.4826 / 6 turns its median to a deviation.
    detail = ndimage.convolve(luma, np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32))
    # The mean of three channels has less grain than each, and a difference has that of two frames.
    within = np.median(np.abs(detail)) * (1.4826 / 6) * np.sqrt(2 * 3)
    return np.clip(min(np.median(size), within), *_GRAIN)


def _ramp(values, low, high):
    return np.clip((values - low) / (high - low), 0, 1)


def _blocks(values):
    """Means of blocks of `_BLOCK` px, `[ceil(H / 4), ceil(W / 4), ...]`."""
    height, width = values.shape[:2]
    grow = [(0, -height % _BLOCK), (0, -width % _BLOCK)] + [(0, 0)] * (values.ndim - 2)
    values = np.pad(values, grow, mode="edge")
    rows, columns = values.shape[0] // _BLOCK, values.shape[1] // _BLOCK
    return values.reshape(rows, _BLOCK, columns, _BLOCK, *values.shape[2:]).mean((1, 3))


def _enlarged(values, height, width):
    """A map of blocks as a map of pixels, in between them linear."""
    down = np.clip((np.arange(height) + 0.5) / _BLOCK - 0.5, 0, values.shape[0] - 1)
    across = np.clip((np.arange(width) + 0.5) / _BLOCK - 0.5, 0, values.shape[1] - 1)
    rows = _between(values, down)
    return _between(rows.T, across).T


def _between(values, places):
    low = places.astype(int)
    high = np.minimum(low + 1, len(values) - 1)
    share = (places - low).astype(np.float32)[:, None]
    return values[low] * (1 - share) + values[high] * share
