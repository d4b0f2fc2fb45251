"""The options of a run: one place, and from it the command line, its help, JSON and Python."""

import ast
import dataclasses
import inspect
import itertools
import json
import os
import re
import typing
from pathlib import Path

import pytest
from conftest import run

from fst import config
from fst.comparison.measure import CompareConfig
from fst.config import PRESETS, InferenceConfig, TrainingConfig
from fst.console import cli
from fst.errors import UserError, flag_of
from fst.export import ExportConfig
from fst.gatys.options import GatysConfig, GatysOptions

FIELDS = [field.name for field in dataclasses.fields(TrainingConfig)]


def parse(*args):
    return cli.parse(TrainingConfig, "train.py", args)


def field_docs():
    """The text under every field of `TrainingConfig`, which is what its flag's help says."""
    body = ast.parse(inspect.getsource(TrainingConfig)).body[0].body
    return {
        field.target.id: text.value.value
        for field, text in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }


def letters(text):
    """`text` without what a terminal's boxes and line breaks put between its words."""
    return re.sub(r"[\s│╭╮╰╯─-]+", "", text)


def complaint(*args, **options):
    """The one line that a wrong use ends in."""
    with pytest.raises(UserError) as caught:
        TrainingConfig("style.jpg", **options) if options else parse(*args)
    line = caught.value.for_command_line()
    assert line
    assert "\n" not in line
    return line


# --- JSON ----------------------------------------------------------------------------------------


def test_json_round_trip():
    options = {"content": "photos", "preview": ("a.jpg", "b.jpg"), "vgg_weights": "embedded"}
    before = TrainingConfig("s.jpg", **options, tv_weight=0.25)
    assert TrainingConfig.from_json(json.loads(json.dumps(before.to_json()))) == before


def test_json_keeps_every_option():
    assert set(TrainingConfig("style.jpg").to_json()) == set(FIELDS)


@pytest.mark.parametrize("several", [False, True])
def test_paths_are_taken_as_their_text(several):
    path, text = Path("pictures") / "wave.jpg", os.path.join("pictures", "wave.jpg")
    rest = ("content", "output", "start_from", "vgg_weights")
    found = TrainingConfig([path] if several else path, preview=[path], **dict.fromkeys(rest, path))
    wanted = TrainingConfig((text,), preview=(text,), **dict.fromkeys(rest, text))
    assert found == wanted
    assert found.name == "wave"
    assert found.to_json() == wanted.to_json()


def test_json_cuts_paths():
    values = TrainingConfig(
        "/home/ann/pictures/Starry Night.jpg",
        content="/data/private/photos/",
        output="/srv/checkpoints",
        start_from="old/wave",
        vgg_weights="C:\\Users\\ann\\vgg19.h5",
        preview=("/home/ann/me.jpg", "https://example.org/you.png?token=secret"),
    ).to_json()
    assert values["style"] == ["Starry Night.jpg"]
    assert values["content"] == "photos"
    assert values["output"] == "checkpoints"
    assert values["start_from"] == "wave"
    assert values["vgg_weights"] == "vgg19.h5"
    assert values["preview"] == ["me.jpg", "you.png"]
    assert not re.search("ann|private|secret|/", json.dumps(values))


def test_json_ignores_options_of_another_version():
    values = {**TrainingConfig("style.jpg").to_json(), "from_the_future": 1}
    assert TrainingConfig.from_json(values).steps == TrainingConfig("style.jpg").steps


def test_differences_name_what_shapes_the_result():
    one = TrainingConfig("style.jpg")
    assert one.differences(one) == []
    other = dataclasses.replace(one, style_weight=9.0, seed=4, width=16)
    assert set(one.differences(other)) == {"style_weight", "seed", "width"}


def test_differences_pass_over_where_a_run_lives():
    one = TrainingConfig("style.jpg")
    elsewhere = TrainingConfig(
        "/other/place/renamed.jpg",
        content="elsewhere",
        output="out",
        name="x",
        save_every=3,
        preview_every=2,
        preview=("p.jpg",),
        vgg_weights="/mnt/vgg.h5",
        xla="off",
        overwrite=True,
    )
    assert one.differences(elsewhere) == []


