#!/usr/bin/env python3
"""Trains a style as an Amazon SageMaker training job, and brings the trained style back.

    python cloud/sagemaker_train.py picture.jpg --content s3://bucket/photos --role ROLE

Needs `requirements-cloud.txt`, not TensorFlow, and AWS credentials where boto3 looks for them.
docs/scale.md tells what goes where.
"""

import dataclasses
import re
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cloud.sagemaker_fetch import aws_in_words, bucket_and_key, fetch
from fst import collection, errors, files
from fst.config import NOTHING, TrainingConfig, infer_command, last_part
from fst.console import cli
from fst.errors import UserError
from fst.loss_options import EMBEDDED, IMAGENET
from fst.media import folders
from fst.options import check_ranges
from fst.training import style_images

ROOT = Path(__file__).resolve().parent.parent

# What a job needs of this repository.
_CODE = ("fst", "cloud", "requirements.txt")

# The options that say where things lie on this machine. They become channels, or the job's own.
_PLACES = ("style", "content", "output", "start_from", "vgg_weights", "preview", "overwrite")


@dataclasses.dataclass(frozen=True)
class JobConfig(TrainingConfig):
    """Trains a style as an Amazon SageMaker training job, and brings the trained style back.

    Takes the options of train.py, but for --add-to, and those of the job. --content is a folder,
    which is uploaded, an address s3://bucket/folder, or tfds:NAME. The same command goes on where
    an earlier job of the same --name stopped.
    """

    role: str = ""
    """IAM role that the job works under, name or ARN (default: that of your credentials)."""

    instance_type: str = "ml.g5.xlarge"
    """Kind of machine, such as ml.g5.xlarge (one GPU) or ml.c7i.4xlarge (none)."""

    instances: int = 1
    """Number of machines; several train together, and --batch-size is for all of them."""

    spot: bool = False
    """Use spot capacity: cheaper, may be interrupted, and then goes on where it stopped."""

    hours: float = 24.0
    """The job is ended after so many hours of work; its state is kept. With --spot it waits as long
    again for capacity."""

    volume_gb: int = 50
    """Disk of each machine, in GB: room for the photos."""

    bucket: str = ""
    """S3 bucket for code, photos, states and the style (default: SageMaker's of your account)."""

    prefix: str = "fst"
    """Folder in the bucket; a style has its own folder in it."""

    image: str = ""
    """Container image in ECR (default: AWS's of TensorFlow 2.21; the job installs the rest)."""

    wait: bool = True
    """Follow the job's log and fetch the style. If not, cloud/sagemaker_fetch.py does it later."""

    def __post_init__(self):
        super().__post_init__()
        check_ranges(self, (("instances", 1, 100), ("hours", 0.1, 672), ("volume_gb", 1, 16384)))
        if not re.fullmatch(r"ml\.[a-z0-9-]+\.[a-z0-9-]+", self.instance_type):
            raise UserError(
                f"--instance-type {self.instance_type}: is no SageMaker kind, such as ml.g5.xlarge"
            )
        if self.instances > 1 and self.batch_size % self.instances:
            raise UserError(
                f"--batch-size {self.batch_size} cannot be shared out among {self.instances} "
                f"instances: make it a multiple of {self.instances}"
            )

    @property
    def folder(self):
        """Where the trained style will be on this machine."""
        return Path(self.output) / self.name

    def address(self, session, part):
        """The S3 address of one part of this style: `output` or `checkpoints`."""
        return f"s3://{session.default_bucket()}/{self.prefix}/{self.name}/{part}"


def main():
    config = cli.parse(JobConfig, "sagemaker_train.py")
    channels = local_channels(config)
    with aws_in_words(), tempfile.TemporaryDirectory() as folder:
        job = start(config, channels, Path(folder))
        usual = config.output == TrainingConfig.output
        place = "" if usual else f" --output {shlex.quote(config.output)}"
        command = f"cloud/sagemaker_fetch.py {job.training_job_name}{place}"
        if not config.wait:
            print(f"started; when it is done: python {command}")
            return 0
        follow(job, command)
        fetch(job, config.output, config.overwrite)
    print(f"the style is in {config.folder}; try: {infer_command(config.name, config.output)}")
    return 0


