"""The trained styles that there are: where they lie, what they are called, and blends of them.

One's own come first, and then those that come with fst. A style is a folder (`fst.checkpoint`), or
one of the many in a gallery's folder; a blend is of the styles of one gallery.
"""

from __future__ import annotations

import collections
import contextlib
import difflib
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from fst import files
from fst.checkpoint import Checkpoint
from fst.errors import UserError

if TYPE_CHECKING:
    import keras

ROOT = "checkpoints"
"""Where one's own styles are, from the folder that one works in. After them those are looked for
that come with fst (`shipped`)."""


def shipped() -> Path:
    """The folder of the styles that come with fst: in the installed package, or in its source."""
    package = Path(__file__).resolve().parent
    inside = package / "styles"
    return inside if inside.is_dir() else package.parent / ROOT


def is_shipped(trained: Checkpoint) -> bool:
    """Whether a `Checkpoint` is one of those that come with fst, and not one's own."""
    return len(roots(ROOT)) > 1 and shipped() in trained.folder.resolve().parents


def roots(root):
    """The folders to look for styles in: `root`, and after `ROOT` that of the shipped ones."""
    usual = Path(root) == Path(ROOT)
    there = usual and shipped().is_dir() and Path(root).resolve() != shipped()
    return [root, shipped()] if there else [root]


StyleName: TypeAlias = "str | os.PathLike | dict[str, float] | Checkpoint"
"""What a style can be named by; see `find`."""


def names(root: str | os.PathLike = ROOT) -> list[str]:
    """The names of the trained styles under `root`, as `find` takes them, sorted.

    A folder with one style gives its own name. A gallery gives those of its styles; where a name
    means something else as well, `GALLERY/NAME`.

    Args:
        root: a folder; `ROOT` stands for the shipped styles too, of which one's own hide those of
            the same name.
    """
    return sorted({name for place in roots(root) for name in _names_under(place)})


def _names_under(root):
    folders, galleries = _survey(root)
    held = collections.Counter(name for styles in galleries.values() for name in styles)
    found = sorted(set(folders) - set(galleries))
    for gallery, styles in galleries.items():
        clear = {name for name in styles if held[name] == 1 and name not in folders}
        found += [name if name in clear else f"{gallery}/{name}" for name in styles]
    return found


def find(wanted: StyleName, root: str | os.PathLike = ROOT) -> Checkpoint:
    """The trained style, or the blend of styles, that is meant.

    Args:
        wanted: one of

            * a folder's name under `root`, or the path of a folder, which holds one style;
            * the name of a style in a gallery under `root`; where a folder has that name too, the
              folder is meant, and where two galleries have such a style, neither;
            * a gallery and a style of it: `gallery/starry_night`, or a path and a name, the path of
              the gallery or of the folder that it is in;
            * a blend of one gallery's styles: `"great_wave=0.7,udnie=0.3"`, or a dictionary
              `{"great_wave": 0.7, "udnie": 0.3}`. Weights are from 0, and divided by their sum;
            * a `Checkpoint`, such as training returns: it is what is meant.
        root: the folder that holds the trained styles; after `ROOT` comes that of the shipped ones.

    Returns:
        A `Checkpoint` of one style or blend.

    Raises:
        UserError: there is no such style, with the names that there are; a gallery is named
            without a style; two galleries have the style; or a blend is none.
    """
    if isinstance(wanted, Checkpoint):
        return wanted
    return _first_found(_find_under, wanted, root)


def _first_found(look, wanted, root):
    """What `look(wanted, place)` finds in the first of the `roots` that has it."""
    failures = []
    for place in roots(root):
        try:
            return look(wanted, place)
        except UserError as error:
            failures.append(error)
    # That there is no such style in one place says less than what is wrong with it in another.
    failure = min(failures, key=lambda error: _says_little(error, root))
    if _says_little(failure, root) == 2:
        missed = list(dict.fromkeys(error.wanted for error in failures))
        if len(missed) > 1:  # Each place has what another one misses.
            raise UserError(f"{' and '.join(missed)} are not in one gallery, and only then blend")
    raise failure


def _says_little(error, root):
    """0 for an error that tells most, 2 for one that misses a style which is in another place."""
    return isinstance(error, _UnknownStyle) and 1 + (error.wanted in names(root))


