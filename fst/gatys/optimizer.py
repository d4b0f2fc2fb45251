"""The companion optimiser: one picture's pixels instead of a network's weights.

Gatys, Ecker and Bethge, "Image Style Transfer Using Convolutional Neural Networks" (CVPR 2016),
section 2.3: the picture itself is changed, step by step, until VGG19 sees in it the content of the
photo and the style of the style image. The loss is that of training, `fst.models.perceptual`. The
pixels stay in 0-255 at every step.
"""

import dataclasses
import math
import os
import time
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from fst import files
from fst.errors import UserError
from fst.gatys.options import MIN_SIZE, GatysOptions
from fst.media import images

_COARSEST = 256  # px: the long side at which coarse-to-fine begins when nothing else is said
_MEMORY = 10  # steps that L-BFGS remembers: twice as many are twice the overhead and gain little
_FIRST_STEP = 5.0  # grey levels, root mean square: what L-BFGS tries before it knows the curvature


Image: TypeAlias = str | os.PathLike | np.ndarray
"""A picture: a file, an address, or `[H, W, 3]` RGB in 0-255, uint8 or float."""


class Losses(NamedTuple):
    """One evaluation's loss: floats, the terms unweighted as in `perceptual.LossTerms`."""

    total: float
    content: float
    style: float
    tv: float


class Step(NamedTuple):
    """One evaluation of the loss and its gradient.

    Attributes:
        step: its number, from 1, over all scales.
        height: of the picture at this scale, px.
        width: of the picture at this scale, px.
        losses: the `Losses` of the picture that was evaluated.
        best: the lowest total of this scale so far.
        seconds: since the first evaluation began; the time for building graphs is left out.
    """

    step: int
    height: int
    width: int
    losses: Losses
    best: float
    seconds: float


@dataclasses.dataclass(frozen=True)
class Result:
    """What `optimize` returns.

    Attributes:
        picture: the picture with the lowest total, float32 `[H, W, 3]`, 0-255.
        losses: its `Losses`; at the last scale that was reached.
        trace: a list with every `Step`.
        interrupted: Ctrl-C ended it early.
    """

    picture: np.ndarray
    losses: Losses
    trace: list[Step]
    interrupted: bool


def optimize(
    content: Image,
    style: Image | list[Image] | tuple[Image, ...],
    options: GatysOptions | None = None,
    *,
    features: Callable[..., list] | None = None,
    on_step: Callable[[Step, Callable[[], np.ndarray]], object] | None = None,
) -> Result:
    """Gives a content image the style of one or several style images.

    Args:
        content: the content image: `[H, W, 3]` RGB in 0-255, uint8 or float, or a file or URL.
            It is scaled to `options.size`.
        style: one style image in the same forms, or a list of them.
        options: `GatysOptions`; its defaults when None.
        features: a `fst.models.perceptual.Vgg19Features` with the pooling and the precision that
            the options ask for; the default weights are loaded when None.
        on_step: called after every evaluation as `on_step(step, best_picture)`, with a `Step` and a
            function that returns the best picture so far, float32 at the size of the scale. If it
            returns True, the optimisation ends there.

    Returns:
        A `Result`. Ctrl-C (KeyboardInterrupt) ends the optimisation and keeps the best picture.

    Raises:
        UserError: an image cannot be read or is too small, the options contradict the style images,
            or the loss is not a finite number.

    Example:
        >>> result = optimize(photo, photo[::-1], GatysOptions(size=48, style_size=48, steps=2))
        >>> result.picture.shape
        (36, 48, 3)
    """
    import tensorflow as tf

    from fst.models.perceptual import load_vgg19

    options = options or GatysOptions()
    photo_source = _Source(content, "content")
    styles = [_Source(s, "style") for s in (style if isinstance(style, list | tuple) else [style])]
    if not styles:
        raise ValueError("there is no style image")
    _check_style_weights(options, styles)
    sizes = scale_sizes(photo_source.scaled(options.size).shape[:2], options.scales)
    features = features or load_vgg19(precision=options.precision, pooling=options.pooling)
    run = Run(options, features, on_step)
    start, interrupted = None, False
    try:
        for height, width in sizes:
            shrink = max(height, width) / max(sizes[-1])
            photo = _resized(photo_source.pixels, height, width)
            paintings = [s.scaled(options.style_size, shrink) for s in styles]
            if start is None:
                start = _first_picture(options, photo, paintings[0])
            run.scale(photo, paintings, _resized(start, height, width))
            start = run.best_picture()
    except _Stop:
        pass
    except tf.errors.ResourceExhaustedError:
        raise UserError(
            f"a picture of {sizes[-1][1]}x{sizes[-1][0]} px does not fit in memory with its "
            "features: lower ‹size›"
        ) from None
    except KeyboardInterrupt:
        interrupted = True
        if not run.trace:
            raise
    picture = np.clip(_resized(run.best_picture(), *sizes[-1]), 0, 255)
    return Result(picture, run.best_losses, run.trace, interrupted)