def hyperparameters(config):
    """The options of `train.py` that differ from its defaults, for the job.

    Raises:
        UserError: a text holds an apostrophe, which SageMaker's scripts would stumble over.
    """
    usual = TrainingConfig(config.style, preset=config.preset, name=config.name)
    chosen = {"name": config.name, "preset": config.preset}
    for field in dataclasses.fields(TrainingConfig):
        value = getattr(config, field.name)
        if field.name not in _PLACES and value != getattr(usual, field.name):
            chosen[field.name] = list(value) if isinstance(value, tuple) else value
    if config.start_from != NOTHING:
        trained = collection.find_start(config.start_from, config.output)
        if trained.style_weights is not None and len(trained.styles()) > 1:
            chosen["start_from"] = trained.name  # Of the gallery in the channel.
    if config.content.startswith("tfds:"):
        chosen["content"] = config.content
    if config.vgg_weights == IMAGENET:
        chosen["vgg_weights"] = IMAGENET
    for name, value in chosen.items():
        if "'" in str(value) and isinstance(value, str):
            raise UserError(f"--{name} {value}: SageMaker cannot take an apostrophe; do without it")
    return chosen


def local_channels(config):
    """What the job reads, by channel: a path on this machine, paths, or an address in S3.

    Raises:
        UserError: something is not there, a style is no picture, --output has a style of this
            name, or an option makes no sense in a job.
    """
    _check_sense(config)
    if config.folder.exists() and not config.overwrite:
        raise UserError(
            f"{config.folder}: is there already; choose another --name, or replace it with "
            "--overwrite"
        )
    style_images.open_styles(config)  # Raises where one cannot be trained with.
    found = {"style": style_images.list_pictures(config)}
    if not config.content.startswith("tfds:"):
        found["photos"] = _place(config.content, "--content", _has_photos, "folder of photos")
    if config.vgg_weights not in (EMBEDDED, IMAGENET):
        found["vgg19"] = _place(config.vgg_weights, "--vgg-weights", Path.is_file, "file")
    if config.start_from != NOTHING:
        found["start_from"] = _start(config)
    if config.preview:
        for photo in config.preview:
            if not Path(photo).is_file():  # Of any bucket either: they are sent along one by one.
                raise UserError(f"--preview {photo}: there is no such photo on this machine")
        found["previews"] = list(config.preview)
    return found


def _check_sense(config):
    if config.add_to:
        raise UserError(
            f"--add-to {config.add_to}: a job cannot add to a gallery on this machine; leave it "
            "out, or train with train.py"
        )
    if not config.content:
        raise UserError(
            "--content is missing: a job is for many photos; give a folder, s3://BUCKET/FOLDER or "
            "tfds:NAME"
        )


def _start(config):
    """The folder of the style or gallery that `--start-from` names."""
    trained = collection.find_start(config.start_from, config.output)
    if trained.style_weights is not None and len(trained.chosen()) > 1:
        raise UserError(f"--start-from {config.start_from}: a job takes no blend; name one style")
    if trained.read_width() != config.width:
        raise UserError(
            f"--start-from {config.start_from}: has width {trained.read_width()}; give --width "
            f"{trained.read_width()}, or --start-from {NOTHING}"
        )
    return str(trained.folder)


def _has_photos(folder):
    return folder.is_dir() and bool(folders.find_images(folder))


def _place(source, flag, is_right, kind):
    if source.startswith("s3://"):
        # S3 goes by how names begin: without the slash `photos` would be `photos2` as well.
        return source if is_right is Path.is_file else source.rstrip("/") + "/"
    if not is_right(Path(source)):
        raise UserError(f"{flag} {source}: there is no such {kind}")
    return source


def start(config, channels, folder):
    """Uploads what the job needs and starts it.

    Args:
        config: a `JobConfig`.
        channels: of `local_channels`.
        folder: an empty folder to gather uploads in.

    Returns:
        The SDK's `TrainingJob`.
    """
    from sagemaker.core.helper.session_helper import Session
    from sagemaker.core.training.configs import InputData

    session = Session(default_bucket=config.bucket or None)
    trainer = _trainer(config, session, _gather_code(folder / "code"))
    data = [
        InputData(channel_name=name, data_source=gather(source, folder / name))
        for name, source in channels.items()
    ]
    if config.overwrite:
        _forget(session, config)
    trainer.train(input_data_config=data, wait=False)
    return trainer._latest_training_job


