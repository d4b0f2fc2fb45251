"""The web page: its rooms by themselves, and all of it in a real browser."""

import concurrent.futures
import dataclasses
import io
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import psutil
import pytest
from PIL import Image

pytest.importorskip("streamlit", reason="the page needs streamlit")

import fst
from fst import checkpoint, collection
from fst.config import Look, TrainingConfig
from fst.console import cli
from fst.errors import UserError
from fst.media import images
from fst.page import runs, slider, studio, thumbnails, uploads, weights
from fst.page.words import plain
from fst.stylize import look
from tests.conftest import ROOT, draw_photo, wait_for
from tests.ports import free_ports
from tests.tiny import tiny_options

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE = 240_000  # milliseconds; ten pages that load at once take half a minute of two cores


def jpeg(seed=1, height=80, width=96, **options):
    buffer = io.BytesIO()
    Image.fromarray(draw_photo(seed, height, width)).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def bomb(side=14200):
    """A PNG of 200 million pixels in a few kilobytes, without most of its data."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(2**20))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'


@pytest.fixture
def page_styles(styles, monkeypatch):
    monkeypatch.setenv("FST_PAGE_CHECKPOINTS", str(styles))
    return styles


@pytest.fixture
def sand(page_styles):
    return collection.find("sand", page_styles)


@pytest.fixture
def page_gallery(gallery, monkeypatch):
    monkeypatch.setenv("FST_PAGE_CHECKPOINTS", str(gallery))
    return gallery


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"just some text", "not an image"),
        (SVG, "not an image"),
        (b"\0\0\0\x18ftypheic" + bytes(99), "not an image"),
        (b"", "is empty"),
        (bomb(), "202 million pixels"),
        (jpeg()[:-900], "damaged"),
    ],
    ids=["text", "svg", "heic", "empty", "bomb", "cut off"],
)
def test_bad_uploads_are_refused_in_words(data, words):
    before = psutil.Process().memory_info().rss
    with pytest.raises(UserError, match=words):
        uploads.open_upload("holiday.jpg", data)
    assert psutil.Process().memory_info().rss - before < 200e6  # A decoded bomb takes 600 MB.


def test_an_upload_is_upright_and_its_preview_small():
    exif = Image.Exif()
    exif[0x0112] = 6
    upload = uploads.open_upload("a.jpg", jpeg(height=600, width=1200, exif=exif))
    assert upload.size == (600, 1200)
    assert upload.preview.shape == (uploads.PREVIEW, uploads.PREVIEW // 2, 3)


def test_full_size_is_upright_and_without_private_metadata(sand):
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[271] = "Camera"
    exif[0x8825] = {1: "N", 2: (48.0, 8.0, 0.0)}
    exif[0x013C] = "someone's computer"
    upload = uploads.open_upload("a.jpg", jpeg(height=60, width=90, exif=exif))
    data, _ = studio.full_size(upload, sand, Look(), "JPEG")
    result = Image.open(io.BytesIO(data))
    assert result.size == (60, 90)
    kept = result.getexif()
    assert kept[271] == "Camera"
    assert not kept.get_ifd(0x8825)
    assert not {0x0112, 0x013C} & set(kept)


def test_a_smaller_file_can_be_asked_for_and_keeps_its_transparency(sand):
    buffer = io.BytesIO()
    Image.fromarray(draw_photo(4, 60, 90)).convert("RGBA").save(buffer, "PNG")
    upload = uploads.open_upload("a.png", buffer.getvalue())
    data, small = studio.full_size(upload, sand, Look(), "PNG", max_side=45)
    result = Image.open(io.BytesIO(data))
    assert (result.size, result.mode) == ((45, 30), "RGBA")
    np.testing.assert_array_equal(small, np.asarray(result)[..., :3])


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_what_shines_through_a_photo_does_so_as_much_in_the_file(sand, kind):
    pixels = np.zeros((48, 64, 4), np.uint8)
    pixels[..., 3] = 77  # A black shadow, of 30 %.
    pixels[:8, :, :3], pixels[:8, :, 3] = 40, 0
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    upload = uploads.open_upload("a.png", buffer.getvalue())
    data, small = studio.full_size(upload, sand, Look(strength=0.0), kind)
    shown = Image.open(io.BytesIO(data))
    if kind == "PNG":
        shown = Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown)
    for picture in (np.asarray(shown.convert("RGB")), small, upload.preview):
        np.testing.assert_allclose(picture[16:], 178, atol=2)
        np.testing.assert_allclose(picture[:4], 255, atol=2)


def test_what_a_jpeg_cannot_hold_is_told_before_it_is_painted(tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (65_501, 20)).save(buffer, "PNG")
    upload = uploads.open_upload("a.png", buffer.getvalue())
    gone = checkpoint.Checkpoint(tmp_path / "gone")  # No style to paint with: that would be told.
    with pytest.raises(UserError, match="choose PNG"):
        studio.full_size(upload, gone, Look(), "JPEG")


@pytest.fixture
def bare(monkeypatch):
    """Lets pages be drawn without what takes Streamlit far longer than the drawing.

    Each time it looks through all installed packages for components.
    """
    from streamlit.components.v2 import manifest_scanner

    monkeypatch.setattr(manifest_scanner, "scan_component_manifests", lambda *_: [])


def training_page():
    from fst.page import train_view

    train_view.show({})


@pytest.fixture
def learning(gallery, bare, monkeypatch, tmp_path):
    """Draws the page on which styles are learnt; in its folder of styles is a gallery."""
    from streamlit.testing.v1 import AppTest

    monkeypatch.setenv("FST_PAGE_CHECKPOINTS", str(gallery))
    monkeypatch.setenv("FST_PAGE_RUNS", str(tmp_path / "runs"))
    return lambda: AppTest.from_function(training_page).run(timeout=60)


def give_picture(page, name="My Stripes.png", data=None):
    (uploader,) = page.get("file_uploader")
    return uploader.upload(name, data or jpeg(), "image/png").run(timeout=60)


def button(page, label):
    (found,) = [each for each in page.button if each.label == label]
    return found


@pytest.fixture
def started(monkeypatch):
    """What the page has started, in place of the trainings: names, pictures and options."""
    starts = []
    monkeypatch.delenv("FST_VGG19_WEIGHTS", raising=False)
    monkeypatch.setattr(
        runs.Runs,
        "start",
        lambda _, name, picture, **options: starts.append((name, picture, options)),
    )
    return starts


def test_a_picture_and_a_button_are_all_it_takes(learning, started):
    page = learning()
    assert button(page, "Learn this style").disabled
    page = give_picture(page)
    button(page, "Learn this style").click().run(timeout=60)
    ((name, picture, options),) = started
    assert (name, picture) == ("", ("My Stripes.png", jpeg()))
    assert options == {
        "content": "",
        "preset": "instant",
        "start_from": "gallery",
        "width": 4,
        "style_weight": 8.0,
        "style_size": 768,
        "preview_every": 32,
    }


def choose(page, label, words):
    """Takes the option of a select box that is shown as `words`."""
    (box,) = [each for each in page.selectbox if each.label == label]
    box.select(words).run(timeout=60)


@pytest.mark.parametrize(
    ("words", "start"),
    [
        ("gallery: its nearest style", {"start_from": "gallery", "width": 4}),
        ("dusk", {"start_from": "dusk", "width": 4}),
        ("gallery/moss", {"start_from": "gallery/moss", "width": 4}),
        ("random weights", {"start_from": "none"}),
    ],
)
def test_what_is_started_from_can_be_chosen(learning, started, words, start):
    page = give_picture(learning())
    choose(page, "Start from", words)
    button(page, "Learn this style").click().run(timeout=60)
    ((_, _, options),) = started
    assert {key: options[key] for key in ("start_from", "width") if key in options} == start


def test_where_there_is_no_gallery_the_shipped_one_does(learning, started, styles, monkeypatch):
    monkeypatch.setenv("FST_PAGE_CHECKPOINTS", str(styles))
    monkeypatch.chdir(ROOT)
    button(give_picture(learning()), "Learn this style").click().run(timeout=60)
    ((_, _, options),) = started
    assert (options["start_from"], options["width"]) == ("gallery", 32)


@pytest.mark.parametrize(
    ("preset", "every"), [("instant", 32), ("draft", 60), ("standard", 250), ("fine", 1000)]
)
def test_previews_come_as_often_as_the_training_is_long(learning, started, preset, every):
    page = give_picture(learning())
    (box,) = [each for each in page.selectbox if each.label == "Preset"]
    (words,) = [words for words in box.options if words.startswith(f"{preset}:")]
    choose(page, "Preset", words)
    button(page, "Learn this style").click().run(timeout=60)
    ((_, _, options),) = started
    assert (options["preset"], options["preview_every"]) == (preset, every)


def test_a_picture_that_is_none_is_refused_at_once(learning):
    page = give_picture(learning(), data=b"just some text")
    assert "is not an image" in page.error[0].value
    assert button(page, "Learn this style").disabled


def test_the_owner_can_name_the_photos_to_train_on(learning, started, photos, monkeypatch):
    labels = [box.label for box in learning().text_input]
    assert any("Folder of photos" in label for label in labels)
    monkeypatch.setenv("FST_PAGE_PHOTOS", str(photos))
    page = learning()
    assert [box.label for box in page.text_input] == ["Name of the style"]
    button(give_picture(page), "Learn this style").click().run(timeout=60)
    assert started[0][2]["content"] == str(photos)


def test_where_the_owners_folder_is_empty_the_sample_photos_do(
    learning, started, monkeypatch, tmp_path
):
    monkeypatch.setenv("FST_PAGE_PHOTOS", str(tmp_path))
    button(give_picture(learning()), "Learn this style").click().run(timeout=60)
    assert started[0][2]["content"] == ""


# A training that does nothing, and writes down when it is asked to stop.
IDLE = """
import signal, sys, time

