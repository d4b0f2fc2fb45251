#!/usr/bin/env python3
"""Fetches the style that a finished SageMaker training job has trained.

python cloud/sagemaker_fetch.py JOB
"""

import contextlib
import dataclasses
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Annotated

import tyro

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fst import errors, files
from fst.config import TrainingConfig, infer_command
from fst.console import cli
from fst.errors import UserError

_CARD = "style.json"


@dataclasses.dataclass(frozen=True)
class FetchConfig:
    """Fetches the style that a finished SageMaker training job has trained."""

    job: str
    """The job's name, which cloud/sagemaker_train.py printed."""

    output: Annotated[str, tyro.conf.arg(aliases=["-o"])] = TrainingConfig.output
    """Folder that holds the trained styles."""

    overwrite: bool = False
    """Replace a style of the same name in --output."""


def main():
    config = cli.parse(FetchConfig, "sagemaker_fetch.py")
    with aws_in_words():
        from sagemaker.core.resources import TrainingJob

        folder = fetch(TrainingJob.get(config.job), config.output, config.overwrite)
    print(f"the style is in {folder}; try: {infer_command(folder.name, config.output)}")
    return 0


def fetch(job, output, overwrite=False):
    """Downloads the style of a finished training job.

    Args:
        job: the SDK's `TrainingJob`.
        output: folder that holds the trained styles; the new one appears in it when it is whole.
        overwrite: whether it may take the place of one with its name.

    Returns:
        The style's folder.

    Raises:
        UserError: the job did not come to its end, its archive holds no style, or the style's
            place is taken.
    """
    name = job.training_job_name
    _check_done(name, job.training_job_status, job.secondary_status, job.failure_reason)
    address = job.model_artifacts.s3_model_artifacts
    output = Path(output)
    files.check_writable(output, "--output", folder=True)
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output, prefix=".fst-") as folder:
        archive = Path(folder) / "model.tar.gz"
        _download(address, archive)
        return unpack(archive, output, overwrite, address)


def unpack(archive, output, overwrite, name):
    """Unpacks the one style in a model archive.

    Args:
        archive: a .tar.gz file.
        output: folder for the style.
        overwrite: whether it may take the place of one with its name.
        name: what errors call the archive.

    Returns:
        The style's folder.

    Raises:
        UserError: as `fetch`.
    """
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        try:
            with tarfile.open(archive) as tar:
                # What leads out of the folder, links and devices are refused.
                tar.extractall(folder, filter="data")
        except (tarfile.TarError, EOFError, OSError) as error:
            raise UserError(f"{name}: cannot be unpacked ({errors.first_line(error)})") from error
        found = sorted(Path(folder).glob(f"*/{_CARD}"))
        if len(found) != 1:
            raise UserError(f"{name}: holds {len(found)} trained styles; one was expected")
        target = output / found[0].parent.name
        if target.exists() and not overwrite:
            raise UserError(f"{target}: is there already; give --overwrite or another --output")
        with files.atomic_path(target) as path:
            found[0].parent.rename(path)
    return target


def _check_done(name, status, secondary, reason):
    if status == "Failed":
        raise UserError(f"{name} failed: {reason}")
    if status == "Stopped":
        raise UserError(
            f"{name} was stopped before its end ({secondary}); run its sagemaker_train.py again, "
            "it goes on where this one stopped"
        )
    if status != "Completed":
        raise UserError(f"{name} is not done yet ({status}, {secondary}); try again later")


def _download(address, path):
    import boto3

    boto3.client("s3").download_file(*bucket_and_key(address), str(path))


def bucket_and_key(address):
    """The two parts of an S3 address, `s3://BUCKET/KEY`."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return bucket, key


@contextlib.contextmanager
def aws_in_words():
    """Turns what AWS and its SDK refuse into a `UserError`, one line.

    Raises:
        UserError: no credentials, no region, no such role, no permission, or no SDK.
    """
    try:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError
        from sagemaker.core.helper.iam_role_resolver import RoleValidationError
        from sagemaker.core.utils.exceptions import SageMakerCoreError
    except ImportError as error:
        raise UserError(
            f"the SageMaker SDK is not installed ({error}); pip install -r requirements-cloud.txt"
        ) from error
    try:
        yield
    except (
        Boto3Error,
        BotoCoreError,
        ClientError,
        RoleValidationError,
        SageMakerCoreError,
        ValueError,  # The SDK's, of a missing region, an unknown role or kind of instance.
    ) as error:
        raise UserError(f"AWS: {error}") from error


if __name__ == "__main__":
    errors.run(main)
