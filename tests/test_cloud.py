"""Training on SageMaker: what is asked of AWS, and a job that is run for real on two instances.

AWS itself is stood in for, see `sagemaker_stand_in.py`.
"""

import dataclasses
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import ROOT, draw_photo, run_script_here
from tiny import command_of, read_losses, tiny_options

import fst
from cloud import sagemaker_fetch, sagemaker_job, sagemaker_train
from fst import collection
from fst.config import TrainingConfig
from fst.console import cli
from fst.errors import UserError
from fst.training.style_images import open_styles

SDK_PYTHON = ROOT / ".venv-cloud" / "bin" / "python"
STEPS = 40


def stand_in(*commands):
    """Runs `sagemaker_train.py` against the stand-in of AWS, once for each of the commands.

    Args:
        commands: each a folder, after how many steps the job is interrupted, and the options.
    """
    if not SDK_PYTHON.exists():
        pytest.skip("there is no .venv-cloud with the SageMaker SDK: run `make cloud`")
    script = ROOT / "tests" / "sagemaker_stand_in.py"
    commands = json.dumps([[str(folder), after, words] for folder, after, words in commands])
    done = subprocess.run(
        [SDK_PYTHON, script, sys.executable, commands],
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def jobs(photos, style, first_layers, tmp_path_factory):
    """Two jobs: the folders of each, and the options of the first.

    The first is on two spot instances that were taken away after six steps; the second fails.
    """
    folder, failed = tmp_path_factory.mktemp("job"), tmp_path_factory.mktemp("failed")
    options = tiny_options(
        photos,
        style,
        first_layers,
        folder / "styles",
        steps=STEPS,
        save_every=3,
        preview=(str(style),),
    )
    # Of VGG19 no more than what is first: the instances compile all that they use.
    options |= {"content_layers": ("relu1_1",), "style_layers": ("relu1_1",)}
    words = command_of(options)[1:]
    more = ("--instances", "2", "--spot", "--role", "trainer", "--hours", "2")
    # What the job alone can find out: that there is no file behind the address.
    nowhere = {"vgg_weights": "s3://sagemaker-eu-central-1-123456789012/no", "output": str(failed)}
    bad = (*command_of({**options, **nowhere})[1:], "--role", "trainer")
    stand_in((folder, 6, [*words, *more]), (failed, 0, bad))
    return folder, failed, options


@pytest.fixture(scope="module")
def job(jobs):
    """The job that was interrupted: its folder, and the options."""
    folder, _, options = jobs
    ended = json.loads((folder / "ended.json").read_text())
    assert ended["code"] == 0, ended["said"] + "".join(
        path.read_text()[-2000:] for path in folder.glob("*.log")
    )
    return folder, options


@pytest.fixture(scope="module")
def request_made(job):
    return json.loads((job[0] / "request.json").read_text())


def test_the_request_is_what_the_docs_promise(request_made):
    assert request_made["ResourceConfig"] == {
        "InstanceType": "ml.g5.xlarge",
        "InstanceCount": 2,
        "VolumeSizeInGB": 50,
    }
    assert request_made["EnableManagedSpotTraining"] is True
    assert request_made["StoppingCondition"] == {
        "MaxRuntimeInSeconds": 7200,
        "MaxWaitTimeInSeconds": 14400,
    }
    assert request_made["RoleArn"].endswith(":role/trainer")
    image = request_made["AlgorithmSpecification"]["TrainingImage"]
    assert image.endswith("/tensorflow-training:2.21-gpu-py312")
    folder = r"s3://sagemaker-eu-central-1-\d+/fst/tiny/"
    assert re.fullmatch(folder + "checkpoints", request_made["CheckpointConfig"]["S3Uri"])
    assert request_made["CheckpointConfig"]["LocalPath"] == sagemaker_job.CHECKPOINTS
    assert re.fullmatch(folder + "output", request_made["OutputDataConfig"]["S3OutputPath"])
    channels = {channel["ChannelName"]: channel for channel in request_made["InputDataConfig"]}
    assert set(channels) == {"style", "photos", "vgg19", "previews", "code", "sm_drivers"}
    for channel in channels.values():
        assert re.match(folder, channel["DataSource"]["S3DataSource"]["S3Uri"])


def test_hyperparameters_are_the_options_and_no_paths(job, request_made):
    folder, options = job
    sent = request_made["HyperParameters"]
    assert sent["steps"] == str(STEPS)
    assert json.loads(sent["style_layers"]) == list(options["style_layers"])
    assert not {"style", "content", "output", "vgg_weights", "preview"} & set(sent)
    assert str(folder.parent) not in json.dumps(sent)


def test_the_curves_that_aws_draws_are_in_the_log(job, request_made):
    folder, _ = job
    log = (folder / "127.0.0.1.log").read_text()
    losses = read_losses(folder / "styles" / "tiny")[-1]
    defined = request_made["AlgorithmSpecification"]["MetricDefinitions"]
    assert [metric["Name"] for metric in defined] == [
        f"fst:{name}" for name in ("total", "content", "style", "tv")
    ]
    for metric, loss in zip(defined, losses[1:], strict=True):
        # The log tells a running mean.
        assert float(re.findall(metric["Regex"], log)[-1]) == pytest.approx(loss, rel=0.1)


@pytest.mark.usefixtures("one_block_here")
def test_the_trained_style_comes_back_and_works(job):
    folder, _ = job
    style = folder / "styles" / "tiny"
    picture = fst.load(style)(draw_photo(1))
    assert picture.shape == draw_photo(1).shape
    assert np.std(picture) > 1
    assert not (style / "training").exists()
    assert [path.name for path in (folder / "styles").iterdir()] == ["tiny"]


def test_an_interrupted_job_goes_on_from_s3(job):
    folder, _ = job
    assert read_losses(folder / "styles" / "tiny")[:, 0].tolist() == list(range(1, STEPS + 1))
    for host in ("127.0.0.1", "localhost"):
        gone_on = re.findall(
            rf"going on after step (\d+) of {STEPS}", (folder / f"{host}.log").read_text()
        )
        assert len(gone_on) == 1
        assert 6 <= int(gone_on[0]) < STEPS


def test_only_the_first_instance_writes_the_style(job):
    hosts = job[0] / "hosts"
    assert [path.name for path in (hosts / "127.0.0.1" / "model").iterdir()] == ["tiny"]
    assert list((hosts / "localhost" / "model").iterdir()) == []


def test_a_job_that_fails_is_told_in_one_line(jobs):
    ended = json.loads((jobs[1] / "ended.json").read_text())
    assert ended["code"] == 2
    line = ended["said"].strip().splitlines()[-1]
    assert re.match(r"error: fst-tiny-\d+ failed: AlgorithmError: .*vgg19: holds 0 files", line)
    assert "Traceback" not in ended["said"]


def test_the_reason_that_sagemaker_shows_names_the_option(style, tmp_path, monkeypatch):
    def run(config):
        raise UserError("‹content›: the folder holds\nno photos")

    monkeypatch.setattr(sagemaker_job, "run", run)
    monkeypatch.setenv("SM_HPS", json.dumps({"style": str(style), "name": "mine"}))
    monkeypatch.setenv("SM_OUTPUT_DIR", str(tmp_path / "output"))
    with pytest.raises(UserError):
        sagemaker_job.main()
    text = (tmp_path / "output" / "failure").read_text()
    assert text == "--content: the folder holds no photos"


def job_config(style, **options):
    options = {"content": "tfds:coco/2017:train", "start_from": "none", **options}
    return sagemaker_train.JobConfig(str(style), **options)


def with_channels(config, folder):
    """As `in_the_job`, with the channels that the launcher fills."""
    channels = {}
    for name, source in sagemaker_train.local_channels(config).items():
        place = Path(sagemaker_train.gather(source, folder / name))
        channels[f"SM_CHANNEL_{name.upper()}"] = str(place if place.is_dir() else place.parent)
    return in_the_job(config, folder, **channels)


def in_the_job(config, folder, **variables):
    """The configuration that a job reads from the hyperparameters which the launcher sends."""
    if "SM_CHANNEL_STYLE" not in variables:
        (folder / "style" / "0000").mkdir(parents=True, exist_ok=True)
        (folder / "style" / "0000" / "picture.png").touch()
    hyperparameters = json.dumps(sagemaker_train.hyperparameters(config))
    environment = {"SM_HPS": hyperparameters, "SM_CHANNEL_STYLE": str(folder / "style")}
    words = sagemaker_job.command_line({**environment, **variables})
    return cli.parse(TrainingConfig, "the job", words)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"preset": "fine", "steps": 40_000, "crop_size": 256, "photo_size": 288},
        {"precision": "mixed_float16", "distribute": "mirrored", "batch_size": 8},
        {"content_layers": ("relu3_2", "relu4_2"), "tensorboard": True, "name": "a-b.c"},
        {"style_layers": ("relu1_1", "relu5_1"), "vgg_weights": "imagenet"},
        {"style_layers": ("relu1_1", "relu2_1"), "style_layer_weights": (0.5, 2.0)},
    ],
)
def test_the_job_trains_with_the_options_that_were_given(style, tmp_path, options):
    config = job_config(style, **options)
    found = in_the_job(config, tmp_path)
    assert found.output == sagemaker_job.CHECKPOINTS
    assert found.style == (str(tmp_path / "style" / "0000" / "picture.png"),)
    places = ("style", "output")
    for field in dataclasses.fields(TrainingConfig):
        if field.name not in places:
            assert getattr(found, field.name) == getattr(config, field.name), field.name


