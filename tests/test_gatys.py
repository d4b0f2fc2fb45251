"""The companion optimiser: its two optimisers, its scales, its presets, and every option."""

import dataclasses
import functools
import io
import math
import re

import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf
from conftest import draw_photo
from PIL import Image

from fst.console.progress import Reporter
from fst.errors import UserError
from fst.gatys import optimizer as gatys_optimizer
from fst.gatys.optimizer import Losses, Step, count_steps, optimize, scale_sizes
from fst.gatys.options import PRESETS, GatysConfig, GatysOptions, GatysPreset
from fst.media import images
from fst.models.perceptual import POOLINGS, load_vgg19

pytestmark = pytest.mark.slow

OPTIMIZERS = ("lbfgs", "adam")
CONTENT, STYLE, OTHER = draw_photo(1, 48, 64), draw_photo(2, 64, 48), draw_photo(3, 40, 56)

SMALL = {
    "content_layers": ("relu2_1",),
    "style_layers": ("relu1_1",),
    "size": 64,
    "style_size": 64,
    "steps": 4,
}


class TinyFeatures:
    """Stands in for VGG19 where its depth is beside the point: its graphs are slow to build."""

    def __call__(self, image, layer_names):
        image = tf.cast(image, tf.float32) / 127.5 - 1.0
        return [self._layer(image, int(name[4]), int(name[6])) for name in layer_names]

    @staticmethod
    def _layer(image, block, number):
        filters = np.random.default_rng([block, number]).normal(0, 0.5, (3, 3, 3, 3 + block))
        filters = filters.astype(np.float32)
        side = 2 ** (block - 1)
        coarse = tf.nn.avg_pool2d(image, side, side, "VALID") if block > 1 else image
        return tf.nn.softplus(tf.nn.conv2d(coarse, filters, 1, "SAME"))


class Watched(TinyFeatures):
    """Tells of each picture that it is given: `see(size, layer_names)`, height and width in px."""

    def __init__(self, see):
        self._see = see

    def __call__(self, image, layer_names):
        self._see(tuple(image.shape)[1:3], tuple(layer_names))
        return super().__call__(image, layer_names)


def sizes_of_style_images(seen):
    """Of what `Watched` told, the sizes of the style images: of them only the style is asked."""
    return [size for size, names in seen if names == SMALL["style_layers"]]


def make(content=CONTENT, style=STYLE, on_step=None, features=None, **options):
    """Optimises a small picture; options as of `GatysOptions`."""
    options = GatysOptions(**{**SMALL, **options})
    features = features or TinyFeatures()
    return optimize(content, style, options, features=features, on_step=on_step)


@pytest.fixture(scope="session")
def vgg(load_vgg_once, vgg_file):
    """VGG19 with each pooling."""
    return {pooling: load_vgg_once(str(vgg_file), "float32", pooling) for pooling in POOLINGS}


@pytest.fixture(scope="session")
def half_vgg(load_vgg_once, vgg_file):
    """VGG19 in half precision, with average pooling."""
    return load_vgg_once(str(vgg_file), "mixed_bfloat16", "average")


def totals(result):
    return [step.losses.total for step in result.trace]


def bests(result):
    return [step.best for step in result.trace]


def running_minimum(values):
    return np.minimum.accumulate(values).tolist()


# --- The two optimisers where the minimum is known ------------------------------------------------


def bowl(target, curvature=1.0):
    """A quadratic with its minimum at `target`; two of its losses tell the range of the pixels."""

    def differentiate(picture):
        error = picture - target
        total = tf.reduce_sum(curvature * error**2) / 1e4
        losses = [total, tf.reduce_min(picture), tf.reduce_max(picture), 0.0]
        return tf.stack(losses), 2e-4 * curvature * error

    return differentiate


def ravine(target):
    """A bowl a thousand times as steep in some directions as in others."""
    return bowl(target, np.geomspace(1e-3, 1, target.size).reshape(target.shape).astype("float32"))


def random_picture(seed=0, low=0.0, high=255.0, shape=(8, 9, 3)):
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def minimise(differentiate, start, optimizer, steps=100, **options):
    """Runs an optimiser at one scale on a function of the picture; returns the `Run`."""
    options = GatysOptions(optimizer=optimizer, steps=steps, **options)
    run = gatys_optimizer.Run(options, None, None)
    run.minimise(differentiate, start)
    return run


@pytest.fixture
def attempts(monkeypatch):
    """How often L-BFGS began, and with `limit` set, after how many iterations it gives up."""

    class Attempts:
        count, limit = 0, None

    real = scipy.optimize.minimize

    def minimize(*args, options, **keywords):
        Attempts.count += 1
        limit = {"maxiter": Attempts.limit} if Attempts.limit else {}
        return real(*args, options={**options, **limit}, **keywords)

    monkeypatch.setattr(scipy.optimize, "minimize", minimize)
    return Attempts


