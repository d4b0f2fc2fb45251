"""The loss: its terms against plain numpy, what it is invariant to, and its view through VGG19."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from fst.config import TrainingConfig
from fst.errors import UserError
from fst.models.perceptual import (
    CONTENT_LAYERS,
    FORMS,
    POOLINGS,
    STYLE_LAYERS,
    LossTerms,
    PerceptualLoss,
    Vgg19Features,
    gram_matrix,
    keras_layer_name,
    load_vgg19,
    total_variation,
)


def picture(height, width, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (height, width, 3)).astype(np.float32)


class TinyFeatures:
    """Stands in for VGG19 where its depth is beside the point: two layers, of 4 and 5 channels.

    Smooth and small, so that a test can do the same in numpy and by finite differences.
    """

    names = ("relu1_1", "relu2_1")

    def __init__(self):
        random = np.random.default_rng(5)
        self.mixes = [random.normal(0, 1, s).astype(np.float32) for s in ((3, 4), (4, 5))]
        self.calls = []

    def __call__(self, image, layer_names):
        self.calls.append((tuple(image.shape), tuple(layer_names)))
        first = ops.softplus(ops.matmul(ops.cast(image, "float32") / 127.5 - 1.0, self.mixes[0]))
        second = ops.softplus(ops.matmul(ops.average_pool(first, 2), self.mixes[1]))
        found = dict(zip(self.names, (first, second), strict=True))
        return [found[name] for name in layer_names]


def tiny_loss(styles, features=None, **options):
    layers = {"content_layers": ("relu2_1",), "style_layers": TinyFeatures.names}
    options = {**layers, "tv_weight": 0.0, **options}
    return PerceptualLoss(features or TinyFeatures(), styles, **options)


def terms_of(loss, stylised, content):
    return LossTerms(*(float(term) for term in loss(stylised, loss.content_features(content))))


@pytest.fixture(scope="module")
def vgg():
    keras.utils.set_random_seed(3)
    return Vgg19Features(None)


# --- Names ---------------------------------------------------------------------------------------


def test_layer_names():
    assert keras_layer_name("relu1_1") == "block1_conv1"
    assert keras_layer_name("relu4_2") == "block4_conv2"
    assert keras_layer_name("block5_conv4") == "block5_conv4"


@pytest.mark.parametrize(
    "name",
    ["relu0_1", "relu1_3", "relu6_1", "relu4_5", "relu4_0", "conv4_2", "relu42", "", "pool1"],
)
def test_unknown_layer_names(name):
    with pytest.raises(ValueError, match="relu4_2"):
        keras_layer_name(name)


def test_every_name_is_a_layer_of_keras(vgg):
    vgg([picture(32, 32)], [f"relu{b}_{n}" for b in (3, 4, 5) for n in (1, 2, 3, 4)])
    vgg([picture(32, 32)], [f"relu{b}_{n}" for b in (1, 2) for n in (1, 2)])


# --- Gram matrices and total variation -----------------------------------------------------------


def test_gram_matrix_is_numpys():
    features = np.random.default_rng(1).normal(0, 3, (2, 5, 7, 4)).astype(np.float32)
    flat = features.reshape(2, 35, 4).astype(np.float64)
    wanted = np.einsum("bpi,bpj->bij", flat, flat) / 35
    np.testing.assert_allclose(gram_matrix(features), wanted, rtol=1e-5)


def test_gram_matrix_does_not_know_the_size():
    features = np.random.default_rng(1).normal(0, 3, (1, 5, 7, 4)).astype(np.float32)
    tiled = np.tile(features, (1, 3, 2, 1))
    np.testing.assert_allclose(gram_matrix(tiled), gram_matrix(features), rtol=1e-5)


def test_gram_matrix_does_not_know_the_places():
    features = np.random.default_rng(1).normal(0, 3, (1, 5, 7, 4)).astype(np.float32)
    moved = np.random.default_rng(2).permutation(features.reshape(35, 4)).reshape(features.shape)
    np.testing.assert_allclose(gram_matrix(moved), gram_matrix(features), rtol=1e-5)


@pytest.mark.parametrize(("dtype", "near"), [("float16", 1e-7), ("bfloat16", 2**-8)])
def test_gram_matrix_is_float32(dtype, near):
    features = ops.cast(np.full((1, 64, 64, 2), 200.0), dtype)  # Its sums overflow float16.
    gram = gram_matrix(features)
    assert gram.dtype == "float32"
    np.testing.assert_allclose(gram, 200.0**2, rtol=near)


@pytest.mark.parametrize(("dtype", "near"), [("float32", 1e-5), ("bfloat16", 0.02)])
def test_gradient_of_the_gram_matrix(dtype, near):
    """Of a value that does not treat the two sides of the matrix alike."""
    x = np.random.default_rng(1).normal(0, 3, (2, 5, 7, 4)).astype(np.float32)
    uneven = np.random.default_rng(2).normal(size=(2, 4, 4)).astype(np.float32)
    features = tf.cast(x, dtype)
    with tf.GradientTape() as tape:
        tape.watch(features)
        value = tf.reduce_sum(gram_matrix(features) * uneven)
    flat = x.reshape(2, 35, 4)
    wanted = flat @ (uneven + uneven.transpose(0, 2, 1)) / 35
    found = tf.cast(tape.gradient(value, features), "float32").numpy().reshape(flat.shape)
    np.testing.assert_allclose(found, wanted, rtol=near, atol=near)


def test_total_variation():
    flat = np.full((2, 6, 5, 3), 90.0, np.float32)
    np.testing.assert_allclose(total_variation(flat), [0, 0])
    steps = flat.copy()
    steps[1, :, 1::2] += 127.5  # Columns by turns: every step to the right is half the range.
    np.testing.assert_allclose(total_variation(steps), [0, 1], rtol=1e-6)
    np.testing.assert_allclose(total_variation(steps.transpose(0, 2, 1, 3)), [0, 1], rtol=1e-6)


# --- Several styles ------------------------------------------------------------------------------


def test_every_picture_is_held_against_its_own_style():
    layers = {"content_layers": ("relu2_1",), "style_layers": TinyFeatures.names}
    styles = [picture(12, 10, seed) for seed in (5, 6, 7)]
    weights, rows = [1.0, 4.0, 9.0], [[1.0, 1.0], [3.0, 1.0], [0.0, 2.0]]
    layers["tv_weight"] = 0.5
    loss = PerceptualLoss(
        TinyFeatures(),
        styles,
        separate=True,
        style_weight=weights,
        style_layer_weights=rows,
        **layers,
    )
    batch = np.stack([picture(8, 8, seed) for seed in (1, 2)])
    shares = np.float32([[0, 0, 1], [0, 1, 0]])
    found = loss.of_each(batch, loss.content_features(batch[::-1]), shares)
    for index, which in enumerate((2, 1)):
        alone = PerceptualLoss(
            TinyFeatures(),
            [styles[which]],
            style_weight=weights[which],
            style_layer_weights=rows[which],
            **layers,
        )
        wanted = terms_of(alone, batch[index][None], batch[1 - index][None])
        np.testing.assert_allclose([term[index] for term in found], wanted, rtol=1e-4)


def test_a_blend_of_styles_is_held_against_the_blend_of_their_gram_matrices():
    layers = {"content_layers": ("relu2_1",), "style_layers": TinyFeatures.names}
    styles = [picture(12, 10, seed) for seed in (5, 6)]
    one = PerceptualLoss(TinyFeatures(), styles, style_image_weights=[0.3, 0.7], **layers)
    several = PerceptualLoss(TinyFeatures(), styles, separate=True, **layers)
    photo = picture(8, 8, 1)[None]
    found = several(photo, several.content_features(photo), np.float32([[0.3, 0.7]]))
    np.testing.assert_allclose(found, terms_of(one, photo, photo), rtol=1e-4, atol=1e-6)


def test_several_styles_want_to_know_which():
    layers = {"content_layers": ("relu2_1",), "style_layers": TinyFeatures.names}
    loss = PerceptualLoss(TinyFeatures(), [picture(12, 10)] * 2, separate=True, **layers)
    photo = picture(8, 8, 1)[None]
    with pytest.raises(ValueError, match=r"^shares: which of the 2 styles"):
        loss(photo, loss.content_features(photo))


def test_style_weights_are_one_or_one_for_each_style():
    layers = {"content_layers": ("relu2_1",), "style_layers": TinyFeatures.names}
    styles, weights = [picture(12, 10)] * 3, [1.0, 2.0]
    with pytest.raises(ValueError, match="2 style weights were given for 3 styles"):
        PerceptualLoss(TinyFeatures(), styles, separate=True, style_weight=weights, **layers)


# --- The terms -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_lost_where_all_are_the_same(form):
    photo = picture(12, 10)
    terms = terms_of(tiny_loss([photo], form=form, style_weight=3.0), photo[None], photo[None])
    assert terms.content == 0
    assert terms.style == pytest.approx(0, abs=1e-9)
    assert terms.total == pytest.approx(0, abs=1e-8)


def test_the_terms_weigh_what_they_weigh_in_training():
    layers = {"content_layers": ("relu2_1",), "style_layers": TinyFeatures.names}
    loss = PerceptualLoss(TinyFeatures(), [picture(12, 10)], **layers)
    terms = terms_of(loss, picture(8, 8, 1)[None], picture(8, 8, 2)[None])
    (style_weight,) = TrainingConfig.style_weight
    weights = TrainingConfig.content_weight, style_weight, TrainingConfig.tv_weight
    assert terms.total == pytest.approx(np.dot(weights, terms[1:]), rel=1e-5)


def test_each_term_answers_for_itself():
    style, photo, other = picture(12, 10), picture(8, 8, 1), picture(8, 8, 2)
    loss = tiny_loss([style])
    as_content = terms_of(loss, photo[None], photo[None])
    assert as_content.content == 0
    assert as_content.style > 1e-4
    as_style = terms_of(loss, style[None], np.resize(other, style.shape)[None])
    assert as_style.style == pytest.approx(0, abs=1e-9)
    assert as_style.content > 1e-4


@pytest.mark.parametrize("form", FORMS)
def test_total_is_the_weighted_sum(form):
    loss = tiny_loss(
        [picture(9, 9)], form=form, content_weight=0.5, style_weight=7.0, tv_weight=0.25
    )
    terms = terms_of(loss, picture(8, 8, 1)[None], picture(8, 8, 2)[None])
    assert min(terms) > 0
    wanted = 0.5 * terms.content + 7.0 * terms.style + 0.25 * terms.tv
    assert terms.total == pytest.approx(wanted, rel=1e-5)


def test_a_batch_counts_as_the_mean_of_its_pictures():
    loss = tiny_loss([picture(9, 9)], tv_weight=1.0)
    stylised = np.stack([picture(8, 6, seed) for seed in (1, 2)])
    content = np.stack([picture(8, 6, seed) for seed in (3, 4)])
    both = terms_of(loss, stylised, content)
    single = [terms_of(loss, stylised[i : i + 1], content[i : i + 1]) for i in (0, 1)]
    np.testing.assert_allclose(both, np.mean(single, axis=0), rtol=1e-5)


class Scaled(TinyFeatures):
    """The same features, all of them `factor` times as strong."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def __call__(self, image, layer_names):
        return [self.factor * found for found in super().__call__(image, layer_names)]