def count_steps(size: tuple[int, int], options: GatysOptions) -> int:
    """How many steps `options` make over all scales, for a content image of height and width."""
    return options.steps * len(scale_sizes(_scaled_size(size, options.size), options.scales))


def scale_sizes(size, scales):
    """The sizes to work at, coarse to fine: each about twice the one before.

    Args:
        size: height and width of the last, px.
        scales: how many; 0 for as many as keep the long side of the first at 256 px or more. Fewer
            are taken where a side would get shorter than 32 px.

    Returns:
        A list of `(height, width)`.
    """
    wanted = scales or 1 + max(0, int(math.log2(max(size) / _COARSEST)))
    wanted = max(1, min(wanted, 1 + int(math.log2(min(size) / MIN_SIZE))))
    return [tuple(max(MIN_SIZE, round(side / 2**k)) for side in size) for k in range(wanted)[::-1]]


class _Stop(Exception):
    """Ends the optimisers from inside: the budget is used up, or the caller has seen enough."""


class Run:
    """The state of one optimisation over its scales: the trace, and the best picture so far.

    Args:
        options: the `GatysOptions`.
        features, on_step: as for `optimize`.
    """

    def __init__(self, options, features, on_step):
        self.trace = []
        self.best_losses = None
        self.best_picture = None  # A function, so that a GPU need not send every picture.
        self.options = options
        self._features, self._on_step = features, on_step
        self._clock = 0.0
        self._is_first = True  # evaluation of a scale: totals of another do not compare.

    def scale(self, photo, paintings, start):
        """Optimises at one size; all pictures float32 `[H, W, 3]`."""
        self.minimise(_loss_and_gradient(self.options, self._features, photo, paintings), start)

    def minimise(self, differentiate, start):
        """Minimises any function of the picture, from `start`, float32 `[H, W, 3]`.

        Args:
            differentiate: a function from a float32 `[H, W, 3]` tensor to the four losses and the
                gradient of the total.
        """
        self._size, self._left, self._is_first = start.shape[:2], self.options.steps, True
        optimiser = _lbfgs if self.options.optimizer == "lbfgs" else _adam
        optimiser(self, differentiate, start)

    def start_clock(self):
        """Tells that graphs are built now and computing begins."""
        self._clock = time.perf_counter() - (self.trace[-1].seconds if self.trace else 0.0)

    def add(self, losses, picture):
        """Notes an evaluation.

        Args:
            losses: its `Losses`.
            picture: a function that returns the best picture so far if this one is the best.

        Returns:
            Whether there are evaluations left at this scale.
        """
        if not all(map(math.isfinite, losses)):
            raise UserError(
                f"the loss is not finite in step {len(self.trace) + 1} ({losses.total:g}): lower "
                "‹style_weight›, ‹content_weight› or ‹tv_weight›, or ‹learning_rate› with adam"
            )
        if self._is_first or losses.total < self.best_losses.total:
            self.best_losses, self.best_picture = losses, picture
        self._is_first = False
        seconds = time.perf_counter() - self._clock
        row = Step(len(self.trace) + 1, *self._size, losses, self.best_losses.total, seconds)
        self.trace.append(row)
        self._left -= 1
        if self._on_step and self._on_step(row, self.best_picture):
            raise _Stop
        return self._left > 0