def test_weights_are_sent_along_where_they_are_a_file(style, tmp_path, monkeypatch):
    def channel(**options):
        config = job_config(style, output=str(tmp_path / "styles"), **options)
        return sagemaker_train.local_channels(config).get("vgg19")

    monkeypatch.delenv("FST_VGG19_WEIGHTS", raising=False)
    assert channel() is channel(vgg_weights="imagenet") is None
    named = tmp_path / "vgg.h5"
    named.touch()
    assert channel(vgg_weights=str(named)) == str(named)
    monkeypatch.setenv("FST_VGG19_WEIGHTS", str(named))
    assert channel() == str(named)
    assert channel(vgg_weights="embedded") is None


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("gallery", "gallery"),  # the default
        ("reef", "gallery/reef"),
        ("gallery/moss", "gallery/moss"),
        ("moss", "moss"),  # a folder of its own
    ],
)
def test_what_is_started_from_keeps_its_name(style, gallery, tmp_path, given, found):
    output = tmp_path / "styles"
    shutil.copytree(gallery, output)
    (output / "gallery" / "training").mkdir()
    (output / "gallery" / "training" / "state.npz").touch()
    config = job_config(style, start_from=given, output=str(output), name="new", width=4)
    there = with_channels(config, tmp_path / "job")
    folder = tmp_path / "job" / "start_from"
    assert there.start_from == str(folder / found)
    assert (folder / found.split("/")[0] / "network.weights.h5").exists()
    assert not list(folder.rglob("training"))
    wanted, got = (collection.find_start(c.start_from, c.output) for c in (config, there))
    assert wanted.name == got.name
    assert wanted.style_weights == got.style_weights


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("dusk=1,reef=1", "a job takes no blend"),
        ("gallery", "has width 4; give --width 4, or --start-from none"),
        ("nowhere", "there is no trained style 'nowhere'"),
    ],
)
def test_what_a_job_cannot_start_from_is_told_before_it_begins(style, gallery, given, words):
    config = job_config(style, start_from=given, output=str(gallery), name="new")
    with pytest.raises(UserError, match=words):
        sagemaker_train.local_channels(config)