def test_relative_terms_do_not_know_the_features_scale():
    pictures = picture(8, 8, 1)[None], picture(8, 8, 2)[None]
    plain = terms_of(tiny_loss([picture(9, 9)], Scaled(1.0)), *pictures)
    strong = terms_of(tiny_loss([picture(9, 9)], Scaled(30.0)), *pictures)
    np.testing.assert_allclose(strong, plain, rtol=1e-4)


def test_relative_terms_do_not_know_the_pictures_size():
    style, stylised, content = picture(8, 8), picture(8, 8, 1), picture(8, 8, 2)
    small = terms_of(tiny_loss([style]), stylised[None], content[None])
    large = terms_of(
        tiny_loss([np.tile(style, (3, 1, 1))]),
        np.tile(stylised, (2, 4, 1))[None],
        np.tile(content, (2, 4, 1))[None],
    )
    np.testing.assert_allclose(large[:3], small[:3], rtol=1e-4)


def test_absolute_form_is_that_of_gatys():
    """Equations 1, 3, 4 and 5, with sums over positions and no division but the paper's."""
    style, stylised, content = picture(8, 6), picture(8, 6, 1), picture(8, 6, 2)
    features = TinyFeatures()
    shares = (0.3, 0.7)
    loss = tiny_loss([style], features, form="absolute", style_layer_weights=shares)
    found = terms_of(loss, stylised[None], content[None])

    def maps(image):  # One matrix [N, M] per layer: filters by positions, as in the paper.
        layers = features(image[None], TinyFeatures.names)
        return [np.asarray(f, np.float64).reshape(-1, f.shape[-1]).T for f in layers]

    generated, photo, artwork = maps(stylised), maps(content), maps(style)
    content_loss = np.sum((generated[1] - photo[1]) ** 2) / 2
    style_loss = 0
    for share, f, a in zip(shares, generated, artwork, strict=True):
        n, m = f.shape
        style_loss += share * np.sum((f @ f.T - a @ a.T) ** 2) / (4 * n**2 * m**2)
    assert found.content == pytest.approx(content_loss, rel=1e-4)
    assert found.style == pytest.approx(style_loss, rel=1e-4)


