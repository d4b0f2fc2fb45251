"""The state of an unfinished run: one file, replaced whole, so that any moment may be the last."""

import json
import os
import shutil
import zipfile

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

import keras
import numpy as np

from fst import files
from fst.config import TrainingConfig, flag_of
from fst.errors import UserError


class State:
    """How far the run of one style has come.

    Attributes:
        step: steps done.
        saved_step: the step of the state on disk.
        seconds: time spent training, over all the parts of the run.
        skipped: names of photos that could not be read, each with the reason.
        finished: the style is trained and its card is written.
    """

    def __init__(self, target, config, style_hashes):
        self._target, self._config, self._style_hashes = target, config, list(style_hashes)
        self._path = target.training_path / "state.npz"
        self._arrays = {}
        self.step = self.saved_step = 0
        self.seconds = 0.0
        self.skipped = {}
        self.finished = False
        self._lock = None

    def close(self):
        """Lets other processes into the folder again, where `claim` kept them out."""
        if self._lock is not None:
            os.close(self._lock)
        self._lock = None

    @classmethod
    def open(cls, target, config, style_hashes):
        """Reads the state on disk and changes nothing there.

        Args:
            target: the `Checkpoint`.
            config: the `TrainingConfig`.
            style_hashes: the SHA-256 of every style image's file.

        Raises:
            UserError: the folder holds a style that was trained otherwise, or a damaged state.
        """
        state = cls(target, config, style_hashes)
        if target.card_path.exists():
            if config.overwrite:
                return state  # A new run; when it is killed there is no card, and it goes on.
            card = target.read_card()
            hashes = [style.get("sha256") for style in target.styles()]
            state._check_same(card["config"], hashes)
            state.finished = True
        elif state._path.exists():
            state._read()
        return state

    def reopen(self):
        """The state as another worker has left it on disk."""
        fresh = State(self._target, self._config, self._style_hashes)
        if self._path.exists():
            fresh._read()
        return fresh

    def claim(self):
        """Makes the folder this run's own: removes what an older run or a killed one left there.

        Raises:
            UserError: the folder holds something else than a style, cannot be written, or another
                process trains in it.
        """
        target = self._target
        try:
            target.folder.mkdir(parents=True, exist_ok=True)
            self._lock = lock(target.folder)
            if not self.step and any(target.folder.iterdir()):
                self._clear()
            target.training_path.mkdir(parents=True, exist_ok=True)
            files.remove_litter(target.folder)
        except OSError as error:
            raise UserError(
                f"{self._target.folder}: cannot be written ({error.strerror}); choose another "
                "--output"
            ) from error

    def _clear(self):
        target = self._target
        if not target.card_path.exists() and not target.training_path.exists():
            raise UserError(
                f"{target.folder}: holds files that are not of a trained style; choose another "
                "--name or --output"
            )
        # In an order that survives a kill: the old state first, or it would be resumed; then the
        # card, which vouches for the others; `training/` last, which shows whose folder this is.
        for path in (
            self._path,
            target.card_path,
            target.saved_model_path,
            target.weights_path,
            target.history_path,
            target.styles_history_path,
            target.curves_path,
            target.previews_path,
            target.training_path,
        ):
            clean(path)

    def restore(self, network, optimizer):
        """Puts the saved numbers back into the variables, bit by bit."""
        if not self._arrays:
            return
        for prefix, variables in _variables(network, optimizer):
            for index, variable in enumerate(variables):
                variable.assign(self._arrays[f"{prefix}{index}"])
        self._arrays = {}

    def save(self, network, optimizer):
        """Replaces the state on disk by the present one.

        Raises:
            UserError: it cannot be written; the one before is then still there.
        """
        arrays = {
            f"{prefix}{index}": keras.ops.convert_to_numpy(variable)
            for prefix, variables in _variables(network, optimizer)
            for index, variable in enumerate(variables)
        }
        about = {
            "config": self._config.to_json(),
            "styles": self._style_hashes,
            "step": self.step,
            "seconds": self.seconds,
            "skipped": self.skipped,
        }
        try:
            with files.atomic_path(self._path) as path:
                np.savez(path, about=json.dumps(about), **arrays)
        except OSError as error:
            raise UserError(
                f"{self._path}: cannot be written ({error.strerror}); make room and run the same "
                f"command again, it goes on after step {self.saved_step}"
            ) from error
        self.saved_step = self.step

    def _read(self):
        try:
            with np.load(self._path) as file:
                arrays = dict(file)
            about = json.loads(str(arrays.pop("about")))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{self._path}: is damaged ({error}); start again with --overwrite"
            ) from error
        try:
            self._check_same(about["config"], about.get("styles", []))
        except UserError:
            if self._config.overwrite:
                return
            raise
        self._arrays = arrays
        self.step = self.saved_step = about["step"]
        self.seconds, self.skipped = about["seconds"], about["skipped"]

    def _check_same(self, values, style_hashes):
        before, now = TrainingConfig.from_json(values), self._config
        changes = [
            f"{flag_of(name)} {_plain(getattr(before, name))} → {_plain(getattr(now, name))}"
            for name in now.differences(before)
        ]
        if style_hashes != self._style_hashes:
            changes.insert(0, "other style images")
        if changes:
            raise UserError(
                f"{self._target.folder} was trained with other options ({', '.join(changes)}): "
                "choose another --name, or replace it with --overwrite"
            )


def lock(folder):
    """Keeps other processes out of `folder` until the lock is closed or this one ends somehow.

    Returns:
        The file descriptor that holds the lock.

    Raises:
        UserError: another process holds it.
    """
    if fcntl is None:
        return None
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise UserError(
            f"{folder}: another process is training this style; wait for it, or choose another "
            "--name"
        ) from None
    except OSError:
        pass  # Some network disks have no locks; then two runs at once are the user's affair.
    return handle


def clean(path):
    """Removes a file, or a folder and all that is in it, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _variables(network, optimizer):
    yield "network", network.weights
    yield "optimizer", optimizer.variables


def _plain(value):
    return ",".join(map(str, value)) or "none" if isinstance(value, tuple) else value