def write(text):
    with open(sys.argv[1], "a") as file:
        file.write(text)

signal.signal(signal.SIGTERM, lambda *_: write("stop"))
write("started ")
time.sleep(600)
"""


@pytest.fixture
def idle_run(tmp_path):
    """The page's current training, of the style `mine`: its process, and what it writes down."""
    notes = tmp_path / "notes"
    command = [sys.executable, "-c", IDLE, str(notes)]
    process = subprocess.Popen(command)
    run = runs.Run("mine", 100, command, process.pid)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / ".current.json").write_text(json.dumps(dataclasses.asdict(run)))
    wait_for(notes.exists)
    yield process, notes
    process.kill()
    process.wait()


def headings(page):
    return [each.value for each in page.subheader]


def test_a_result_stands_first_for_who_saw_it_come(
    learning, idle_run, gallery, monkeypatch, tmp_path
):
    shutil.copytree(gallery / "sand", tmp_path / "styles" / "mine")
    monkeypatch.setenv("FST_PAGE_CHECKPOINTS", str(tmp_path / "styles"))
    page = learning()
    assert not page.get("file_uploader")  # One at a time.
    process, _ = idle_run
    process.kill()
    process.wait()
    page.run(timeout=60)
    assert headings(page)[:2] == ["mine", "Another picture"]
    labels = [each.label for each in page.button]
    assert labels == ["Stylise a photo with it", "Learn this style"]
    labels = [each.label for each in learning().button]  # of another visitor
    assert labels == ["Learn this style", "Stylise a photo with it"]