def test_relative_form_is_what_it_says():
    style, stylised, content = picture(10, 6), picture(8, 6, 1), picture(8, 6, 2)
    features = TinyFeatures()
    found = terms_of(tiny_loss([style], features), stylised[None], content[None])

    def arrays(image):
        return [np.asarray(f, np.float64)[0] for f in features(image[None], TinyFeatures.names)]

    def gram(f):
        return np.einsum("hwi,hwj->ij", f, f) / f[..., 0].size

    f, p = arrays(stylised)[1], arrays(content)[1]
    assert found.content == pytest.approx(np.sum((f - p) ** 2) / np.sum(p**2), rel=1e-4)
    per_layer = [
        np.sum((gram(f) - gram(a)) ** 2) / np.sum(gram(a) ** 2)
        for f, a in zip(arrays(stylised), arrays(style), strict=True)
    ]
    assert found.style == pytest.approx(np.mean(per_layer), rel=1e-4)


def test_mean_form_is_that_of_the_tutorials():
    """Means over a layer's features and over its Gram matrix, then over the layers."""
    style, stylised, content = picture(10, 6), picture(8, 6, 1), picture(8, 6, 2)
    features, shares = TinyFeatures(), (0.3, 0.7)
    loss = tiny_loss(
        [style],
        features,
        form="mean",
        content_layers=TinyFeatures.names,
        style_layer_weights=shares,
    )
    found = terms_of(loss, stylised[None], content[None])

    def arrays(image):
        return [np.asarray(f, np.float64)[0] for f in features(image[None], TinyFeatures.names)]

    def gram(f):
        return np.einsum("hwi,hwj->ij", f, f) / f[..., 0].size

    pairs = list(zip(arrays(stylised), arrays(content), arrays(style), strict=True))
    per_layer = [np.mean((f - p) ** 2) for f, p, _ in pairs]
    assert found.content == pytest.approx(np.mean(per_layer), rel=1e-4)
    per_layer = [np.mean((gram(f) - gram(a)) ** 2) for f, _, a in pairs]
    assert found.style == pytest.approx(np.dot(shares, per_layer), rel=1e-4)


