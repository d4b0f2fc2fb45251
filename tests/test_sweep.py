"""`--sweep`: how it is read, which combinations it makes, and what is kept of them."""

import csv
import re
import signal
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_photo, files, run_here
from PIL import Image

from fst import metrics
from fst.errors import UserError
from fst.gatys import command as gatys_command
from fst.gatys import sweep
from fst.gatys.optimizer import optimize
from fst.gatys.options import GatysOptions
from fst.gatys.sweep import combinations, parse_sweep
from fst.media import grid, images

pytestmark = pytest.mark.slow

# --- Reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("style_weight=1,4.5,1e2", "style_weight", [1.0, 4.5, 100.0]),
        ("steps=10,20", "steps", [10, 20]),
        ("optimizer=adam,lbfgs", "optimizer", ["adam", "lbfgs"]),
        ("loss_form=mean", "loss_form", ["mean"]),
        ("preset=fst,gatys2016", "preset", ["fst", "gatys2016"]),
        ("content_layers=relu3_1,relu4_2", "content_layers", [("relu3_1",), ("relu4_2",)]),
        ("content_layer=relu3_1+relu4_2", "content_layers", [("relu3_1", "relu4_2")]),
        ("style_layer=relu1_1,relu2_1", "style_layers", [("relu1_1",), ("relu2_1",)]),
        ("style_layer_weights=1+2+3,1+1+1", "style_layer_weights", [(1, 2, 3), (1, 1, 1)]),
        ("style_image_weights=1+0.5", "style_image_weights", [(1, 0.5)]),
        ("--style-weight=1,2", "style_weight", [1, 2]),
        ("style-size=64", "style_size", [64]),
        (" tv_weight = 1 , 2 ", "tv_weight", [1, 2]),
        ("style_layers= relu1_1 + relu2_1", "style_layers", [("relu1_1", "relu2_1")]),
    ],
)
def test_values_are_of_their_options_kind(text, name, values):
    found = parse_sweep([text])
    assert found == {name: values}
    kind = type(getattr(GatysOptions(), name))
    assert {type(value) for value in found[name]} == {kind}


def test_axes_keep_their_order():
    found = parse_sweep(["tv_weight=1", "steps=2,1", "seed=5"])
    assert list(found) == ["tv_weight", "steps", "seed"]
    assert found["steps"] == [2, 1]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["colour=red"], "there is no option 'colour'; use one of preset, optimizer"),
        (["output=a.png"], "there is no option 'output'"),
        (["=1"], "there is no option ''"),
        (["style_weight"], "style_weight: has no values; write style_weight=VALUE,VALUE"),
        (["style_weight="], "style_weight=: has no values"),
        (["style_weight=1,,2"], "'' is no value for style_weight; see --style-weight"),
        (["style_weight=much"], "'much' is no value for style_weight"),
        (["steps=1.5"], "'1.5' is no value for steps; see --steps"),
        (["style_layer_weights=1+x"], "'1+x' is no value for style_layer_weights"),
        (["optimizer=sgd"], "optimizer is one of lbfgs, adam"),
        (["preset=huge"], "preset is one of fst, gatys2016"),
        (["steps=1", "steps=2"], "steps is given twice; put all its values into one list"),
        (["style_layer=relu1_1", "style_layers=relu2_1"], "style_layers is given twice"),
        (["seed=" + ",".join(map(str, range(201)))], "makes 201 pictures, more than 200"),
        (["seed=1,2,3", "steps=" + ",".join("123456789" * 10)], "makes 270 pictures"),
    ],
)
def test_what_cannot_be_read_is_one_line(texts, message):
    with pytest.raises(UserError) as caught:
        parse_sweep(texts)
    line = caught.value.for_command_line()
    assert line.startswith("--sweep")
    assert message in line
    assert "\n" not in line


def test_two_hundred_are_not_too_many():
    assert len(parse_sweep(["seed=" + ",".join(map(str, range(200)))])["seed"]) == 200


# --- Combinations ---------------------------------------------------------------------------------


def test_every_combination_in_order():
    base = GatysOptions(size=64, tv_weight=0.5)
    found = combinations(base, parse_sweep(["style_weight=1,4", "steps=5,6,7"]))
    values = [values for values, _ in found]
    assert values == [(1, 5), (1, 6), (1, 7), (4, 5), (4, 6), (4, 7)]
    for (style_weight, steps), options in found:
        assert options == GatysOptions(
            size=64, tv_weight=0.5, style_weight=style_weight, steps=steps
        )