@pytest.mark.parametrize(("optimizer", "steps"), [("lbfgs", 60), ("adam", 400)])
class TestKnownMinimum:
    def test_inside_the_range(self, optimizer, steps):
        target = random_picture(1, 10, 245)
        run = minimise(bowl(target), random_picture(2), optimizer, steps)
        np.testing.assert_allclose(run.best_picture(), target, atol=0.5)
        assert run.best_losses.total < 1e-4 * run.trace[0].losses.total

    def test_outside_the_range(self, optimizer, steps):
        target = random_picture(1, -200, 455)
        run = minimise(bowl(target), random_picture(2), optimizer, steps)
        np.testing.assert_allclose(run.best_picture(), np.clip(target, 0, 255), atol=0.5)

    def test_pixels_never_leave_the_range(self, optimizer, steps):
        start = random_picture(2, -20, 300)  # As a picture scaled up may do.
        run = minimise(ravine(random_picture(1, -2000, 2255)), start, optimizer, steps)
        assert min(step.losses.content for step in run.trace) == 0
        assert max(step.losses.style for step in run.trace) == 255

    def test_best_falls_and_is_the_lowest_so_far(self, optimizer, steps):
        run = minimise(
            ravine(random_picture(1)), random_picture(2), optimizer, steps, learning_rate=20.0
        )
        assert bests(run) == running_minimum(totals(run))
        assert min(totals(run)) == run.best_losses.total < totals(run)[0]
        if (
            optimizer == "adam"
        ):  # At such a rate it climbs now and then, or this would prove little.
            assert totals(run) != bests(run)

    def test_best_picture_has_the_best_losses(self, optimizer, steps):
        differentiate = ravine(random_picture(1))
        run = minimise(differentiate, random_picture(2), optimizer, steps, learning_rate=20.0)
        losses, _ = differentiate(tf.constant(run.best_picture()))
        np.testing.assert_allclose(losses, run.best_losses, rtol=1e-4)


def test_lbfgs_falls_faster_than_adam():
    target, start = random_picture(1), random_picture(2)
    lowest = {o: minimise(ravine(target), start, o, 40).best_losses.total for o in OPTIMIZERS}
    assert lowest["lbfgs"] < 0.1 * lowest["adam"]


def test_first_try_of_lbfgs_is_a_sensible_step_whatever_the_losses_unit():
    for scale in (1e-9, 1.0, 1e9):
        tried = []
        target, start = np.full((8, 9, 3), 200, np.float32), np.full((8, 9, 3), 50, np.float32)
        run = minimise(bowl(target, scale), start, "lbfgs", 2)
        tried = [step.losses.style for step in run.trace]
        assert tried == pytest.approx([50, 55], rel=1e-4)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_the_budget_is_used_up_exactly(optimizer, steps):
    run = minimise(ravine(random_picture(1)), random_picture(2), optimizer, steps)
    assert [step.step for step in run.trace] == list(range(1, steps + 1))


def test_lbfgs_begins_again_within_its_budget(attempts):
    attempts.limit = 3
    run = minimise(ravine(random_picture(1)), random_picture(2), "lbfgs", 40)
    assert len(run.trace) == 40
    assert attempts.count > 3
    assert bests(run) == running_minimum(totals(run))
    # It begins again from the best, whose loss is therefore met anew.
    assert len(set(totals(run))) < 40


def test_lbfgs_begins_again_where_the_loss_is_too_coarse_for_its_line_search(attempts):
    smooth = ravine(random_picture(1))

    def coarse(picture):
        losses, gradient = smooth(picture)
        return tf.floor(losses * 5) / 5, gradient

    run = minimise(coarse, random_picture(2), "lbfgs", 500)
    assert attempts.count > 1
    assert len(run.trace) <= 500
    assert run.best_losses.total < 0.05 * run.trace[0].losses.total


@pytest.mark.parametrize("start", [100.0, 0.0])
def test_lbfgs_ends_early_where_there_is_nothing_to_gain(start):
    target = start if start else -50.0  # Inside, and outside of the range.
    picture = np.full((8, 9, 3), start, np.float32)
    run = minimise(bowl(target), picture, "lbfgs", 1000)
    assert len(run.trace) <= 3
    np.testing.assert_array_equal(run.best_picture(), picture)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_loss_that_is_not_finite_is_one_line(optimizer, value):
    smooth = bowl(random_picture(1))

    def differentiate(picture):  # From the second step on.
        losses, gradient = smooth(picture)
        moved = tf.reduce_any(picture != start)
        return tf.where(moved, [value, 1.0, value, 0.0], losses), gradient

    start = random_picture(2)
    with pytest.raises(UserError, match="not finite in step 2") as caught:
        minimise(differentiate, start, optimizer)
    for name in ("style_weight", "content_weight", "tv_weight", "learning_rate"):
        assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_learning_rate_is_in_grey_levels():
    start = np.full((8, 9, 3), 100, np.float32)
    for rate in (0.5, 7.0):
        run = minimise(bowl(200.0), start, "adam", 2, learning_rate=rate)
        assert run.trace[1].losses.style == pytest.approx(100 + rate, rel=1e-4)


