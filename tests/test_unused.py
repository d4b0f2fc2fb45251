"""An option that does nothing where it is given is told of, and only then."""

import dataclasses
from pathlib import Path

import pytest
from forks import run
from PIL import Image

from fst import export
from fst.batch.plan import Job
from fst.batch.unused import in_inference
from fst.comparison import unused as comparison_unused
from fst.comparison.measure import CompareConfig
from fst.comparison.unused import in_comparison
from fst.config import InferenceConfig, TrainingConfig
from fst.console import cli, unused
from fst.export import ExportConfig, in_export
from fst.gatys import unused as gatys_unused
from fst.gatys.options import GatysConfig
from fst.gatys.sweep import combinations, parse_sweep
from fst.gatys.unused import in_gatys
from fst.loss_options import IMAGENET, WEIGHTS_VARIABLE
from fst.media.video import MOVING_OUTPUTS
from fst.training.unused import in_training


def parsed(kind, words):
    return cli.parse(kind, "program", words.split())


def flags(notes):
    """The options that are told of."""
    for note in notes:
        assert "\n" not in note
        assert " is not used: " in note
    return [note.split()[0] for note in notes]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("udnie --format onnx --size 480 640", ["--size"]),
        ("udnie --size 480 640", ["--size"]),
        ("udnie --format litert --size 480 640", []),
        ("udnie --format onnx -o a.onnx --checkpoints styles", []),
        ("udnie --format onnx --size 512 512", []),  # What it is anyway.
    ],
)
def test_export(words, told):
    assert flags(in_export(parsed(ExportConfig, words))) == told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--style-weight 9 --content-layers relu3_1 --learning-rate 1e-4", []),
        ("--content-weight 0 --content-layers relu3_1", ["--content-layers"]),
        ("--content-weight 0", []),
        ("--style-weight 0 --style-layers relu1_1", ["--style-layers"]),
        ("--style-weight 0 --style-size 64", ["--style-size"]),
        ("--preset fine", []),
        ("--style-turns 3", ["--style-turns"]),
        ("b.jpg --name both --style-turns 1 3", []),
    ],
)
def test_training(words, told):
    config = parsed(TrainingConfig, f"style.jpg {words}")
    assert flags(in_training(config)) == told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("", []),
        ("--learning-rate 2", ["--learning-rate"]),
        ("--beta-1 0.5", ["--beta-1"]),
        ("--optimizer adam --learning-rate 2 --beta-1 0.5", []),
        ("--seed 3", ["--seed"]),
        ("--noise 9 --init style", ["--noise"]),
        ("--seed 3 --noise 9 --init noise", []),
        ("--style-image-weights 2", ["--style-image-weights"]),
        ("--content-weight 0 --content-layers relu3_1", ["--content-layers"]),
        # What a preset brings along was not asked for.
        ("--preset tensorflow_tutorial --optimizer lbfgs", []),
        ("--preset gatys2016 --init content", []),
        ("--preset gatys2016 --init content --noise 5", ["--noise"]),
        ("--sweep learning_rate=1,5", ["--learning-rate"]),
        ("--sweep learning_rate=1,5 optimizer=lbfgs,adam", []),
        ("--learning-rate 2 --sweep optimizer=lbfgs,adam", []),
        ("--sweep seed=1,2,3", ["--seed"]),
        ("--sweep seed=1,2,3 init=noise", []),
        ("--sweep style_weight=1,4 init=noise,content", []),
    ],
)
def test_gatys(words, told, monkeypatch):
    # Some presets need all of VGG19; what is asked here does not depend on having it.
    monkeypatch.setenv(WEIGHTS_VARIABLE, IMAGENET)
    config = parsed(GatysConfig, f"photo.jpg style.jpg -o out.png {words}")
    runs = combinations(config.options(), parse_sweep(config.sweep)) if config.sweep else []
    assert flags(in_gatys(config, [options for _, options in runs])) == told


def test_gatys_with_two_styles():
    config = parsed(GatysConfig, "photo.jpg a.jpg b.jpg -o o.png --style-image-weights 2 1")
    assert in_gatys(config) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--seed 3", []),
        ("--seed 3 --also-from style", ["--seed"]),
        ("--seed 3 --also-from style --init noise", []),
        ("--init style --also-from style", ["--also-from"]),
        ("--init noise", []),
    ],
)
def test_compare(words, told):
    config = parsed(CompareConfig, f"udnie photo.jpg --style style.jpg -o report {words}")
    assert flags(in_comparison(config)) == told


