"""The photos: every format, no distortion, and the same crops whatever happens to the run."""

import io
import itertools
import time

import numpy as np
import pillow_heif
import pytest
import tensorflow as tf
from conftest import draw_photo
from PIL import Image

from fst.config import TrainingConfig
from fst.errors import UserError
from fst.media.folders import find_images
from fst.training.data import open_photos

BROKEN = {
    "empty.jpg": b"",
    "text.png": b"this is no picture",
    "page.webp": b"<html>not found</html>",
}


def config(**options):
    options = {"steps": 3, "batch_size": 4, "crop_size": 32, "photo_size": 40, **options}
    return TrainingConfig("style.jpg", **options)


def batches(photos, settings=None, **options):
    """Every batch as one array, `[steps, batch, crop, crop, 3]`."""
    stream = photos.batches(settings or config(), **options).as_numpy_iterator()
    return np.stack([crops for crops, _ in stream])


def greys(crops):
    """Which of the photos made by `grey_folder` each crop was cut from."""
    return np.rint(crops.mean(axis=(-3, -2, -1)) / 8).astype(int)


@pytest.fixture(scope="module")
def grey_folder(tmp_path_factory):
    """24 photos, each of one grey: photo 5 has the level 5 * 8."""
    folder = tmp_path_factory.mktemp("greys")
    for index in range(24):
        Image.new("RGB", (50 + index, 44), (index * 8,) * 3).save(folder / f"{index:02d}.png")
    return folder


def encoded(index, file_format="PNG"):
    buffer = io.BytesIO()
    Image.new("RGB", (50 + index, 44), (index * 8,) * 3).save(buffer, file_format)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def tfds_name(tmp_path_factory):
    """A real TFDS data set of 20 photos as `grey_folder`'s; number 13 of them is no picture."""
    import tensorflow_datasets as tfds

    folder = tmp_path_factory.mktemp("tfds")
    features = tfds.features.FeaturesDict(
        {"image": tfds.features.Image(encoding_format="png"), "label": np.int64}
    )
    examples = [  # Each with its key.
        (index, {"image": b"no picture" if index == 13 else encoded(index), "label": 0})
        for index in range(20)
    ]
    tfds.dataset_builders.store_as_tfds_dataset(
        "fst_greys",
        version="1.0.0",
        features=features,
        split_datasets={"train": examples, "few": examples[:6]},
        data_dir=folder,
        disable_shuffling=True,
    )
    tfds.core.add_data_dir(folder)
    return "tfds:fst_greys"


@pytest.fixture(params=["folder", "tfds"])
def content(request, grey_folder):
    """A `--content` of either kind."""
    return str(grey_folder) if request.param == "folder" else request.getfixturevalue("tfds_name")


# --- Formats and shapes --------------------------------------------------------------------------

COLOUR = (200, 120, 40)


def write_jpeg(path):
    Image.new("RGB", (60, 50), COLOUR).save(path, quality=95, subsampling=0)
    return COLOUR


def write_lossless(path):
    Image.new("RGB", (60, 50), COLOUR).save(path)
    return COLOUR


def write_webp(path):
    Image.new("RGB", (60, 50), COLOUR).save(path, lossless=True)
    return COLOUR


def write_heic(path):
    pillow_heif.from_pillow(Image.new("RGB", (60, 50), COLOUR)).save(path, quality=-1, chroma=444)
    return COLOUR


def write_animation(path):
    frames = [Image.new("RGB", (60, 50), colour) for colour in (COLOUR, (0, 0, 255))]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return COLOUR


def write_grey(path):
    Image.new("L", (60, 50), 90).save(path)
    return (90, 90, 90)


def write_16_bits(path):
    Image.fromarray(np.full((50, 60), 100 * 257, np.uint16)).save(path)
    return (100, 100, 100)


def write_alpha(path):
    Image.new("RGBA", (60, 50), (*COLOUR, 51)).save(path)
    return tuple(0.2 * c + 0.8 * 255 for c in COLOUR)  # Over white.


def write_palette(path):
    Image.new("RGB", (60, 50), COLOUR).quantize(4).save(path)
    return COLOUR


