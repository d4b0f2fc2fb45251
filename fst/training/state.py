"""The state of an unfinished run: one file, replaced whole, so that any moment may be the last."""

import contextlib
import json
import os
import re
import shutil
import zipfile

import keras
import numpy as np
import tensorflow as tf

import fst
from fst import files
from fst.config import TrainingConfig
from fst.errors import UserError
from fst.training import own_network

FORMAT = 2
"""Of the file: 1 kept its arrays by their position, without versions."""


class State:
    """How far the run of one style has come.

    Attributes:
        step: steps done.
        saved_step: the step of the state on disk.
        seconds: time spent training, over all the parts of the run.
        skipped: names of photos that could not be read, each with the reason.
        guard: what the guard against jumps goes on from (`fst.training.guard`).
        jumps: how often the loss has jumped; after each the learning rate was halved.
        finished: the style is trained and its card is written.
    """

    def __init__(self, target, config, style_hashes):
        self._target, self._config, self._style_hashes = target, config, list(style_hashes)
        self._path = target.training_path / "state.npz"
        self._good_path = target.training_path / "good.npz"
        self._arrays, self._versions = {}, {}
        self.step = self.saved_step = 0
        self.seconds = 0.0
        self.skipped, self.guard, self.jumps = {}, None, 0
        self.finished = False
        self._held = contextlib.ExitStack()

    def close(self):
        """Lets other processes into the folder again, where `claim` kept them out."""
        self._held.close()

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
        if os.path.exists(target.card_path):
            if config.overwrite:
                return state  # A new run; when it is killed there is no card, and it goes on.
            card = target.read_card()
            hashes = [style.get("sha256") for style in target.styles()]
            state._check_same(card["config"], hashes)
            state.finished = True
        elif os.path.exists(state._path):
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
                process trains in it, or has done so since the state was read.
        """
        target = self._target
        with files.writing(target.folder, "choose another ‹output›"):
            target.folder.mkdir(parents=True, exist_ok=True)
            taken = (
                f"{target.folder}: another process is training this style; wait for it, or choose "
                "another ‹name›"
            )
            self._held.enter_context(files.locked(target.folder, taken))
            found = State.open(target, self._config, self._style_hashes)
            if (found.step, found.finished) != (self.step, self.finished):
                raise UserError(
                    f"{target.folder}: another process has trained this style meanwhile; run the "
                    "same command again"
                )
            if not self.step and any(target.folder.iterdir()):
                self._clear()
            target.training_path.mkdir(parents=True, exist_ok=True)
            files.remove_litter(target.folder)

    def _clear(self):
        target = self._target
        if not target.card_path.exists() and not target.training_path.exists():
            raise UserError(
                f"{target.folder}: holds files that are not of a trained style; choose another "
                "‹name› or ‹output›"
            )
        # Of a style that was copied without it, or trained with --finish.
        target.training_path.mkdir(exist_ok=True)
        # In an order that survives a kill: the old state first, or it would be resumed; then the
        # card, which vouches for the others; `training/` last, which shows whose folder this is.
        for path in (
            self._path,
            target.card_path,
            target.saved_model_path,
            target.weights_path,
            target.folder / own_network.NAME,
            target.history_path,
            target.styles_history_path,
            target.curves_path,
            target.previews_path,
            target.training_path,
        ):
            clean(path)

    def restore(self, network, optimizer):
        """Puts the saved numbers back into the variables, bit by bit.

        Raises:
            UserError: they are of another network or optimizer.
        """
        if self._arrays:
            restore(self._path, self._arrays, self._versions, network, optimizer)
        self._arrays = {}

    def go_back(self, network, optimizer):
        """Takes the last good state for the present one, but for how often the loss has jumped.

        Raises:
            UserError: it is not there, or is damaged.
        """
        jumps, seconds = self.jumps, self.seconds
        self._read(self._good_path if self._good_path.exists() else self._path)
        self.jumps, self.seconds = jumps, seconds
        self.restore(network, optimizer)

    def save(self, network, optimizer, judged=True):
        """Replaces the state on disk by the present one.

        Args:
            network, optimizer: Keras's.
            judged: the losses since the last save have been found good. If not, the state before
                is kept beside this one, to go back to where they turn out to be bad.

        Raises:
            UserError: it cannot be written; the one before is then still there.
        """
        about = {
            "config": self._config.to_json(),
            "styles": self._style_hashes,
            "step": self.step,
            "seconds": self.seconds,
            "skipped": self.skipped,
            "guard": self.guard,
            "jumps": self.jumps,
        }
        goes_on = f"it goes on after step {self.saved_step}"
        with files.writing(self._path, f"make room and run the same command again, {goes_on}"):
            if not judged and self._path.exists() and not self._good_path.exists():
                with files.atomic_path(self._good_path) as good:
                    shutil.copy(self._path, good)
            write(self._path, network, optimizer, about)
            if judged:
                self._good_path.unlink(missing_ok=True)
        self.saved_step = self.step

    def _read(self, path=None):
        try:
            arrays, about = read(path or self._path)
            self._check_same(about["config"], about.get("styles", []))
            check_format(self._path, about)
        except UserError:
            if self._config.overwrite:
                return
            raise
        self._arrays, self._versions = arrays, about["versions"]
        self.step = self.saved_step = about["step"]
        self.seconds, self.skipped = about["seconds"], about["skipped"]
        self.guard, self.jumps = about["guard"], about["jumps"]

    def _check_same(self, values, style_hashes):
        before, now = TrainingConfig.from_json(values), self._config
        changes = [
            f"‹{name}› {_plain(getattr(before, name))} → {_plain(getattr(now, name))}"
            for name in now.differences(before)
        ]
        if style_hashes != self._style_hashes:
            changes.insert(0, "other style images")
        if changes:
            raise UserError(
                f"{self._target.folder} was trained with other options ({', '.join(changes)}): "
                "choose another ‹name›, or replace it with ‹overwrite›"
            )


def writing(folder):
    """Raises a UserError where what a finished run writes into `folder` cannot be written."""
    advice = "make room and run the same command again, no training is lost"
    # TensorFlow's own writer has errors of its own.
    return files.writing(folder, advice, also=[tf.errors.OpError])


def clean(path):
    """Removes a file, or a folder and all that is in it, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write(path, network, optimizer, about):
    """Writes the numbers of a network and its optimizer, by their names, and what else is to know.

    Args:
        path: of the file, `.npz`; it is replaced whole.
        network, optimizer: Keras's.
        about: a dictionary of JSON types.

    Raises:
        OSError: it cannot be written.
    """
    named = _variables(network, optimizer).items()
    arrays = {name: _writable(keras.ops.convert_to_numpy(variable)) for name, variable in named}
    about = {"format": FORMAT, "versions": _versions(), **about}
    with files.atomic_path(path) as temporary:
        np.savez(temporary, about=json.dumps(about), **arrays)