def test_beta_1_is_the_memory_of_the_direction():
    """Past the minimum a long memory goes on, a short one turns."""
    start = np.full((8, 9, 3), 100, np.float32)
    furthest = {}
    for beta in (0.1, 0.97):
        run = minimise(bowl(120.0), start, "adam", 60, learning_rate=4.0, beta_1=beta)
        furthest[beta] = max(step.losses.style for step in run.trace)
    assert furthest[0.1] < 125
    assert furthest[0.97] > 128


# --- The optimiser with its loss ------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_trace_and_result(optimizer):
    seen = []

    def on_step(step, best):
        seen.append((step, best()))

    result = make(optimizer=optimizer, steps=6, on_step=on_step, learning_rate=8.0)
    assert [step for step, _ in seen] == result.trace
    assert [step.step for step in result.trace] == [1, 2, 3, 4, 5, 6]
    assert {(step.height, step.width) for step in result.trace} == {(48, 64)}
    assert bests(result) == running_minimum(totals(result))
    seconds = [step.seconds for step in result.trace]
    assert seconds[0] > 0
    assert seconds == sorted(seconds)
    assert result.losses.total == bests(result)[-1] < 0.8 * totals(result)[0]
    assert result.losses in [step.losses for step in result.trace]
    assert (result.picture.dtype, result.picture.shape) == (np.float32, (48, 64, 3))
    assert (result.picture.min() >= 0, result.picture.max() <= 255) == (True, True)
    assert not result.interrupted
    np.testing.assert_array_equal(result.picture, seen[-1][1])
    np.testing.assert_array_equal(seen[0][1], CONTENT)


def test_losses_are_those_of_the_perceptual_loss():
    features = TinyFeatures()
    options = GatysOptions(**SMALL, content_weight=0.5, style_weight=7.0, tv_weight=0.25)
    result = optimize(CONTENT, STYLE, options, features=features)
    loss = gatys_optimizer.build_loss(options, features, [STYLE.astype(np.float32)])
    terms = loss(result.picture[None], loss.content_features(CONTENT[None].astype(np.float32)))
    np.testing.assert_allclose(result.losses, [float(term) for term in terms], rtol=1e-4)
    _, content, style, tv = result.losses
    assert result.losses.total == pytest.approx(0.5 * content + 7 * style + 0.25 * tv, rel=1e-5)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_equal_seeds_make_equal_pictures_bit_for_bit(optimizer):
    one, same, other = (make(optimizer=optimizer, init="noise", seed=s) for s in (5, 5, 6))
    np.testing.assert_array_equal(one.picture, same.picture)
    assert totals(one) == totals(same)
    assert np.abs(one.picture - other.picture).mean() > 20


@functools.cache
def of_preset(preset, features):
    """A picture by the layers of VGG19 that a preset names."""
    options = GatysOptions(preset=preset, size=64, style_size=64, steps=3)
    return optimize(CONTENT, STYLE, options, features=features)


@pytest.mark.parametrize("preset", ["gatys2016", "noise_adam"])
def test_vgg_makes_equal_pictures_bit_for_bit(vgg, preset):
    one, same = of_preset(preset, vgg["max"]), of_preset.__wrapped__(preset, vgg["max"])
    np.testing.assert_array_equal(one.picture, same.picture)
    assert totals(one) == totals(same)


class TestInit:
    def first(self, **options):
        return make(steps=1, **options).picture

    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    def test_content(self, optimizer):
        np.testing.assert_array_equal(self.first(optimizer=optimizer), CONTENT)

    def test_noise(self):
        noise = self.first(init="noise", size=128)
        assert noise.mean() == pytest.approx(127.5, abs=2)
        assert noise.std() == pytest.approx(62, abs=2)  # 64, less what is cut off at 0 and 255.
        assert (noise.min(), noise.max()) == (0, 255)
        assert abs(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]) < 0.03

    @pytest.mark.parametrize("size", [(64, 32), (32, 64), (48, 64), (200, 300)])
    def test_style_covers_the_photo_around_its_middle(self, size):
        painting = np.zeros((*size, 3), np.float32)
        painting[..., 0] = np.linspace(0, 255, size[1])
        painting[..., 1] = np.linspace(0, 255, size[0])[:, None]
        found = self.first(style=painting, init="style")
        height, width = 48, 64
        scale = max(height / size[0], width / size[1])
        across, down = width / (size[1] * scale) * 127.5, height / (size[0] * scale) * 127.5
        assert found.shape == (height, width, 3)
        assert found[:, 0, 0].mean() == pytest.approx(127.5 - across, abs=8)
        assert found[:, -1, 0].mean() == pytest.approx(127.5 + across, abs=8)
        assert found[0, :, 1].mean() == pytest.approx(127.5 - down, abs=8)
        assert found[-1, :, 1].mean() == pytest.approx(127.5 + down, abs=8)

    def test_first_of_several_styles(self):
        one = self.first(init="style")
        both = self.first(init="style", style=[STYLE, OTHER])
        np.testing.assert_array_equal(one, both)