class Given:
    """Features that are the picture itself, so that a loss can be computed by hand."""

    def __call__(self, image, layer_names):
        return [ops.cast(image, "float32") for _ in layer_names]


def test_mean_form_by_hand():
    def flat(*rgb):
        return np.tile(np.array(rgb, np.float32), (1, 2, 2, 1))

    loss = PerceptualLoss(
        Given(),
        [flat(1, 0, 0)[0]],
        form="mean",
        style_layers=("relu1_1",),
        style_weight=3.0,
        tv_weight=0.5,
    )
    image = flat(2, 0, 0)
    image[0, 1, 1, 0] = 6  # Red is 2, 2, 2 and 6.
    terms = terms_of(loss, image, flat(2, 3, 0))
    # Of 12 values four differ by 3, and one by 4.
    assert terms.content == pytest.approx((4 * 9 + 16) / 12)
    # Red with red: (4 + 4 + 4 + 36) / 4 = 12 where the style has 1; the other eight are 0 in both.
    assert terms.style == pytest.approx((12 - 1) ** 2 / 9)
    # One step down and one to the right, of 4 levels of 255.
    assert terms.tv == pytest.approx(8 / 255)
    assert terms.total == pytest.approx(terms.content + 3 * terms.style + 0.5 * terms.tv)


