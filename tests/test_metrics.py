"""The metrics: SSIM against its formula and scikit-image, one picture's loss, time, summary."""

import math
import statistics
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import ROOT, draw_photo

from fst import metrics
from fst.metrics import loss_terms, seconds, ssim_luma, ssim_rgb, summary

BOTH = pytest.mark.parametrize("ssim", [ssim_luma, ssim_rgb])

C1 = (0.01 * 255) ** 2
C2 = (0.03 * 255) ** 2


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def luma(picture):
    red, green, blue = np.moveaxis(picture.astype(np.float64), -1, 0)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def constant(*colour, height=12, width=15):
    return np.broadcast_to(np.array(colour, np.float64), (height, width, 3))


# --- SSIM ----------------------------------------------------------------------------------------


def sample(name):
    from skimage import data

    return getattr(data, name)()


def with_grain(photo):
    return np.clip(photo + np.random.default_rng(0).normal(0, 25, photo.shape), 0, 255)


PAIRS = {
    "noise 11x11": lambda: (noise(11, 11, 1), noise(11, 11, 2)),
    "noise 11x40": lambda: (noise(11, 40, 1), noise(11, 40, 2)),
    "noise 37x53": lambda: (noise(37, 53, 1), noise(37, 53, 2)),
    "drawn 80x97": lambda: (draw_photo(1, 80, 97), draw_photo(2, 80, 97)),
    "astronaut in few tones": lambda: (sample("astronaut"), sample("astronaut") // 48 * 48),
    "coffee with grain": lambda: (sample("coffee"), with_grain(sample("coffee"))),
    "chelsea and its mirror image": lambda: (sample("chelsea"), sample("chelsea")[:, ::-1]),
    "astronaut and chelsea": lambda: (sample("astronaut")[:299, :451], sample("chelsea")[:299]),
}


@pytest.mark.parametrize("name", PAIRS)
def test_ssim_agrees_with_scikit_image(name):
    from skimage.metrics import structural_similarity

    one, other = PAIRS[name]()
    options = {
        "gaussian_weights": True,
        "sigma": 1.5,
        "use_sample_covariance": False,
        "data_range": 255,
    }
    in_luma = structural_similarity(luma(one), luma(other), **options)
    # In float32 scikit-image computes in float32 too.
    as_floats = one.astype(np.float64), other.astype(np.float64)
    in_rgb = structural_similarity(*as_floats, channel_axis=2, **options)
    assert ssim_luma(one, other) == pytest.approx(in_luma, abs=1e-6)
    assert ssim_rgb(one, other) == pytest.approx(in_rgb, abs=1e-6)
    assert ssim_luma(luma(one), luma(other)) == pytest.approx(in_luma, abs=1e-6)


def test_ssim_at_a_single_position_by_its_formula():
    # In 11x11 px the window has one place, so that the formula can be written out.
    bell = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = np.outer(bell, bell) / bell.sum() ** 2
    x, y = (noise(11, 11, seed)[..., 0].astype(np.float64) for seed in (1, 2))
    mean_x, mean_y = (window * x).sum(), (window * y).sum()
    variance_x = (window * (x - mean_x) ** 2).sum()
    variance_y = (window * (y - mean_y) ** 2).sum()
    covariance = (window * (x - mean_x) * (y - mean_y)).sum()
    means = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    structure = (2 * covariance + C2) / (variance_x + variance_y + C2)
    assert ssim_luma(x, y) == pytest.approx(means * structure, abs=1e-12)


@BOTH
def test_ssim_is_the_mean_over_the_places_where_the_window_fits(ssim):
    one, other = noise(14, 17, 1), noise(14, 17, 2)
    corners = [(top, left) for top in range(4) for left in range(7)]
    places = [np.s_[top : top + 11, left : left + 11] for top, left in corners]
    expected = np.mean([ssim(one[place], other[place]) for place in places])
    assert ssim(one, other) == pytest.approx(expected, abs=1e-12)


def test_ssim_of_constant_pictures():
    def means_term(a, b):
        return (2 * a * b + C1) / (a**2 + b**2 + C1)

    one, other = constant(100, 20, 240), constant(150, 200, 10)
    one_luma = 0.299 * 100 + 0.587 * 20 + 0.114 * 240
    other_luma = 0.299 * 150 + 0.587 * 200 + 0.114 * 10
    by_channel = (means_term(100, 150) + means_term(20, 200) + means_term(240, 10)) / 3
    assert ssim_luma(one, other) == pytest.approx(means_term(one_luma, other_luma), abs=1e-9)
    assert ssim_rgb(one, other) == pytest.approx(by_channel, abs=1e-9)
    assert ssim_luma(constant(0, 0, 0), constant(255, 255, 255)) == pytest.approx(
        C1 / (255**2 + C1), abs=1e-9
    )


@BOTH
def test_ssim_of_a_picture_with_itself_is_one(ssim):
    for picture in (draw_photo(0), noise(31, 17), np.zeros((11, 11, 3), np.uint8)):
        assert ssim(picture, picture.copy()) == 1.0


@BOTH
def test_ssim_is_symmetric(ssim):
    one, other = draw_photo(1), draw_photo(2)
    assert ssim(one, other) == ssim(other, one) < 0.5


@BOTH
def test_ssim_does_not_depend_on_the_number_type(ssim):
    one, other = draw_photo(1), draw_photo(2)
    result = ssim(one, other)
    assert type(result) is float
    # The sum of two uint8 or the square of one would run over.
    assert ssim(one.astype(np.float64), other.astype(np.float64)) == result
    assert ssim(one, other.astype(np.float32)) == result


@BOTH
def test_ssim_falls_with_a_shift_of_brightness_and_below_zero_in_the_negative(ssim):
    photo = 60 + draw_photo(3).astype(np.float64) / 2
    assert ssim(photo, 255 - photo) < 0 < ssim(photo, photo + 60) < ssim(photo, photo + 20) < 1


@BOTH
def test_ssim_is_low_for_the_same_texture_at_another_place(ssim):
    strokes = noise(60, 60)
    assert ssim(strokes, np.roll(strokes, 7, axis=1)) < 0.1


def test_ssim_rgb_sees_colours_that_luma_does_not():
    one = draw_photo(4).astype(np.float64) / 4 + 90
    other = one + np.array([40, -40 * 0.299 / 0.587, 0])
    assert ssim_luma(one, other) == pytest.approx(1, abs=1e-9)
    assert ssim_rgb(one, other) < 0.99


@BOTH
def test_grey_counts_as_three_equal_channels(ssim):
    one, other = draw_photo(1)[..., 0], draw_photo(2)[..., 0]
    grey = ssim(np.stack([one] * 3, axis=-1), np.stack([other] * 3, axis=-1))
    assert ssim(one, other) == pytest.approx(grey, abs=1e-9)


@BOTH
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((20, 30, 3), (30, 20, 3)),
        ((20, 30, 3), (20, 30)),
        ((20, 30, 3), (1, 20, 30, 3)),
        ((20, 30, 4), (20, 30, 4)),
        ((20, 30, 1), (20, 30, 1)),
        ((1, 20, 30, 3), (1, 20, 30, 3)),
        ((20,), (20,)),
        ((10, 30, 3), (10, 30, 3)),
        ((30, 10), (30, 10)),
    ],
)
def test_ssim_names_both_shapes_when_it_cannot_compare(ssim, one, other):
    with pytest.raises(ValueError, match="SSIM") as caught:
        ssim(np.zeros(one), np.zeros(other))
    assert f"{list(one)} and {list(other)}" in str(caught.value)


