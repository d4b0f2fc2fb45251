"""`python -m fst.gatys` as a user meets it: files, flags, mistakes, interruptions."""

import ast
import csv
import dataclasses
import inspect
import itertools
import os
import re
import signal
from pathlib import Path

import forks
import numpy as np
import pytest
from conftest import Result, draw_photo, files, pixels, run, run_here, wait_for
from PIL import Image

from fst.console import cli, quiet
from fst.errors import UserError, flag_of
from fst.gatys import command as gatys_command
from fst.gatys import options as gatys_options
from fst.gatys.optimizer import optimize
from fst.gatys.options import PRESETS, GatysConfig, GatysOptions
from fst.media import images
from fst.media.images import ImageError
from fst.options import words_of

pytestmark = pytest.mark.slow

# Shallow layers and small pictures: what the loss sees is beside the point here.
LIGHT = {
    "content_layers": ("relu1_2",),
    "style_layers": ("relu1_1",),
    "size": 64,
    "style_size": 64,
    "steps": 4,
}


@pytest.fixture
def stylise(kept_vgg, monkeypatch, capfd):
    """Runs `python -m fst.gatys ARGUMENTS...` in this process, which has TensorFlow already."""
    # Ignored, so that a stop which the command does not see ends no tests.
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def call(*arguments, **options):
        flags = words_of({**LIGHT, **options})
        return run_here(gatys_command.main, ["gatys", *arguments, *flags], monkeypatch, capfd)

    yield call
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def pictures(tmp_path):
    """A folder with `content.png`, `style.png` and `other.png`."""
    folder = tmp_path / "in"
    folder.mkdir()
    for seed, (name, size) in enumerate({"content": (48, 64), "style": (64, 48)}.items(), start=1):
        Image.fromarray(draw_photo(seed, *size)).save(folder / f"{name}.png")
    Image.fromarray(draw_photo(3, 40, 56)).save(folder / "other.png")
    return folder


def wanted(vgg, pictures, styles=("style",), **options):
    """What `optimize` makes of the same pictures."""
    styles = [pictures / f"{name}.png" for name in styles]
    options = GatysOptions(**{**LIGHT, **options})
    return optimize(pictures / "content.png", styles, options, features=vgg)


@pytest.fixture
def vgg(load_vgg_once, vgg_file, monkeypatch):
    monkeypatch.setenv("FST_VGG19_WEIGHTS", str(vgg_file))
    return load_vgg_once(str(vgg_file), "float32", "max")


def frames(path):
    """Sizes and durations of an animation's frames."""
    with Image.open(path) as image:
        found = []
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            image.load()
            found.append((image.size, image.info.get("duration")))
        return found


def one_line(done):
    """The line of an error, of which there is only one and no traceback."""
    assert (done.code, done.out) == (2, "")
    assert re.fullmatch(r"error: .*\n", done.err), done.err
    return done.err


# --- What it writes -------------------------------------------------------------------------------


def test_picture_in_a_new_folder(stylise, vgg, pictures, tmp_path):
    output = tmp_path / "deep" / "er" / "out.png"
    done = stylise(pictures / "content.png", pictures / "style.png", "-o", output)
    result = wanted(vgg, pictures)
    np.testing.assert_array_equal(pixels(output), np.rint(result.picture))
    assert np.abs(pixels(output).astype(int) - pixels(pictures / "content.png")).mean() > 1
    assert done.code == 0
    line = re.fullmatch(
        rf"{output}: the best of 4 steps, total (\S+)  content \S+  style \S+  tv \S+\n", done.out
    )
    assert float(line[1]) == pytest.approx(result.losses.total, rel=1e-3)
    steps = [text.split("  ")[0] for text in done.err.splitlines()]
    assert steps == ["step 1/4", "step 4/4"]
    assert files(tmp_path / "deep") == ["er/out.png"]