class _Enough(Exception):
    """The budget of a scale is used up."""


def _lbfgs(run, differentiate, start):
    """Minimises by SciPy's L-BFGS-B, whose bounds keep the pixels in 0-255 (paper, section 2.3).

    Args:
        run: the `Run`.
        differentiate, start: as for `Run.minimise`.
    """
    import tensorflow as tf
    from scipy.optimize import Bounds, minimize

    evaluate = tf.function(
        differentiate, input_signature=[tf.TensorSpec(start.shape, tf.float32)], autograph=False
    )
    evaluate.get_concrete_function()
    run.start_clock()

    def look_at(picture):
        losses, gradient = evaluate(picture)
        losses = Losses(*losses.numpy().tolist())
        return losses.total, gradient.numpy(), run.add(losses, lambda: picture)

    def restart(start):
        """Runs L-BFGS from `start` until it can go no further; raises `_Enough` before that."""
        total, gradient, more = look_at(start)
        steepness = math.sqrt(np.mean(np.square(gradient, dtype=np.float64)))
        if not more or not steepness:
            raise _Enough
        # L-BFGS-B first tries a step as long as the gradient: the unit of its variables decides
        # whether that is a sensible one.
        unit = math.sqrt(_FIRST_STEP / steepness)
        known = [(total, np.multiply(gradient.ravel(), unit, dtype=np.float64))]

        def scaled(variables):
            if known:  # It begins with the point that has just been looked at.
                return known.pop()
            picture = np.empty(start.shape, np.float32)
            np.multiply(variables.reshape(start.shape), unit, out=picture, casting="same_kind")
            total, gradient, more = look_at(picture)
            if not more:
                raise _Enough
            return total, np.multiply(gradient.ravel(), unit, dtype=np.float64)

        first = np.divide(start.ravel(), unit, dtype=np.float64)
        endless = {"maxiter": 10**9, "maxfun": 10**9, "ftol": 0.0, "gtol": 0.0}
        minimize(
            scaled,
            first,
            jac=True,
            method="L-BFGS-B",
            bounds=Bounds(0.0, 255.0 / unit),
            options={**endless, "maxcor": _MEMORY},
        )

    try:
        before = math.inf
        # If float32 is too coarse for its line search, it gives up; without its memory of the
        # curvature it often gets on.
        restart(np.clip(start, 0, 255))
        while run.best_losses.total < before * (1 - 1e-6):
            before = run.best_losses.total
            restart(run.best_picture())
    except _Enough:
        pass


def _adam(run, differentiate, start):
    """Minimises by Adam, clipping the pixels to 0-255 after each step; arguments as `_lbfgs`."""
    import keras
    import tensorflow as tf

    options = run.options
    pixels = keras.Variable(np.clip(start, 0, 255), trainable=True)
    best, lowest = keras.Variable(pixels, trainable=False), keras.Variable(math.inf)
    # A relative loss has gradients of a millionth per grey level: Keras's epsilon would brake them.
    optimizer = keras.optimizers.Adam(options.learning_rate, options.beta_1, epsilon=1e-12)
    optimizer.build([pixels])

    def step():
        losses, gradient = differentiate(pixels.value)
        better = losses[0] < lowest.value
        best.assign(tf.where(better, pixels.value, best.value))
        lowest.assign(tf.minimum(losses[0], lowest.value))
        optimizer.apply_gradients([(gradient, pixels)])
        pixels.assign(tf.clip_by_value(pixels.value, 0.0, 255.0))
        return losses

    step = tf.function(step, input_signature=[], autograph=False)
    step.get_concrete_function()
    run.start_clock()
    more = True
    while more:
        more = run.add(Losses(*step().numpy().tolist()), best.numpy)