def test_mean_forms_total_variation_is_tensorflows():
    images = np.stack([picture(9, 13, seed) for seed in (1, 2)])
    found = terms_of(tiny_loss([picture(9, 9)], form="mean"), images, images)
    wanted = tf.image.total_variation(tf.constant(images / 255)).numpy()
    assert found.tv == pytest.approx(wanted.mean(), rel=1e-5)
    assert found.tv > 10  # A sum, and not a mean.


def test_a_black_photo_has_a_finite_loss(vgg):
    loss = PerceptualLoss(vgg, [picture(32, 32)])
    black = np.zeros((1, 32, 32, 3), np.float32)
    assert np.isfinite(terms_of(loss, picture(32, 32, 1)[None], black)).all()
    nothing = tiny_loss([picture(9, 9)], Scaled(0.0))  # No features at all, not even of black.
    assert np.isfinite(terms_of(nothing, picture(32, 32)[None], black)).all()


# --- Weights of layers and of style images -------------------------------------------------------


def style_term(styles, **options):
    return terms_of(
        tiny_loss(styles, **options), picture(8, 8, 1)[None], picture(8, 8, 2)[None]
    ).style


def test_style_layer_weights_are_shares():
    style = [picture(9, 9)]
    one, two = (style_term(style, style_layers=(name,)) for name in TinyFeatures.names)
    assert style_term(style) == pytest.approx((one + two) / 2, rel=1e-5)
    assert style_term(style, style_layer_weights=(1, 3)) == pytest.approx(one / 4 + two * 3 / 4)
    assert style_term(style, style_layer_weights=(0, 2)) == pytest.approx(two, rel=1e-5)


def test_style_image_weights_are_shares():
    a, b = picture(9, 9), picture(7, 12, 8)
    assert style_term([a, a]) == pytest.approx(style_term([a]), rel=1e-5)
    assert style_term([a, b], style_image_weights=(5, 0)) == pytest.approx(style_term([a]))
    assert style_term([a, b], style_image_weights=(2, 2)) == pytest.approx(style_term([a, b]))
    between = style_term([a, b], style_image_weights=(1, 3))
    assert between not in (style_term([a]), style_term([b]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"form": "huge"}, "relative"),
        ({"style_layers": ("relu9_1",)}, "relu9_1"),
        ({"content_layers": ("conv4_2",)}, "conv4_2"),
        ({"style_layers": ()}, "style layers"),
        ({"content_layers": ()}, "content layers"),
        ({"style_layer_weights": (1, 2, 3)}, "3 weights"),
        ({"style_layer_weights": ()}, "0 weights were given for 2 style layers"),
        ({"style_layer_weights": (0, 0)}, "positive"),
        ({"style_layer_weights": (-1, 2)}, "positive"),
        (
            {"style_layer_weights": [(1, 2), (1, 3)]},
            "2 lists of style layer weights .* for 1 styles",
        ),
        ({"style_layer_weights": [(1, 2, 3)]}, "3 weights"),
        ({"style_image_weights": (1, 2)}, "2 weights"),
    ],
)
def test_what_does_not_fit_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        tiny_loss([picture(9, 9)], **options)