def test_suffix_decides_the_format(stylise, pictures, tmp_path):
    for suffix in ("jpg", "WEBP"):
        output = tmp_path / f"out.{suffix}"
        assert stylise(pictures / "content.png", pictures / "style.png", "-o", output).code == 0
        with Image.open(output) as image:
            assert image.format == {"jpg": "JPEG", "WEBP": "WEBP"}[suffix]
            assert image.size == (64, 48)


def test_an_odd_photo_over_two_scales(stylise, pictures, tmp_path):
    Image.fromarray(draw_photo(5, 91, 131)).save(tmp_path / "odd.png")
    output = tmp_path / "out.png"
    done = stylise(tmp_path / "odd.png", pictures / "style.png", "-o", output, size=131, scales=2)
    assert pixels(output).shape == (91, 131, 3)
    assert "the best of 8 steps" in done.out
    assert "step 8/8" in done.err


OPTIONS = {
    "preset": "tensorflow_tutorial",
    "optimizer": "adam",
    "steps": 3,
    "init": "noise",
    "noise": 30.0,
    "seed": 7,
    "size": 70,
    "style_size": 50,
    "scales": 2,
    "content_weight": 2.0,
    "style_weight": 5.0,
    "tv_weight": 0.001,
    "content_layers": ("relu1_1", "relu2_1"),
    "style_layers": ("relu1_1", "relu1_2"),
    "style_layer_weights": (1.0, 2.0),
    "style_image_weights": (3.0, 1.0),
    "loss_form": "absolute",
    "pooling": "average",
    "precision": "mixed_bfloat16",
    "learning_rate": 9.0,
    "beta_1": 0.5,
}


def test_every_option_reaches_the_optimiser(stylise, load_vgg_once, vgg_file, pictures, tmp_path):
    """tests/test_gatys.py shows for each that it changes the picture."""
    assert set(OPTIONS) == {field.name for field in dataclasses.fields(GatysOptions)}
    names = ("content", "style", "other")
    output = tmp_path / "out.png"
    done = stylise(*(pictures / f"{name}.png" for name in names), "-o", output, **OPTIONS)
    assert done.code == 0
    features = load_vgg_once(str(vgg_file), "mixed_bfloat16", "average")
    result = wanted(features, pictures, names[1:], **OPTIONS)
    np.testing.assert_array_equal(pixels(output), np.rint(result.picture))


def test_missing_weights_file_is_one_line(stylise, pictures, tmp_path):
    inputs = (pictures / "content.png", pictures / "style.png", "-o", tmp_path / "out.png")
    assert "--vgg-weights: there is no file 'my.h5'" in one_line(
        stylise(*inputs, vgg_weights="my.h5")
    )


def test_style_image_weights(stylise, vgg, pictures, tmp_path):
    inputs = [pictures / f"{name}.png" for name in ("content", "style", "other")]
    done = stylise(*inputs, "-o", tmp_path / "out.png", style_image_weights=(0, 1))
    assert done.code == 0
    alone = wanted(vgg, pictures, ("other",)).picture
    np.testing.assert_array_equal(pixels(tmp_path / "out.png"), np.rint(alone))


