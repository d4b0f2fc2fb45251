"""Which files a run of `infer.py` reads and writes, decided before any network is loaded."""

import collections
import os
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from fst import collection, files
from fst.config import ALL_STYLES, cut
from fst.errors import UserError
from fst.media import folders, images, video
from fst.stylize import engines

# What `--format keep` writes for a suffix, where that is not the suffix itself: a GIF has 256
# colours, too few for a painting; HEIC can only be read; other names are mostly JPEGs.
_KEPT = {suffix: suffix for suffix in images.OUTPUTS} | images.KEPT_AS | {".gif": ".png"}
_UNNAMED = ".jpg"

_SPELLINGS = ({".jpg", ".jpeg"}, {".tif", ".tiff"})  # Suffixes that mean the same format.


class Job(NamedTuple):
    """One photo or video: `source`, a path or URL, is stylised into the file `target`.

    `renamed` tells that the target is not called as the source, because another one is; `rivals`
    are the targets of those that would have the same name; `moving` tells that it is all of a
    video or of an animated picture that is stylised, and not one picture.
    """

    source: str | Path
    target: Path
    renamed: bool = False
    moving: bool = False
    rivals: tuple[Path, ...] = ()

    @property
    def name(self):
        """What messages call the photo: its path, or its address without a password."""
        return files.shown(files.without_password(self.source))

    def is_done(self):
        """Whether the target is there already, and is this job's.

        It may be a rival's that had the name in an earlier run, before this source was laid beside
        it. Then that one's present target is missing.
        """
        return all(map(os.path.exists, (self.target, *self.rivals)))


def plan(config, tell=lambda note: None):
    """Lists what a run has to do.

    The content decides what a file is, and its name only if the content cannot be read. An animated
    picture counts as a photo, unless OUTPUT is a file that moves: a video, or a GIF.

    OUTPUT is a file if the only input is one photo or video and OUTPUT ends in a suffix and is no
    folder; else it is a folder, in which a file keeps its name, and a photo of an input folder also
    its path below that folder. What lies in OUTPUT is never read as part of an input folder around
    it. Videos are taken only where they are named, not out of folders: one can take hours.

    Args:
        config: an `fst.config.InferenceConfig`.
        tell: called with a line for each input folder in which files are left out.

    Returns:
        A list of `Job`s, whose targets all differ.

    Raises:
        UserError: there is no such style or input, a folder holds no photos, OUTPUT cannot be
            written or has an unknown suffix, the engine is not installed, a photo would be
            overwritten by its own output, or a video is asked for what only photos can have.
    """
    styles(config)
    engines.choose(config.engine, config.precision)
    _check_videos(config)
    output = Path(config.output)
    if _is_file(config):
        _check_suffix(config, output)
        source = _existing(config.input[0])
        jobs = [Job(source, output, moving=_is_moving(config, source, output))]
    else:
        _check_folder(config, output)
        jobs = _distinct(
            Job(source, output / _with_format(name, config.format, moving), moving=moving)
            for given in config.input
            for source, name, moving in _photos(given, config, tell)
        )
    if any(job.moving for job in jobs):
        video.check_available()
    spare_inputs(jobs)
    files.check_writable(output, "‹output›", folder=not _is_file(config))
    return jobs


def styles(config):
    """The styles that a run needs: a dictionary from names to `Checkpoint`s."""
    if config.checkpoint == ALL_STYLES:
        return collection.find_all(config.checkpoints)
    style = collection.find(config.checkpoint, config.checkpoints)
    return {style.name: style}


def is_video(source):
    """Whether a source, a path or URL, is a video; of an address, only the name is known."""
    if files.is_url(source):
        return name_of_url(source).suffix.lower() in video.EXTENSIONS
    return video.is_video(source)


def is_folder(given):
    """Whether an INPUT is a folder."""
    return not files.is_url(given) and os.path.isdir(given)


def _check_videos(config):
    for given in filter(is_video, config.input):
        if config.contact_sheet:
            raise UserError(f"‹contact_sheet› is for photos, and {given} is a video")
        if files.is_url(given):
            raise UserError(f"{files.printable(given)}: download the video and give the file")


def _is_file(config):
    output = config.output
    one = len(config.input) == 1 and (
        files.is_url(config.input[0]) or not os.path.isdir(config.input[0])
    )
    folder = output.endswith(("/", os.sep)) or os.path.isdir(output)
    return one and not folder and bool(Path(output).suffix)


def _is_moving(config, source, output):
    """Whether all of a video or animation becomes the file `output`, and not its first picture."""
    if is_video(source):
        return True
    moving = output.suffix.lower() in video.MOVING_OUTPUTS and not config.contact_sheet
    return moving and not files.is_url(source) and video.is_moving(source)


def _check_suffix(config, output):
    given, suffix = config.input[0], output.suffix.lower()
    moving = _is_moving(config, given, output)
    known = video.MOVING_OUTPUTS if is_video(given) else images.OUTPUTS
    if suffix not in known and not (moving and suffix in video.MOVING_OUTPUTS):
        kind = "format of a video" if is_video(given) else "known format"
        problem = f"the suffix names no {kind}"
        if suffix in video.OUTPUTS:
            problem = f"the suffix names a video, and {files.printable(given)} is none"
            problem += " (download it, if it moves)" * files.is_url(given)
        raise UserError(
            f"‹output› {output}: {problem}; use one of "
            f"{' '.join(sorted(known))}, or {output}/ for a folder"
        )
    if not moving and config.format != "keep" and not _same_format(suffix, f".{config.format}"):
        raise UserError(
            f"‹format› {config.format} contradicts ‹output› {output}: leave one of them out"
        )