def write_cmyk(path):
    Image.new("CMYK", (60, 50), (0, 255, 255, 0)).save(path, quality=95)
    return (255, 0, 0)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.jpg", write_jpeg),
        ("a.JPEG", write_jpeg),
        ("a.png", write_lossless),
        ("a.webp", write_webp),
        ("a.bmp", write_lossless),
        ("a.tiff", write_lossless),
        ("a.tif", write_lossless),
        ("a.HEIC", write_heic),
        ("a.gif", write_animation),
        ("grey.jpg", write_grey),
        ("grey.png", write_grey),
        ("deep.png", write_16_bits),
        ("deep.tiff", write_16_bits),
        ("alpha.png", write_alpha),
        ("alpha.webp", write_alpha),
        ("palette.png", write_palette),
        ("cmyk.jpg", write_cmyk),
        ("cmyk.tiff", write_cmyk),
        ("deep/down/a.jpg", write_jpeg),
    ],
)
def test_every_format_comes_through(tmp_path, name, write):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    wanted = write(path)
    photos = open_photos(str(tmp_path))
    crops = batches(photos, config(steps=1, batch_size=1))
    assert not photos.skipped
    assert crops.shape == (1, 1, 32, 32, 3)
    assert crops.dtype == np.float32
    np.testing.assert_allclose(crops[0, 0], np.broadcast_to(wanted, (32, 32, 3)), atol=3)


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (900, 200), (200, 200), (60, 40)])
def test_aspect_is_never_squashed(tmp_path, size):
    """A disc stays a disc, and has the size that `photo_size` gives it."""
    y, x = np.mgrid[: size[1], : size[0]] + 0.5
    short = min(size)
    disc = np.hypot(x - size[0] / 2, y - size[1] / 2) < short / 4
    Image.fromarray(np.where(disc, 0, 255).astype(np.uint8)).save(tmp_path / "disc.png")
    crops = batches(open_photos(str(tmp_path)), config(steps=25, crop_size=60, photo_size=80))
    whole = 0
    for crop in crops.reshape(-1, 60, 60, 3):
        dark = crop[..., 0] < 128
        if dark.any() and not (dark[0] | dark[-1] | dark[:, 0] | dark[:, -1]).any():
            whole += 1
            height, width = dark.any(axis=1).sum(), dark.any(axis=0).sum()
            assert abs(height - 40) <= 2
            assert abs(width - 40) <= 2
    assert whole > 5


def test_crops_come_from_everywhere(tmp_path):
    ramp = np.linspace(0, 255, 120, dtype=np.uint8)
    Image.fromarray(
        np.stack([np.tile(ramp, (120, 1)), np.tile(ramp[:, None], (1, 120))], axis=-1).repeat(
            [1, 2], axis=-1
        )
    ).save(tmp_path / "ramps.png")
    crops = batches(open_photos(str(tmp_path)), config(steps=30, crop_size=32, photo_size=64))
    for channel in (0, 1):  # The one tells the place across, the other the place down.
        places = crops[..., channel].mean(axis=(2, 3)).ravel()
        assert places.min() < 85
        assert places.max() > 170
        assert 115 < places.mean() < 140


def test_both_flips_happen(tmp_path):
    half = np.zeros((64, 64, 3), np.uint8)
    half[:, 32:] = 255
    Image.fromarray(half).save(tmp_path / "half.png")
    crops = batches(open_photos(str(tmp_path)), config(steps=10, crop_size=40))[..., 0]
    flipped = crops[..., :10].mean(axis=(2, 3)) > 128
    assert 8 <= flipped.sum() <= 32
    assert (crops[..., -10:].mean(axis=(2, 3)) < 128).sum() == flipped.sum()


def test_nothing_is_upside_down(tmp_path):
    half = np.zeros((64, 64, 3), np.uint8)
    half[32:] = 255
    Image.fromarray(half).save(tmp_path / "ground.png")
    crops = batches(open_photos(str(tmp_path)), config(steps=4, crop_size=40))
    assert (crops[:, :, :10] < 128).all()
    assert (crops[:, :, -10:] > 128).all()


# --- The same step, the same crops ---------------------------------------------------------------


def test_a_step_depends_on_seed_and_number_alone(content):
    seed = 0  # One that could be taken for none.
    settings = config(steps=13)  # Of both kinds, over more than two epochs.
    whole = batches(open_photos(content, seed=seed), settings)
    assert len(whole) == 13
    for start in (1, 5, 12):
        tf.random.set_seed(start - 1)  # A state of the process, which must not count.
        photos = open_photos(content, seed=seed)
        np.testing.assert_array_equal(batches(photos, settings, start_step=start), whole[start:])


