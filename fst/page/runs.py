"""Trainings in the background: `train.py` as a process of its own, one at a time.

runs/.current.json  which training was started last, and its process
runs/<name>/        the style picture and the log of each

The process outlives the page and its server; `.current.json` leads back to it.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from fst import checkpoint, files, images
from fst.config import TrainingConfig, words_of
from fst.errors import UserError
from fst.page import uploads

_PROGRAM = Path(__file__).resolve().parents[2] / "train.py"
_CURRENT, _LOCK = ".current.json", ".lock"  # No style is called so: names begin with a letter.


@dataclasses.dataclass(frozen=True)
class Run:
    """A training that was started.

    Attributes:
        name: of the style.
        steps: that it is to take.
        command: the command line, which tells its process from a later one of the same number.
        pid: of its process.
    """

    name: str
    steps: int
    command: list
    pid: int

    def running(self):
        """Whether its process works still."""
        try:
            process = psutil.Process(self.pid)
            # But for the interpreter, which on macOS may be a stub that starts another.
            same = process.cmdline()[1:] == self.command[1:]
            return same and process.status() != "zombie"
        except psutil.Error:
            return False


class Runs:
    """The trainings below one folder.

    Args:
        folder: for logs and style pictures.
        styles: the folder of trained styles.
    """

    def __init__(self, folder, styles):
        self._folder, self._styles = Path(folder), Path(styles)

    def current(self):
        """The training that was started last, a `Run`, or None."""
        try:
            return Run(**json.loads((self._folder / _CURRENT).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def start(self, name, picture, **options):
        """Starts a training.

        Args:
            name: of the style.
            picture: the name and the bytes of the style picture's file.
            options: of `fst.config.TrainingConfig`, such as `content` and `preset`.

        Returns:
            The `Run`.

        Raises:
            UserError: one is running, the name is taken, the picture or an option is no good.
        """
        if not re.fullmatch(r"\w[\w.-]{0,59}", name):
            raise UserError("the name may hold letters, digits, '_', '-', '.' only, 60 at most")
        uploads.check(*picture)
        if not options["content"]:
            raise UserError("name a folder of photos to train on")
        images.find_images(options["content"])  # Raises where there is no such folder.
        if (self._styles / name).exists():
            raise UserError(f"there is something called '{name}' already; choose another name")
        suffix = Path(picture[0]).suffix.lower()
        path = self._folder / name / f"style{suffix if suffix in images.EXTENSIONS else '.jpg'}"
        options = {"preset": "draft", **options, "name": name, "output": str(self._styles)}
        config = TrainingConfig.from_preset(style=str(path), **options)
        command = [sys.executable, str(_PROGRAM), str(path), *words_of(options)]
        with self._alone():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture[1])
            return self._launch(name, config.steps, command)

    def resume(self):
        """Goes on with the training that was stopped; returns the `Run`."""
        with self._alone():
            run = self.current()
            if run is None:
                raise UserError("there is no training to go on with")
            return self._launch(run.name, run.steps, run.command)

    def stop(self):
        """Asks the training to stop; it saves its state after the step that is under way."""
        run = self.current()
        if run and run.running():
            with contextlib.suppress(ProcessLookupError):  # It has just ended by itself.
                os.kill(run.pid, signal.SIGTERM)

    def finished(self, run):
        """Whether the style is trained."""
        return checkpoint.Checkpoint(self._styles / run.name).card_path.is_file()

    def log_tail(self, run, length=4000):
        """The end of a training's log."""
        try:
            data = (self._folder / run.name / "log.txt").read_bytes()[-length:]
        except OSError:
            return ""
        text = data.decode(errors="replace")
        return "\n".join(line.rpartition("\r")[2] for line in text.splitlines() if line.strip())

    @contextlib.contextmanager
    def _alone(self):
        """Keeps other visitors from starting a training too.

        Raises:
            UserError: one is running.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with open(self._folder / _LOCK, "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            run = self.current()
            if run and run.running():
                raise UserError(f"'{run.name}' is being trained; one training at a time")
            yield

    def _launch(self, name, steps, command):
        with open(self._folder / name / "log.txt", "ab") as log:
            # A session of its own: what stops the page's server does not stop the training.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        run = Run(name, steps, command, process.pid)
        _wait_until_known(run, process)
        with files.atomic_path(self._folder / _CURRENT) as path:
            path.write_text(json.dumps(dataclasses.asdict(run)), encoding="utf-8")
        return run


def _wait_until_known(run, process, seconds=5):
    """Waits for the system to show the command line, which it does a moment after the start."""
    end = time.monotonic() + seconds
    while not run.running() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)


def trained(styles):
    """The trained styles' cards by their names; one that cannot be read is left out."""
    cards = {}
    for name in checkpoint.names(styles):
        with contextlib.suppress(UserError):
            cards[name] = checkpoint.find(name, styles).read_card()
    return cards


def previews(styles, name):
    """The strips of previews of a style in training: paths, the originals first."""
    folder = checkpoint.Checkpoint(Path(styles) / name).previews_path
    return sorted(folder.glob("photos.jpg")) + sorted(folder.glob("step_*.jpg"))