# --- Coarse to fine -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "scales", "sizes"),
    [
        ((384, 512), 0, [(192, 256), (384, 512)]),
        ((383, 511), 0, [(383, 511)]),
        ((256, 192), 0, [(256, 192)]),
        ((64, 48), 0, [(64, 48)]),
        ((768, 1024), 0, [(192, 256), (384, 512), (768, 1024)]),
        ((1500, 1001), 0, [(375, 250), (750, 500), (1500, 1001)]),
        ((1024, 70), 0, [(512, 35), (1024, 70)]),
        ((300, 200), 3, [(75, 50), (150, 100), (300, 200)]),
        ((301, 203), 2, [(150, 102), (301, 203)]),
        ((100, 70), 8, [(50, 35), (100, 70)]),
        ((100, 64), 8, [(50, 32), (100, 64)]),
        ((100, 63), 8, [(100, 63)]),
        ((768, 1024), 1, [(768, 1024)]),
        ((32, 32), 8, [(32, 32)]),
    ],
)
def test_scale_sizes(size, scales, sizes):
    assert scale_sizes(size, scales) == sizes


def test_no_scale_is_under_32_px():
    for height in range(32, 200, 7):
        for width in (height, height + 31, 3 * height):
            for scales in range(9):
                sizes = scale_sizes((height, width), scales)
                assert sizes[-1] == (height, width)
                assert min(map(min, sizes)) >= 32
                assert len(sizes) <= (scales or 99)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_scales_follow_each_other(optimizer):
    seen, starts, ends = [], {}, {}

    def on_step(step, best):
        size = step.height, step.width
        ends[size] = best()
        starts.setdefault(size, ends[size])  # The first that is evaluated is the best so far.

    result = make(
        draw_photo(1, 131, 99), [STYLE, draw_photo(2, 160, 96)], on_step,
        Watched(lambda *call: seen.append(call)),
        optimizer=optimizer, init="noise", scales=2, size=131, style_size=160, steps=3,
    )  # fmt: skip
    sizes = [(step.height, step.width) for step in result.trace]
    assert sizes == [(66, 50)] * 3 + [(131, 99)] * 3
    assert [step.step for step in result.trace] == [1, 2, 3, 4, 5, 6]
    seconds = [step.seconds for step in result.trace]
    assert seconds == sorted(seconds)
    # The style images shrink along, so that strokes keep their size beside the photo's things.
    assert sizes_of_style_images(seen) == [(81, 60), (81, 48), (160, 120), (160, 96)]
    assert [start.shape for start in starts.values()] == [(66, 50, 3), (131, 99, 3)]
    np.testing.assert_array_equal(starts[131, 99], images.resize(ends[66, 50], 131, 99))
    # Totals of two sizes do not compare: each scale has its own lowest.
    first, second = totals(result)[:3], totals(result)[3:]
    assert bests(result) == running_minimum(first) + running_minimum(second)
    assert result.losses.total == min(second)
    assert result.picture.shape == (131, 99, 3)


def test_a_long_style_image_shrinks_only_as_far_as_it_may():
    """At the coarse scale it would be 80 x 16 px, though it is wide enough at --style-size."""
    seen = []
    make(
        draw_photo(1, 128, 128), draw_photo(2, 40, 200),
        features=Watched(lambda *call: seen.append(call)),
        scales=2, size=128, style_size=160, steps=1,
    )  # fmt: skip
    assert sizes_of_style_images(seen) == [(32, 160), (32, 160)]


def test_count_of_steps_is_what_a_run_makes():
    for width, scales in ((49, 0), (100, 2), (75, 2)):
        photo = draw_photo(1, 64, width)
        options = GatysOptions(**{**SMALL, "steps": 2, "scales": scales, "size": 72})
        assert count_steps(photo.shape[:2], options) == len(
            make(photo, steps=2, scales=scales, size=72).trace
        )
    # 300 * (512 / 300) is a little less than 512, and 512 px are two scales.
    for width in range(100, 900):
        assert count_steps((width, width), GatysOptions(steps=1, size=512)) == 2


# --- Style images, and what is taken for an image -------------------------------------------------


def test_style_image_weights():
    both = [STYLE, OTHER]
    one, other, equal = (make(style=style) for style in (STYLE, OTHER, both))
    for weights, wanted in (((1, 0), one), ((0, 3), other), ((2, 2), equal)):
        found = make(style=both, style_image_weights=weights).picture
        np.testing.assert_array_equal(found, wanted.picture)
    assert totals(equal)[0] not in (totals(one)[0], totals(other)[0])
    mostly = make(style=both, style_image_weights=(9, 1)).picture
    apart = np.abs(mostly - one.picture).mean()
    assert 0 < apart < np.abs(equal.picture - one.picture).mean()


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 2.0, 3.0)])
def test_wrong_count_of_style_image_weights(weights):
    with pytest.raises(UserError, match=f"style_image_weights: {len(weights)} weights for 2"):
        make(style=[STYLE, OTHER], style_image_weights=weights)