def test_trace(stylise, vgg, pictures, tmp_path):
    inputs = (pictures / "content.png", pictures / "style.png", "-o", tmp_path / "out.png")
    options = {"size": 70, "scales": 2, "steps": 3}
    done = stylise(*inputs, trace=tmp_path / "new" / "trace.csv", **options)
    assert done.code == 0
    with open(tmp_path / "new" / "trace.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = ["step", "height", "width", "total", "content", "style", "tv", "best", "seconds"]
    assert list(rows[0]) == columns
    trace = wanted(vgg, pictures, **options).trace
    assert len(rows) == len(trace) == 3 * len({(s.height, s.width) for s in trace})
    for row, step in zip(rows, trace, strict=True):
        assert [int(row[name]) for name in columns[:3]] == list(step[:3])
        found = [float(row[name]) for name in columns[3:8]]
        np.testing.assert_allclose(found, [*step.losses, step.best], rtol=1e-6)
    seconds = [float(row["seconds"]) for row in rows]
    assert seconds == sorted(seconds)


def test_trace_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--trace .*trace\.csv: cannot be written"):
        gatys_command.write_trace(tmp_path / "file" / "trace.csv", [])


class TestSnapshots:
    def test_folder_and_animation(self, stylise, vgg, pictures, tmp_path):
        Image.fromarray(draw_photo(5, 64, 96)).save(pictures / "content.png")
        stale = tmp_path / "out" / "a_snapshots" / "09999.png"  # Of another run.
        images.save_picture(stale, draw_photo(1))
        inputs = (pictures / "content.png", pictures / "style.png")
        options = {"size": 96, "scales": 2, "steps": 5}
        done = stylise(*inputs, "-o", tmp_path / "out" / "a.jpg", snapshots=3, **options)
        assert done.code == 0
        names = ["00001.png", "00003.png", "00006.png", "00009.png"]
        assert files(tmp_path / "out") == sorted(
            ["a.jpg", "a_snapshots.webp", *(f"a_snapshots/{n}" for n in [*names, "09999.png"])]
        )
        best = {}
        optimize(
            *inputs,
            GatysOptions(**{**LIGHT, **options}),
            features=vgg,
            on_step=lambda step, picture: best.update({f"{step.step:05d}.png": picture()}),
        )
        for name in names:
            found = pixels(tmp_path / "out" / "a_snapshots" / name)
            np.testing.assert_array_equal(found, np.rint(best[name]))
        shapes = [best[name].shape for name in names]
        assert shapes == [(64, 96, 3)] * 4 or shapes == [(32, 48, 3)] * 2 + [(64, 96, 3)] * 2
        animation = frames(tmp_path / "out" / "a_snapshots.webp")
        assert animation == [((96, 64), t) for t in (120, 120, 120, 2000)]

    def test_an_image_in_their_folder_is_not_replaced(self, stylise, pictures, tmp_path):
        photo = tmp_path / "a_snapshots" / "00001.png"
        images.save_picture(photo, draw_photo(1, 64, 96))
        before = photo.read_bytes()
        done = stylise(photo, pictures / "style.png", "-o", tmp_path / "a.png", snapshots=1)
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert f"where {photo} lies: name another --output" in done.err
        assert photo.read_bytes() == before

    def test_the_animation_of_a_name_with_dots_spares_the_photo(self, stylise, pictures):
        Image.open(pictures / "content.png").save(pictures / "cat.webp", lossless=True)
        before = (pictures / "cat.webp").read_bytes()
        inputs = (pictures / "cat.webp", pictures / "style.png", "-o", pictures / "cat.v2.png")
        assert stylise(*inputs, snapshots=1, steps=2).code == 0
        assert (pictures / "cat.webp").read_bytes() == before
        assert len(frames(pictures / "cat.v2_snapshots.webp")) == 2

    def test_every_step(self, stylise, pictures, tmp_path):
        inputs = (pictures / "content.png", pictures / "style.png", "-o", tmp_path / "out.webp")
        assert stylise(*inputs, snapshots=1, steps=3).code == 0
        assert len(list((tmp_path / "out_snapshots").iterdir())) == 3
        assert len(frames(tmp_path / "out_snapshots.webp")) == 3

    def test_a_single_one(self, stylise, pictures, tmp_path):
        inputs = (pictures / "content.png", pictures / "style.png", "-o", tmp_path / "out.png")
        assert stylise(*inputs, snapshots=50, steps=2).code == 0
        assert [size for size, _ in frames(tmp_path / "out_snapshots.webp")] == [(64, 48)]

    def test_none_by_default(self, stylise, pictures, tmp_path):
        output = tmp_path / "out" / "a.png"
        assert stylise(pictures / "content.png", pictures / "style.png", "-o", output).code == 0
        assert files(tmp_path / "out") == ["a.png"]

    @pytest.mark.parametrize("first", [1, 3])
    def test_that_cannot_be_written(self, stylise, pictures, tmp_path, fill_disk_at, first):
        """At the first step that is an error; later the picture is worth more than they are."""
        fill_disk_at(lambda path: path.parent.name == "a_snapshots" and int(path.stem) >= first)
        inputs = (pictures / "content.png", pictures / "style.png")
        done = stylise(*inputs, "-o", tmp_path / "out" / "a.png", snapshots=1, steps=5)
        if first == 1:
            assert done.code == 2
            assert "No space left" in done.err.splitlines()[-1]
            return
        assert done.code == 0
        assert done.err.count("no more snapshots: ") == 1
        names = ["a.png", "a_snapshots.webp", "a_snapshots/00001.png", "a_snapshots/00002.png"]
        assert files(tmp_path / "out") == names
        assert len(frames(tmp_path / "out" / "a_snapshots.webp")) == 2


def test_the_command_itself(vgg_file, vgg, pictures, tmp_path):
    output = tmp_path / "out.png"
    inputs = (pictures / "content.png", pictures / "style.png", "-o", output)
    done = run("-m", "fst.gatys", *inputs, *words_of({**LIGHT, "vgg_weights": vgg_file}))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{output}: the best of 4 steps")
    assert [line.split("  ")[0] for line in done.stderr.splitlines()] == ["step 1/4", "step 4/4"]
    np.testing.assert_allclose(pixels(output), wanted(vgg, pictures).picture, atol=2)


# --- Interruptions --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_keeps_the_best_picture(stylise, vgg, pictures, tmp_path, at_step, kind):
    at_step(3, lambda: os.kill(os.getpid(), kind))
    inputs = (pictures / "content.png", pictures / "style.png", "-o", tmp_path / "out.png")
    done = stylise(*inputs, steps=500, snapshots=1, trace=tmp_path / "trace.csv")
    assert done.code == 130
    assert done.out.startswith(f"{tmp_path / 'out.png'}: the best of stopped after 3 of 500 steps")
    assert "Traceback" not in done.err
    best = wanted(vgg, pictures, steps=3).picture
    np.testing.assert_array_equal(pixels(tmp_path / "out.png"), np.rint(best))
    assert len((tmp_path / "trace.csv").read_text().splitlines()) == 4
    assert len(frames(tmp_path / "out_snapshots.webp")) == 2


def test_ctrl_c_before_any_step_writes_nothing(stylise, kept_vgg, pictures, tmp_path):
    def interrupted():
        raise KeyboardInterrupt

    kept_vgg.before_use = interrupted
    inputs = (pictures / "content.png", pictures / "style.png", "-o", tmp_path / "out" / "a.png")
    done = stylise(*inputs, snapshots=1, trace=tmp_path / "out" / "trace.csv")
    assert (done.code, done.out, done.err) == (130, "", "stopped\n")
    assert not files(tmp_path / "out")


def test_ctrl_c_leaves_whole_files_only(vgg_file, pictures, tmp_path):
    output = tmp_path / "out" / "a.png"
    options = {**LIGHT, "steps": 100_000, "init": "noise", "snapshots": 1}
    options |= {"vgg_weights": vgg_file, "trace": tmp_path / "out" / "trace.csv"}
    inputs = (pictures / "content.png", pictures / "style.png", "-o", output)
    process = forks.start("-m", "fst.gatys", *inputs, *words_of(options))
    folder = output.with_name("a_snapshots")
    wait_for(lambda: len(list(folder.glob("0*.png"))) >= 5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    steps = int(re.search(r"the best of stopped after (\d+) of 100000 steps", out)[1])
    names = files(tmp_path / "out")
    snapshots = [name for name in names if re.fullmatch(r"a_snapshots/\d{5}\.png", name)]
    assert set(names) - set(snapshots) == {"a.png", "a_snapshots.webp", "trace.csv"}
    assert steps - 1 <= len(snapshots) <= steps
    assert pixels(output).shape == (48, 64, 3)
    assert {pixels(tmp_path / "out" / name).shape for name in snapshots} == {(48, 64, 3)}
    with open(tmp_path / "out" / "trace.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == steps
    assert float(rows[-1]["best"]) < float(rows[0]["total"])
    start = pixels(tmp_path / "out" / snapshots[0]).astype(int)
    assert np.abs(pixels(output) - start).mean() > 1
    assert 2 <= len(frames(tmp_path / "out" / "a_snapshots.webp")) <= len(snapshots)


# --- A disk that is full --------------------------------------------------------------------------


def test_picture_that_cannot_be_written_is_saved_elsewhere(
    stylise, vgg, pictures, tmp_path, fill_disk_at, spare
):
    output = tmp_path / "out.png"
    fill_disk_at(lambda path: path == output)
    done = stylise(pictures / "content.png", pictures / "style.png", "-o", output)
    assert (done.code, done.out) == (2, "")
    (line,) = (line for line in done.err.splitlines() if line.startswith("error: "))
    assert line == done.err.splitlines()[-1]
    found = re.fullmatch(
        rf"error: {output}: cannot be written: No space left on device; the picture is in (.*)",
        line,
    )
    assert Path(found[1]).is_relative_to(spare)
    np.testing.assert_array_equal(pixels(found[1]), np.rint(wanted(vgg, pictures).picture))
    assert not output.exists()


def test_no_disk_at_all_leaves_no_pieces(tmp_path, fill_disk_at, spare):
    (tmp_path / "out.png").write_bytes(b"old")
    fill_disk_at(lambda path: True)
    with pytest.raises(ImageError) as caught:
        images.save_or_rescue(tmp_path / "out.png", draw_photo(1))
    message = str(caught.value)
    assert message == f"{tmp_path / 'out.png'}: cannot be written: No space left on device"
    assert (files(tmp_path), files(spare)) == (["out.png"], [])
    assert (tmp_path / "out.png").read_bytes() == b"old"


# --- Wrong use ------------------------------------------------------------------------------------

GOOD = "{in}/content.png {in}/style.png -o {tmp}/out.png"
WRONG = {
    "no content": ("-o {tmp}/out.png", "CONTENT"),
    "no style": ("{in}/content.png -o {tmp}/out.png", "there is no STYLE"),
    "no output": ("{in}/content.png {in}/style.png", "--output is missing: give a file"),
    "missing content": ("{in}/no.png {in}/style.png -o {tmp}/o.png", "{in}/no.png: no such file"),
    "missing style": ("{in}/content.png {in}/no.png -o {tmp}/o.png", "{in}/no.png: no such file"),
    "missing second": (
        "{in}/content.png {in}/style.png {in}/no.png -o {tmp}/o.png",
        "{in}/no.png: no such file",
    ),
    "broken content": ("{in}/text.png {in}/style.png -o {tmp}/o.png", "{in}/text.png: is not an"),
    "broken style": ("{in}/content.png {in}/cut.png -o {tmp}/o.png", "{in}/cut.png: is damaged"),
    "folder as content": ("{in} {in}/style.png -o {tmp}/o.png", "{in}: is a folder"),
    "unknown suffix": (
        "{in}/content.png {in}/style.png -o {tmp}/out.pdf",
        "--output {tmp}/out.pdf: the suffix names no known format",
    ),
    "no suffix": ("{in}/content.png {in}/style.png -o {tmp}/out", "{tmp}/out: the suffix names"),
    "output is a folder": (
        "{in}/content.png {in}/style.png -o {tmp}/folder.png",
        "--output {tmp}/folder.png: is a folder; give a file name",
    ),
    "output below a file": (
        "{in}/content.png {in}/style.png -o {in}/text.png/out.png",
        "--output {in}/text.png/out.png: cannot be written",
    ),
    "not writable": (
        "{in}/content.png {in}/style.png -o /proc/none/out.png",
        "--output /proc/none/out.png: cannot be written",
    ),
    "onto the content": (
        "{in}/content.png {in}/style.png -o {in}/../in/content.png",
        "would overwrite {in}/content.png",
    ),
    "onto a style": (
        "{in}/content.png {in}/style.png {in}/other.png -o {in}/other.png",
        "would overwrite {in}/other.png",
    ),
    "trace is a folder": (f"{GOOD} --trace {{in}}", "--trace {in}: is a folder"),
    "trace not writable": (f"{GOOD} --trace /proc/none/t.csv", "--trace /proc/none/t.csv: cannot"),
    "trace onto a style": (f"{GOOD} --trace {{in}}/style.png", "would overwrite {in}/style.png"),
    "animation onto the content": (
        "{in}/out_snapshots.webp {in}/style.png -o {in}/out.png --snapshots 2",
        "--snapshots {in}/out_snapshots.webp: would overwrite {in}/out_snapshots.webp",
    ),
    "unknown layer": (f"{GOOD} --style-layers relu9_1", "--style-layers: VGG19 has no layer"),
    "too deep a layer": (
        f"{GOOD} --vgg-weights embedded --content-layers relu5_2",
        "--content-layers: relu5_2 lies deeper than --vgg-weights embedded, which ends at relu4_2: "
        "use --vgg-weights imagenet or a file",
    ),
    "too deep a preset": (
        f"{GOOD} --vgg-weights embedded --preset gatys2016",
        "--preset gatys2016: relu5_1 lies deeper than --vgg-weights embedded",
    ),
    "layer weights": (
        f"{GOOD} --style-layer-weights 1 2",
        "--style-layer-weights: 2 weights for 4 layers; give one for each of --style-layers",
    ),
    "unknown preset": (f"{GOOD} --preset huge", "huge"),
    "unknown optimiser": (f"{GOOD} --optimizer sgd", "sgd"),
    "unknown flag": (f"{GOOD} --style-wait 3", "--style-wait"),
    "steps": (f"{GOOD} --steps 0", "--steps must be from 1"),
    "size": (f"{GOOD} --size 31", "--size must be from 32"),
    "snapshots": (f"{GOOD} --snapshots -1", "--snapshots must be from 0, not -1"),
    "weights": (f"{GOOD} --style-image-weights 1 2", "2 weights for 1 style images"),
    "sweep key": (f"{GOOD} --sweep colour=red", "--sweep: there is no option 'colour'"),
    "sweep and trace": (f"{GOOD} --sweep steps=2 --trace {{tmp}}/t.csv", "--trace and --snapshots"),
    "sweep and snapshots": (f"{GOOD} --sweep steps=2 --snapshots 2", "--trace and --snapshots"),
}


@pytest.fixture
def wrong(pictures, tmp_path, monkeypatch, capfd):
    """Runs the command of a case; TensorFlow must not be needed to see that it is wrong."""

    def too_early():
        raise AssertionError("TensorFlow is loaded before the command is checked")

    monkeypatch.setattr(quiet, "quiet_tensorflow", too_early)
    (pictures / "text.png").write_text("no picture")
    whole = (pictures / "style.png").read_bytes()
    (pictures / "cut.png").write_bytes(whole[: len(whole) // 2])
    (pictures / "out_snapshots.webp").write_bytes(whole)
    (tmp_path / "folder.png").mkdir()
    before = signal.getsignal(signal.SIGTERM)

    def call(command):
        return run_here(gatys_command.main, ["gatys", *command.split()], monkeypatch, capfd)

    yield call
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_one_line(wrong, pictures, tmp_path, case):
    places = {"in": str(pictures), "tmp": str(tmp_path)}
    command, message = (part.format(**places) for part in WRONG[case])
    before = files(tmp_path)
    assert message in one_line(wrong(command))
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("content", "style", "options", "message"),
    [
        ((31, 64), (64, 64), {}, "content.png|the content image: is 64x31 px"),
        ((64, 64), (64, 30), {}, "the style image: is 30x64 px"),
        ((40, 130), (64, 64), {}, "the content image: is 64x20 px at --size 64"),
        ((64, 64), (40, 130), {}, "the style image: is 64x20 px at --style-size 64"),
    ],
)
def test_too_small_a_picture_is_one_line(
    stylise, pictures, tmp_path, content, style, options, message
):
    Image.fromarray(draw_photo(1, *content)).save(pictures / "content.png")
    Image.fromarray(draw_photo(2, *style)).save(pictures / "style.png")
    inputs = (pictures / "content.png", pictures / "style.png", "-o", tmp_path / "out.png")
    line = one_line(stylise(*inputs, **options))
    assert any(part in line for part in message.split("|"))
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("case", ["missing content", "unknown preset"])
def test_wrong_use_as_a_command_needs_no_tensorflow(pictures, tmp_path, case):
    poison = tmp_path / "poison"
    poison.mkdir()
    for name in ("tensorflow", "keras"):
        (poison / f"{name}.py").write_text("raise SystemExit('imported too early')")
    places = {"in": str(pictures), "tmp": str(tmp_path)}
    command, message = (part.format(**places) for part in WRONG[case])
    environment = {**os.environ, "PYTHONPATH": str(poison)}
    done = run("-m", "fst.gatys", *command.split(), env=environment)
    assert message in one_line(Result(done.returncode, done.stdout, done.stderr))


# --- Options on the command line ------------------------------------------------------------------


def parse(*arguments):
    # All layers, which most presets need.
    command = ["c.jpg", "s.jpg", "-o", "o.png", "--vgg-weights", "imagenet", *arguments]
    return cli.parse(GatysConfig, "python -m fst.gatys", command)


@pytest.mark.parametrize("preset", PRESETS)
def test_preset_on_the_command_line_is_that_of_python(preset):
    assert parse("--preset", preset).options() == GatysOptions(preset=preset)


def test_no_preset_is_the_first_one():
    assert parse().options() == parse("--preset", "fst").options() == GatysOptions()


@pytest.mark.parametrize(
    "arguments",
    [("--preset", "gatys2016", "--steps", "9"), ("--steps=9", "--preset=gatys2016")],
)
def test_flags_win_over_the_preset(arguments):
    assert parse(*arguments).options() == GatysOptions(preset="gatys2016", steps=9)


def test_layers_on_the_command_line_drop_the_presets_weights():
    found = parse("--preset", "gatys2016", "--style-layers", "relu1_1", "relu2_1")
    assert (found.style_layers, found.style_layer_weights) == (("relu1_1", "relu2_1"), ())


def test_several_styles_and_what_belongs_to_the_command_alone():
    command = "c.jpg a.jpg b.jpg -o o.png --sweep steps=1,2 seed=3 --snapshots 4 --trace t.csv"
    found = cli.parse(GatysConfig, "python -m fst.gatys", command.split())
    assert (found.content, found.style, found.output) == ("c.jpg", ("a.jpg", "b.jpg"), "o.png")
    assert (found.sweep, found.snapshots, found.trace) == (("steps=1,2", "seed=3"), 4, "t.csv")


def field_docs():
    """The text under every field of the command's options, which is what its flag's help says."""
    found = {}
    for kind in (gatys_options.GatysOptions, GatysConfig):
        body = ast.parse(inspect.getsource(kind)).body[0].body
        for field, text in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                found[field.target.id] = text.value.value
    return found


def test_every_option_is_explained_in_the_help(capfd):
    docs = field_docs()
    assert set(docs) == {field.name for field in dataclasses.fields(GatysConfig)}
    with pytest.raises(SystemExit) as stop:
        cli.parse(GatysConfig, "python -m fst.gatys", ["--help"])
    assert stop.value.code == 0

    def letters(text):
        return re.sub(r"[\s│╭╮╰╯─-]+", "", text)

    shown = letters(capfd.readouterr().out)
    for name, text in docs.items():
        assert letters(text) in shown, name
        assert name in ("content", "style") or letters(flag_of(name)) in shown, name
