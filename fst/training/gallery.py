"""Adding styles to a gallery that is there: a scale and a shift more, and nothing else changes."""

import os
import shutil
from pathlib import Path

import numpy as np

from fst import checkpoint, collection, files
from fst.errors import UserError
from fst.export import export_styles
from fst.training.state import writing

_ABOUT = (
    "created",
    "config",
    "photos",
    "skipped_photos",
    "steps",
    "images_seen",
    "seconds",
    "device",
    "precision",
    "training_losses",
    "versions",
)


def check_room(config, styles):
    """Whether the gallery of `--add-to` has these very styles already.

    Args:
        config: a `TrainingConfig` with `add_to`.
        styles: the `fst.training.style_images.Style`s.

    Raises:
        UserError: there is no such gallery, it lies where the style itself is trained, or it has
            other styles of these names, which only `--overwrite` replaces.
    """
    target = collection.find_own_folder(config.add_to, config.output)
    ours = os.path.join(config.output, config.name)
    if os.path.realpath(ours) == os.path.realpath(target.folder):
        raise UserError(
            f"‹name› {config.name}: its folder would be that of the gallery to add it to; choose "
            "another ‹name›"
        )
    hashes = {style["name"]: style.get("sha256") for style in target.styles()}
    taken = [style for style in styles if style.name in hashes]
    if config.overwrite or not taken:
        return False
    if all(hashes.get(style.name) == style.sha256 for style in styles):
        return True
    raise UserError(
        f"‹add_to› {config.add_to}: has a style '{taken[0].name}' already; choose another ‹name›, "
        "or replace it with ‹overwrite›"
    )


def check_network(config, network):
    """Raises a ValueError where a handed-in network has other convolutions than the gallery."""
    target = collection.find_own_folder(config.add_to, config.output)
    theirs = {layer.name: layer.get_weights() for layer in network.layers}
    if not _same_convolutions(target.read_all_weights(), theirs):
        raise ValueError(
            f"network: its convolutions are not those of {target.folder}, which its styles are to "
            "be added to"
        )


def add(config, weights, card):
    """Adds trained styles to the gallery of `--add-to`, all at once or not at all.

    Args:
        config: the `TrainingConfig`.
        weights: of the trained network (`fst.checkpoint.Checkpoint.read_all_weights`).
        card: its card.

    Returns:
        The gallery's `Checkpoint`.

    Raises:
        UserError: the gallery has changed since the styles were begun, or cannot be written.
    """
    # Behind a link, whose place a copy would take.
    found = collection.find_own_folder(config.add_to, config.output)
    target = checkpoint.Checkpoint(Path(os.path.realpath(found.folder)))
    about = {key: card[key] for key in _ABOUT}
    entries = [
        {**entry, "training": about, "place": place} for place, entry in enumerate(card["styles"])
    ]
    taken = (
        f"{target.folder}: another process is changing this gallery; run the same command again, "
        "no training is lost"
    )
    with writing(target.folder), files.locked(target.folder, taken):
        files.remove_litter_of(target.folder)
        with files.atomic_path(target.folder) as folder:
            shutil.copytree(target.folder, folder, ignore=_all_but(target.saved_model_path))
            _write(target, checkpoint.Checkpoint(folder), weights, entries)
    return target


def _all_but(path):
    """For `shutil.copytree`: leaves `path` out, and nothing that has its name further down."""
    return lambda folder, names: [path.name] if Path(folder) == path.parent else []


def _write(target, copy, weights, entries):
    before, after = target.read_card(), target.read_all_weights()
    _check_same(target, after, weights)
    styles = target.styles()
    for index, entry in enumerate(entries):
        names = [style["name"] for style in styles]
        place = names.index(entry["name"]) if entry["name"] in names else len(names)
        styles[place:] = [entry, *styles[place + 1 :]]
        for layer in (layer for layer in after if layer.endswith("_norm")):
            after[layer] = [
                np.concatenate([table[:place], np.atleast_2d(new)[index, None], table[place + 1 :]])
                for table, new in zip(map(np.atleast_2d, after[layer]), weights[layer], strict=True)
            ]
    copy.write_weights(checkpoint.network_of(after))
    export_styles(after, [style["name"] for style in styles], copy.saved_model_path)
    # Of format 1, whose one style stood elsewhere in the card.
    before = {key: value for key, value in before.items() if key not in ("style", "styles")}
    copy.write_card({**before, "format": 2, "styles": styles})


def _check_same(target, ours, theirs):
    """Raises unless the convolutions are those that the new styles were learnt with."""
    if not _same_convolutions(ours, theirs):
        raise UserError(
            f"{target.folder}: its network has changed since this style was begun; train the style "
            "again with ‹overwrite›"
        )


def _same_convolutions(ours, theirs):
    """Whether two networks have the same ones in half precision, in which they are written."""
    return all(
        np.array_equal(np.float16(one), np.float16(other))
        for layer in ours
        if layer.endswith("_conv")
        for one, other in zip(ours[layer], theirs[layer], strict=True)
    )