def test_stop_is_offered_once_and_says_what_it_does(learning, idle_run):
    _, notes = idle_run
    page = learning()
    assert not page.info
    page.button[0].click().run(timeout=60)
    assert "It stops after the current step" in page.info[0].value
    page.run(timeout=60)  # as every few seconds
    assert not page.button
    assert "It stops after the current step" in page.info[0].value
    wait_for(lambda: notes.read_text() == "started stop")


def test_a_large_picture_is_made_in_strips_and_tells_how_far_it_is(sand, monkeypatch):
    upload = uploads.open_upload("a.png", jpeg())
    _, whole = studio.full_size(upload, sand, Look(), "PNG")
    monkeypatch.setattr(studio, "_WHOLE_BYTES", 0)
    shares = []

    def tell(words, share=0.0):
        shares.append(share)

    _, in_strips = studio.full_size(upload, sand, Look(), "PNG", tell=tell)
    assert len(set(shares)) > 10
    assert shares == sorted(shares)
    assert np.abs(whole.astype(int) - in_strips).max() <= 2


def test_previews_go_on_beside_a_full_picture(sand):
    upload, seen = uploads.open_upload("a.jpg", jpeg()), []
    with concurrent.futures.ThreadPoolExecutor(1) as pool:

        def tell(words, share=0.0):
            seen.append(pool.submit(studio.stylise, sand, upload.preview).result(timeout=300))

        studio.full_size(upload, sand, Look(), "JPEG", tell=tell)
    assert len(seen) > 1


def test_who_leaves_frees_the_turn_for_the_next(sand):
    upload = uploads.open_upload("a.jpg", jpeg())

    def leave(words, share=0.0):
        raise KeyboardInterrupt  # As Streamlit's own, no Exception.

    with pytest.raises(KeyboardInterrupt):
        studio.full_size(upload, sand, Look(), "JPEG", tell=leave)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        work = pool.submit(studio.full_size, upload, sand, Look(), "JPEG")
        assert work.result(timeout=300)


def test_look_changes_the_picture_as_asked(sand):
    photo = draw_photo(3)
    stylised = studio.stylise(sand, photo)
    assert not np.array_equal(stylised, photo)
    none = look.dress(photo, stylised, Look(strength=0))
    np.testing.assert_array_equal(none, photo)
    grey = look.dress(photo, stylised, Look(saturation=0))
    assert np.ptp(grey, axis=-1).max() == 0


def test_strokes_that_would_take_too_large_a_picture_are_refused(sand):
    huge = np.broadcast_to(np.zeros(3, np.uint8), (4000, 5000, 3))
    with pytest.raises(UserError, match="coarser strokes"):
        studio.stylise(sand, huge, scale=2.0)


