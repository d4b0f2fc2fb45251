"""A picture stylised strip by strip is the picture stylised whole."""

import errno

import keras
import numpy as np
import pytest
from conftest import draw_photo, weights_of, write_gallery
from hypothesis import given, settings
from hypothesis import strategies as st

from fst.checkpoint import Checkpoint
from fst.errors import UserError
from fst.models.network import build_network
from fst.stylize import engines, memory, strips
from fst.stylize.forward import arrange
from fst.stylize.strips import stylise_in_strips
from fst.stylize.stylizer import Stylizer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def network():
    """A small network whose norm layers do something, as trained ones do."""
    keras.utils.set_random_seed(11)
    network = build_network(4)
    random = np.random.default_rng(11)
    for layer in network.layers:
        if isinstance(layer, keras.layers.GroupNormalization):
            layer.gamma.assign(random.uniform(0.5, 2.0, layer.gamma.shape))
            layer.beta.assign(random.normal(0, 0.5, layer.beta.shape))
    rgb = network.get_layer("rgb_conv")
    rgb.kernel.assign(rgb.kernel.numpy() * 8)  # Untrained, its pictures would be grey.
    return network


def arranged(network):
    return arrange(weights_of(network))


def whole(network, image):
    stylised = network(image[None].astype(np.float32))[0].numpy()
    return np.rint(stylised).astype(np.uint8)


def difference(one, other):
    return np.abs(one.astype(int) - other.astype(int))


def test_the_pictures_are_worth_comparing(network):
    stylised = whole(network, draw_photo(3, 90, 120))
    assert stylised.std(axis=(0, 1)).min() > 10


def test_progress_goes_evenly_from_none_to_all(network):
    told = []
    stylise_in_strips(arranged(network), draw_photo(3, 64, 40), 16, told.append)
    assert told[0] == 0
    # Of four strips the last one begins a quarter of a pass before the end.
    passes = 3 + 3 * 5 + 3
    assert told[-1] == pytest.approx(1 - 0.25 / passes)
    assert np.diff(told).max() <= 1 / passes + 1e-9
    assert np.diff(told).min() > 0


# The narrowest strips take far longer than others: a small picture shows them too.
SHAPES = st.one_of(
    st.tuples(st.integers(16, 90), st.integers(16, 90), st.sampled_from((8, 20, 64))),
    st.tuples(st.integers(16, 24), st.integers(16, 90), st.just(1)),
)


@settings(max_examples=15)
@given(shape=SHAPES)
def test_strips_are_the_whole(network, shape):
    height, width, rows = shape
    image = draw_photo(height, height, width)
    stylised = stylise_in_strips(arranged(network), image, rows)
    assert stylised.shape == image.shape
    assert stylised.dtype == np.uint8
    found = difference(stylised, whole(network, image))
    # Half precision between the layers, then rounding to whole grey levels.
    assert found.max() <= 3
    assert found.mean() < 0.2


def test_no_seam_at_the_strips_borders(network):
    """The error is no larger beside the borders of strips than elsewhere."""
    image = draw_photo(5, 160, 200)
    expected = network(image[None].astype(np.float32))[0].numpy()
    steps = np.abs(np.diff(stylise_in_strips(arranged(network), image, 16).astype(float), axis=0))
    true_steps = np.abs(np.diff(expected, axis=0))
    excess = (steps - true_steps).mean(axis=(1, 2))
    borders = np.arange(15, 159, 16)
    others = np.setdiff1d(np.arange(159), borders)
    assert abs(excess[borders].mean()) <= abs(excess[others]).max()


def test_a_large_photo(network):
    """1200 x 900 px: as whole, to 50 dB, and no step at the borders that is not in the whole."""
    image = draw_photo(6, 900, 1200)
    tiled, expected = stylise_in_strips(arranged(network), image, 128), whole(network, image)
    error = np.square(difference(tiled, expected)).mean()
    assert 10 * np.log10(255**2 / error) > 50
    borders = np.arange(127, 899, 128)
    found, true = (np.abs(np.diff(one.astype(int), axis=0))[borders] for one in (tiled, expected))
    assert abs(found.mean() - true.mean()) < 0.05


@pytest.fixture
def in_files(monkeypatch):
    """A function after whose call even the smallest planes are kept in files."""
    return lambda: monkeypatch.setattr(strips, "_IN_MEMORY", 0)


def test_kept_in_files_it_is_the_same(network, in_files):
    image = draw_photo(6, 75, 61)
    in_memory = stylise_in_strips(arranged(network), image, 24)
    in_files()
    np.testing.assert_array_equal(stylise_in_strips(arranged(network), image, 24), in_memory)