def test_a_style_image_is_needed():
    with pytest.raises(ValueError, match="style images"):
        tiny_loss([])


# --- Gradients -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_gradient_is_that_of_finite_differences(form):
    # As large as the other terms, in each form.
    weights = {
        "relative": (1.0, 2.0, 0.5),
        "absolute": (1.0, 50.0, 1e-5),
        "mean": (1.0, 0.5, 0.01),
    }[form]
    names = ("content_weight", "style_weight", "tv_weight")
    loss = tiny_loss([picture(5, 6)], form=form, **dict(zip(names, weights, strict=True)))
    content = loss.content_features(picture(4, 6, 1)[None])
    image = picture(4, 6, 2)[None]

    variable = tf.Variable(image)
    with tf.GradientTape() as tape:
        total = loss(variable, content).total
    gradient = tape.gradient(total, variable).numpy()

    for direction in np.random.default_rng(3).normal(0, 1, (5, *image.shape)).astype(np.float32):
        step = 0.05 if form == "mean" else 0.5  # Its total variation has kinks.
        ahead = float(loss(image + step * direction, content).total)
        behind = float(loss(image - step * direction, content).total)
        slope = float(np.sum(gradient * direction))
        length = float(np.linalg.norm(gradient) * np.linalg.norm(direction))
        assert (ahead - behind) / (2 * step) == pytest.approx(slope, abs=0.01 * length)


def test_gradient_reaches_every_pixel_through_vgg(vgg):
    loss = PerceptualLoss(vgg, [picture(32, 32)])
    content = loss.content_features(picture(32, 32, 1)[None])
    variable = tf.Variable(picture(32, 32, 2)[None])
    with tf.GradientTape() as tape:
        total = loss(variable, content).total
    gradient = tape.gradient(total, variable).numpy()
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient).sum(axis=-1) > 0).mean() > 0.99


# --- VGG19 ---------------------------------------------------------------------------------------


def test_first_layer_sees_rgb_as_the_papers_network_did(vgg):
    """Blue first, less the means of ImageNet; the numbers are those of the original Caffe model."""
    image = picture(32, 32)
    kernel, bias = vgg.network.get_layer("block1_conv1").get_weights()
    patch = image[9:12, 19:22, ::-1] - np.array([103.939, 116.779, 123.68])
    wanted = np.maximum(np.einsum("hwi,hwio->o", patch, kernel) + bias, 0)
    (found,) = vgg(image[None], ["relu1_1"])
    np.testing.assert_allclose(found[0, 10, 20], wanted, rtol=1e-3, atol=1e-3)


def test_the_image_is_left_alone(vgg):
    image = picture(32, 32)[None]
    vgg(image, ["relu1_1"])
    np.testing.assert_array_equal(image, picture(32, 32)[None])


def test_sizes_and_channels(vgg):
    found = vgg(np.zeros((2, 48, 64, 3), np.float32), STYLE_LAYERS + CONTENT_LAYERS)
    assert [tuple(f.shape) for f in found] == [
        (2, 48, 64, 64),
        (2, 24, 32, 128),
        (2, 12, 16, 256),
        (2, 6, 8, 512),
        (2, 6, 8, 512),
    ]