def test_ten_at_once_are_all_answered_one_network_call_at_a_time(sand, monkeypatch):
    busy, most = [], []

    def slow(image):
        busy.append(1)
        most.append(len(busy))
        time.sleep(0.01)
        busy.pop()
        return image

    monkeypatch.setattr(studio, "_model", lambda *_: slow)
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        photos = [draw_photo(seed) for seed in range(10)]
        results = list(pool.map(lambda photo: studio.stylise(sand, photo), photos))
    for photo, result in zip(photos, results, strict=True):
        np.testing.assert_array_equal(photo, result)
    assert len(most) == 10
    assert max(most) == 1


def test_styles_of_a_gallery_and_their_blends(page_gallery):
    found = studio.styles()
    assert list(found) == ["dusk", "gallery/moss", "moss", "reef", "sand"]
    assert studio.partners("dusk", found) == ["gallery/moss", "reef"]
    assert studio.partners("sand", found) == []
    photo, dusk, reef = draw_photo(3), found["dusk"], found["reef"]
    blend = studio.blend(dusk, reef, 0.25)
    assert blend == collection.find("dusk=0.75,reef=0.25", page_gallery)
    assert studio.blend(dusk, reef, 0) == dusk
    for style, wanted in ((dusk, "dusk"), (blend, {"dusk": 3, "reef": 1}), (found["sand"], "sand")):
        expected = fst.load(wanted, page_gallery)(photo).astype(int)
        assert np.abs(studio.stylise(style, photo) - expected).max() <= 1


def test_thumbnails_are_painted_once_for_each_photo_and_style(page_gallery):
    upload = uploads.open_upload("a.jpg", jpeg(21, 300, 200))
    dusk, reef = (collection.find(name, page_gallery) for name in ("dusk", "reef"))
    assert thumbnails.kept(upload, dusk) is None
    data = thumbnails.paint(upload, dusk)
    small = np.asarray(Image.open(io.BytesIO(data)))
    assert small.shape == (thumbnails.SIDE, thumbnails.SIDE, 3)
    wanted = studio.stylise(dusk, thumbnails.square(upload)).astype(int)
    assert np.abs(small - wanted).mean() < 8  # What JPEG loses of a picture so rough.
    # The middle of the photo.
    whole = images.resize(upload.preview[50:250], thumbnails.SIDE, thumbnails.SIDE)
    np.testing.assert_array_equal(thumbnails.square(upload), whole)
    assert thumbnails.kept(upload, dusk) is thumbnails.paint(upload, dusk) is data
    assert thumbnails.kept(upload, reef) is None
    assert thumbnails.kept(uploads.open_upload("b.jpg", jpeg(22)), dusk) is None


def test_thumbnails_of_a_style_that_is_trained_anew_are_painted_again(page_gallery, tmp_path):
    upload = uploads.open_upload("a.jpg", jpeg(23))
    shutil.copytree(page_gallery / "sand", tmp_path / "sand")
    style = collection.find("sand", tmp_path)
    before = thumbnails.paint(upload, style)
    shutil.copy(page_gallery / "moss" / "network.weights.h5", tmp_path / "sand")
    assert thumbnails.kept(upload, style) is None
    assert thumbnails.paint(upload, style) != before


def test_thumbnails_that_are_kept_have_a_limit(page_gallery, monkeypatch):
    monkeypatch.setattr(thumbnails, "_MOST", 2)
    style = collection.find("dusk", page_gallery)
    given = [uploads.open_upload("a.jpg", jpeg(seed)) for seed in (31, 32, 33)]
    for upload in given:
        thumbnails.paint(upload, style)
    assert [thumbnails.kept(upload, style) is None for upload in given] == [True, False, False]


def stylise_page():
    from fst.page import stylise_view

    stylise_view.show({})


def test_every_style_is_shown_and_a_damaged_one_is_told_in_its_place(
    gallery, bare, monkeypatch, tmp_path
):
    from streamlit.testing.v1 import AppTest

    for name in ("gallery", "sand"):
        shutil.copytree(gallery / name, tmp_path / name)
    (tmp_path / "sand" / "network.weights.h5").write_bytes(b"no weights")
    monkeypatch.setenv("FST_PAGE_CHECKPOINTS", str(tmp_path))
    page = AppTest.from_function(stylise_page).run(timeout=300)
    labels = [button.label for button in page.button]
    assert labels[:4] == ["dusk", "moss", "reef", "sand"]
    assert len(page.get("image")) == 3
    (error,) = page.error
    assert "cannot be loaded" in error.value
    (blend,) = [box for box in page.selectbox if box.label == "Blend with"]
    assert blend.options == ["nothing", "moss", "reef"]
    assert not [slider for slider in page.slider if slider.label.startswith("Share")]
    page = blend.select("reef").run(timeout=300)
    (share,) = [slider for slider in page.slider if slider.label == "Share of reef"]
    assert share.value == 0.5
    assert len(page.error) == 1


