"""Numbers for a stylised picture: what each says, and what it does not.

No number here says how good a picture looks. Each answers one narrower question:

- **SSIM of photo and result**: how much of the photo's structure is left at the same places. The
  untouched photo scores 1, and a good painting of it scores low. It is no measure of quality.
- **SSIM of two results**, such as the fast network's and Gatys's: how alike they are pixel by
  pixel. Two equally good results whose strokes lie at different places score low.
- **Loss terms**: what both methods minimise, so a fair measure of how far each has come. They
  compare only under the same loss, picture size and size of the style image.
- **Seconds**: what a call takes on this machine, with all else that runs on it meanwhile.

LPIPS and ArtFID, which papers give too, need the weights of further networks and are left out.

Nothing here imports TensorFlow or Keras.
"""

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

_SIGMA = 1.5
_RADIUS = 5  # px: the window is 11 px wide, as where the Gaussian is cut at 3.5 sigma
_WINDOW = 2 * _RADIUS + 1
_C1 = (0.01 * 255) ** 2
_C2 = (0.03 * 255) ** 2
_LUMA = (0.299, 0.587, 0.114)


# --- Structural similarity -----------------------------------------------------------------------


def ssim_luma(one: np.ndarray, other: np.ndarray) -> float:
    """Structural similarity of the two pictures' brightness (Wang et al. 2004).

    Both are turned to the luma of Rec. 601, `0.299 R + 0.587 G + 0.114 B` of the sRGB values, not
    rounded. At every position of a window `w` it compares means, variances and covariance:

        SSIM = (2 μx μy + C1) (2 σxy + C2) / ((μx² + μy² + C1) (σx² + σy² + C2))

        μx = Σ w x      σx² = Σ w x² − μx²      σxy = Σ w x y − μx μy      (y alike)

    `w` is a Gaussian of sigma 1.5 px, 11×11 px, whose sum is 1, so that variances are those of the
    population, without the factor n / (n − 1). `C1 = (0.01 · 255)²`, `C2 = (0.03 · 255)²`. The
    result is the mean over all positions where the window lies wholly within the picture: without
    a border of 5 px. Nothing is scaled down first.

    Of a photo and its stylised picture it says how much of the photo's structure is left, not how
    good the picture is: the photo itself scores 1. Of two stylised pictures it says how alike they
    are pixel by pixel: strokes at different places score low, however equal in kind.

    Args:
        one: uint8 or float `[H, W, 3]` RGB, or `[H, W]` grey, which is its own luma; 0-255, each
            side at least 11 px.
        other: of the same shape. The order of the two does not matter.

    Returns:
        A float: 1 for equal pictures, near 0 for unrelated ones; below 0 where one is bright
        when the other is dark, as in a negative. Never outside [-1, 1].

    Raises:
        ValueError: the shapes differ, are not those of a picture, or a side is under 11 px.
    """
    one, other = _pair(one, other)
    return _ssim(_luma(one), _luma(other))


def ssim_rgb(one: np.ndarray, other: np.ndarray) -> float:
    """Structural similarity of the two pictures' colours: the mean over red, green and blue.

    Each channel is compared by itself, by the formula of `ssim_luma` with its window and its
    constants, and the three results are averaged with equal weights. It means the same, and also
    sees changes of colour that do not change the brightness.

    Args:
        one: as for `ssim_luma`; a grey picture counts as one with three equal channels.
        other: of the same shape.

    Returns:
        A float in [-1, 1].

    Raises:
        ValueError: as `ssim_luma`.
    """
    one, other = _pair(one, other)
    if one.ndim == 2:
        return _ssim(one, other)
    return sum(_ssim(one[..., channel], other[..., channel]) for channel in range(3)) / 3


def _pair(one, other):
    one, other = np.asarray(one), np.asarray(other)
    shapes = f"{list(one.shape)} and {list(other.shape)}"
    if one.shape != other.shape:
        raise ValueError(f"SSIM compares two pictures of one shape, not {shapes}")
    if one.ndim not in (2, 3) or one.shape[2:] not in ((), (3,)):
        raise ValueError(f"SSIM takes pictures [H, W, 3] or [H, W], not {shapes}")
    if min(one.shape[:2]) < _WINDOW:
        raise ValueError(f"SSIM needs sides of {_WINDOW} px at least, and got {shapes}")
    # float64: a variance is the small difference of two large numbers.
    return one.astype(np.float64), other.astype(np.float64)