def test_a_value_out_of_range_is_one_line():
    with pytest.raises(UserError, match="steps must be from 1"):
        combinations(GatysOptions(), parse_sweep(["steps=5,0"]))
    with pytest.raises(UserError, match="VGG19 has no layer 'relu9_1'"):
        combinations(GatysOptions(), parse_sweep(["content_layers=relu4_2,relu9_1"]))


def test_swept_style_layers_drop_the_weights_of_others():
    base = GatysOptions(style_layer_weights=(1.0, 2.0, 3.0, 4.0))
    axes = parse_sweep(["style_layers=relu1_1,relu1_1+relu2_1"])
    assert [o.style_layer_weights for _, o in combinations(base, axes)] == [(), ()]
    axes |= parse_sweep(["style_layer_weights=2+3"])
    with pytest.raises(UserError, match="2 weights for 1 layers"):
        combinations(base, axes)


def test_a_swept_preset_brings_its_own_options():
    """All but what makes pictures comparable: their sizes, and which pictures they are of."""
    axes = parse_sweep(["preset=gatys2016,noise_adam", "steps=3,4"])
    kept = {"size": 64, "style_size": 48, "seed": 5, "precision": "mixed_bfloat16"}
    kept["style_image_weights"] = (2.0, 1.0)
    found = combinations(GatysOptions(style_weight=99.0, **kept), axes)
    assert [options for _, options in found] == [
        GatysOptions(preset=preset, steps=steps, **kept)
        for preset in ("gatys2016", "noise_adam")
        for steps in (3, 4)
    ]


# --- The command ----------------------------------------------------------------------------------

LIGHT = "--content-layers relu1_2 --style-layers relu1_1 --size 64 --style-size 64 --steps 3"


@pytest.fixture
def try_all(kept_vgg, monkeypatch, capfd, tmp_path):
    """Sweeps in this process: `python -m fst.gatys content.png style.png -o sweep.png ...`."""
    before = signal.getsignal(signal.SIGTERM)
    Image.fromarray(draw_photo(1, 48, 64)).save(tmp_path / "content.png")
    Image.fromarray(draw_photo(2, 64, 48)).save(tmp_path / "style.png")

    def call(*axes, flags="", output="out/sweep.png"):
        names = [str(tmp_path / name) for name in ("content.png", "style.png", output)]
        command = ["gatys", *names[:2], "-o", names[2], *LIGHT.split(), *flags.split()]
        return run_here(gatys_command.main, [*command, "--sweep", *axes], monkeypatch, capfd)

    yield call
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def drawn(monkeypatch):
    """What is drawn: the pictures' rows and the labels."""
    seen = {}

    def draw_grid(rows, row_labels, column_labels=()):
        seen.update(rows=rows, row_labels=row_labels, column_labels=column_labels)
        return grid.draw_grid(rows, row_labels, column_labels)

    monkeypatch.setattr(sweep, "draw_grid", draw_grid)
    return seen


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def interrupt():
    raise KeyboardInterrupt