def test_transparency_is_kept_in_a_png_and_white_in_a_jpeg():
    rgb, alpha = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)
    png = Image.open(io.BytesIO(images.encode(rgb, "PNG", alpha)))
    assert png.mode == "RGBA"
    white = Image.open(io.BytesIO(images.encode(rgb, "JPEG", alpha)))
    assert np.asarray(white).min() > 250


def test_the_slider_loads_nothing_from_elsewhere():
    assert "http" not in slider.HTML + slider.CSS + slider.JS
    assert slider.inline(draw_photo(1)).startswith("data:image/jpeg;base64,")


def test_words_of_visitors_are_no_markdown():
    assert plain("[a](http://b) <i>\n*c*") == r"\[a\]\(http\://b\) \<i\> \*c\*"
    assert plain("1. monet&co") == r"1\. monet\&co"  # no list, and no character by its number


def test_missing_vgg_weights_are_told_in_words(tmp_path, monkeypatch):
    monkeypatch.setenv("FST_VGG19_WEIGHTS", str(tmp_path / "none.h5"))
    with pytest.raises(UserError, match=r"not on this machine.*none.h5"):
        weights.check_vgg19()
    (tmp_path / "none.h5").touch()
    weights.check_vgg19()
    monkeypatch.delenv("FST_VGG19_WEIGHTS")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    weights.check_vgg19()


@pytest.mark.slow
def test_a_training_runs_alone_stops_and_goes_on(tmp_path, photos, style, vgg_file):
    first = ("relu1_1",)  # The graphs of deeper layers take long to build.
    layers = {"content_layers": first, "style_layers": first}
    options = tiny_options(photos, style, vgg_file, "", steps=2000, save_every=5, **layers)
    for name in ("style", "output", "name"):
        del options[name]
    trainings = runs.Runs(tmp_path / "runs", tmp_path / "styles")
    picture = ("stripes.png", style.read_bytes())
    name = "current.json"  # What the page keeps beside a training's folder must not be in its way.
    run = trainings.start(name, picture, **options)
    process = psutil.Process(run.pid)
    try:
        assert os.getsid(run.pid) == run.pid  # It outlives the server's session.
        with pytest.raises(UserError, match=r"'current\.json' is being trained"):
            trainings.start("other", picture, **options)
        state = tmp_path / "styles" / name / "training" / "state.npz"
        wait_for(lambda: state.exists() or not run.running())
        assert state.exists(), trainings.log_tail(run)
        again = runs.Runs(tmp_path / "runs", tmp_path / "styles")  # as after a reload
        assert again.current() == run
        again.stop()
        wait_for(lambda: not run.running())
        assert not again.finished(run)
        resumed = again.resume()
        process = psutil.Process(resumed.pid)
        assert resumed.command == run.command
        wait_for(lambda: "going on after step" in again.log_tail(run) or not resumed.running())
        assert "going on after step" in again.log_tail(run)
    finally:
        if process.is_running():
            process.kill()


def test_a_training_counts_as_running_from_its_start(tmp_path, photos, style, monkeypatch):
    # Linux shows a new process without its command line for a moment, and mostly too short to see.
    shown = psutil.Process.cmdline
    hidden = iter([True] * 20)

    def late(process):
        return [] if next(hidden, False) else shown(process)

    monkeypatch.setattr(psutil.Process, "cmdline", late)
    trainings = runs.Runs(tmp_path / "runs", tmp_path / "styles")
    picture = ("stripes.png", style.read_bytes())
    run = trainings.start("mine", picture, content=str(photos))
    try:
        assert run.running()
    finally:
        os.kill(run.pid, signal.SIGKILL)


@pytest.mark.parametrize("name", ["../up", "a b", ".hidden", "x" * 61])
def test_names_that_lead_elsewhere_are_refused(tmp_path, photos, style, name):
    trainings = runs.Runs(tmp_path / "runs", tmp_path / "styles")
    with pytest.raises(UserError, match="the name may hold"):
        trainings.start(name, ("a.png", style.read_bytes()), content=str(photos))
    assert not list(tmp_path.iterdir())


@pytest.fixture
def launched(monkeypatch):
    """The `Run`s that would have been launched, none of which is."""
    found = []

    def launch(_, run):
        found.append(run)
        return run

    monkeypatch.setattr(runs.Runs, "_launch", launch)
    return found


def test_the_command_of_a_picture_alone_is_the_shortest(tmp_path, style, launched):
    trainings = runs.Runs(tmp_path / "runs", tmp_path / "styles")
    run = trainings.start("", ("My Stripes.png", style.read_bytes()))
    picture = tmp_path / "runs" / "my_stripes" / "style.png"
    assert picture.read_bytes() == style.read_bytes()
    assert trainings.picture(run) == picture
    config = cli.parse(TrainingConfig, "train.py", run.command[4:])
    assert (config.style, config.name) == ((str(picture),), "my_stripes")
    assert (config.preset, config.content) == ("instant", "")
    assert len(config.preview) == 2
    assert all(os.path.isfile(photo) for photo in config.preview)
    assert (run.steps, run.batch_size) == (config.steps, config.batch_size)