def _trainer(config, session, code):
    """The SDK's `ModelTrainer` of a `JobConfig`; `code` is the folder that the job gets."""
    from sagemaker.core.training import configs
    from sagemaker.train import ModelTrainer

    seconds = round(config.hours * 3600)
    trainer = ModelTrainer(
        sagemaker_session=session,
        role=config.role or None,
        base_job_name="fst-" + re.sub(r"[^a-zA-Z0-9]+", "-", config.name).strip("-"),
        input_s3_key_prefix=f"{config.prefix}/{config.name}",
        training_image=config.image or _image(session, config),
        source_code=configs.SourceCode(
            source_dir=str(code),
            requirements="requirements.txt",
            # In place of the shell, or SageMaker's SIGTERM before an interruption would end there.
            command="exec python3 -m cloud.sagemaker_job",
        ),
        hyperparameters=hyperparameters(config),
        compute=configs.Compute(
            instance_type=config.instance_type,
            instance_count=config.instances,
            volume_size_in_gb=config.volume_gb,
            enable_managed_spot_training=config.spot,
        ),
        stopping_condition=configs.StoppingCondition(
            max_runtime_in_seconds=seconds,
            max_wait_time_in_seconds=2 * seconds if config.spot else None,
        ),
        checkpoint_config=configs.CheckpointConfig(s3_uri=config.address(session, "checkpoints")),
        output_data_config=configs.OutputDataConfig(
            s3_output_path=config.address(session, "output")
        ),
    )
    # Which numbers of the log SageMaker draws as curves.
    return trainer.with_metric_definitions(
        [
            configs.MetricDefinition(
                name=f"fst:{name}", regex=rf"step \d+/\d+ .*\b{name} ([0-9.e+-]+)"
            )
            for name in ("total", "content", "style", "tv")
        ]
    )


def _image(session, config):
    from sagemaker.core import image_uris

    return image_uris.retrieve(
        "tensorflow",
        session.boto_region_name,
        version="2.21",
        image_scope="training",
        instance_type=config.instance_type,
    )


def _gather_code(folder):
    folder.mkdir()
    for name in _CODE:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / name, folder)
    return folder


def gather(source, folder):
    """`source` as the SDK takes it: an address, or one path, of what is to be uploaded."""
    if isinstance(source, str) and Path(source).is_dir():
        # Without what is there to resume from: a style to start from is its card and its weights.
        if (Path(source) / "style.json").exists():
            inside = folder / Path(source).resolve().name  # The card of the new style tells it.
            left_out = ("training", "previews", "saved_model")
            shutil.copytree(source, inside, ignore=shutil.ignore_patterns(*left_out))
            return str(folder)
        return source
    if isinstance(source, str):
        return source
    for number, picture in enumerate(source):
        # In their order, and under their own names: a style is called as its file.
        place = folder / f"{number:04d}" / (last_part(picture) or "picture")
        place.parent.mkdir(parents=True)
        place.write_bytes(files.read_bytes(picture))
    return str(folder)


def _forget(session, config):
    """Removes the state of an earlier job of this name, which the new one would go on with."""
    bucket, key = bucket_and_key(config.address(session, "checkpoints"))
    found = session.boto_session.resource("s3").Bucket(bucket).objects.filter(Prefix=key + "/")
    found.delete()


def follow(job, command):
    """Shows a job's log until it ends.

    Ctrl-C ends the showing, not the job: then it is told that `command` fetches the style.
    """
    from sagemaker.core.utils.exceptions import FailedStatusError

    print(f"{job.training_job_name}: its log follows; Ctrl-C leaves it running", file=sys.stderr)
    try:
        job.wait(logs=True)
    except KeyboardInterrupt:
        raise UserError(
            f"{job.training_job_name} goes on; fetch the style later with {command}"
        ) from None
    except FailedStatusError:
        pass  # `fetch` tells why.


if __name__ == "__main__":
    errors.run(main)