def test_nothing_is_tuned_that_would_sleep_on_at_the_end(content):
    """TensorFlow's tuner sleeps ever longer, and a finished run at times waited for it."""
    batches = open_photos(content).batches(config())
    assert not batches.options().autotune.enabled


def test_a_finished_run_has_no_batches_left(content):
    assert not list(open_photos(content).batches(config(), start_step=3))


def test_seeds_differ(content):
    one, other = (greys(batches(open_photos(content, seed=seed))) for seed in (1, 2))
    assert (one != other).any()


def test_every_photo_once_per_epoch(grey_folder):
    order = greys(batches(open_photos(str(grey_folder)), config(steps=18))).reshape(3, 24)
    for epoch in order:
        assert sorted(epoch) == list(range(24))
    assert len({tuple(epoch) for epoch in order}) == 3
    assert (order[0] != np.arange(24)).any()


def test_every_photo_once_per_epoch_of_tfds(tfds_name):
    order = greys(batches(open_photos(tfds_name), config(steps=10))).reshape(2, 20)
    for epoch in order:  # Another stands in for the broken one.
        assert set(epoch) == set(range(20)) - {13}
    assert (order[0] != order[1]).any()


@pytest.mark.parametrize(("workers", "replicas"), [(1, 4), (2, 2), (4, 1)])
def test_workers_share_out_what_one_would_have_seen(content, workers, replicas):
    photos = open_photos(content, seed=3)
    alone = batches(photos, config(), start_step=1)
    parts = [
        batches(photos, config(), start_step=1, worker=w, workers=workers, replicas=replicas)
        for w in range(workers)
    ]
    size = 4 // workers // replicas
    assert {part.shape for part in parts} == {(2 * replicas, size, 32, 32, 3)}
    together = np.concatenate([part.reshape(2, -1, 32, 32, 3) for part in parts], axis=1)
    np.testing.assert_array_equal(together, alone)


# --- Photos that cannot be read ------------------------------------------------------------------


@pytest.fixture
def half_broken(tmp_path):
    """Four good photos, and five that no crop can be cut from."""
    for index in (3, 9, 15, 21):
        (tmp_path / f"good{index}.png").write_bytes(encoded(index))
    for name, data in BROKEN.items():
        (tmp_path / name).write_bytes(data)
    Image.fromarray(draw_photo(1)).save(tmp_path / "cut.jpg")
    whole = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (200, 15)).save(tmp_path / "tiny.png")
    (tmp_path / "notes.txt").write_text("not even named like a picture")
    return tmp_path


def test_broken_photos_are_skipped_and_named(half_broken):
    photos = open_photos(str(half_broken))
    assert len(photos) == 9
    seen = greys(batches(photos, config(steps=9)))
    assert set(seen.ravel()) == {3, 9, 15, 21}
    assert set(photos.skipped) == {*BROKEN, "cut.jpg", "tiny.png"}
    for name, reason in photos.skipped.items():
        assert name in reason
        assert "\n" not in reason
    assert "too small" in photos.skipped["tiny.png"]


def test_what_replaces_broken_photos_is_the_same_again(half_broken):
    settings = config(steps=9)
    whole = batches(open_photos(str(half_broken)), settings)
    again = batches(open_photos(str(half_broken)), settings, start_step=4)
    np.testing.assert_array_equal(again, whole[4:])


def test_broken_photos_of_tfds_are_named_once(tfds_name):
    photos = open_photos(tfds_name)
    batches(photos, config(steps=20))  # Four epochs, one broken photo.
    assert list(photos.skipped) == ["photo 13"]


def test_all_broken(tmp_path):
    for name, data in BROKEN.items():
        (tmp_path / name).write_bytes(data)
    photos = open_photos(str(tmp_path))
    photos.raise_failure()  # Nothing yet.
    with pytest.raises(tf.errors.OpError):
        batches(photos)
    with pytest.raises(UserError, match=r"of 3 photos in .* none can be read") as caught:
        photos.raise_failure()
    assert str(tmp_path) in str(caught.value)