def test_a_style_that_nobody_named_gets_a_name_that_is_free(tmp_path, gallery, style, launched):
    shutil.copytree(gallery, tmp_path / "styles")
    (tmp_path / "styles" / "dusk-2").mkdir()
    trainings = runs.Runs(tmp_path / "runs", tmp_path / "styles")
    for file, name in (
        ("sand.png", "sand-2"),  # a folder
        ("Dusk.png", "dusk-3"),  # a style of the gallery, and a folder
        ("gallery.png", "gallery-2"),
        ("new.png", "new"),
        ("x" * 99 + ".png", "x" * 60),
    ):
        assert trainings.start("", (file, style.read_bytes())).name == name
    (tmp_path / "styles" / ("x" * 60)).mkdir()
    assert trainings.start("", ("x" * 99, style.read_bytes())).name == "x" * 58 + "-2"
    with pytest.raises(UserError, match="'sand' exists already"):
        trainings.start("sand", ("a.png", style.read_bytes()))


def test_a_name_that_is_used_again_has_no_traces_of_before(tmp_path, style, launched):
    trainings = runs.Runs(tmp_path / "runs", tmp_path / "styles")
    run = trainings.start("mine", ("a.jpg", jpeg()))
    (tmp_path / "runs" / "mine" / "log.txt").write_text("error: of before\n")
    trainings.start("mine", ("a.png", style.read_bytes()))
    assert trainings.picture(run).name == "style.png"
    assert trainings.log_tail(run) == ""


def test_a_folder_of_photos_that_is_not_there_is_told(tmp_path, style, launched):
    trainings = runs.Runs(tmp_path / "runs", tmp_path / "styles")
    with pytest.raises(UserError, match="no such folder"):
        trainings.start("mine", ("a.png", style.read_bytes()), content=str(tmp_path / "none"))


def test_the_time_left_is_that_of_the_steps_without_the_first():
    run = runs.Run("mine", 100, [], 7, batch_size=2)
    rows = np.zeros((40, 6))
    rows[:, 0] = range(1, 41)
    rows[:, 5] = [0.01] + [4.0] * 39
    assert runs.seconds_left(rows, run) == pytest.approx(60 * 2 / 4)
    assert runs.seconds_left(rows[:1], run) is None
    assert runs.seconds_left(rows[:0], run) is None


def test_galleries_are_told_from_styles_and_damaged_ones_left_out(tmp_path, gallery):
    shutil.copytree(gallery, tmp_path / "styles")
    (tmp_path / "styles" / "broken").mkdir()
    (tmp_path / "styles" / "broken" / "style.json").write_text("{")
    os.utime(tmp_path / "styles" / "sand" / "style.json", (0, 0))
    assert list(runs.trained(tmp_path / "styles")) == ["moss", "sand"]
    assert runs.galleries(tmp_path / "styles") == ["gallery"]


def fails():
    from fst.page.words import told

    with told():
        raise ValueError("secret detail")


def test_what_is_unexpected_is_a_message_and_the_log_has_the_rest(bare, caplog):
    from streamlit.testing.v1 import AppTest

    page = AppTest.from_function(fails).run(timeout=60)
    assert not page.exception
    assert "went wrong" in page.error[0].value
    assert "secret" not in page.error[0].value
    assert "secret detail" in caplog.text