def test_grid_and_table(try_all, drawn, load_vgg_once, vgg_file, tmp_path):
    done = try_all("style_weight=0.5,50", "content_layer=relu1_1,relu1_2,relu1_1+relu1_2")
    output = tmp_path / "out" / "sweep.png"
    assert done.code == 0
    numbers = output.with_suffix(".csv")
    assert done.out == f"6 of 6 pictures: {output}, their numbers: {numbers}\n"
    assert files(tmp_path / "out") == ["sweep.csv", "sweep.png"]
    assert drawn["row_labels"] == ["style_weight 0.5", "style_weight 50"]
    layers = ["relu1_1", "relu1_2", "relu1_1+relu1_2"]
    assert drawn["column_labels"] == [f"content_layers {name}" for name in layers]
    assert [[p.shape for p in row] for row in drawn["rows"]] == [[(48, 64, 3)] * 3] * 2
    with Image.open(output) as image:
        sheet = np.asarray(image)
    np.testing.assert_array_equal(sheet, grid.draw_grid(*drawn.values()))
    rows = table(numbers)
    assert list(rows[0]) == [
        *("style_weight", "content_layers", "total", "content", "style", "tv"),
        *("ssim_photo_luma", "ssim_photo_rgb", "steps", "seconds"),
    ]
    options = {"size": 64, "style_size": 64, "steps": 3, "style_layers": ("relu1_1",)}
    content = images.load_rgb(tmp_path / "content.png")
    places = [(w, name) for w in (0.5, 50.0) for name in layers]
    for (weight, name), row, place in zip(places, rows, np.ndindex(2, 3), strict=True):
        assert (row["style_weight"], row["content_layers"]) == (f"{weight:g}", name)
        result = optimize(
            content,
            tmp_path / "style.png",
            GatysOptions(style_weight=weight, content_layers=tuple(name.split("+")), **options),
            features=load_vgg_once(str(vgg_file), "float32", "max"),
        )
        np.testing.assert_array_equal(drawn["rows"][place[0]][place[1]], result.picture)
        found = [float(row[name]) for name in ("total", "content", "style", "tv")]
        np.testing.assert_allclose(found, result.losses, rtol=1e-5)
        ssim = metrics.ssim_luma(content, result.picture), metrics.ssim_rgb(content, result.picture)
        found = float(row["ssim_photo_luma"]), float(row["ssim_photo_rgb"])
        np.testing.assert_allclose(found, ssim, rtol=1e-5)
        assert int(row["steps"]) == 3
        assert float(row["seconds"]) > 0
    steps = re.findall(r"^picture (\d) of 6, (.*): step (\d)/3 ", done.err, re.MULTILINE)
    assert len(steps) == 12  # The first and the last step of each, and no more.
    assert steps[3] == ("2", "style_weight 0.5, content_layers relu1_2", "3")


def test_one_axis_goes_across(try_all, drawn):
    deeper = "--content-layers relu2_1"  # Beyond a pooling.
    assert try_all("pooling=max,average", flags=deeper).code == 0
    assert drawn["row_labels"] == [""]
    assert drawn["column_labels"] == ["pooling max", "pooling average"]
    one, two = drawn["rows"][0]
    assert np.abs(one - two).mean() > 0.05  # Each with its own features.


def test_three_axes(try_all, drawn):
    assert try_all("seed=1,2", "steps=1,2", "tv_weight=0,3", flags="--init noise").code == 0
    assert drawn["row_labels"] == ["seed 1", "seed 2"]
    assert drawn["column_labels"][:2] == ["steps 1, tv_weight 0", "steps 1, tv_weight 3"]
    assert [len(row) for row in drawn["rows"]] == [4, 4]


def test_pictures_of_different_sizes_and_scales(try_all, drawn):
    """What a log file gets stays short: the number of steps counts all scales."""
    done = try_all("size=64,90", "scales=1,2")
    assert done.code == 0
    shapes = [[picture.shape[:2] for picture in row] for row in drawn["rows"]]
    assert shapes == [[(48, 64), (48, 64)], [(68, 90), (68, 90)]]
    steps = re.findall(r"^picture (\d) .*: step (\d/\d) ", done.err, re.MULTILINE)
    assert steps == [
        *[(str(n), step) for n in (1, 2, 3) for step in ("1/3", "3/3")],
        *[("4", step) for step in ("1/6", "6/6")],
    ]


# --- Interruptions and failures -------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["in a picture", "between pictures"])
def test_ctrl_c_keeps_what_is_done(try_all, kept_vgg, drawn, tmp_path, at_step, moment):
    if moment == "in a picture":
        at_step(2, interrupt, "picture 3 ")
    else:  # While the next one's graph is built: there is no step of it yet.
        at_step(3, lambda: setattr(kept_vgg, "before_use", interrupt), "picture 2 ")
    done = try_all("seed=1,2", "style_weight=1,2,3", flags="--init noise")
    assert done.code == 130
    assert done.out.startswith("2 of 6 pictures: ")
    assert "Traceback" not in done.err
    empty = [[picture is None for picture in row] for row in drawn["rows"]]
    assert empty == [[False, False, True], [True, True, True]]
    assert len(drawn["column_labels"]) == 3
    rows = table(tmp_path / "out" / "sweep.csv")
    assert [(row["seed"], row["style_weight"]) for row in rows] == [("1", "1"), ("1", "2")]
    with Image.open(tmp_path / "out" / "sweep.png") as image:
        assert image.height > 2 * 48