def test_without_a_start_a_job_begins_with_random_weights(style, tmp_path):
    for given in ("none", ""):
        config = job_config(style, start_from=given)
        assert "start_from" not in sagemaker_train.local_channels(config)
        assert in_the_job(config, tmp_path).start_from == "none"


def test_several_styles_reach_the_job_in_their_order_and_with_their_names(style, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("b.png", "c.png"):
        shutil.copy(style, folder / name)
    shutil.copy(style, tmp_path / "z.png")
    config = sagemaker_train.JobConfig(
        (str(tmp_path / "z.png"), str(folder)),
        content="tfds:coco",
        start_from="none",
        name="three",
        style_weight=(1.0, 2.0, 3.0),
        style_size=(64, 80, 96),
    )
    found = with_channels(config, tmp_path / "job")
    assert [Path(picture).name for picture in found.style] == ["z.png", "b.png", "c.png"]
    assert (found.style_weight, found.style_size) == (config.style_weight, config.style_size)
    assert [one.name for one in open_styles(found)] == ["z", "b", "c"]
    assert [one.sha256 for one in open_styles(found)] == [one.sha256 for one in open_styles(config)]


def test_several_hosts_become_tf_config(style, tmp_path):
    hosts = {"SM_HOSTS": '["algo-2", "algo-1"]', "SM_CURRENT_HOST": "algo-2"}
    assert in_the_job(job_config(style), tmp_path, **hosts).distribute == "multiworker"
    names, index = sagemaker_job.cluster(hosts)
    assert json.loads(sagemaker_job.tf_config(names, index, 7777)) == {
        "cluster": {"worker": ["algo-1:7777", "algo-2:7778"]},
        "task": {"type": "worker", "index": 1},
    }


def test_a_job_without_a_style_says_so():
    with pytest.raises(UserError, match="no style image: give it the channel 'style'"):
        sagemaker_job.command_line({"SM_HPS": "{}"})


def test_styles_can_be_addresses_and_their_channel_must_hold_some(tmp_path):
    for given in ("https://a.b/c.jpg", ["https://a.b/c.jpg", "https://a.b/d.jpg"]):
        words = sagemaker_job.command_line({"SM_HPS": json.dumps({"style": given, "name": "a"})})
        found = cli.parse(TrainingConfig, "the job", words).style
        assert found == ((given,) if isinstance(given, str) else tuple(given))
    with pytest.raises(UserError, match="no style image"):
        sagemaker_job.command_line({"SM_CHANNEL_STYLE": str(tmp_path)})


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--instances", "3", "--batch-size", "4"], "--batch-size 4 cannot be shared out among 3"),
        (["--instance-type", "gpu"], "--instance-type gpu: is no SageMaker kind"),
        (["--content", "nowhere"], "--content nowhere: there is no such folder of photos"),
        (["--vgg-weights", "nowhere.h5"], "--vgg-weights nowhere.h5: there is no such file"),
        (["--preview", "nowhere.jpg"], "--preview nowhere.jpg: there is no such photo"),
        (["--preview", "s3://bucket/a.jpg"], "s3://bucket/a.jpg: there is no such photo on this"),
        (["--start-from", "nowhere"], "there is no trained style 'nowhere'"),
        (["--content", ""], "--content is missing: a job is for many photos"),
        (["--add-to", "gallery"], "--add-to gallery: a job cannot add to a gallery"),
        (["--style-weight", "1", "2"], "--style-weight has 2 values for 1 styles"),
        (["--hours", "0"], "--hours must be from 0.1 to 672"),
        ([], "the SageMaker SDK is not installed"),
    ],
)
def test_wrong_use_is_one_line(style, photos, tmp_path, monkeypatch, capsys, more, words):
    command = [style, "--content", photos, "--output", tmp_path, *more]
    done = run_script_here(ROOT / "cloud" / "sagemaker_train.py", command, monkeypatch, capsys)
    assert done.code == 2
    assert words in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_a_style_that_is_there_is_not_replaced_unasked(style, photos, tmp_path):
    (tmp_path / "mine").mkdir()
    config = job_config(style, content=str(photos), name="mine", output=str(tmp_path))
    with pytest.raises(UserError, match="is there already"):
        sagemaker_train.local_channels(config)
    sagemaker_train.local_channels(dataclasses.replace(config, overwrite=True))