# --- Loss ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loss(vgg_file):
    from fst.models.perceptual import PerceptualLoss, load_vgg19

    style = draw_photo(99, 48, 48).astype(np.float32)
    return PerceptualLoss(load_vgg19(str(vgg_file)), [style], tv_weight=0.1)


def test_loss_terms_are_those_of_a_batch_of_one(loss):
    from fst.models.perceptual import LossTerms

    stylised, content = (draw_photo(seed, 40, 56) for seed in (1, 2))
    terms = loss_terms(loss, stylised, content)
    batches = [picture[None].astype(np.float32) for picture in (stylised, content)]
    expected = loss(batches[0], loss.content_features(batches[1]))
    assert isinstance(terms, LossTerms)
    assert [type(term) for term in terms] == [float] * 4
    assert terms == pytest.approx(tuple(float(term) for term in expected), rel=1e-5)
    assert min(terms) > 0
    assert terms.total == pytest.approx(terms.content + 8 * terms.style + 0.1 * terms.tv, rel=1e-5)
    as_floats = loss_terms(loss, stylised.astype(np.float64), content.astype(np.float32))
    assert as_floats == pytest.approx(terms, rel=1e-5)


def test_loss_terms_of_the_untouched_photo_have_no_content(loss):
    photo = draw_photo(1, 40, 56)
    terms = loss_terms(loss, photo, photo)
    assert terms.content == pytest.approx(0, abs=1e-9)
    assert terms.style > 0


class FakeLoss:
    """Stands in for the loss: notes what it is given."""

    def __init__(self):
        self.photos = []
        self.calls = []

    def content_features(self, content_images):
        self.photos.append(content_images)
        return "computed"

    def __call__(self, stylised, content_features):
        from fst.models.perceptual import LossTerms

        self.calls.append((stylised, content_features))
        return LossTerms(np.float32(4), np.float32(3), np.float32(2), np.float32(1))