def _find_under(wanted, root):
    if isinstance(wanted, dict):
        return _blend(wanted, root)
    wanted = str(wanted)
    if trained := _folder(wanted, root):
        if trained.is_gallery():
            raise UserError(trained.needs_choice())
        return trained
    places = _in_galleries(wanted, root)
    if not places and "=" in wanted:
        return _blend(_parse(wanted), root)
    if not places:
        raise _UnknownStyle(wanted, _unknown(wanted, root))
    if len(places) > 1:
        raise UserError(_ambiguous(wanted, places))
    ((folder, index),) = places.items()
    return _mixed(folder, {index: 1.0})


def find_folder(
    wanted: str | os.PathLike | Checkpoint, root: str | os.PathLike = ROOT
) -> Checkpoint:
    """The folder called `wanted` under `root`, or of that path: one style, or a gallery as such.

    Args:
        wanted: a name or path, or a `Checkpoint`, whose folder is then meant.
        root: as for `find`.

    Raises:
        UserError: there is none.
    """
    if isinstance(wanted, Checkpoint):
        return Checkpoint(wanted.folder)
    return _first_found(_find_folder_under, wanted, root)


def find_own_folder(wanted, root=ROOT):
    """As `find_folder`, for what is to be changed: none of those that come with fst.

    Raises:
        UserError: there is none, or only a shipped one.
    """
    trained = find_folder(wanted, root)
    if is_shipped(trained):
        raise UserError(
            f"{trained.folder} came with fst and stays as it is: copy it into {root}/ first"
        )
    return trained


def load_model(style: StyleName, root: str | os.PathLike = ROOT) -> keras.Model:
    """Loads a trained style, or a whole gallery, as the Keras model that it is.

    Args:
        style: a name, path, blend or `Checkpoint`, as for `find`; or a gallery as such, by its name
            or path.
        root: the folder that holds the trained styles; after `ROOT` comes that of the shipped ones.

    Returns:
        A float32 `keras.Model` (`fst.build_network`) from `image`, float32 `[B, H, W, 3]` RGB in
        0-255 with `H, W >= 16`, to the stylised image of the same shape and range. A gallery's
        takes the list of `image` and `style`, float32 `[B, styles]`: how much of each style, in the
        order of `find_folder(style).styles()`, every picture takes.

    Raises:
        UserError: there is no such style, with the names that there are; or its files are damaged.

    Example:
        >>> network = fst.load_model("udnie")
        >>> network(np.zeros((1, 48, 64, 3), np.float32)).shape
        TensorShape([1, 48, 64, 3])
        >>> [tuple(part.shape) for part in fst.load_model("gallery").inputs][0]
        (None, None, None, 3)
    """
    trained = style if isinstance(style, Checkpoint) else find_start(style, root)
    return trained.read_conditional() if trained.style_weights is None else trained.read_network()


def _find_folder_under(wanted, root):
    trained = _folder(str(wanted), root)
    if not trained:
        raise _UnknownStyle(str(wanted), _unknown(str(wanted), root))
    return trained


def find_start(wanted, root=ROOT):
    """What training starts from: a style, a blend, or a gallery as such.

    Args:
        wanted: as `--start-from`.
        root: the folder that is looked in first; then it is the one of the shipped styles.

    Raises:
        UserError: there is none.
    """
    failures = []
    for folder in (root, ROOT):
        with contextlib.suppress(_UnknownStyle):  # Of which `find` tells more.
            return find_folder(wanted, folder)
        try:
            return find(wanted, folder)
        except UserError as error:
            failures.append(error)
    raise min(failures, key=lambda error: _says_little(error, root))


def find_all(root=ROOT):
    """Every trained style under `root`: a dictionary from the `names` to `Checkpoint`s.

    Raises:
        UserError: there are none.
    """
    found = names(root)
    if not found:
        raise UserError(f"there are no trained styles under {root}/")
    return {name: find(name, root) for name in found}


class _UnknownStyle(UserError):
    """There is no style of the name `wanted` in one place."""

    def __init__(self, wanted, text):
        super().__init__(text)
        self.wanted = wanted


def _folder(wanted, root):
    """The `Checkpoint` of a folder by its name under `root` or its path, or None."""
    for folder in (Path(root) / wanted, Path(wanted)):
        if os.path.isfile(folder / "style.json"):
            return Checkpoint(folder)
    return None


def card_paths(root):
    """The cards of the trained styles and galleries right under `root`, sorted by their folders.

    Hidden folders are left out: a copy of a gallery lies in one while a style is added to it, and
    stays there if that is killed.
    """
    return sorted(Path(root).glob("[!.]*/style.json")) if os.path.isdir(root) else []