def test_arrays_and_files_of_any_kind_are_the_same_picture(tmp_path):
    path = tmp_path / "content.png"
    Image.fromarray(CONTENT).save(path)
    Image.fromarray(STYLE).save(tmp_path / "style.png")
    wanted = make(steps=2).picture
    for content in (path, str(path), CONTENT.astype(np.float32), CONTENT.astype(np.float64)):
        np.testing.assert_array_equal(
            make(content, tmp_path / "style.png", steps=2).picture, wanted
        )
    np.testing.assert_array_equal(make(style=(STYLE,), steps=2).picture, wanted)
    np.testing.assert_array_equal(CONTENT, draw_photo(1, 48, 64))  # Left alone.


@pytest.mark.parametrize("shape", [(48, 64), (48, 64, 1), (48, 64, 4), (1, 48, 64, 3), (0, 64, 3)])
def test_shapes_that_are_no_picture(shape):
    with pytest.raises(ValueError, match=r"content image has the shape .*\[height, width, 3\]"):
        make(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="style image has the shape"):
        make(style=np.zeros(shape, np.uint8))


def test_no_style_image():
    with pytest.raises(ValueError, match="no style image"):
        make(style=[])


@pytest.mark.parametrize(
    ("content", "style", "options", "words"),
    [
        ((31, 64), (64, 64), {}, "content image: is 64x31 px; a content image needs 32 px"),
        ((64, 64), (64, 20), {}, "style image: is 20x64 px; a style image needs 32 px"),
        ((40, 200), (64, 64), {"size": 100}, "is 100x20 px at size 100.*raise size"),
        (
            (64, 64),
            (300, 40),
            {"style_size": 90},
            "12x90 px at style_size 90.*raise style_size",
        ),
    ],
)
def test_too_small_an_image_names_the_option(content, style, options, words):
    with pytest.raises(UserError, match=words) as caught:
        make(draw_photo(1, *content), draw_photo(2, *style), **options)
    assert "\n" not in str(caught.value)