def test_loss_terms_hand_the_loss_float_batches_within_0_to_255():
    fake = FakeLoss()
    stylised, content = draw_photo(1), draw_photo(2)
    assert loss_terms(fake, stylised, content) == (4.0, 3.0, 2.0, 1.0)
    [photos], [(results, features)] = fake.photos, fake.calls
    assert features == "computed"
    for batch, picture in ((photos, content), (results, stylised)):
        assert batch.dtype == np.float32
        np.testing.assert_array_equal(batch, picture[None])


def test_loss_terms_take_features_that_are_there_already(loss):
    fake = FakeLoss()
    loss_terms(fake, draw_photo(1), draw_photo(2), content_features="ready")
    assert fake.photos == []
    assert fake.calls[0][1] == "ready"

    stylised, content = (draw_photo(seed, 40, 56) for seed in (1, 2))
    features = loss.content_features(content[None].astype(np.float32))
    given = loss_terms(loss, stylised, content, content_features=features)
    assert given == pytest.approx(loss_terms(loss, stylised, content), rel=1e-5)


@pytest.mark.parametrize(
    ("stylised", "content"),
    [
        ((20, 30, 3), (30, 20, 3)),
        ((1, 20, 30, 3), (20, 30, 3)),
        ((1, 20, 30, 3), (1, 20, 30, 3)),
        ((20, 30), (20, 30)),
        ((20, 30, 4), (20, 30, 4)),
    ],
)
def test_loss_terms_name_both_shapes_when_they_do_not_fit(stylised, content):
    fake = FakeLoss()
    with pytest.raises(ValueError, match="stylised") as caught:
        loss_terms(fake, np.zeros(stylised), np.zeros(content), content_features="ready")
    assert f"{list(stylised)} and {list(content)}" in str(caught.value)
    assert not fake.calls


# --- Time ----------------------------------------------------------------------------------------


class Work:
    """A call that takes as long as it is told, on a clock that only it moves."""

    def __init__(self, monkeypatch, *durations):
        self.left = list(durations)
        self.now = 1000.0
        monkeypatch.setattr(metrics, "perf_counter", lambda: self.now)

    def __call__(self):
        self.now += self.left.pop(0)


def test_seconds_leave_out_the_warm_up(monkeypatch):
    work = Work(monkeypatch, 100.0, 1.0, 6.0, 2.0)
    taken = seconds(work)
    assert taken == 2.0
    assert type(taken) is float
    assert work.left == []


def test_seconds_with_other_numbers_of_runs(monkeypatch):
    work = Work(monkeypatch, 90.0, 80.0, 70.0, 1.0, 4.0, 2.0, 50.0)
    assert seconds(work, warm_up=3, repeats=4) == 3.0
    assert work.left == []
    work = Work(monkeypatch, 7.0)
    assert seconds(work, warm_up=0, repeats=1) == 7.0
    assert work.left == []


def test_seconds_are_those_of_the_clock_on_the_wall():
    # By the real clock: long enough to be told from zero, and from milliseconds.
    assert 0.01 <= seconds(lambda: time.sleep(0.01), warm_up=0, repeats=1) < 5


@pytest.mark.parametrize("options", [{"repeats": 0}, {"repeats": -1}, {"warm_up": -1}])
def test_seconds_refuse_numbers_of_runs_that_cannot_be(options):
    calls = []
    with pytest.raises(ValueError, match=r"0|-1"):
        seconds(lambda: calls.append(1), **options)
    assert calls == []


# --- Summary -------------------------------------------------------------------------------------


def test_summary():
    found = summary([4.0, None, 0, 2, np.float32(10), None])
    assert found._asdict() == {
        "count": 4,
        "mean": 4.0,
        "median": 3.0,
        "std": pytest.approx(math.sqrt((0 + 16 + 4 + 36) / 3)),
        "min": 0.0,
        "max": 10.0,
    }
    assert [type(number) for number in found] == [int] + [float] * 5


def test_summary_agrees_with_the_statistics_module():
    values = np.random.default_rng(0).normal(3, 2, 101)
    found = summary(iter(values))
    assert found.count == 101
    assert found.mean == pytest.approx(statistics.mean(values))
    assert found.median == statistics.median(values)
    assert found.std == pytest.approx(statistics.stdev(values))
    assert (found.min, found.max) == (min(values), max(values))


def test_summary_of_one_value_and_of_none():
    assert summary([5]) == (1, 5.0, 5.0, 0.0, 5.0, 5.0)
    assert summary([]) == summary([None, None]) == (0, None, None, None, None, None)


@pytest.mark.parametrize("values", [[math.nan], [1.0, math.nan, 3.0]])
def test_summary_does_not_hide_what_is_not_a_number(values):
    found = summary(values)
    assert found.count == len(values)
    assert all(math.isnan(number) for number in found[1:])


# --- Import --------------------------------------------------------------------------------------


def test_metrics_load_without_tensorflow():
    code = "import sys, fst.metrics; print(sorted({'tensorflow', 'keras'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