# --- Names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("style", "name"),
    [
        ("style.jpg", "style"),
        ("/a/b/Starry Night.JPG", "starry_night"),
        ("C:\\pictures\\The Scream.png", "the_scream"),
        ("https://example.org/art/Great_Wave.jpg?width=900", "great_wave"),
        ("https://example.org/art/wave.v2.jpg", "wave.v2"),
        ("https://example.org/art/", "art"),
        ("../Café (1888).tiff", "café_1888"),
        ("..", "style"),
        ("???.png", "style"),
        ("İznik.jpg", "i_znik"),
        (f"https://example.org/{300 * '%e5%8c'}.jpg", (33 * "_e5_8c" + "_e")[1:]),
        (f"{300 * '北'}.jpg", 66 * "北"),
    ],
)
def test_name_comes_from_the_style(style, name):
    assert TrainingConfig(style).name == name


def test_name_is_no_longer_than_a_folder_takes():
    assert TrainingConfig("s.jpg", name=200 * "a").name == 200 * "a"
    with pytest.raises(UserError, match="is longer than 200 bytes"):
        TrainingConfig("s.jpg", name=201 * "a")


def test_name_can_be_given():
    assert parse("style.jpg", "--name", "My-wave.2").name == "My-wave.2"


@pytest.mark.parametrize("name", ["a/b", "../up", ".hidden", "-dash", "two words", "a\\b"])
def test_name_is_no_path(name):
    assert "--name" in complaint(name=name)


# --- Ranges --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("steps", 0),
        ("batch_size", 0),
        ("crop_size", 31),
        ("photo_size", 9000),
        ("style_size", 5000),
        ("content_weight", -1.0),
        ("style_weight", float("nan")),
        ("tv_weight", float("inf")),
        ("learning_rate", 0.0),
        ("width", 0),
        ("holdout", -1),
        ("seed", 2**31),
        ("preview_every", 0),
        ("save_every", 0),
    ],
)
def test_ranges(option, value):
    line = complaint(**{option: value})
    assert flag_of(option) in line
    assert str(value) in line


def test_every_number_has_a_range():
    kinds = (int, float, tuple[int, ...], tuple[float, ...])
    numbers = {f.name for f in dataclasses.fields(TrainingConfig) if f.type in kinds}
    assert numbers == {name for name, _, _ in config._RANGES}


def test_every_one_of_several_values_is_within_its_range():
    assert "--style-weight" in complaint(style_weight=(3.0, -1.0))
    assert "--style-size" in complaint(style_size=(512, 5))


def test_one_value_stands_for_all_styles():
    several = TrainingConfig(("a.jpg", "b.jpg"), name="both", style_weight=4.0)
    assert several.for_each_style("style_weight", 2) == (4.0, 4.0)
    each = dataclasses.replace(several, style_weight=(4.0, 9.0))
    assert each.for_each_style("style_weight", 2) == (4.0, 9.0)
    with pytest.raises(UserError, match="style_weight has 2 values for 3 styles"):
        each.for_each_style("style_weight", 3)
    assert several.differences(each) == ["style_weight"]


def test_command_line_takes_several_styles_and_their_values():
    made = parse("a.jpg", "b.jpg", "--name", "both", "--style-weight", "4", "9.5")
    assert made.style == ("a.jpg", "b.jpg")
    assert made.style_weight == (4.0, 9.5)


def test_cards_of_one_style_as_they_were_written_before_several():
    old = {"style": "wave.jpg", "style_weight": 3.0, "style_size": 512, "start_from": ""}
    made = TrainingConfig.from_json({**old, "name": "wave"})
    assert (made.style, made.style_weight, made.style_size) == (("wave.jpg",), (3.0,), (512,))
    assert made.start_from == config.NOTHING


def test_a_style_for_a_gallery_leaves_its_convolutions():
    made = parse("a.jpg", "--add-to", "mine")
    assert (made.start_from, made.learn) == ("mine", "style")


def test_photo_must_hold_the_crop():
    line = complaint(photo_size=128, crop_size=192)
    assert "--photo-size 128" in line
    assert "--crop-size 192" in line


def test_something_must_be_trained_for():
    assert "--style-weight" in complaint(style_weight=0.0, content_weight=0.0)


@pytest.mark.parametrize("option", ["content_layers", "style_layers"])
def test_layers_are_checked_before_anything_is_loaded(option):
    assert "relu9_9" in complaint(**{option: ("relu1_1", "relu9_9")})
    assert flag_of(option) in complaint(**{option: ()})
    deepest = {option: ("block5_conv4",), "vgg_weights": "imagenet"}
    assert getattr(TrainingConfig("s.jpg", **deepest), option)


