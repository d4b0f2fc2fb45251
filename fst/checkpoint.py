"""The folder `checkpoints/<name>/`: a style, or a gallery of many in one network.

style.json          the card: configuration, provenance, losses
network.weights.h5  the weights, loadable by Keras on any backend
saved_model/        the export, written by `fst.export`
history.csv/.png    the losses as training went on
history_styles.csv  of several styles, those of each
previews/           the same photos, stylised, as training went on
training/           the state to resume from

A gallery's network shares its convolutions among all its styles (Dumoulin et al., 2017). One style
of it, or a blend of some, is folded into a network of one style as it is read, and used as such.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fst import files
from fst.errors import UserError, first_line
from fst.models import weights_file
from fst.models.architecture import FIRST

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The paths inside one folder, and how to read and write what lies there.

    Attributes:
        folder: of a style, or of a gallery.
        style_weights: how much of each of a gallery's styles is meant, with the sum 1; None for
            the whole folder: the style of a folder that holds one, a gallery as such.
    """

    folder: Path
    style_weights: tuple[float, ...] | None = None

    @property
    def name(self) -> str:
        """What the style or blend that is meant is called; without one, the folder."""
        if self.style_weights is None:
            return self.folder.resolve().name
        chosen = self.chosen()
        if len(chosen) == 1:
            return chosen[0][0]["name"]
        return ",".join(f"{style['name']}={weight:.4g}" for style, weight in chosen)

    @property
    def card_path(self) -> Path:
        return self.folder / "style.json"

    @property
    def weights_path(self) -> Path:
        return self.folder / "network.weights.h5"

    @property
    def saved_model_path(self) -> Path:
        return self.folder / "saved_model"

    @property
    def history_path(self) -> Path:
        return self.folder / "history.csv"

    @property
    def styles_history_path(self) -> Path:
        return self.folder / "history_styles.csv"

    @property
    def curves_path(self) -> Path:
        return self.folder / "history.png"

    @property
    def previews_path(self) -> Path:
        return self.folder / "previews"

    @property
    def training_path(self) -> Path:
        return self.folder / "training"

    def read_card(self) -> dict[str, Any]:
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

    def styles(self) -> list[dict[str, Any]]:
        """The card's entries about its styles, a list of dictionaries in the network's order.

        Each has a `name`, and mostly the `sha256` of its picture, `height` and `width` in px, a
        `source` in words, and `held_out_losses`. A card of format 1, or one that names no styles,
        gives one entry.

        Raises:
            UserError: the card is missing or damaged.
        """
        card = self.read_card()
        if isinstance(card, dict) and "styles" not in card:
            given = card.get("style")
            style = given if isinstance(given, dict) else {}
            name = str(card.get("name") or self.folder.resolve().name)
            return [{"held_out_losses": card.get("held_out_losses"), **style, "name": name}]
        styles = card["styles"] if isinstance(card, dict) else None
        told = [s.get("name") if isinstance(s, dict) else None for s in _listed(styles)]
        if not told or not all(isinstance(n, str) and _NAME.fullmatch(n) for n in told):
            raise UserError(f"{self.card_path}: is damaged, it does not tell its styles' names")
        if twice := [name for name, count in collections.Counter(told).items() if count > 1]:
            raise UserError(f"{self.card_path}: is damaged, two styles are called '{twice[0]}'")
        return styles

    def style_names(self) -> list[str]:
        """The names of the folder's styles; none where the card is damaged."""
        try:
            return [style["name"] for style in self.styles()]
        except UserError:
            return []

    def is_gallery(self) -> bool:
        """Whether a gallery as such is meant; not where its card is damaged."""
        return self.style_weights is None and len(self.style_names()) > 1

    def chosen(self) -> list[tuple[dict[str, Any], float]]:
        """The styles that are meant: pairs of the card's entry and its weight, which is above 0.

        Raises:
            UserError: the card is missing or damaged, or a gallery's style has not been chosen.
        """
        styles = self.styles()
        pairs = zip(styles, self._mixture(len(styles)), strict=True)
        return [(style, weight) for style, weight in pairs if weight]

    def _mixture(self, count):
        """How much of each of `count` styles is meant."""
        if self.style_weights is None:
            if count > 1:
                raise UserError(self.needs_choice())
            return (1.0,)
        if len(self.style_weights) != count:
            raise UserError(
                f"{self.card_path}: names {count} styles now, not {len(self.style_weights)}; "
                "find the style by its name again"
            )
        return self.style_weights

    def needs_choice(self) -> str:
        """What to tell where a gallery is given and one of its styles is meant."""
        name, styles = self.folder.resolve().name, [style["name"] for style in self.styles()]
        return (
            f"{self.folder} holds {len(styles)} styles: name one, such as {name}/{styles[0]}; "
            f"there are {', '.join(styles)}"
        )

    def write_card(self, card: dict[str, Any]) -> None:
        """Writes the card; the one that was there stays until the new one is whole."""
        with files.atomic_path(self.card_path) as path:
            path.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")

    def write_weights(self, network: keras.Model) -> None:
        """Writes the network's weights in half precision, in which a style is shipped.

        Half precision halves the file, and its 11 significant bits move the output by less than one
        grey level. Keras turns the numbers back into float32 when it loads them.
        """
        with files.atomic_path(self.weights_path) as path:
            # HDF5 crashes on a full disk, and Python with it: see first that there is room.
            path.write_bytes(bytes(4 * network.count_params() + 2**19))
            network.save_weights(path)
            weights_file.halve(path)

    def read_width(self) -> int:
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

    def read_weights(self, width: int | None = None) -> dict[str, Any]:
        """The trained weights of the style or blend that is meant, as arrays, without Keras.

        Args:
            width: the network's width; the card's when None.

        Returns:
            A dictionary from the names of layers, such as `down1_conv` and `down1_norm`, to their
            float32 arrays: kernel and bias, or scale and shift.

        Raises:
            UserError: the card or the weights are missing or damaged, or a gallery's style has not
                been chosen.
        """
        return self.fold(self.read_all_weights(width))

    def fold(self, weights: dict[str, Any]) -> dict[str, Any]:
        """The part that is meant of what `read_all_weights` returned, as `read_weights` gives it.

        Raises:
            UserError: a gallery's style has not been chosen, or there are more or fewer by now.
        """
        return weights_file.fold(weights, self._mixture(weights_file.count_styles(weights)))

    def read_all_weights(self, width: int | None = None) -> dict[str, Any]:
        """The trained weights of all styles: as `read_weights`, but a gallery's unfolded.

        Args:
            width: the network's width. When None it is the card's, and there must be as many styles
                as the card names.

        Returns:
            As `read_weights`; a gallery's scales and shifts are `[styles, C]`.

        Raises:
            UserError: the card or the weights are missing or damaged.
        """
        styles = None
        if width is None:
            width, styles = self.read_width(), len(self.styles())
        self._check_weights_are_there()
        try:
            return weights_file.read(self.weights_path, width, styles)
        except Exception as error:  # h5py raises many kinds for a damaged file.
            reason = first_line(error)
            raise UserError(f"{self.weights_path}: cannot be loaded ({reason})") from error

    def read_network(self, width: int | None = None) -> keras.Model:
        """The trained network of the style or blend that is meant, as a float32 `keras.Model`.

        Args:
            width: the network's width; the card's when None.

        Returns:
            A network as of `fst.models.network.build_network` with one style.

        Raises:
            UserError: as `read_weights`.
        """
        return network_of(self.read_weights(width))

    def read_conditional(self, width: int | None = None) -> keras.Model:
        """The trained network of all styles, as a float32 `keras.Model`: to go on training.

        Args:
            width: the network's width; the card's when None.

        Returns:
            A network as of `fst.models.network.build_network` with the gallery's number of styles,
            1 for a folder that holds one.

        Raises:
            UserError: the card or the weights are missing or damaged.
        """
        return network_of(self.read_all_weights(width))

    def _check_weights_are_there(self):
        if not self.weights_path.is_file():
            raise UserError(f"{self.weights_path}: is missing; has the training finished?")


def network_of(weights):
    """The network, a float32 `keras.Model`, that has these weights (`read_all_weights`)."""
    from fst.models.network import (
        build_network,  # Keras takes seconds to import: only when it is used
    )

    styles = weights_file.count_styles(weights)
    network = build_network(len(weights[FIRST.conv][1]), dtype="float32", styles=styles)
    for layer, arrays in weights.items():
        layer = network.get_layer(layer)
        layer.set_weights([a.reshape(w.shape) for a, w in zip(arrays, layer.weights, strict=True)])
    return network


_NAME = re.compile(r"\w[\w.-]*")  # As --name allows: no sign that a blend or a path is made with.


def _listed(value):
    return value if isinstance(value, list) else []