@pytest.mark.parametrize(
    ("words", "targets", "told"),
    [
        ("a.jpg -o out.jpg --quality 80 --keep-metadata", ["out.jpg"], []),
        ("a.jpg -o out.png --quality 80", ["out.png"], ["--quality"]),
        ("a.jpg -o out.tif --quality 80", ["out.tif"], ["--quality"]),
        ("a.jpg b.png -o out --quality 80", ["out/a.jpg", "out/b.png"], []),
        ("a.jpg b.png -o out --format png --quality 80", ["out/a.png", "b.png"], ["--quality"]),
        ("a.jpg -o out.bmp --keep-metadata", ["out.bmp"], ["--keep-metadata"]),
        ("a.jpg -o out.jpg --steady", ["out.jpg"], ["--steady"]),
        ("a.mp4 -o out.mp4 --steady --quality 80 --keep-metadata", ["out.mp4"], []),
        ("a.mp4 -o out.mp4 --format png", ["out.mp4"], ["--format"]),
        ("a.mp4 b.jpg -o out --format png --steady", ["out/a.mp4", "out/b.png"], []),
        ("a.gif -o out.mp4 --steady --quality 80", ["out.mp4"], []),
        ("a.mp4 -o out.gif --steady --quality 80", ["out.gif"], ["--quality"]),
        ("a.gif -o out.png --steady", ["out.png"], ["--steady"]),
        ("a.jpg -o out.jpg --recursive", ["out.jpg"], ["--recursive"]),
        ("a.jpg -o out.jpg --tile 64 --engine openvino", ["out.jpg"], ["--engine"]),
        ("a.jpg -o out.jpg --tile 64 --engine tensorflow", ["out.jpg"], []),
        ("a.jpg -o o.jpg --tile 64 --precision bfloat16", ["o.jpg"], ["--precision"]),
        ("a.jpg -o out.jpg --tile off --engine openvino", ["out.jpg"], []),
        ("a.jpg -o out.jpg --scale 2 --strength 0.5 --max-size 9 --sharpen 2", ["out.jpg"], []),
    ],
)
def test_infer(words, targets, told):
    config = parsed(InferenceConfig, f"udnie {words}")
    jobs = [
        Job(Path(given), Path(target), moving=Path(target).suffix in MOVING_OUTPUTS)
        for given, target in zip(config.input, targets, strict=True)
    ]
    assert flags(in_inference(config, jobs)) == told


def test_infer_of_a_folder(tmp_path):
    config = parsed(InferenceConfig, f"udnie {tmp_path} -o out --recursive")
    assert in_inference(config, [Job(tmp_path / "a.jpg", Path("out/a.jpg"))]) == []


@pytest.mark.parametrize(
    "kind", [TrainingConfig, GatysConfig, CompareConfig, ExportConfig, InferenceConfig]
)
def test_every_option_that_a_rule_names_is_there(kind):
    fields = {field.name for field in dataclasses.fields(kind)}
    rules = {
        TrainingConfig: unused.LOSS,
        GatysConfig: gatys_unused.RULES,
        CompareConfig: comparison_unused.RULES,
        ExportConfig: export.UNUSED,
        InferenceConfig: (),
    }[kind]
    assert {rule.field for rule in rules} <= fields


@pytest.mark.slow
def test_the_commands_tell_it_and_do_their_work(styles, tmp_path):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    place = styles / "waves"
    done = run("infer.py", place, tmp_path / "a.png", "-o", tmp_path / "b.png", "--quality", 80)
    assert (done.returncode, done.stderr) == (
        0,
        "note: --quality is not used: it is for JPEG, WebP, AVIF and videos\n",
    )
    output = tmp_path / "a.onnx"
    done = run("-m", "fst.export", place, "--format", "onnx", "-o", output, "--size", 64, 64)
    assert (done.returncode, done.stdout) == (0, f"wrote {output}\n")
    assert done.stderr == (
        "note: --size is not used: it is for --format litert, the others take every size\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("train.py none.jpg --style-weight 0 --style-size 64 --output {tmp}", "--style-size"),
        ("-m fst.gatys none.jpg none.jpg -o {tmp}/o.png --learning-rate 9", "--learning-rate"),
        ("compare.py none {a} --style {a} -o {tmp}/o --also-from style --seed 9", "--seed"),
    ],
)
def test_it_is_told_before_the_work_begins(tmp_path, command, told):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    words = [word.format(tmp=tmp_path, a=tmp_path / "a.png") for word in command.split()]
    done = run(*words)
    note, error = done.stderr.splitlines()
    assert note.startswith(f"note: {told} is not used: ")
    assert error.startswith("error: ")
    assert done.returncode == 2