@pytest.mark.parametrize(
    ("weights", "part"),
    [
        ((1.0, 2.0), "2 weights for 4 layers; give one for each of --style-layers"),
        ((1.0, 2.0, 1.0, 1.0, 1.0), "5 weights for 4 layers"),
        ((1.0,) * 4 + (0.0,) * 4, "must be from 0, and not all 0, not 0 0 0 0"),
        ((0.0, 0.0, 0.0, 0.0), "must be from 0, and not all 0, not 0 0 0 0"),
        ((1.0, -0.5, 1.0, 1.0), "must be from 0, and not all 0, not 1 -0.5 1 1"),
        ((1.0, float("nan"), 1.0, 1.0), "must be from 0"),
        ((1.0, float("inf"), 1.0, 1.0), "must be from 0"),
    ],
)
def test_weights_of_style_layers_are_checked(weights, part):
    line = complaint(style_layer_weights=weights)
    assert line.startswith("--style-layer-weights")
    assert part in line


def test_weights_of_style_layers_reach_the_card_and_decide_what_goes_on():
    words = ("--style-layers", "relu1_1", "relu2_1", "--style-layer-weights", "0.5", "2")
    made = parse("style.jpg", *words)
    assert made.style_layer_weights == (0.5, 2.0)
    assert made.to_json()["style_layer_weights"] == [0.5, 2.0]
    back = TrainingConfig.from_json(json.loads(json.dumps(made.to_json())))
    assert back.style_layer_weights == made.style_layer_weights
    equal = dataclasses.replace(made, style_layer_weights=())
    assert made.differences(equal) == ["style_layer_weights"]


def test_weights_of_style_layers_are_for_all_styles_or_for_each():
    def made(*weights):
        return TrainingConfig(
            "style.jpg", style_layers=("relu1_1", "relu2_1"), style_layer_weights=weights
        )

    assert made().layer_weights_of_each(2) == [(1.0, 1.0)] * 2
    assert made(1.0, 3.0).layer_weights_of_each(2) == [(1.0, 3.0)] * 2
    assert made(1.0, 3.0, 2.0, 2.0).layer_weights_of_each(2) == [(1.0, 3.0), (2.0, 2.0)]
    with pytest.raises(UserError, match="has 4 values for 3 styles of 2 layers"):
        made(1.0, 3.0, 2.0, 2.0).layer_weights_of_each(3)


def test_a_card_of_before_has_equal_weights():
    values = TrainingConfig("style.jpg").to_json()
    del values["style_layer_weights"]
    assert TrainingConfig("style.jpg").differences(TrainingConfig.from_json(values)) == []


def test_a_card_with_deeper_layers_is_read():
    layers = ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"]
    values = {**TrainingConfig("style.jpg").to_json(), "style_layers": layers}
    values["vgg_weights"] = "imagenet"
    assert TrainingConfig.from_json(values).style_layers == tuple(layers)


def test_the_loss_has_its_defaults_from_here():
    import inspect

    from fst.gatys.options import GatysOptions
    from fst.models.perceptual import PerceptualLoss

    loss = inspect.signature(PerceptualLoss).parameters
    for field in dataclasses.fields(config.LossDefaults):
        usual = getattr(TrainingConfig, field.name)
        usual = usual[0] if field.name == "style_weight" else usual  # There one for each style.
        assert field.default == getattr(GatysOptions, field.name) == usual
        of_loss = loss[field.name.removeprefix("loss_")].default
        assert of_loss == (usual or None)
    assert TrainingConfig.style_layers == ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
    assert TrainingConfig.content_layers == ("relu4_2",)


def test_forms_are_those_that_the_loss_knows():
    from fst.models.perceptual import FORMS

    assert config.LossForm.__args__ == FORMS
    for form in FORMS:
        assert parse("style.jpg", "--loss-form", form).loss_form == form
    assert "mean" in complaint("style.jpg", "--loss-form", "sum")


def test_poolings_are_those_that_vgg_knows():
    from fst.gatys.options import GatysOptions
    from fst.models.perceptual import POOLINGS

    assert GatysOptions.__annotations__["pooling"].__args__ == POOLINGS