def test_a_missing_or_broken_file_is_named(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(UserError, match=r"none\.png: no such file"):
        make(tmp_path / "none.png")
    with pytest.raises(UserError, match=r"text\.png: is not an image"):
        make(style=str(tmp_path / "text.png"))


# --- Stops ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_on_step_can_end_it(optimizer):
    result = make(optimizer=optimizer, steps=50, on_step=lambda step, _: step.step == 3)
    assert len(result.trace) == 3
    assert not result.interrupted
    assert result.losses.total == min(totals(result))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_ctrl_c_keeps_the_best_picture(optimizer):
    kept = {}

    def on_step(step, best):
        kept["best"] = best().copy()
        if step.step == 4:
            raise KeyboardInterrupt

    result = make(optimizer=optimizer, steps=50, on_step=on_step)
    assert result.interrupted
    assert len(result.trace) == 4
    np.testing.assert_array_equal(result.picture, kept["best"])
    assert np.abs(result.picture - CONTENT).mean() > 1


@pytest.mark.parametrize("ending", ["ctrl-c", "true"])
def test_ending_at_a_coarse_scale_gives_the_final_size(ending):
    def on_step(step, _):
        if ending == "ctrl-c" and step.step == 2:
            raise KeyboardInterrupt
        return step.step == 2

    photo = draw_photo(1, 99, 131)
    result = make(photo, on_step=on_step, scales=2, size=131, steps=9)
    assert result.interrupted == (ending == "ctrl-c")
    assert [(step.height, step.width) for step in result.trace] == [(50, 66)] * 2
    assert result.picture.shape == (99, 131, 3)
    assert (result.picture.min() >= 0, result.picture.max() <= 255) == (True, True)


def test_ctrl_c_between_two_scales_keeps_the_coarse_picture():
    """While the graph of the second is built, before it has evaluated anything."""

    def see(size, names):
        if size == (99, 131):
            raise KeyboardInterrupt

    result = make(draw_photo(1, 99, 131), features=Watched(see), scales=2, size=131)
    assert result.interrupted
    assert {(step.height, step.width) for step in result.trace} == {(50, 66)}
    assert result.losses.total == min(totals(result))
    assert result.picture.shape == (99, 131, 3)


def test_too_large_for_the_memory_is_one_line():
    def no_room(size, names):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    with pytest.raises(UserError, match=r"64x48 px does not fit in memory .* lower size"):
        make(features=Watched(no_room))


def test_ctrl_c_before_any_step_is_raised():
    def interrupted(size, names):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(features=Watched(interrupted))


# --- Options --------------------------------------------------------------------------------------


EFFECTS = {
    "optimizer": "adam",
    "steps": 2,
    "init": "style",
    "noise": 5.0,
    "seed": 2,
    "size": 60,
    "style_size": 50,
    "scales": 2,
    "content_weight": 9.0,
    "style_weight": 9.0,
    "tv_weight": 9.0,
    "content_layers": ("relu1_2",),
    "style_layers": ("relu1_2",),
    "style_layer_weights": (1.0, 3.0),
    "style_image_weights": (3.0, 1.0),
    "loss_form": "mean",
    "pooling": "average",
    "precision": "mixed_bfloat16",
    "learning_rate": 9.0,
    "beta_1": 0.5,
}


def test_every_option_is_tried():
    options = {field.name for field in dataclasses.fields(GatysOptions)}
    assert set(EFFECTS) | {"preset"} == options


@functools.cache
def of_two_styles(**options):
    return make(draw_photo(1, 64, 64), [STYLE, OTHER], **options)


@pytest.mark.parametrize("name", EFFECTS)
def test_every_option_takes_effect(vgg, half_vgg, name):
    base = {
        "optimizer": "adam" if name in ("learning_rate", "beta_1") else "lbfgs",
        "init": "noise" if name in ("seed", "noise") else "content",
        "steps": 3,
    }
    if name == "style_layer_weights":
        base["style_layers"] = ("relu1_1", "relu2_1")
    changed = {**base, name: EFFECTS[name]}
    if name in ("pooling", "precision"):
        base["features"] = vgg["average"]
        changed["features"] = vgg["max"] if name == "pooling" else half_vgg
    one, two = of_two_styles(**base), of_two_styles(**changed)
    assert totals(one) != totals(two)
    if one.picture.shape == two.picture.shape:
        assert np.abs(one.picture - two.picture).mean() > 0.01


def test_pooling_and_precision_are_asked_of_the_features_that_are_loaded(
    half_vgg, vgg_file, monkeypatch
):
    monkeypatch.setenv("FST_VGG19_WEIGHTS", str(vgg_file))
    wanted = {"pooling": "average", "precision": "mixed_bfloat16"}
    options = GatysOptions(**{**SMALL, "steps": 1}, init="noise", **wanted)
    found = optimize(CONTENT, STYLE, options)
    same = optimize(CONTENT, STYLE, options, features=half_vgg)
    assert found.losses == same.losses


@pytest.mark.parametrize(
    ("term", "weight"),
    [("content", "content_weight"), ("style", "style_weight"), ("tv", "tv_weight")],
)
def test_a_higher_weight_lowers_its_term(term, weight):
    low, high = (make(init="noise", steps=15, **{weight: w}).losses for w in (0.01, 100.0))
    assert getattr(high, term) < 0.8 * getattr(low, term)


def test_nothing_to_gain_leaves_the_photo_alone():
    result = make(style_weight=0.0, tv_weight=0.0, steps=20)
    np.testing.assert_allclose(result.picture, CONTENT, atol=0.1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0}, "--steps must be from 1"),
        ({"size": 31}, "--size must be from 32"),
        ({"style_size": 5000}, "--style-size"),
        ({"scales": 9}, "--scales"),
        ({"style_weight": math.nan}, "--style-weight"),
        ({"tv_weight": -1.0}, "--tv-weight"),
        ({"beta_1": 1.0}, "--beta-1"),
        ({"learning_rate": 0.0}, "--learning-rate"),
        ({"seed": -1}, "--seed"),
        ({"noise": 129.0}, "--noise must be from 0"),
        ({"content_layers": ()}, "--content-layers is empty"),
        ({"style_layers": ("relu9_9",)}, "--style-layers: VGG19 has no layer 'relu9_9'"),
        ({"style_layer_weights": (1.0,)}, "--style-layer-weights: 1 weights for 4 layers"),
        ({"style_layer_weights": (1.0, 1.0, 1.0, -1.0)}, "--style-layer-weights must be"),
        ({"style_image_weights": (0.0, 0.0)}, "--style-image-weights must be from 0"),
        ({"content_weight": 0.0, "style_weight": 0.0}, "nothing to work for"),
        ({"optimizer": "lbgfs"}, "--optimizer is one of lbfgs, adam, not 'lbgfs'"),
        ({"pooling": "median"}, "--pooling is one of max, average"),
        ({"loss_form": "sum"}, "--loss-form is one of"),
        ({"init": "photo"}, "--init is one of"),
        ({"preset": "huge"}, "--preset is one of"),
    ],
)
def test_wrong_options_are_one_line(options, words):
    with pytest.raises(UserError) as caught:
        GatysOptions(**options)
    line = caught.value.for_command_line()
    assert words in line
    assert "\n" not in line