# --- In a browser --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(styles, gallery, vgg_file, tmp_path_factory):
    """The address of the page with two tiny styles and a gallery, and its process."""
    port = free_ports()
    folder = tmp_path_factory.mktemp("server")
    shutil.copytree(styles, folder / "styles")
    shutil.copytree(gallery / "gallery", folder / "styles" / "gallery")
    environment = {
        **os.environ,
        "FST_PAGE_CHECKPOINTS": str(folder / "styles"),
        "FST_PAGE_RUNS": str(folder / "runs"),
        "FST_VGG19_WEIGHTS": str(vgg_file),
    }
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless", "true"]
    command += ["--server.port", str(port), "--server.address", "127.0.0.1"]
    with open(folder / "log.txt", "wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        wait_for(lambda: _listens(port))
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait(30)
        training = runs.Runs(folder / "runs", folder / "styles").current()
        if training and training.running():  # It would outlive the tests.
            os.kill(training.pid, signal.SIGKILL)


def _listens(port):
    with socket.socket() as knock:
        return knock.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        options = ["--no-sandbox", "--disable-gpu"]
        yield started.chromium.launch(executable_path=CHROMIUM, args=options)


@pytest.fixture
def tab(browser, server):
    page = browser.new_page(viewport={"width": 390, "height": 900})
    page.set_default_timeout(PATIENCE)
    page.goto(server[0])
    yield page
    page.close()


def give(tab, name, data, mime="image/jpeg"):
    """Gives a photo, and waits until the page no longer shows its sample."""
    chooser = tab.locator("input[type=file]").first
    chooser.wait_for(state="attached")
    chooser.set_input_files({"name": name, "mimeType": mime, "buffer": data})
    tab.get_by_text("a sample photo to try").wait_for(state="detached")


def shown(tab, before=None):
    """The stylised preview that the slider shows, as its data address, once the page is at rest.

    With `before` another one than that: a page may be at rest when it has not yet begun.
    """
    rest = tab.locator("[data-test-script-state=notRunning]")
    after = tab.locator("#after[src]")
    found = []

    def changed():
        found[:] = [after.get_attribute("src")] if rest.count() and after.count() else []
        return found and found[0] != before

    wait_for(changed)
    return found[0]


def test_a_visitor_stylises_and_downloads(tab):
    tab.get_by_text("a sample photo to try").wait_for()
    sample = shown(tab)
    give(tab, "holiday.jpg", jpeg(height=700, width=900))
    whole = shown(tab, before=sample)
    knob = tab.get_by_role("slider", name="share of the photo")
    knob.press("ArrowRight")
    assert knob.input_value() == "51"
    tab.get_by_role("slider", name="Strength").press("ArrowLeft")
    shown(tab, before=whole)
    assert knob.input_value() == "51"  # It stays where it was put.
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    tab.get_by_role("button", name="Make the picture").click()
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Download JPEG").click()
    assert download.value.suggested_filename == "holiday_dusk.jpg"
    assert images.load_picture(str(download.value.path())).rgb.shape == (700, 900, 3)


def test_a_visitor_chooses_a_style_seen_on_their_photo_and_blends_it(tab):
    sample = shown(tab)
    thumbnail = tab.locator(".st-key-styles img")
    thumbnail.nth(4).wait_for()  # They come one after the other.
    assert thumbnail.count() == 5
    before = [thumbnail.nth(index).get_attribute("src") for index in range(5)]
    assert len(set(before)) == 5  # None is the photo itself, which all were at first.
    give(tab, "holiday.jpg", jpeg(7, height=300, width=400))
    first = shown(tab, before=sample)
    wait_for(lambda: thumbnail.first.get_attribute("src") not in before)
    tab.get_by_role("button", name="reef", exact=True).click()
    reef = shown(tab, before=first)
    tab.get_by_role("combobox", name="Blend with").click()
    tab.get_by_role("option", name="moss").click()
    half = shown(tab, before=reef)
    tab.get_by_role("slider", name="Share of moss").press("ArrowRight")
    shown(tab, before=half)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    tab.get_by_role("button", name="Make the picture").click()
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Download JPEG").click()
    assert download.value.suggested_filename == "holiday_moss_0.55_reef_0.45.jpg"
    tab.get_by_role("button", name="sand", exact=True).click()
    tab.get_by_text("Blend with").wait_for(state="detached")


def swipe(page, x, y, across=0, down=0):
    """Puts a finger on the page, moves it by so many px, and lifts it."""
    session = page.context.new_cdp_session(page)
    for step in range(9):
        kind = "touchMove" if step else "touchStart"
        point = {"x": x + across * step / 8, "y": y + down * step / 8}
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_the_knob_follows_mouse_and_finger_but_not_one_that_scrolls(browser, server):
    context = browser.new_context(viewport={"width": 390, "height": 700}, has_touch=True)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(server[0])
    shown(page)
    knob = page.get_by_role("slider", name="share of the photo")
    figure = page.locator("figure", has=knob)

    def at(share):
        figure.scroll_into_view_if_needed()  # Once it has come to rest.
        box = figure.bounding_box()
        return box["x"] + share * box["width"], box["y"] + box["height"] / 2

    page.mouse.move(*at(0.5))
    page.mouse.down()
    page.mouse.move(*at(0.3), steps=4)
    page.mouse.up()
    put = knob.input_value()
    assert abs(float(put) - 30) <= 1
    before = figure.bounding_box()["y"]
    swipe(page, *at(0.8), down=-150)
    wait_for(lambda: figure.bounding_box()["y"] < before - 50)  # The page has scrolled.
    assert knob.input_value() == put
    swipe(page, *at(0.8), across=-0.2 * figure.bounding_box()["width"])
    wait_for(lambda: abs(float(knob.input_value()) - 60) <= 1)
    page.touchscreen.tap(*at(0.1))
    wait_for(lambda: knob.input_value() == "10")
    knob.press("ArrowRight")
    assert knob.input_value() == "11"
    context.close()


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"just some text", "is not an image"), (bomb(), "202 million pixels")],
    ids=["text", "bomb"],
)
def test_a_bad_upload_is_answered_in_words(tab, data, words):
    sample = shown(tab)
    give(tab, "holiday.jpg", data)
    alert = tab.get_by_role("alert")
    alert.wait_for()
    assert words in alert.inner_text()
    assert "Traceback" not in tab.content()
    give(tab, "good.jpg", jpeg())  # and the page goes on working
    assert shown(tab, before=sample)


