"""The part of a SageMaker training job that runs inside it: `python -m cloud.sagemaker_job`.

SageMaker tells a job what it is by variables, and this turns them into a `train.py`:

SM_HPS                   hyperparameters, JSON: options of `train.py` by name, as `batch_size`
SM_CHANNEL_STYLE         folder that holds the style images (or a hyperparameter `style`, URLs)
SM_CHANNEL_PHOTOS        folder of photos to train on (or a hyperparameter `content`, tfds:NAME)
SM_CHANNEL_VGG19         folder that holds VGG19's weights, where those of the package are not used
SM_CHANNEL_START_FROM    folder that holds a trained style or a gallery, to start from its weights;
                         of a gallery the hyperparameter `start_from` may name the style
SM_CHANNEL_PREVIEWS      folder of the photos to stylise as training goes on
SM_HOSTS                 names of all instances, JSON: several train together
SM_CURRENT_HOST          the name of this one; the first in SM_HOSTS writes the style
SM_MASTER_PORT           port of the first host, 7777; the others take those after it
SM_MODEL_DIR             where the trained style is put: SageMaker packs and stores what is there
SM_OUTPUT_DIR            where a failure is told, in its file `failure`

The state to resume from lies in /opt/ml/checkpoints, which SageMaker copies to S3 as it changes and
brings back to every instance after an interruption (the hyperparameter `output` names another).
"""

import json
import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fst import checkpoint, errors, files
from fst.config import NOTHING, TrainingConfig
from fst.console import cli
from fst.errors import UserError
from fst.options import words_of
from fst.training.command import run

CHECKPOINTS = "/opt/ml/checkpoints"

_PORT = "7777"  # of the first host; only the instances of a job reach each other's ports

# The options that are folders or files, each with its channel.
CHANNELS = {
    "style": "style",
    "content": "photos",
    "vgg_weights": "vgg19",
    "start_from": "start_from",
    "preview": "previews",
}


def main():
    environment = os.environ
    try:
        config = cli.parse(TrainingConfig, "the job", command_line(environment))
        hosts, index = cluster(environment)
        if len(hosts) > 1:
            port = int(environment.get("SM_MASTER_PORT", _PORT))
            environment["TF_CONFIG"] = tf_config(hosts, index, port)
        code = run(config)
        if not index:
            style = checkpoint.Checkpoint(Path(config.output) / config.name)
            hand_over(style, environment["SM_MODEL_DIR"])
    except Exception as error:
        _tell_failure(error, environment)
        raise
    return code


def command_line(environment):
    """The words of the `train.py` that the job's variables describe.

    Raises:
        UserError: there is neither a style nor a channel for it, or a channel is not what it should
            hold.
    """
    options = {"output": CHECKPOINTS, **_hyperparameters(environment)}
    named = options.pop("start_from", "")
    for option, channel in CHANNELS.items():
        folder = environment.get(f"SM_CHANNEL_{channel.upper()}")
        if folder:
            options[option] = _READERS.get(option, Path)(Path(folder))
    # The default, a gallery, is not among the code that a job gets.
    channel = options.get("start_from")
    options["start_from"] = channel / named if channel else named or NOTHING
    if len(cluster(environment)[0]) > 1:
        options["distribute"] = "multiworker"
    styles = options.pop("style", [])
    if not styles:
        raise UserError("the job has no style image: give it the channel 'style'")
    return [*map(str, [styles] if isinstance(styles, str) else styles), *words_of(options)]


def _hyperparameters(environment):
    options = json.loads(environment.get("SM_HPS") or "{}")
    return {name.replace("-", "_"): value for name, value in options.items()}


def _only_file(folder):
    found = _files(folder)
    if len(found) != 1:
        raise UserError(f"{folder}: holds {len(found)} files; the channel must hold exactly one")
    return found[0]


def _files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _style_in(folder):
    """The one style or gallery in a folder, under its own name, or the folder if it is one."""
    cards = sorted(folder.glob("*/style.json"))
    return cards[0].parent if cards else folder


_READERS = {
    "style": _files,
    "vgg_weights": _only_file,
    "start_from": _style_in,
    "preview": _files,
}


def cluster(environment):
    """The names of the job's hosts in an order that all of them find, and the index of this one."""
    hosts = sorted(json.loads(environment.get("SM_HOSTS") or "[]"))
    return hosts, hosts.index(environment["SM_CURRENT_HOST"]) if hosts else 0


def tf_config(hosts, index, port):
    """TF_CONFIG for one of the hosts: the first listens on `port`, the next on the one after it."""
    workers = [f"{host}:{port + number}" for number, host in enumerate(hosts)]
    return json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}})


def hand_over(style, model_folder):
    """Copies a trained style, without the state to resume from, to where SageMaker takes models.

    Args:
        style: a finished `Checkpoint`.
        model_folder: where to; the style becomes a folder in it.
    """
    target = Path(model_folder) / style.folder.name
    with files.atomic_path(target) as path:
        shutil.copytree(style.folder, path, ignore=shutil.ignore_patterns(style.training_path.name))
    print(f"the style is in {target}, which becomes the job's model.tar.gz", file=sys.stderr)


def _tell_failure(error, environment):
    """Leaves one line where SageMaker looks for the reason that it shows of a failed job."""
    folder = environment.get("SM_OUTPUT_DIR")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        # With the flags of `sagemaker_train.py`, which shows it.
        told = error.for_command_line() if isinstance(error, UserError) else str(error)
        text = " ".join(told.split()) or type(error).__name__
        with files.atomic_path(Path(folder) / "failure") as path:
            path.write_text(text[:1024], encoding="utf-8", errors="backslashreplace")


if __name__ == "__main__":
    errors.run(main)