def test_every_number_has_a_range():
    numbers = {f.name: f.type for f in dataclasses.fields(GatysOptions) if f.type in (int, float)}
    assert len(numbers) > 10
    for name, kind in numbers.items():
        for value in (-(10**9), *((math.nan, math.inf) if kind is float else ())):
            with pytest.raises(UserError, match=f"^{name} must be from "):
                GatysOptions(**{name: kind(value)})


# --- Presets --------------------------------------------------------------------------------------

# Grey levels in one unit of PyTorch's normalised range: 255 * (0.229 + 0.224 + 0.225) / 3
TORCH = 57.6


def test_presets_are_those_that_the_flag_offers():
    assert set(PRESETS) == set(GatysPreset.__args__)
    assert GatysOptions(preset="fst") == GatysOptions()


def layer_weights(options):
    """What each style layer's term is multiplied with in the total."""
    shares = np.array(options.style_layer_weights or [1.0] * len(options.style_layers))
    return options.style_weight * shares / shares.sum()


@pytest.mark.parametrize(
    ("preset", "published"),
    [
        (
            "gatys2016",
            # In leongatys/PytorchNeuralStyleTransfer content counts 1, a style layer 1e3 / n²
            # for its n channels, with activations whose mean is 1: here they are the last numbers.
            {
                "loss_form": "mean",
                "pooling": "max",
                "init": "noise",
                "noise": 1.0,
                "optimizer": "lbfgs",
                "content_layers": ("relu4_2",),
                "style_layers": ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
                "content_weight": 1 / 326.1**2,
                "layer weights": [
                    1e3 / 64**2 / 23.1**4,
                    1e3 / 128**2 / 116.8**4,
                    1e3 / 256**2 / 120.8**4,
                    1e3 / 512**2 / 498.1**4,
                    1e3 / 512**2 / 47.6**4,
                ],
                "tv_weight": 0,
                "steps": 500,
            },
        ),
        (
            "pytorch_tutorial",
            # Gram matrices there are divided by the channels, too, and layers are added.
            {
                "loss_form": "mean",
                "pooling": "max",
                "init": "content",
                "optimizer": "lbfgs",
                "content_layers": ("relu2_2",),
                "style_layers": ("relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1"),
                "content_weight": 10 / TORCH**2,
                "layer weights": [1e6 / TORCH**4 / c**2 for c in (64, 64, 128, 128, 256)],
                "tv_weight": 0,
                "steps": 300,
            },
        ),
        (
            "pytorch_adam",
            {
                "loss_form": "mean",
                "pooling": "max",
                "init": "content",
                "optimizer": "adam",
                "content_layers": ("relu4_2",),
                "style_layers": ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
                "content_weight": 100 / TORCH**2,
                "layer weights": [1e8 / TORCH**4 / c**2 for c in (64, 128, 256, 512, 512)],
                "tv_weight": 0,
                "learning_rate": 0.007 * TORCH,
                "steps": 500,
            },
        ),
        (
            "tensorflow_tutorial",
            {
                "loss_form": "mean",
                "pooling": "max",
                "init": "content",
                "optimizer": "adam",
                "content_layers": ("relu5_2",),
                "style_layers": ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
                "content_weight": 1e4,
                "layer weights": [1e-2 / 5] * 5,
                "tv_weight": 30,
                "learning_rate": 5.1,  # 0.02 of the range
                "beta_1": 0.99,
                "steps": 1000,
                "size": 512,
            },
        ),
        (
            "tensorflow_notebook",
            {
                "loss_form": "mean",
                "pooling": "max",
                "init": "content",
                "optimizer": "adam",
                "content_layers": ("relu5_2",),
                "style_layers": ("relu2_1", "relu3_1", "relu4_1", "relu5_1"),
                "content_weight": 100,
                "layer weights": [1 / 4] * 4,
                "tv_weight": 1e-6,
                "learning_rate": 2.55,  # 0.01 of the range
                "steps": 1500,
                "size": 224,
            },
        ),
        (
            "noise_adam",
            {
                "loss_form": "relative",
                "init": "noise",
                "optimizer": "adam",
                "learning_rate": 12.75,  # 0.05 of the range
                "steps": 1500,
                "size": 224,
            },
        ),
    ],
)
def test_presets_are_the_published_numbers(preset, published):
    options = GatysOptions(preset=preset)
    found = {**dataclasses.asdict(options), "layer weights": layer_weights(options)}
    assert options.scales == 1
    for name, value in published.items():
        if isinstance(value, str | tuple):
            assert found[name] == value, name
        else:
            np.testing.assert_allclose(found[name], value, rtol=1e-3, err_msg=name)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_runs(preset, vgg):
    options = GatysOptions(preset=preset, size=64, style_size=64, steps=3)
    assert (options.preset, options.size, options.steps) == (preset, 64, 3)
    result = of_preset(preset, vgg[options.pooling])
    assert len(result.trace) == 3
    assert np.isfinite(totals(result)).all()
    assert min(result.losses.style, result.trace[1].losses.content) > 0
    assert (result.picture.min() >= 0, result.picture.max() <= 255) == (True, True)