def _writable(array):
    # NumPy's files know no bfloat16; float32 holds all its numbers.
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def read(path):
    """What `write` wrote: the arrays by name, and the dictionary.

    Raises:
        UserError: the file is damaged.
    """
    try:
        with np.load(path) as file:
            arrays = dict(file)
        return arrays, json.loads(str(arrays.pop("about")))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: is damaged ({error}); remove it to start again") from error


def check_format(path, about):
    """Raises a UserError unless the state is of this version's format."""
    found = about.get("format", 1)
    if found != FORMAT:
        by = about.get("versions", {}).get("fst", "an older one")
        raise UserError(
            f"{path}: is a state of format {found}, saved by another version of fst ({by}), and "
            f"this one goes on from format {FORMAT} alone: finish it with that version, or remove "
            "it to start again"
        )


def restore(path, arrays, versions, network, optimizer):
    """Puts the arrays that `read` returned into the variables of the same names, bit by bit.

    Args:
        path: how an error calls them.
        arrays: by name.
        versions: that they were saved by.
        network, optimizer: Keras's.

    Raises:
        UserError: the names or shapes are others; then nothing is changed.
    """
    variables = _variables(network, optimizer)
    wrong = sorted(variables.keys() ^ arrays.keys()) or [
        name for name, array in arrays.items() if array.shape != tuple(variables[name].shape)
    ]
    if wrong:
        reason = _what_differs(wrong[0], arrays, variables) + _other_versions(versions)
        raise UserError(
            f"{path}: is the state of another network or optimizer ({reason}): remove it to start "
            "again"
        )
    for name, variable in variables.items():
        variable.assign(arrays[name])


def _variables(network, optimizer):
    """The variables by names that are the same in every process.

    Keras numbers what bears no name of its own by the order of its making: the second Adam of a
    process is `adam_1`, which counts for nothing here.
    """
    named = {}
    for kind, variables in (("network", network.weights), ("optimizer", optimizer.variables)):
        for variable in variables:
            path = variable.path
            if kind == "optimizer":
                path = re.sub(r"^([^/]*?)_\d+/", r"\1/", path)
            name = f"{kind}/{path}"
            if name in named:
                raise ValueError(f"{kind}: two of its variables are called {path}; name its layers")
            named[name] = variable
    return named


def _what_differs(name, arrays, variables):
    if name not in arrays:
        return f"it has no {name}"
    if name not in variables:
        return f"its {name} has no place here"
    shapes = list(arrays[name].shape), list(variables[name].shape)
    return f"its {name} has the shape {shapes[0]} and here {shapes[1]}"


def _versions():
    return {"fst": fst.__version__, "keras": keras.__version__, "tensorflow": tf.__version__}


def _other_versions(versions):
    """A part of a sentence about the versions that differ; nothing where none does."""
    here = _versions()
    others = [
        f"{name} {version}, here {here.get(name)}"
        for name, version in versions.items()
        if version != here.get(name)
    ]
    return f"; it was saved by {'; '.join(others)}" if others else ""


def _plain(value):
    return ",".join(map(str, value)) or "none" if isinstance(value, tuple) else value
