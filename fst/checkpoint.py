"""The folder `checkpoints/<name>/`, which holds everything about one style.

style.json          the card: configuration, provenance, losses
network.weights.h5  the weights, loadable by Keras on any backend
saved_model/        the export, written by `fst.export`
history.csv/.png    the losses as training went on
previews/           the same photos, stylised, as training went on
training/           the state to resume from
"""

import dataclasses
import io
import json
import warnings
from pathlib import Path

import h5py
import numpy as np

from fst import files
from fst.architecture import shapes
from fst.errors import UserError, first_line

ROOT = "checkpoints"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The paths inside one style's folder, and how to read and write what lies there."""

    folder: Path

    @property
    def card_path(self):
        return self.folder / "style.json"

    @property
    def weights_path(self):
        return self.folder / "network.weights.h5"

    @property
    def saved_model_path(self):
        return self.folder / "saved_model"

    @property
    def history_path(self):
        return self.folder / "history.csv"

    @property
    def curves_path(self):
        return self.folder / "history.png"

    @property
    def previews_path(self):
        return self.folder / "previews"

    @property
    def training_path(self):
        return self.folder / "training"

    def read_card(self):
        """The card as a dictionary.

        Raises:
            UserError: it is missing or is not JSON.
        """
        try:
            return json.loads(self.card_path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"{self.card_path}: cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise UserError(f"{self.card_path}: is damaged, it is not JSON ({error})") from error

    def write_card(self, card):
        """Writes the card; the one that was there stays until the new one is whole."""
        with files.atomic_path(self.card_path) as path:
            path.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")

    def write_weights(self, network):
        """Writes the network's weights in half precision, in which a style is shipped.

        Half precision halves the file, and its 11 significant bits move the output by less than one
        grey level. Keras turns the numbers back into float32 when it loads them.
        """
        with files.atomic_path(self.weights_path) as path:
            # HDF5 crashes on a full disk, and Python with it: see first that there is room.
            path.write_bytes(bytes(4 * network.count_params() + 2**19))
            network.save_weights(path)
            _halve(path)

    def read_width(self):
        """The network's width, as the card tells it.

        Raises:
            UserError: the card is missing or damaged.
        """
        card = self.read_card()
        config = card.get("config") if isinstance(card, dict) else None
        width = config.get("width") if isinstance(config, dict) else None
        if not isinstance(width, int) or not 1 <= width <= 512:
            raise UserError(f"{self.card_path}: is damaged, it does not tell the network's width")
        return width

    def read_weights(self, width=None):
        """The trained weights as arrays, without Keras.

        Args:
            width: the network's width; the card's when None.

        Returns:
            A dictionary from the names of layers, such as `down1_conv` and `down1_norm`, to their
            float32 arrays: kernel and bias, or scale and shift.

        Raises:
            UserError: the card or the weights are missing or damaged.
        """
        width = width or self.read_width()
        self._check_weights_are_there()
        try:
            with h5py.File(self.weights_path) as file:
                found = _by_layer(file)
            return _of_width(found, width)
        except Exception as error:  # h5py raises many kinds for a damaged file.
            reason = first_line(error)
            raise UserError(f"{self.weights_path}: cannot be loaded ({reason})") from error

    def read_network(self, width=None):
        """The trained network, as a float32 `keras.Model` (see `fst.network.build_network`).

        Args:
            width: the network's width; the card's when None.

        Raises:
            UserError: the card or the weights are missing or damaged.
        """
        width = width or self.read_width()
        self._check_weights_are_there()
        from fst.network import build_network  # Keras takes seconds to import: only when it is used

        network = build_network(width, dtype="float32")
        try:
            with warnings.catch_warnings():
                # Where weights are missing in the file, Keras warns and leaves them random.
                warnings.filterwarnings("error", message="Skipping")
                network.load_weights(self.weights_path)
        except Exception as error:  # h5py and Keras raise many kinds for a damaged file.
            reason = first_line(error)
            raise UserError(f"{self.weights_path}: cannot be loaded ({reason})") from error
        return network

    def _check_weights_are_there(self):
        if not self.weights_path.is_file():
            raise UserError(f"{self.weights_path}: is missing; has the training finished?")


def names(root=ROOT):
    """The names of the trained styles under `root`, sorted."""
    return sorted(path.parent.name for path in Path(root).glob("*/style.json"))


def find(name_or_path, root=ROOT):
    """The checkpoint called `name_or_path` under `root`, or the folder of that path.

    Raises:
        UserError: there is none, with the names that there are.
    """
    for folder in (Path(root) / name_or_path, Path(name_or_path)):
        if (folder / "style.json").is_file():
            return Checkpoint(folder)
    known = ", ".join(names(root))
    hint = f"there are {known}" if known else f"there are none under {root}/"
    raise UserError(f"there is no trained style '{name_or_path}'; {hint}")


def _by_layer(file):
    """The arrays of a Keras weights file by the names that the network gives its layers."""
    found = {}

    def note(_, item):
        if isinstance(item, h5py.Group) and "name" in item.attrs and len(item):
            arrays = [item[key][()] for key in sorted(item)]
            found[item.attrs["name"]] = [array.astype(np.float32) for array in arrays]

    file.visititems(note)
    return found


def _of_width(found, width):
    """`found`, if it holds what a network of this width needs.

    Raises:
        ValueError: it does not.
    """
    for name, shape in shapes(width).items():
        wanted = {f"{name}_conv": [shape, shape[3:]]}
        if name != "rgb":
            wanted[f"{name}_norm"] = [shape[3:], shape[3:]]
        for layer, expected in wanted.items():
            given = [array.shape for array in found.get(layer, ())]
            if given != expected:
                raise ValueError(f"layer {layer} has the arrays {given}, not {expected}")
            if not all(np.isfinite(array).all() for array in found[layer]):
                raise ValueError(f"layer {layer} holds values that are not finite")
    return found


def _halve(path):
    """Rewrites a Keras weights file in half precision."""
    # Not saved from a float16 network: building one computes in half precision, of which oneDNN
    # complains on most CPUs.
    whole = io.BytesIO(path.read_bytes())
    with h5py.File(whole, "r") as source, h5py.File(path, "w") as half:

        def copy(name, item):
            if isinstance(item, h5py.Dataset):
                half.create_dataset(name, data=item[()].astype("float16"))
            else:
                half.require_group(name).attrs.update(item.attrs)

        source.visititems(copy)