def test_what_the_uploader_itself_refuses_is_told_where_a_phone_shows_it(tab):
    chooser = tab.locator("input[type=file]").first
    chooser.wait_for(state="attached")
    chooser.set_input_files({"name": "a.svg", "mimeType": "image/svg+xml", "buffer": SVG})
    alert = tab.get_by_role("alert")
    alert.wait_for()
    # Streamlit's own is a pixel wide; the sheet that widens it may arrive after the uploader.
    wait_for(lambda: alert.bounding_box()["width"] > 100)


def learn(tab, name, **more):
    """Gives a picture, and what stands under "More", and begins; the page's own part of the tab."""
    tab.get_by_role("link", name="Learn a style of your own").click()
    page = tab.locator(".stMainBlockContainer")  # Streamlit's own "Stop" stands above it.
    begin = page.get_by_role("button", name="Learn this style")
    begin.wait_for()
    assert begin.is_disabled()
    picture = {"name": name, "mimeType": "image/jpeg", "buffer": jpeg()}
    page.locator("input[type=file]").first.set_input_files(picture)
    if more:
        page.get_by_text("More", exact=True).click()
    for label, value in more.items():
        box = page.locator(f'input[aria-label^="{label.replace("_", " ")}"]')
        box.fill(value)
        box.press("Enter")
    begin.click()  # Once the picture has arrived.
    return page


def test_a_picture_is_learnt_and_used_with_nothing_else_given(tab):
    page = learn(tab, "My Stripes.jpg", Steps="10")
    page.get_by_role("heading", name="my stripes").wait_for()
    page.get_by_text(re.compile(r"^after step \d+")).wait_for()
    use = page.get_by_role("button", name="Stylise a photo with it")
    use.wait_for()
    page.get_by_text("after step 10").wait_for()
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    use.click()
    chosen = page.get_by_role("button", name="my stripes")
    chosen.wait_for()
    assert chosen.get_attribute("data-testid").endswith("primary")


def test_a_training_begun_on_the_page_outlives_a_reload_stops_and_goes_on(tab, photos):
    page = learn(tab, "A wave.jpg", Folder_of_photos=str(photos), Steps="1000")
    title = page.get_by_role("heading", name="a wave")
    title.wait_for()
    tab.reload()
    title.wait_for()
    page.get_by_text(re.compile(r"^step \d+ of 1000")).wait_for()
    begin = page.get_by_role("button", name="Learn this style")
    assert begin.count() == 0  # One at a time.
    page.get_by_role("button", name="Stop").click()
    page.get_by_text(re.compile(r"Stopped at step \d+ of 1000")).wait_for()
    begin.wait_for()
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped at step").wait_for()
    assert "Traceback" not in tab.content()


def test_ten_visitors_at_once_are_all_answered(browser, server):
    context = browser.new_context()  # Its pages share what they have loaded, and no session.
    context.set_default_timeout(PATIENCE)
    pages = [context.new_page() for _ in range(10)]
    for page in pages:
        page.goto(server[0], wait_until="commit")
    sample = shown(pages[0])
    give(pages[0], "warm.jpg", jpeg(50))
    warm = shown(pages[0], before=sample)
    process = psutil.Process(server[1])
    before = process.memory_info().rss
    for seed, page in enumerate(pages):
        give(page, f"photo{seed}.jpg", jpeg(seed, 400, 512))
    pictures = {shown(page, before=warm if page is pages[0] else sample) for page in pages}
    grown = process.memory_info().rss - before
    context.close()
    assert len(pictures) == 10  # Each visitor sees their own.
    assert grown < 500e6


def test_the_command_has_the_settings_of_the_repository(monkeypatch):
    import tomllib

    from fst.page import command

    called = []

    def replaced(program, words):
        called.append(words)
        raise SystemExit(0)  # As of the process, which the server takes over.

    monkeypatch.setattr("os.execv", replaced)
    monkeypatch.setattr("sys.argv", ["fst page", "--server.port=9000"])
    with pytest.raises(SystemExit):
        command.main()
    settings = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    wanted = [f"--{name}={value}" for name, value in as_flags(settings)]
    assert called[0][-8:] == [*wanted, "--server.port=9000"]


def as_flags(settings, within=""):
    """Settings of Streamlit as its command line takes them, by names with dots."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from as_flags(value, f"{within}{name}.")
        else:
            yield within + name, value if isinstance(value, str) else json.dumps(value)