def test_features_come_in_the_order_asked_for(vgg):
    image = picture(32, 32)[None]
    one = vgg(image, ["relu2_1", "relu1_1"])
    other = vgg(image, ["relu1_1", "relu2_1"])
    for a, b in zip(one, reversed(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.parametrize(
    ("names", "deepest"),
    [(("relu1_1",), "block1_conv1"), (("relu4_2", "relu2_1"), "block4_conv2")],
)
def test_only_as_deep_as_needed(vgg, names, deepest):
    layers = [layer.name for layer in vgg.down_to(names).layers]
    assert layers[-1] == deepest
    everything = [layer.name for layer in vgg.network.layers]
    assert layers == everything[: everything.index(deepest) + 1]


def test_vgg_is_frozen(vgg):
    assert vgg.network.trainable_weights == []
    assert vgg.down_to(CONTENT_LAYERS).trainable_weights == []


def test_features_are_computed_no_more_often_than_needed():
    features = TinyFeatures()
    loss = tiny_loss([picture(9, 9), picture(6, 7)], features)
    assert [names for _, names in features.calls] == [TinyFeatures.names] * 2
    features.calls.clear()
    content = loss.content_features(picture(8, 8)[None])
    assert features.calls == [((1, 8, 8, 3), ("relu2_1",))]
    features.calls.clear()
    for _ in range(3):
        loss(picture(8, 8, 1)[None], content)
    assert features.calls == [((1, 8, 8, 3), ("relu2_1", *TinyFeatures.names))] * 3


@pytest.mark.parametrize(("has", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_auto_precision_goes_by_the_cpu(has, dtype, monkeypatch):
    monkeypatch.setattr("fst.models.precision._has_bfloat16", lambda: has)
    assert Vgg19Features(None, "auto").network.get_layer("block1_conv1").compute_dtype == dtype


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_loss_is_float32_in_half_precision(precision, vgg):
    half = Vgg19Features(None, precision)
    half.network.set_weights(vgg.network.get_weights())
    assert half.network.get_layer("block1_conv1").compute_dtype == precision.removeprefix("mixed_")
    pictures = picture(32, 32, 1)[None], picture(32, 32, 2)[None]
    found = {}
    for features in (vgg, half):
        loss = PerceptualLoss(features, [picture(32, 32)], tv_weight=1.0)
        content = loss.content_features(pictures[1])
        assert {f.dtype for f in content} == {tf.float32}
        terms = loss(pictures[0], content)
        assert {term.dtype for term in terms} == {tf.float32}
        found[features] = [float(term) for term in terms]
    np.testing.assert_allclose(found[half], found[vgg], rtol=0.1)
    assert keras.config.dtype_policy().name == "float32"


# --- Pooling -------------------------------------------------------------------------------------


def test_average_pooling_only_replaces_the_pools(vgg):
    """The same as VGG19 built layer by layer with its own weights and NumPy's mean over 2 x 2."""
    average = Vgg19Features(None, pooling="average")
    average.network.set_weights(vgg.network.get_weights())
    image = picture(48, 32)[None]
    names = ["relu1_2", "relu2_2", "relu3_4", "relu4_4", "relu5_1"]
    found = dict(zip(names, average(image, names), strict=True))
    x = image[..., ::-1] - np.array([103.939, 116.779, 123.68], np.float32)
    compared = []
    for block, layers in {1: 2, 2: 2, 3: 4, 4: 4, 5: 1}.items():
        if block > 1:
            x = x.reshape(1, x.shape[1] // 2, 2, x.shape[2] // 2, 2, -1).mean(axis=(2, 4))
        for number in range(1, layers + 1):
            name = f"relu{block}_{number}"
            kernel, bias = vgg.network.get_layer(keras_layer_name(name)).get_weights()
            x = np.maximum(tf.nn.conv2d(x, kernel, 1, "SAME").numpy() + bias, 0)
        np.testing.assert_allclose(found[name] / x.max(), x / x.max(), atol=1e-4)
        compared.append(name)
    assert compared == names


def test_both_poolings_have_the_weights_of_the_file(vgg_file):
    features = {pooling: load_vgg19(str(vgg_file), pooling=pooling) for pooling in POOLINGS}
    weights = {pooling: f.network.get_weights() for pooling, f in features.items()}
    assert len(weights["max"]) == 32
    for one, other in zip(weights["max"], weights["average"], strict=True):
        np.testing.assert_array_equal(one, other)
    image = picture(32, 32)[None]
    early, late = (
        {pooling: f(image, [name])[0].numpy() for pooling, f in features.items()}
        for name in ("relu1_2", "relu2_1")
    )
    np.testing.assert_array_equal(early["max"], early["average"])  # Before the first pool.
    assert np.abs(late["max"] - late["average"]).mean() > 0.01 * np.abs(late["max"]).mean()


def test_average_pooling_is_frozen_and_in_the_precision_asked_for():
    half = Vgg19Features(None, "mixed_bfloat16", "average")
    assert half.network.trainable_weights == []
    assert half.network.get_layer("block2_conv1").compute_dtype == "bfloat16"
    (found,) = half(picture(32, 32)[None], ["relu2_1"])
    assert found.dtype == tf.bfloat16
    kinds = [type(layer).__name__ for layer in half.network.layers if "pool" in layer.name]
    assert kinds == ["AveragePooling2D"] * 5


def test_unknown_pooling():
    for make in (Vgg19Features, load_vgg19):
        with pytest.raises(ValueError, match="pooling is one of max, average, not 'median'"):
            make(None, pooling="median")


# --- Weights files -------------------------------------------------------------------------------


def test_weights_file(vgg_file, monkeypatch):
    image = picture(32, 32)[None]
    by_name = load_vgg19(str(vgg_file))(image, ["relu1_1"])[0]
    monkeypatch.setenv("FST_VGG19_WEIGHTS", str(vgg_file))
    np.testing.assert_array_equal(load_vgg19()(image, ["relu1_1"])[0], by_name)


@pytest.mark.parametrize("name", ["w.h5", "vgg19", "vgg19.keras"])
def test_weights_file_of_any_name(vgg_file, tmp_path, name):
    (tmp_path / name).symlink_to(vgg_file)
    image = picture(32, 32)[None]
    (found,) = load_vgg19(str(tmp_path / name))(image, ("relu1_2",))
    (wanted,) = load_vgg19(str(vgg_file))(image, ("relu1_2",))
    np.testing.assert_array_equal(found, wanted)


def test_missing_weights_file(tmp_path):
    with pytest.raises(UserError, match=r"^vgg_weights.*no file.*nowhere\.h5"):
        load_vgg19(str(tmp_path / "nowhere.h5"))


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>"])
def test_weights_file_that_is_none(tmp_path, content):
    path = tmp_path / "vgg.h5"
    path.write_bytes(content)
    with pytest.raises(UserError, match="vgg_weights"):
        load_vgg19(str(path))


# --- With the weights that ImageNet taught -------------------------------------------------------


def test_real_vgg_knows_textures(real_vgg, load_vgg_once):
    from skimage import data

    def texture(name, columns):
        grey = getattr(data, name)()[:128, columns].astype(np.float32)
        return np.repeat(grey[..., None], 3, axis=-1)

    left, right = slice(0, 128), slice(300, 428)
    features = load_vgg_once(real_vgg)
    for style, other in (("brick", "grass"), ("grass", "brick")):
        loss = PerceptualLoss(features, [texture(style, left)])

        def distance(image, loss=loss):
            return terms_of(loss, image[None], image[None]).style

        assert distance(texture(style, left)) == pytest.approx(0, abs=1e-6)
        assert distance(texture(other, right)) > 0.1
        assert distance(texture(style, right)) < 0.5 * distance(texture(other, right))


def test_real_vgg_content_knows_the_photo(real_vgg, load_vgg_once):
    """A blurred photo is nearer to itself than another photo is."""
    from skimage import data, filters

    features = load_vgg_once(real_vgg)
    photo, other = (
        p[100:228, 100:228].astype(np.float32) for p in (data.astronaut(), data.coffee())
    )
    blurred = filters.gaussian(photo, 1.5, channel_axis=-1, preserve_range=True).astype(np.float32)
    loss = PerceptualLoss(features, [other])
    assert terms_of(loss, photo[None], photo[None]).content == 0
    near = terms_of(loss, blurred[None], photo[None]).content
    far = terms_of(loss, other[None], photo[None]).content
    assert 0.05 < near < 0.7 * far