def _luma(picture):
    return picture if picture.ndim == 2 else picture @ np.array(_LUMA)


def _ssim(x, y):
    """The formula on two float64 arrays `[H, W]`."""
    mean_x, mean_y = _windowed(x), _windowed(y)
    variance_x = _windowed(x * x) - mean_x**2
    variance_y = _windowed(y * y) - mean_y**2
    covariance = _windowed(x * y) - mean_x * mean_y
    similarity = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    similarity /= (mean_x**2 + mean_y**2 + _C1) * (variance_x + variance_y + _C2)
    return float(similarity.mean())


def _windowed(values):
    """The window's weighted mean at each position where it fits: `[H - 10, W - 10]`."""
    inside = slice(_RADIUS, -_RADIUS)
    return ndimage.gaussian_filter(values, _SIGMA, radius=_RADIUS)[inside, inside]


# --- Loss, time, and what many numbers come to ---------------------------------------------------


def loss_terms(
    loss: Any,
    stylised: np.ndarray,
    content: np.ndarray,
    *,
    content_features: list[Any] | None = None,
) -> Any:
    """What one picture has left of the loss that the methods minimise.

    Low content means that VGG19 still sees the photo in it, low style that it sees the style
    image's textures. Numbers of two pictures compare only where they come from the same loss (its
    form, layers, weights and style image at the same size) and from pictures of the same size.
    A lower total is a better minimum, which need not be the better picture.

    Args:
        loss: a `fst.models.perceptual.PerceptualLoss`.
        stylised: uint8 or float `[H, W, 3]`, RGB, 0-255.
        content: the photo it was made from, of the same shape.
        content_features: `loss.content_features(content[None])` where it is there already, as when
            several results of one photo are measured; computed here when None.

    Returns:
        The `fst.models.perceptual.LossTerms` as Python floats; all but `total` are unweighted.

    Raises:
        ValueError: the shapes differ or are not `[H, W, 3]`.
    """
    stylised, content = np.asarray(stylised, np.float32), np.asarray(content, np.float32)
    if stylised.shape != content.shape or stylised.ndim != 3 or stylised.shape[2] != 3:
        raise ValueError(
            "the loss compares a stylised and a content picture of one shape [H, W, 3], not "
            f"{list(stylised.shape)} and {list(content.shape)}"
        )
    if content_features is None:
        content_features = loss.content_features(content[None])
    terms = loss(stylised[None], content_features)
    return terms._make(float(term) for term in terms)


def seconds(call: Callable[[], object], *, warm_up: int = 1, repeats: int = 3) -> float:
    """How long `call()` takes: the median wall time of several runs.

    It belongs to this machine and to what else ran on it. Compare only times taken side by side.

    Args:
        call: a function without arguments. It must return only when its result is there: on a GPU
            TensorFlow returns before, unless the result is asked for as a NumPy array.
        warm_up: runs beforehand that do not count: the first one traces, compiles and allocates.
        repeats: runs that count.

    Returns:
        Seconds, a float.

    Raises:
        ValueError: `repeats` is under 1, or `warm_up` under 0.
    """
    if repeats < 1:
        raise ValueError(f"a time needs at least 1 repeat, not {repeats}")
    if warm_up < 0:
        raise ValueError(f"there cannot be {warm_up} warm-up runs")
    for _ in range(warm_up):
        call()
    times = []
    for _ in range(repeats):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return float(np.median(times))


class Summary(NamedTuple):
    """Several measured values in short; of none, `count` is 0 and the others are None.

    `std` is the standard deviation of a sample, with the divisor n − 1, and 0.0 for a single value,
    which says nothing of how others would spread.
    """

    count: int  # type: ignore[assignment]  # It hides the method of tuples, which nobody needs.
    mean: float | None
    median: float | None
    std: float | None
    min: float | None
    max: float | None


def summary(values: Iterable[float | None]) -> Summary:
    """The `Summary` of some values, in their own unit.

    Args:
        values: numbers, in any order and any iterable; None stands for one that was not measured
            and is left out. One that is not a number (NaN) shows: the summary is then NaN too.
    """
    found = np.array([value for value in values if value is not None], dtype=np.float64)
    if not found.size:
        return Summary(0, None, None, None, None, None)
    std = found.std(ddof=min(1, found.size - 1))
    numbers = (found.mean(), np.median(found), std, found.min(), found.max())
    return Summary(found.size, *(float(number) for number in numbers))