def test_ctrl_c_before_the_first_is_done_writes_nothing(try_all, tmp_path, at_step):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sweep.csv").write_text("of another sweep")
    at_step(2, interrupt, "picture 1 ")
    done = try_all("seed=1,2")
    assert (done.code, done.out) == (130, "")
    assert done.err.splitlines()[-1] == "stopped"
    assert files(tmp_path / "out") == ["sweep.csv"]
    assert (tmp_path / "out" / "sweep.csv").read_text() == "of another sweep"


def test_one_that_fails_does_not_take_the_others_with_it(try_all, drawn, tmp_path):
    # At 48 px the photo's short side has 36 px, at 40 px only 30.
    done = try_all("size=48,40,64")
    assert done.code == 1
    assert done.out.startswith("2 of 3 pictures: ")
    (line,) = (line for line in done.err.splitlines() if "failed" in line)
    assert line.startswith("failed: picture 2 of 3, size 40: the content image: is 40x30 px at")
    assert [picture is None for picture in drawn["rows"][0]] == [False, True, False]
    assert [row["size"] for row in table(tmp_path / "out" / "sweep.csv")] == ["48", "64"]


def test_the_first_that_fails_ends_it(try_all, tmp_path):
    done = try_all("size=40,64")
    assert (done.code, done.out) == (2, "")
    assert re.fullmatch(r"error: .*is 40x30 px at --size 40.*\n", done.err)
    assert not files(tmp_path / "out")


@pytest.mark.parametrize(
    ("axes", "flags", "message"),
    [
        (["steps=3,0"], "", "--steps must be from 1"),
        (["colour=red"], "", "there is no option 'colour'"),
        (["style_layers=relu1_1,relu9_1"], "", "VGG19 has no layer 'relu9_1'"),
        (
            ["style_layers=relu1_1,relu5_1"],
            "--vgg-weights embedded",
            "--style-layers: relu5_1 lies deeper than --vgg-weights embedded",
        ),
        (
            ["preset=fst,gatys2016"],
            "--vgg-weights embedded",
            "--preset gatys2016: relu5_1 lies deeper than --vgg-weights embedded",
        ),
        (["seed=1,2"], "--style-image-weights 1 2", "2 weights for 1 style images"),
        (["steps=3"], "--output /proc/none/sweep.png", "cannot be written"),
    ],
)
def test_mistakes_are_one_line_before_any_computing(
    try_all, tmp_path, monkeypatch, axes, flags, message
):
    # Were VGG19 loaded before the sweep is checked, its own error would come first.
    monkeypatch.setenv("FST_VGG19_WEIGHTS", str(tmp_path / "none.h5"))
    done = try_all(*axes, flags=flags)
    assert (done.code, done.out) == (2, "")
    assert re.fullmatch(r"error: .*\n", done.err)
    assert message in done.err
    assert not files(tmp_path / "out")


def test_where_the_picture_was_rescued_is_told_though_the_table_is_lost_too(
    try_all, tmp_path, fill_disk_at, spare
):
    fill_disk_at(lambda path: path.parent == tmp_path / "out")
    done = try_all("seed=1,2")
    assert done.code == 2
    rescued = Path(done.err.splitlines()[-1].rpartition("the picture is in ")[2])
    assert (rescued.is_file(), rescued.is_relative_to(spare)) == (True, True)


@pytest.mark.parametrize("full", ["sweep.png", "sweep.csv"])
def test_one_file_that_cannot_be_written_does_not_lose_the_other(
    try_all, tmp_path, fill_disk_at, spare, full
):
    fill_disk_at(lambda path: path == tmp_path / "out" / full)
    done = try_all("seed=1,2")
    assert (done.code, done.out) == (2, "")
    line = done.err.splitlines()[-1]
    assert f"{tmp_path / 'out' / full}: cannot be written" in line
    if full == "sweep.png":
        rescued = Path(line.rpartition("the picture is in ")[2])
        assert (rescued.is_file(), rescued.is_relative_to(spare)) == (True, True)
        assert len(table(tmp_path / "out" / "sweep.csv")) == 2
    else:
        assert files(tmp_path / "out") == ["sweep.png"]