def _survey(root):
    """What lies under `root`: its folders' names, and of those that are galleries their styles'."""
    folders = [path.parent.name for path in card_paths(root)]
    styles = {name: Checkpoint(Path(root) / name).style_names() for name in folders}
    return folders, {name: held for name, held in styles.items() if len(held) > 1}


def _in_galleries(wanted, root):
    """Where a style, `NAME`, `GALLERY/NAME` or `ROOT/NAME`, is: its place by galleries' folders."""
    parent, _, name = wanted.rpartition("/")
    if parent and (trained := _folder(parent, root)):
        galleries = {trained.folder: trained.style_names()}
    else:  # A path of what is in a gallery by now, such as checkpoints/udnie, leads there too.
        root = Path(parent or root)
        held = _survey(root)[1] if os.path.isdir(root) else {}
        galleries = {root / folder: styles for folder, styles in held.items()}
    return {folder: held.index(name) for folder, held in galleries.items() if name in held}


def _parse(text):
    """The names and weights in `great_wave=0.7,udnie=0.3`."""
    weights = {}
    for part in text.split(","):
        name, _, weight = (word.strip() for word in part.rpartition("="))
        if not name:
            raise UserError(f"'{text}' is no blend: write it as great_wave=0.7,udnie=0.3")
        if name in weights:
            raise UserError(f"'{text}' names {name} twice: give it one weight")
        weights[name] = weight
    return weights


def _blend(weights, root):
    weights = {str(name): _weight(name, weight) for name, weight in weights.items()}
    if not any(weights.values()):
        raise UserError("a blend needs a style with a weight above 0, such as udnie=1")
    if len(weights) == 1:
        return find(*weights, root)
    places = {}
    for name in weights:
        found = _in_galleries(name, root)
        if not found:
            _refuse_to_blend(name, root)
        places[name] = {folder.resolve(): index for folder, index in found.items()}
    folder = _common(places)
    mixture = {}
    for name, weight in weights.items():
        if places[name][folder] in mixture:
            raise UserError(f"the blend names {name.rpartition('/')[2]} twice: give it one weight")
        mixture[places[name][folder]] = weight
    return _mixed(folder, mixture)


def _common(places):
    """The folder of the gallery that has all styles of a blend."""
    common = set.intersection(*map(set, places.values()))
    if not common:
        raise UserError(f"{' and '.join(places)} are not all in one gallery, and only then blend")
    if len(common) > 1:
        name = next(iter(places))
        raise UserError(_ambiguous(name, places[name]))
    return common.pop()


def _weight(name, given):
    try:
        weight = float(given)
    except (TypeError, ValueError):
        weight = math.nan
    if not 0 <= weight < math.inf:
        raise UserError(f"the weight of {name} is '{given}': give a number from 0, such as 0.7")
    return weight


def _mixed(folder, mixture):
    """The checkpoint of a blend; `mixture` has weights of any sum by the styles' places."""
    largest = max(mixture.values())  # First, for the sum of large numbers may be too large.
    shares = {index: weight / largest for index, weight in mixture.items()}
    total = sum(shares.values())
    count = len(Checkpoint(folder).styles())
    return Checkpoint(folder, tuple(shares.get(index, 0.0) / total for index in range(count)))


def _unknown(wanted, root):
    parent, _, name = wanted.rpartition("/")
    trained = _folder(parent, root) if parent else None
    if trained:
        known, place = [style["name"] for style in trained.styles()], f" in {trained.folder}"
    else:
        known, name, place = _known(root), wanted, ""
    hint = f"there are {', '.join(known)}" if known else f"there are none under {root}/"
    if close := difflib.get_close_matches(name, known, n=3):
        hint = f"did you mean {' or '.join(close)}? {hint}"
    return f"there is no trained style '{files.printable(name)}'{place}; {hint}"


def _known(root):
    """The `names` under `root`, and as `find` has come to the shipped ones, one's own too."""
    return names(ROOT if Path(root) == shipped() else root)


def _ambiguous(name, places):
    clear = " or ".join(f"{folder.name}/{name}" for folder in places)
    return f"'{name}' is a style of {len(places)} galleries: name it {clear}"


def _refuse_to_blend(name, root):
    if _folder(name, root):
        raise UserError(f"'{name}' is a folder of its own: only the styles of one gallery blend")
    raise _UnknownStyle(name, _unknown(name, root))