def test_layers_are_those_that_the_loss_knows():
    from fst.models.perceptual import keras_layer_name

    def known(name):
        try:
            TrainingConfig("s.jpg", style_layers=(name,), vgg_weights="imagenet")
        except UserError:
            return False
        return True

    for block in range(7):
        for number in range(6):
            for name in (f"relu{block}_{number}", f"block{block}_conv{number}"):
                try:
                    keras_layer_name(name)
                except ValueError:
                    assert not known(name)
                else:
                    assert known(name)


# --- Presets -------------------------------------------------------------------------------------


def test_every_preset_is_valid():
    assert set(PRESETS) == set(config.Preset.__args__)
    for preset, changes in PRESETS.items():
        made = parse("style.jpg", "--preset", preset)
        assert made == TrainingConfig("style.jpg", preset=preset)
        assert dataclasses.asdict(made).items() >= changes.items()


def test_fine_is_the_papers_training():
    fine = parse("style.jpg", "--preset", "fine")
    assert (fine.steps, fine.batch_size, fine.crop_size) == (40_000, 4, 256)


def test_instant_is_the_default():
    assert parse("style.jpg") == parse("style.jpg", "--preset=instant")
    assert parse("style.jpg") == TrainingConfig("style.jpg")


@pytest.mark.parametrize(
    "args",
    [
        ("style.jpg", "--preset", "fine", "--steps", "9"),
        ("--steps=9", "--preset=fine", "style.jpg"),
        ("--steps", "9", "style.jpg", "--preset", "fine"),
    ],
)
def test_flags_win_over_the_preset(args):
    made = parse(*args)
    assert made.steps == 9
    assert made.batch_size == PRESETS["fine"]["batch_size"]
    assert made == TrainingConfig("style.jpg", preset="fine", steps=9)


def test_python_and_the_command_line_mean_the_same_by_a_preset():
    made = TrainingConfig("style.jpg", preset="fine")
    assert made == parse("style.jpg", "--preset", "fine")
    assert (made.preset, made.steps, made.crop_size) == ("fine", 40_000, 256)
    assert dataclasses.replace(made, steps=7).crop_size == 256
    again = TrainingConfig.from_json(made.to_json())
    assert dataclasses.replace(again, vgg_weights=made.vgg_weights) == made


def test_what_python_gives_wins_over_the_preset():
    assert TrainingConfig("style.jpg", preset="fine", steps=160).steps == 160  # The usual number.
    assert TrainingConfig("style.jpg", "", "a", "out", "draft", 7).steps == 7


@pytest.mark.parametrize("name", ["preset", "loss_form", "learn", "precision", "xla", "distribute"])
def test_a_choice_that_there_is_not_is_told_with_those_that_there_are(name):
    choices = ", ".join(typing.get_args(typing.get_type_hints(TrainingConfig)[name]))
    with pytest.raises(UserError) as error:
        TrainingConfig("style.jpg", **{name: "mirored"})
    assert str(error.value) == f"{name} is one of {choices}, not 'mirored'"


@pytest.mark.parametrize("name", ["engine", "precision", "format"])
def test_a_choice_of_stylising_that_there_is_not_is_told(name):
    with pytest.raises(UserError, match=f"^{name} is one of .*, not 'all'$"):
        InferenceConfig("udnie", ("a.jpg",), "b.jpg", **{name: "all"})


def test_unknown_preset():
    with pytest.raises(UserError, match="preset is one of"):
        TrainingConfig("style.jpg", preset="huge")


# --- The command line ----------------------------------------------------------------------------


def test_every_option_has_a_flag_that_reaches_it():
    made = parse(
        *["style.jpg", "--content", "tfds:coco", "--style-layers", "relu1_1", "relu2_1"],
        *["--preview", "a.jpg", "b.jpg", "--precision", "mixed_bfloat16", "--overwrite"],
        *["--learning-rate", "1e-4", "--xla", "off", "--seed", "5"],
    )
    assert made.content == "tfds:coco"
    assert made.style_layers == ("relu1_1", "relu2_1")
    assert made.preview == ("a.jpg", "b.jpg")
    assert made.precision == "mixed_bfloat16"
    assert made.learning_rate == 1e-4
    assert made.overwrite
    assert made.xla == "off"
    assert made.seed == 5


def test_every_option_is_explained():
    assert set(field_docs()) == set(FIELDS)


def test_help_shows_every_option():
    done = run("train.py", "--help")
    assert done.returncode == 0
    assert not done.stderr
    text = letters(done.stdout)
    for name, words in field_docs().items():
        assert letters(words) in text, name
        assert name == "style" or letters(flag_of(name)) in text, name