def test_a_full_disk_is_told_in_one_line(network, in_files, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    in_files()
    monkeypatch.setattr(strips.os, "posix_fallocate", full)
    with pytest.raises(UserError, match=r"TMPDIR.*smaller") as error:
        stylise_in_strips(arranged(network), draw_photo(7), 24)
    assert "\n" not in str(error.value)
    assert error.value.__cause__ is None  # By which a folder's other photos would be given up.


def test_no_folder_for_temporary_files_is_told_in_one_line(network, in_files, monkeypatch):
    def none(*_):
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    in_files()
    monkeypatch.setattr(strips.tempfile, "TemporaryFile", none)
    with pytest.raises(UserError, match="set TMPDIR to a folder that can be written") as error:
        stylise_in_strips(arranged(network), draw_photo(7), 24)
    assert "\n" not in str(error.value)


def test_too_small(network):
    with pytest.raises(ValueError, match="40x12"):
        stylise_in_strips(arranged(network), draw_photo(8, 12, 40), 16)


class TestStylizer:
    @pytest.fixture(scope="class")
    def stylise(self, network, tmp_path_factory):
        trained = Checkpoint(tmp_path_factory.mktemp("style") / "tiny")
        trained.write_weights(network)
        trained.write_card({"format": 1, "name": "tiny", "config": {"width": 4}})
        return Stylizer(trained)

    @pytest.mark.parametrize("size", [(60, 83), (9, 40), (16, 16)])
    def test_strips_and_whole_agree(self, stylise, size):
        image = draw_photo(1, *size)
        tiled, whole_picture = stylise(image, tile=12), stylise(image, tile="off")
        assert tiled.dtype == np.uint8
        assert tiled.shape == image.shape
        assert difference(tiled, whole_picture).max() <= 2

    def test_floats(self, stylise):
        image = draw_photo(2, 40, 33).astype(np.float32) + 0.3
        tiled = stylise(image, tile=16)
        assert tiled.dtype == np.float32
        np.testing.assert_allclose(tiled, stylise(image), atol=2.5)

    def test_auto_takes_strips_only_when_memory_is_short(self, stylise, free_memory):
        told = []  # Only strips tell how far they are.
        image = draw_photo(3, 64, 64)
        free_memory(2**34)
        stylise(image, progress=told.append)
        assert not told
        free_memory(2**20)
        stylise(image, progress=told.append)
        assert told

    def test_rows_of_a_strip_fit_the_memory_whatever_the_width(self, stylise):
        rows = {width: stylise.tile_within(8600, width, 2**30) for width in (2000, 11_600, 60_000)}
        assert all(16 <= count <= 512 for count in rows.values())
        assert rows[2000] > rows[11_600] > rows[60_000]

    def test_a_wider_network_takes_more_memory(self, tmp_path, free_memory):
        free_memory(2**40)
        narrow, usual, wide = (
            Stylizer(write_gallery(tmp_path / f"of{width}", ["sand"], width))
            for width in (4, 32, 64)
        )
        limit = 1000 * 3000 * engines.BYTES_PER_PIXEL["tensorflow"]
        for model, height in ((narrow, 1000), (usual, 1000), (wide, 500)):
            assert model.tile_within(height, 3000, limit) == "off"
            rows = model.tile_within(height + 1, 3000, limit)
            assert rows == usual.tile_within(1001, 3000, limit) // (2 if model is wide else 1) > 16

    @pytest.mark.parametrize("size", [(50, 70), (5, 9)])
    def test_an_even_picture_stays_even(self, stylise, size):
        stylised = stylise(np.full((*size, 3), (200, 40, 90), np.uint8))
        assert np.ptp(stylised, axis=(0, 1)).max() <= 1

    @pytest.mark.parametrize("tile", ["0", "-1", "some", 0])
    def test_what_is_no_tile(self, stylise, tile):
        with pytest.raises(ValueError, match="tile is a number"):
            stylise(draw_photo(4), tile=tile)


def test_available_memory_heeds_the_limit_of_a_container(tmp_path):
    everything = memory.available(())
    assert everything > 2**20
    limit, used = tmp_path / "max", tmp_path / "current"
    for text, expected in (("5000000", 4_000_000), ("500000", 0), ("max", everything)):
        limit.write_text(text)
        used.write_text("1000000")
        assert memory.available([(limit, used)]) == pytest.approx(expected, rel=0.2)
    # What files have been read lies in memory, and makes way.
    limit.write_text("5000000")
    (tmp_path / "memory.stat").write_text("anon 500000\ninactive_file 700000\n")
    assert memory.available([(limit, used)]) == pytest.approx(4_700_000)
    assert memory.available([(tmp_path / "none", used)]) == pytest.approx(everything, rel=0.2)