def test_a_photo_removed_during_the_run_is_skipped(tmp_path):
    for index in (3, 9):
        (tmp_path / f"{index}.png").write_bytes(encoded(index))
    photos = open_photos(str(tmp_path))
    (tmp_path / "3.png").unlink()
    assert set(greys(batches(photos)).ravel()) == {9}
    assert list(photos.skipped) == ["3.png"]


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()])
def test_no_photos(tmp_path, make):
    make(tmp_path / "photos")
    with pytest.raises(UserError, match=r"^content.*photos"):
        open_photos(str(tmp_path / "photos"))


def test_photos_of_unusual_names_are_trained_on_and_other_files_told(tmp_path):
    for index, name in ((3, "a.jfif"), (9, "b.jpe"), (15, "c.mpo"), (21, "photo")):
        (tmp_path / name).write_bytes(encoded(index, "JPEG"))
    (tmp_path / "notes.txt").write_text("no photo")
    photos = open_photos(str(tmp_path))
    assert set(greys(batches(photos)).ravel()) == {3, 9, 15, 21}
    assert photos.notes == [f"--content: {tmp_path}: 1 file is no picture, left out: notes.txt"]
    assert not photos.skipped


def test_photos_of_the_runs_own_folder_are_not_trained_on(tmp_path):
    for name in ("a.png", "checkpoints/x/previews/photos.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw_photo(1)).save(tmp_path / name)
    photos = open_photos(str(tmp_path), without=[tmp_path / "checkpoints"])
    assert [photo.name for photo in photos] == ["a.png"]


def test_no_photos_but_other_files(tmp_path):
    (tmp_path / "notes.txt").write_text("no photo")
    with pytest.raises(UserError, match=r"holds no photos \(left out: notes\.txt\)"):
        open_photos(str(tmp_path))


# --- Photos kept out -----------------------------------------------------------------------------


@pytest.mark.parametrize(("holdout", "kept"), [(0, 0), (1, 1), (2, 2), (32, 2)])
def test_held_out_photos_are_never_trained_on(content, holdout, kept):
    photos = open_photos(content, holdout=holdout)
    assert len(photos.held_out) == kept  # At most a tenth.
    assert len(photos) + kept == len(open_photos(content))
    out, rest = ({photo.name for photo in group} for group in (photos.held_out, photos))
    assert len(rest) == len(photos)
    assert not out & rest
    levels = {int(name.removeprefix("photo ").removesuffix(".png")) for name in out}
    seen = set(greys(batches(photos, config(steps=7))).ravel())  # More than one epoch.
    assert not seen & levels
    assert len(seen) >= len(photos) - 1


def test_held_out_photos_are_the_same_for_every_seed(content):
    kept = [[p.name for p in open_photos(content, holdout=2, seed=s).held_out] for s in (1, 2, 3)]
    assert kept[0] == kept[1] == kept[2]


def test_held_out_photos_keep_their_order_as_the_folder_grows(tmp_path):
    for index in range(20):
        (tmp_path / f"{index}.png").write_bytes(encoded(index))
    before = {photo.name for photo in open_photos(str(tmp_path), holdout=2).held_out}
    for index in range(20, 200):
        (tmp_path / f"{index}.png").write_bytes(encoded(3))
    after = {photo.name for photo in open_photos(str(tmp_path), holdout=20).held_out}
    assert len(after) == 20
    old = {name for name in after if int(name.removesuffix(".png")) < 20}
    assert old <= before or before <= old  # None takes another's place but a newcomer.


def test_few_photos_are_all_trained_on(tmp_path):
    for index in range(9):
        (tmp_path / f"{index}.png").write_bytes(encoded(index))
    assert open_photos(str(tmp_path), holdout=32).held_out == []


# --- Whole pictures ------------------------------------------------------------------------------


def test_pictures_are_whole_and_skip_the_broken(content, half_broken):
    photos = open_photos(content)
    name, picture = next(photos.pictures(photos, long_side=100))
    assert name
    assert picture.dtype == np.float32
    assert max(picture.shape[:2]) == 100
    broken = open_photos(str(half_broken))
    found = [name for name, _ in broken.pictures(broken, long_side=32)]
    assert {f"good{index}.png" for index in (3, 9, 15, 21)} <= set(found)
    assert not {*BROKEN, "cut.jpg"} & set(found)
    assert {*BROKEN, "cut.jpg"} <= set(broken.skipped)


def test_pictures_leave_out_what_is_too_thin_for_the_networks(tmp_path):
    Image.new("RGB", (600, 18)).save(tmp_path / "line.png")
    Image.fromarray(draw_photo(1)).save(tmp_path / "photo.png")
    photos = open_photos(str(tmp_path))
    assert len(list(photos.pictures(photos, long_side=600))) == 2
    assert [name for name, _ in photos.pictures(photos, long_side=512)] == ["photo.png"]
    assert photos.skipped["line.png"] == (
        "line.png: is too thin: scaled down, it has 512x15 px, and 16 are needed"
    )


def test_tfds_photos_are_those_of_the_data_set(tfds_name):
    photos = list(open_photos(tfds_name))
    assert [photo.name for photo in photos] == [f"photo {index}" for index in range(20)]
    assert photos[4].read() == encoded(4)
    assert photos[13].read() == b"no picture"


# --- TensorFlow Datasets -------------------------------------------------------------------------


def test_tfds_split(tfds_name):
    assert len(open_photos(f"{tfds_name}:few")) == 6
    assert len(open_photos(f"{tfds_name}:train[:50%]")) == 10


@pytest.mark.parametrize(
    ("ending", "words"), [("_nope", "knows no"), (":nope", "nope"), (":few[50%", "few")]
)
def test_tfds_that_is_not_there(tfds_name, ending, words):
    started = time.monotonic()
    with pytest.raises(UserError, match=r"^content: ") as caught:
        open_photos(tfds_name + ending)
    assert time.monotonic() - started < 20
    line = str(caught.value)
    assert words in line
    assert "\n" not in line


def test_tfds_without_images(tmp_path):
    import tensorflow_datasets as tfds

    tfds.dataset_builders.store_as_tfds_dataset(
        "fst_numbers",
        version="1.0.0",
        features=tfds.features.FeaturesDict({"label": np.int64}),
        split_datasets={"train": [(0, {"label": 1})]},
        data_dir=tmp_path,
    )
    tfds.core.add_data_dir(tmp_path)
    with pytest.raises(UserError, match="holds no images"):
        open_photos("tfds:fst_numbers")


def store(folder, name, features, example):
    """Makes a TFDS data set of twelve times the same example; gives its `--content`."""
    import tensorflow_datasets as tfds

    tfds.dataset_builders.store_as_tfds_dataset(
        name,
        version="1.0.0",
        features=tfds.features.FeaturesDict(features),
        split_datasets={"train": [(index, example) for index in range(12)]},
        data_dir=folder,
    )
    tfds.core.add_data_dir(folder)
    return f"tfds:{name}"


def test_tfds_of_floats_is_refused(tmp_path):
    import tensorflow_datasets as tfds

    depth = tfds.features.Image(shape=(None, None, 1), dtype=np.float32)
    picture = np.random.default_rng(1).random((40, 50, 1), np.float32)
    content = store(tmp_path, "fst_depths", {"image": depth}, {"image": picture})
    with pytest.raises(UserError, match=r"holds no photos but 'image' of float32; name a data set"):
        open_photos(content)


def test_tfds_of_floats_and_photos_gives_the_photos(tmp_path):
    import tensorflow_datasets as tfds

    depth = tfds.features.Image(shape=(None, None, 1), dtype=np.float32)
    features = {"image": depth, "photo": tfds.features.Image(encoding_format="png")}
    floats = np.random.default_rng(1).random((40, 50, 1), np.float32)
    example = {"image": floats, "photo": np.full((40, 50, 3), 72, np.uint8)}
    photos = open_photos(store(tmp_path, "fst_rooms", features, example))
    assert set(greys(batches(photos)).ravel()) == {9}
    ((_, picture),) = itertools.islice(photos.pictures(photos, 50), 1)
    assert (picture == 72).all()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_tfds_of_16_bits(tmp_path, channels):
    import tensorflow_datasets as tfds

    deep = tfds.features.Image(shape=(None, None, channels), dtype=np.uint16, encoding_format="png")
    picture = np.full((40, 50, channels), 100 * 257, np.uint16)
    picture[..., 3:] = 65535
    content = store(tmp_path, f"fst_deep{channels}", {"image": deep}, {"image": picture})
    np.testing.assert_allclose(batches(open_photos(content)), 100, atol=1)


def test_photos_are_found_as_the_folder_lists_them(photos):
    names = [photo.name for photo in open_photos(str(photos))]
    assert names == [path.name for path in find_images(photos)]
    assert all(photo.read() for photo in itertools.islice(open_photos(str(photos)), 2))