def _loss_and_gradient(options, features, photo, paintings):
    """The function of one picture that both optimisers work on, not yet compiled."""
    import tensorflow as tf

    loss = build_loss(options, features, paintings)
    wanted = loss.content_features(photo[None])

    def differentiate(picture):
        with tf.GradientTape() as tape:
            tape.watch(picture)
            terms = loss(picture[None], wanted)
        return tf.stack(terms), tape.gradient(terms.total, picture)

    return differentiate


def build_loss(options, features, paintings):
    """The `PerceptualLoss` that `options` describe, for style images `[H, W, 3]`."""
    from fst.models.perceptual import PerceptualLoss

    return PerceptualLoss(
        features,
        paintings,
        style_image_weights=options.style_image_weights or None,
        content_weight=options.content_weight,
        style_weight=options.style_weight,
        tv_weight=options.tv_weight,
        content_layers=options.content_layers,
        style_layers=options.style_layers,
        style_layer_weights=options.style_layer_weights or None,
        form=options.loss_form,
    )


# --- Pictures ------------------------------------------------------------------------------------


class _Source:
    """A content or style image as it was given: an array, a file or a URL.

    Args:
        given: that.
        role: `"content"` or `"style"`.
    """

    def __init__(self, given, role):
        self.name, self._role = f"the {role} image", role
        if isinstance(given, str | os.PathLike):
            self.name = files.printable(given)
            given = images.load_rgb(given)
        self.pixels = np.asarray(given, np.float32)
        if self.pixels.ndim != 3 or self.pixels.shape[2] != 3 or 0 in self.pixels.shape:
            shape = list(self.pixels.shape)
            raise ValueError(f"{self.name} has the shape {shape}, not [height, width, 3]")

    def scaled(self, long_side, shrink=1.0):
        """The picture with this long side, in px; raises a UserError if the short one is too short.

        Where the image itself has too few pixels is told as well: enlarged, it would be all blur.
        `shrink`, 0 to 1, makes it smaller still, for a coarse scale, as far as its short side lets.
        """
        height, width, _ = self.pixels.shape
        scaled = _scaled_size((height, width), long_side)
        if min(height, width) < MIN_SIZE:
            raise UserError(
                f"{self.name}: is {width}x{height} px; a {self._role} image needs {MIN_SIZE} px on "
                "its short side"
            )
        if min(scaled) < MIN_SIZE:
            flag = "‹size›" if self._role == "content" else "‹style_size›"
            raise UserError(
                f"{self.name}: is {scaled[1]}x{scaled[0]} px at {flag} {long_side}; its short side "
                f"needs {MIN_SIZE} px: raise {flag}"
            )
        shrink = max(shrink, MIN_SIZE / min(scaled))
        return _resized(self.pixels, *(round(side * shrink) for side in scaled))


def _scaled_size(size, long_side):
    """Height and width in proportion to `size`, whole px, the longer one `long_side`."""
    scale = long_side / max(size)
    return tuple(max(1, round(side * scale)) for side in size)


def _resized(picture, height, width):
    if picture.shape[:2] == (height, width):
        return picture
    return images.resize(picture, height, width)


def _first_picture(options, photo, painting):
    if options.init == "content":
        return photo
    height, width, _ = photo.shape
    if options.init == "noise":
        noise = np.random.default_rng(options.seed).normal(127.5, options.noise, photo.shape)
        return np.clip(noise, 0, 255).astype(np.float32)
    # The painting, scaled to cover the photo and cut to its size around the middle.
    scale = max(height / painting.shape[0], width / painting.shape[1])
    tall, wide = (max(1, round(side * scale)) for side in painting.shape[:2])
    cover = _resized(painting, max(tall, height), max(wide, width))
    top, left = (cover.shape[0] - height) // 2, (cover.shape[1] - width) // 2
    return cover[top : top + height, left : left + width]


def _check_style_weights(options, styles):
    weights = options.style_image_weights
    if weights and len(weights) != len(styles):
        raise UserError(
            f"‹style_image_weights›: {len(weights)} weights for {len(styles)} style images; "
            "give one for each"
        )