def _check_folder(config, output):
    suffixes = images.EXTENSIONS | video.EXTENSIONS
    named_as_file = output.suffix.lower() in suffixes and not os.path.isdir(output)
    if os.path.isfile(output) or named_as_file:
        given = " ".join(map(files.printable, config.input[:2]))
        raise UserError(
            f"‹output› {output}: names a file, but {given} may be several photos; name a folder"
        )


def _photos(given, config, tell):
    """The photos of one INPUT; the name of each, relative to OUTPUT; and whether it is a video."""
    if files.is_url(given):
        return [(given, name_of_url(given), False)]
    path = _existing(given)
    if not path.is_dir():
        return [(path, Path(path.name), is_video(path))]
    output = Path(config.output).resolve()
    if output == path.resolve():
        raise UserError(f"‹output› {config.output}: is the folder of the photos; name another")
    found = folders.look_through(path, config.recursive)
    photos, left_out = found
    if output not in path.resolve().parents:
        # Not `resolve`, which refuses a link that leads to itself: that is one photo's failure.
        photos, left_out = ([f for f in kind if not _is_below(f, output)] for kind in found)
    if not photos:
        deeper = not config.recursive and folders.find_images(path)
        hint = "those in its folders need --recursive" if deeper else "give a folder of pictures"
        if any(map(video.is_video, path.glob("*"))):
            hint = "name its videos one by one"
        others = f" (left out: {folders.names_of(left_out, path)})" if left_out else ""
        raise UserError(f"{given}: the folder holds no photos{others}; {hint}")
    if left_out:
        tell(folders.left_out_words(left_out, path))
    return [(photo, photo.relative_to(path), False) for photo in photos]


def _is_below(file, folder):
    return folder in Path(os.path.realpath(file)).parents


def _existing(given):
    if files.is_url(given):
        return given
    if not os.path.exists(given):
        raise UserError(f"{given}: {files.missing(given)}")
    return Path(given)


def name_of_url(url):
    """The last part of an address's path as the name of a file, a `Path`."""
    try:
        last = unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]
    except ValueError:  # A broken address, of which the download will tell.
        last = ""
    name = Path(re.sub(r'[\x00-\x1f\\/:*?"<>|]+', "_", last).lstrip(".") or "picture")
    return Path(cut(name.stem, 100) + cut(name.suffix, 20))


def _with_format(name, wanted, moving):
    suffix = name.suffix.lower()
    known = images.EXTENSIONS | video.EXTENSIONS
    if moving and suffix in video.OUTPUTS:
        return name
    new = ".mp4" if moving else _kept(suffix) if wanted == "keep" else f".{wanted}"
    if _same_format(suffix, new):
        return name
    return name.with_suffix(new) if suffix in known else name.with_name(name.name + new)


def _kept(suffix):
    return _KEPT.get(suffix, _UNNAMED)


def _same_format(one, other):
    return one == other or any({one, other} <= spellings for spellings in _SPELLINGS)


def _distinct(jobs):
    """Gives the second photo that would become `a.jpg` the name `a-2.jpg`, and so on.

    A photo that was given twice is done once. Names that differ in case alone count as the same:
    on many file systems they are. Photos that keep their suffix come first: `a.heic` laid beside
    `a.jpg` must not take the name that `a.jpg` had in an earlier run.
    """
    once = {}
    for job in jobs:
        once.setdefault((_identity(job.source), job.target), job)
    jobs = list(once.values())
    wanted = {_key(job.target) for job in jobs}
    taken, names, alike = set(), {}, collections.defaultdict(list)
    for job in sorted(jobs, key=_changes_suffix):
        target = name = job.target
        number = 2
        while _key(name) in taken or (name != target and _key(name) in wanted):
            name = target.with_name(f"{target.stem}-{number}{target.suffix}")
            number += 1
        taken.add(_key(name))
        names[job] = name
        alike[_key(target)].append(name)
    return [_named(job, names[job], alike[_key(job.target)]) for job in jobs]


def _named(job, name, alike):
    rivals = tuple(other for other in alike if other != name)
    return job._replace(target=name, renamed=name != job.target, rivals=rivals)


def _changes_suffix(job):
    source = name_of_url(job.source) if files.is_url(job.source) else Path(job.source)
    return source.suffix.lower() != job.target.suffix.lower()


def _identity(source):
    return source if files.is_url(source) else os.path.realpath(source)


def _key(path):
    return os.path.normpath(path).casefold()


def spare_inputs(jobs):
    """Raises if a photo to be read would be overwritten."""
    sources = {}
    for source, *_ in jobs:
        if not files.is_url(source) and (found := _inode(source)):
            sources[found] = source
    for job in jobs:
        if _inode(job.target) in sources:
            raise UserError(
                f"{sources[_inode(job.target)]}: would be overwritten by its stylised picture; "
                "name another ‹output›"
            )


def _inode(path):
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
