"""Trainings in the background: `fst train` as a process of its own, one at a time.

runs/.current.json  which training was started last, and its process
runs/<name>/        the style picture and the log of each

The process continues when the page or its server ends; `.current.json` names it.
"""

import contextlib
import dataclasses
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
from filelock import FileLock

from fst import checkpoint, collection, files
from fst.config import TrainingConfig, name_from
from fst.errors import UserError
from fst.media import folders, images, samples
from fst.options import words_of
from fst.page import uploads

_PROGRAM = ("-m", "fst", "train")
_SOURCE = Path(__file__).resolve().parents[2]  # Where that is found, installed or not.
_CURRENT, _LOCK = ".current.json", ".lock"  # No style is called so: names begin with a letter.
_LONGEST = 60  # letters of a name
_JUDGED_BY = 30  # steps, of which the speed is taken for that of the rest
_SHOWN = ("astronaut", "chelsea")  # Of the sample photos: more in a row are too small on a phone.


@dataclasses.dataclass(frozen=True)
class Run:
    """A training that was started.

    Attributes:
        name: of the style.
        steps: that it is to take.
        command: the command line, which tells its process from a later one of the same number.
        pid: of its process.
        batch_size: photos per step.
    """

    name: str
    steps: int
    command: list
    pid: int
    batch_size: int = 1

    def running(self):
        """Whether its process is still running."""
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
            name: of the style; as the picture's file where it is empty, with a number if need be.
            picture: the name and the bytes of the style picture's file.
            options: of `fst.config.TrainingConfig`, such as `content` and `preset`.

        Returns:
            The `Run`.

        Raises:
            UserError: one is running, the name is taken, the picture or an option is no good.
        """
        if name and not re.fullmatch(rf"\w[\w.-]{{0,{_LONGEST - 1}}}", name):
            raise UserError(
                f"the name may hold letters, digits, '_', '-', '.' only, {_LONGEST} at most"
            )
        uploads.check(*picture)
        if options.get("content"):
            folders.find_images(options["content"])  # Raises where there is no such folder.
        else:
            options = {"preview": _sample_previews(), **options, "content": ""}
        with self._alone():
            name = self._free(name) if name else self._free_like(name_from(picture[0]))
            return self._begin(name, picture, options)

    def _free(self, name):
        if (self._styles / name).exists():
            raise UserError(f"'{name}' exists already; choose another name")
        return name

    def _free_like(self, name):
        """A name that no style has, of a gallery neither: `name`, or with `-2` and so on."""
        known = {known.rpartition("/")[2] for known in collection.names(self._styles)}
        for number in itertools.count(1):
            end = f"-{number}" if number > 1 else ""
            free = name[: _LONGEST - len(end)] + end
            if free not in known and not (self._styles / free).exists():
                return free

    def _begin(self, name, picture, options):
        path = self._folder / name / f"style{_suffix(picture[0])}"
        options = {**options, "name": name, "output": str(self._styles)}
        preset = options.pop("preset", TrainingConfig.preset)
        config = TrainingConfig(str(path), preset=preset, **options)
        given = {"preset": preset, **{key: value for key, value in options.items() if value != ""}}
        command = [sys.executable, *_PROGRAM, str(path), *words_of(given)]
        path.parent.mkdir(parents=True, exist_ok=True)
        for old in [*path.parent.glob("style.*"), path.parent / "log.txt"]:
            old.unlink(missing_ok=True)  # Of a training that came to nothing.
        path.write_bytes(picture[1])
        return self._launch(Run(name, config.steps, command, 0, config.batch_size))

    def resume(self):
        """Continues the training that was stopped; returns the `Run`."""
        with self._alone():
            run = self.current()
            if run is None:
                raise UserError("there is no training to continue")
            return self._launch(run)

    def stop(self):
        """Asks the training to stop; it saves its state after the current step."""
        run = self.current()
        if run and run.running():
            with contextlib.suppress(ProcessLookupError):  # It has just ended by itself.
                os.kill(run.pid, signal.SIGTERM)

    def finished(self, run):
        """Whether the style is trained."""
        return checkpoint.Checkpoint(self._styles / run.name).card_path.is_file()

    def picture(self, run):
        """The path of a training's style picture, or None where it is gone."""
        return next((self._folder / run.name).glob("style.*"), None)

    def log_tail(self, run, length=4000):
        """The end of a training's log."""
        try:
            data = (self._folder / run.name / "log.txt").read_bytes()[-length:]
        except OSError:
            return ""
        text = data.decode(errors="replace")
        return "\n".join(line for line in text.splitlines() if line.strip())

    @contextlib.contextmanager
    def _alone(self):
        """Keeps other visitors from starting a training too.

        Raises:
            UserError: one is running.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self._folder / _LOCK):
            run = self.current()
            if run and run.running():
                raise UserError(f"'{run.name}' is being trained; only one training can run")
            yield

    def _launch(self, run):
        with open(self._folder / run.name / "log.txt", "ab") as log:
            # A session of its own: what stops the page's server does not stop the training.
            process = subprocess.Popen(
                run.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": _search_path()},
            )
        run = dataclasses.replace(run, pid=process.pid)
        _wait_until_known(run, process)
        with files.atomic_path(self._folder / _CURRENT) as path:
            path.write_text(json.dumps(dataclasses.asdict(run)), encoding="utf-8")
        return run


def _suffix(name):
    suffix = Path(name).suffix.lower()
    return suffix if suffix in images.EXTENSIONS else ".jpg"


def _search_path():
    """PYTHONPATH for a process that is to find the same `fst` as this one."""
    given = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(_SOURCE), *([given] if given else [])])


def _sample_previews():
    paths = samples.photo_files()
    return tuple(str(paths[name]) for name in _SHOWN)


def _wait_until_known(run, process, seconds=5):
    """Waits for the system to show the command line, which it does a moment after the start."""
    end = time.monotonic() + seconds
    while not run.running() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)


def seconds_left(rows, run):
    """How long the rest of a training's steps will take, in seconds; None where nothing tells yet.

    Args:
        rows: of its history, `[N, 6]`.
        run: the `Run`.
    """
    speeds = rows[1:][-_JUDGED_BY:, 5]  # The first step's time is that of the compilation.
    speeds = speeds[speeds > 0]
    if not len(speeds):
        return None
    return (run.steps - rows[-1, 0]) * run.batch_size * float((1 / speeds).mean())


def trained(styles):
    """The cards, by their names, of the styles that have a folder of their own.

    The last that was trained comes first; one whose card cannot be read is left out.
    """
    paths = {path: _trained_at(path) for path in collection.card_paths(styles)}
    cards = {}
    for path in sorted(paths, key=paths.get, reverse=True):
        style = checkpoint.Checkpoint(path.parent)
        with contextlib.suppress(UserError):
            if len(style.styles()) == 1:
                cards[path.parent.name] = style.read_card()
    return cards


def galleries(styles):
    """The names of the folders that hold many styles, sorted."""
    found = []
    for path in collection.card_paths(styles):
        with contextlib.suppress(UserError):
            if len(checkpoint.Checkpoint(path.parent).styles()) > 1:
                found.append(path.parent.name)
    return found


def _trained_at(path):
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def previews(styles, name):
    """The strips of previews of a style in training: paths, the originals first."""
    folder = checkpoint.Checkpoint(Path(styles) / name).previews_path
    return sorted(folder.glob("photos.jpg")) + sorted(folder.glob("step_*.jpg"))