def test_options_win_over_the_preset():
    options = GatysOptions(preset="tensorflow_tutorial", tv_weight=0.0, steps=7)
    assert (options.tv_weight, options.steps, options.content_weight) == (0, 7, 1e4)


def test_the_command_takes_a_preset_from_python_too():
    config = GatysConfig(content="a.jpg", style=("b.jpg",), output="c.png", preset="noise_adam")
    assert config.options() == GatysOptions(preset="noise_adam")
    assert (config.init, config.steps) == ("noise", 1500)


def test_unknown_preset():
    with pytest.raises(UserError, match=r"preset is one of fst, gatys2016, .* not 'huge'"):
        GatysOptions(preset="huge")


def test_layer_weights_of_a_preset_are_for_its_own_layers_only():
    assert GatysOptions(preset="gatys2016").style_layer_weights
    other = GatysOptions(preset="gatys2016", style_layers=("relu1_1", "relu2_1"))
    assert other.style_layer_weights == ()
    own = GatysOptions(
        preset="gatys2016", style_layers=("relu1_1", "relu2_1"), style_layer_weights=(1.0, 2.0)
    )
    assert own.style_layer_weights == (1.0, 2.0)


def test_options_of_the_command_are_those_alone():
    options = GatysOptions(**SMALL, style_image_weights=(1.0, 2.0))
    config = GatysConfig(
        **dataclasses.asdict(options), content="c", style=("a", "b"), output="o.png", snapshots=3
    )
    assert config.options() == options


# --- The reporter ---------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def step_of(number, seconds=None):
    losses = Losses(0.5, 0.25, 0.125, 0.0625)
    return Step(number, 48, 64, losses, 0.5, number * 0.5 if seconds is None else seconds)


def test_a_log_file_gets_few_lines():
    stream = io.StringIO()
    with Reporter(stream) as reporter:
        for number in range(1, 101):
            reporter.step(step_of(number), 101, "picture 1 of 2")
        reporter.step(step_of(101), 101, "picture 1 of 2")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    losses = "total 0.5  content 0.25  style 0.125  tv 0.0625"
    assert lines[0] == f"picture 1 of 2: step 1/101  {losses}  2 steps/s  eta 00:50"
    assert lines[1] == f"picture 1 of 2: step 101/101  {losses}  2 steps/s  eta 00:00"


def test_a_log_file_gets_a_line_now_and_then(clock):
    stream = io.StringIO()
    with Reporter(stream) as reporter:
        for number in range(1, 101):
            clock[0] += 1
            reporter.step(step_of(number), 1000)
    steps = re.findall(r"^step (\d+)/1000", stream.getvalue(), re.MULTILINE)
    assert steps == ["1", "31", "61", "91"]


def test_each_run_in_a_log_file_has_its_first_line():
    stream = io.StringIO()
    with Reporter(stream) as reporter:
        for title in ("first", "second"):
            for number in (1, 2, 3):
                reporter.step(step_of(number), 3, title)
    starts = [line.split("  ")[0] for line in stream.getvalue().splitlines()]
    assert starts == [f"{t}: step {n}/3" for t in ("first", "second") for n in (1, 3)]


def test_a_terminal_gets_a_bar_for_each_run():
    stream = Terminal()
    with Reporter(stream) as reporter:
        for title in ("first", "second"):
            for number in (1, 2, 3, 4):
                reporter.step(step_of(number), 4, title)
        reporter.event("something happened")
    shown = stream.getvalue()
    assert "\nsomething happened\n" in shown or "\rsomething happened\n" in shown
    for title in ("first", "second"):
        bars = re.findall(rf"\r{title}: +(\d+)%\|.*?\| step (\d)/4 ", shown)
        assert ("25", "1") in bars
        assert bars[-1] == ("100", "4")
    assert shown.rindex("first:") < shown.index("second:")
    between = shown[shown.rindex("first:") : shown.index("second:")]
    assert "\n" in between  # The first bar stays, and the second has its own line.
    assert "eta 00:00" in shown


# --- With the weights that ImageNet taught --------------------------------------------------------


def test_real_vgg_takes_the_style_and_keeps_the_photo(real_vgg):
    from skimage import data

    features = load_vgg19(real_vgg)
    photo, painting = data.chelsea()[20:280, 100:360], data.coffee()
    sizes = {"size": 64, "style_size": 64, "steps": 12}
    found = {}
    for optimizer in OPTIMIZERS:
        options = GatysOptions(optimizer=optimizer, **sizes)
        found[optimizer] = result = optimize(photo, painting, options, features=features)
        assert len(result.trace) == 12
        assert bests(result) == running_minimum(totals(result))
        untouched = result.trace[0].losses
        assert untouched.content == pytest.approx(0, abs=1e-6)
        assert result.losses.style < 0.3 * untouched.style
        assert result.losses.content < 0.6  # Another photo is at about 1.
    assert found["lbfgs"].losses.total < found["adam"].losses.total