@pytest.mark.parametrize(
    "kind", [TrainingConfig, InferenceConfig, GatysConfig, CompareConfig, ExportConfig]
)
def test_help_names_what_an_option_takes_and_shows_no_empty_default(kind, capsys):
    with pytest.raises(SystemExit):
        cli.parse(kind, "program", ["--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert not re.search(r"\bSTR\b|default: (''|\(\))?\)|[Rr]equired\.", text)
    assert "(required)" in text
    assert not re.search(r"\(default: [^()]*\)\.? \(default: ", text)


def test_reading_the_command_line_loads_no_tensorflow():
    code = (
        "import sys; from fst.console import cli; from fst.config import TrainingConfig;"
        "cli.parse(TrainingConfig, 'train.py', ['s.jpg', '--preset', 'draft']);"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    done = run("-c", code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("args", [(), ("--preset", "fine")])
def test_a_style_image_is_needed(args):
    assert "style image" in complaint(*args)


def test_several_styles_need_a_name():
    line = complaint("s.jpg", "extra.jpg")
    assert "--name" in line
    assert "extra.jpg" in line


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("s.jpg", "--nope", "3"), "--nope"),
        (("s.jpg", "--preset", "fine", "--nope"), "--nope"),
        (("s.jpg", "--step", "4"), "--step"),  # No abbreviations: they would change meaning later.
        (("s.jpg", "--steps", "many"), "--steps"),
        (("s.jpg", "--steps"), "--steps"),
        (("s.jpg", "--preset"), "--preset"),
        (("s.jpg", "--preset", "huge"), "huge"),
        (("s.jpg", "--precision", "float64"), "mixed_bfloat16"),
        (("s.jpg", "--tensorboard", "yes"), "yes"),
    ],
)
def test_wrong_use_ends_in_one_line(args, words):
    line = complaint(*args)
    assert words.lower() in line.lower()
    assert line.endswith("; see train.py --help")
    assert not re.search(r"[│╭╮╰╯─]|\.;", line)


def test_wrong_values_end_in_one_line():
    assert complaint("s.jpg", "--steps", "0") == "--steps must be from 1 to 10000000, not 0"


def test_wrong_use_exits_with_2_and_no_traceback():
    done = run("train.py", "s.jpg", "--steps", "many")
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(r"error: .*--steps.*\n", done.stderr)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_complaint_is_read_whatever_the_terminal_can_draw(encoding, monkeypatch):
    """Where it has no box-drawing characters, the box begins with a rule."""
    boxes = {
        "utf-8": "╭─ Parsing error ─╮\n│ bad steps │\n│ ───────── │\n│ For help │\n╰─────────╯\n",
        "ascii": " Parsing error \n-----------\n  bad steps \n  ---------\n  For help \n",
    }
    assert cli._first_words(boxes[encoding]) == "bad steps"


# --- Errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "argument", "flag"),
    [
        (lambda: TrainingConfig("s.jpg", batch_size=0), "batch_size", "--batch-size"),
        (lambda: TrainingConfig(()), "style", "STYLE"),
        (lambda: TrainingConfig("s.jpg", name="a/b"), "name", "--name"),
        (lambda: GatysOptions(style_layers=("relu9_9",)), "style_layers", "--style-layers"),
        (lambda: GatysOptions(init="nothing"), "init", "--init"),
        (lambda: InferenceConfig("udnie", ("a.jpg",), "b.jpg", max_size=-1), "max_size", None),
        (lambda: InferenceConfig(input=("a.jpg",), output="b.jpg"), "checkpoint", "CHECKPOINT"),
    ],
)
def test_an_error_names_the_argument_in_python_and_the_flag_on_the_command_line(
    make, argument, flag
):
    with pytest.raises(UserError) as caught:
        make()
    words = re.findall(r"[-\w]+", str(caught.value))
    assert argument in words
    assert not [word for word in words if word.startswith("--")]
    told = re.findall(r"[-\w]+", caught.value.for_command_line())
    assert (flag or flag_of(argument)) in told
    assert argument not in told or argument == "style"


def test_what_a_user_wrote_stays_as_it_is():
    error = UserError("--odd--name.jpg ‹›, ‹a b›: lower ‹max_size›")
    assert str(error) == "--odd--name.jpg ‹›, ‹a b›: lower max_size"
    assert error.for_command_line() == "--odd--name.jpg ‹›, ‹a b›: lower --max-size"