def test_an_apostrophe_is_refused(style):
    config = dataclasses.replace(job_config(style), content="tfds:o'neill")
    with pytest.raises(UserError, match="cannot take an apostrophe"):
        sagemaker_train.hyperparameters(config)


@pytest.fixture
def manifest():
    """The objects of `kubernetes.yaml`, by kind."""
    found = yaml.safe_load_all((ROOT / "cloud" / "kubernetes.yaml").read_text())
    return {each["kind"]: each for each in found}


@pytest.mark.parametrize("index", [0, 1])
def test_kubernetes_starts_train_py_on_every_worker(manifest, tmp_path, index):
    """The pod's own command, with a stand-in of the container's `fst` that tells what it got."""
    job, service = manifest["Job"]["spec"], manifest["Service"]
    (container,) = job["template"]["spec"]["containers"]
    (tmp_path / "fst").write_text('#!/bin/sh\necho "$TF_CONFIG"\necho "$@"\n')
    (tmp_path / "fst").chmod(0o755)
    environment = {each["name"]: each["value"] for each in container["env"]}
    done = subprocess.run(
        container["command"],
        env={
            **environment,
            "PATH": f"{tmp_path}:{Path(sys.executable).parent}:/usr/bin:/bin",
            "JOB_COMPLETION_INDEX": str(index),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    tf_config, words = done.stdout.splitlines()
    domain, port = service["metadata"]["name"], service["spec"]["ports"][0]["port"]
    name, count = manifest["Job"]["metadata"]["name"], job["completions"]
    assert count == job["parallelism"] == int(environment["WORKERS"])
    assert json.loads(tf_config) == {
        "cluster": {"worker": [f"{name}-{number}.{domain}:{port}" for number in range(count)]},
        "task": {"type": "worker", "index": index},
    }
    command, *options = words.split()
    config = cli.parse(TrainingConfig, command, options)
    assert config.distribute == "multiworker"
    assert (ROOT / Path(config.start_from).relative_to("/app") / "style.json").is_file()
    assert config.batch_size % count == 0
    mounted = [mount["mountPath"] for mount in container["volumeMounts"]]
    for place in (*config.style, config.content, config.output):
        assert any(place.startswith(f"{path}/") for path in mounted)


def archive_of(folder, *members):
    """An archive with `members`: names, each with its bytes or the target of a link."""
    path = folder / "model.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


CARD = ("mine/style.json", b"{}")


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([CARD, ("../evil", b"x")], "cannot be unpacked"),
        ([CARD, ("mine/link", "/etc/passwd")], "cannot be unpacked"),
        ([("else/readme", b"x")], "holds 0 trained styles"),
        ([CARD, ("two/style.json", b"{}")], "holds 2 trained styles"),
    ],
)
def test_archives_that_are_no_style_leave_nothing(tmp_path, members, words):
    output = tmp_path / "styles"
    output.mkdir()
    archive = archive_of(tmp_path, *members)
    with pytest.raises(UserError, match=words):
        sagemaker_fetch.unpack(archive, output, False, "s3://bucket/model.tar.gz")
    assert list(output.iterdir()) == []
    assert not (tmp_path / "evil").exists()


def test_a_damaged_archive_leaves_nothing(tmp_path):
    whole = archive_of(tmp_path, CARD, ("mine/weights", bytes(range(256)) * 99))
    whole.write_bytes(whole.read_bytes()[:-40])
    output = tmp_path / "styles"
    output.mkdir()
    with pytest.raises(UserError, match="cannot be unpacked"):
        sagemaker_fetch.unpack(whole, output, False, "model.tar.gz")
    assert list(output.iterdir()) == []


def test_an_archive_replaces_a_style_only_when_asked(tmp_path):
    output = tmp_path / "styles"
    (output / "mine").mkdir(parents=True)
    (output / "mine" / "old").touch()
    archive = archive_of(tmp_path, CARD)
    with pytest.raises(UserError, match="is there already"):
        sagemaker_fetch.unpack(archive, output, False, "model.tar.gz")
    assert sagemaker_fetch.unpack(archive, output, True, "model.tar.gz") == output / "mine"
    assert [path.name for path in (output / "mine").iterdir()] == ["style.json"]
