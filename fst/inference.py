"""Photos and videos in, stylised ones out: which files a run of `infer.py` reads and writes.

`plan` decides all of that, and refuses what cannot work, before a network is loaded. `stylise`
then does the work: the network takes one photo after the other, while the next ones are read and
the last ones written (`fst.pipeline`).
"""

import contextlib
import errno
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import numpy as np

from fst import (
    checkpoint,
    contact_sheet,
    engines,
    files,
    images,
    look,
    memory,
    pipeline,
    steady,
    stylizer,
    video,
)
from fst.config import ALL_STYLES
from fst.errors import UserError

# What `--format keep` writes for a suffix, where that is not the suffix itself: a GIF has 256
# colours, too few for a painting, and what names no format at all is mostly a JPEG.
_KEPT = {suffix: suffix for suffix in images.EXTENSIONS} | {".gif": ".png"}
_UNNAMED = ".jpg"

_SPELLINGS = ({".jpg", ".jpeg"}, {".tif", ".tiff"})  # Suffixes that mean the same format.

# The file system's, and no single photo's, fault: the next photo would meet them too.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

_BYTES_PER_PIXEL = 64  # of memory that a photo takes at most while it is read, finished or written
_MAX_IN_FLIGHT = 48_000_000  # pixels, hence 3 GB at most


class Job(NamedTuple):
    """One photo or video: `source`, a path or URL, is stylised into the file `target`.

    `renamed` tells that the target is not called as the source, because another one is.
    """

    source: str | Path
    target: Path
    renamed: bool = False

    @property
    def name(self):
        """What messages call the photo: its path, or its address without a password."""
        return re.sub(r"(?<=://)[^/@]*@", "", str(self.source))


class Outcome(NamedTuple):
    """What became of a job; `failure` is None, or one line that names the photo.

    `notes` is what a user may want to know of how the photo was read, a phrase each.
    """

    job: Job
    failure: str | None
    notes: tuple[str, ...] = ()


# --- What to do ----------------------------------------------------------------------------------


def plan(config):
    """Lists what a run has to do.

    OUTPUT is a file if the only input is one photo or video and OUTPUT ends in a suffix and is no
    folder; else it is a folder, in which a file keeps its name, and a photo of an input folder also
    its path below that folder. What lies in OUTPUT is never read as part of an input folder around
    it. Videos are taken only where they are named, not out of folders: one can take hours.

    Args:
        config: an `fst.config.InferenceConfig`.

    Returns:
        A list of `Job`s, whose targets all differ.

    Raises:
        UserError: there is no such style or input, a folder holds no photos, OUTPUT cannot be
            written or has an unknown suffix, the engine is not installed, a photo would be
            overwritten by its own output, or a video is asked for what only photos can have.
    """
    _styles(config)
    engines.choose(config.engine, config.precision)
    _check_videos(config)
    output = Path(config.output)
    if _is_file(config):
        _check_suffix(config, output)
        jobs = [Job(_existing(config.input[0]), output)]
    else:
        _check_folder(config, output)
        jobs = _distinct(
            Job(source, output / _with_format(name, config.format))
            for given in config.input
            for source, name in _photos(given, config)
        )
    _spare_inputs(jobs)
    files.check_writable(output, "--output", folder=not _is_file(config))
    return jobs


def _styles(config):
    """The styles that a run needs: a dictionary from names to `Checkpoint`s."""
    if config.checkpoint != ALL_STYLES:
        style = checkpoint.find(config.checkpoint, config.checkpoints)
        return {style.folder.resolve().name: style}
    names = checkpoint.names(config.checkpoints)
    if not names:
        raise UserError(f"there are no trained styles under {config.checkpoints}/")
    return {name: checkpoint.find(name, config.checkpoints) for name in names}


def _is_video(source):
    name = _name_of_url(source) if files.is_url(source) else source
    return video.is_video(name) and not os.path.isdir(source)


def _check_videos(config):
    videos = [given for given in config.input if _is_video(given)]
    for given in videos:
        if config.contact_sheet:
            raise UserError(f"--contact-sheet is for photos, and {given} is a video")
        if files.is_url(given):
            raise UserError(f"{files.printable(given)}: download the video and give the file")
    if videos:
        video.check_available()


def _is_file(config):
    output = config.output
    one = len(config.input) == 1 and (
        files.is_url(config.input[0]) or not Path(config.input[0]).is_dir()
    )
    folder = output.endswith(("/", os.sep)) or Path(output).is_dir()
    return one and not folder and bool(Path(output).suffix)


def _check_suffix(config, output):
    suffix = output.suffix.lower()
    moving = _is_video(config.input[0])
    known = video.OUTPUTS if moving else images.EXTENSIONS
    if suffix not in known:
        kind = "format of a video" if moving else "known format"
        raise UserError(
            f"--output {output}: the suffix names no {kind}; use one of "
            f"{' '.join(sorted(known))}, or {output}/ for a folder"
        )
    if not moving and config.format != "keep" and not _same_format(suffix, f".{config.format}"):
        raise UserError(
            f"--format {config.format} contradicts --output {output}: leave one of them out"
        )


def _check_folder(config, output):
    suffixes = images.EXTENSIONS | video.EXTENSIONS
    if output.is_file() or (output.suffix.lower() in suffixes and not output.is_dir()):
        raise UserError(
            f"--output {output}: names a file, but {' '.join(config.input[:2])} "
            "may be several photos; name a folder"
        )


def _photos(given, config):
    """The photos of one INPUT, each with the name, relative to OUTPUT, that it should get."""
    if files.is_url(given):
        return [(given, _name_of_url(given))]
    path = _existing(given)
    if not path.is_dir():
        return [(path, Path(path.name))]
    output = Path(config.output).resolve()
    if output == path.resolve():
        raise UserError(f"--output {config.output}: is the folder of the photos; name another")
    photos = images.find_images(path, config.recursive)
    if output not in path.resolve().parents:
        # Not `resolve`, which refuses a link that leads to itself: that is one photo's failure.
        photos = [photo for photo in photos if output not in Path(os.path.realpath(photo)).parents]
    if not photos:
        deeper = not config.recursive and images.find_images(path)
        hint = "those in its folders need --recursive" if deeper else "give a folder of pictures"
        if any(map(video.is_video, path.glob("*"))):
            hint = "name its videos one by one"
        raise UserError(f"{given}: the folder holds no photos; {hint}")
    return [(photo, photo.relative_to(path)) for photo in photos]


def _existing(given):
    if files.is_url(given):
        return given
    if not os.path.exists(given):
        raise UserError(f"{given}: no such file or folder; check the path")
    return Path(given)


def _name_of_url(url):
    try:
        last = unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]
    except ValueError:  # A broken address, of which the download will tell.
        last = ""
    name = Path(re.sub(r'[\x00-\x1f\\/:*?"<>|]+', "_", last).lstrip(".") or "picture")
    return Path(name.stem[:100] + name.suffix[:20])


def _with_format(name, wanted):
    suffix = name.suffix.lower()
    if suffix in video.EXTENSIONS:
        return name if suffix in video.OUTPUTS else name.with_suffix(".mp4")
    new = _KEPT.get(suffix, _UNNAMED) if wanted == "keep" else f".{wanted}"
    if _same_format(suffix, new):
        return name
    return name.with_suffix(new) if suffix in images.EXTENSIONS else name.with_name(name.name + new)


def _same_format(one, other):
    return one == other or any({one, other} <= spellings for spellings in _SPELLINGS)


def _distinct(jobs):
    """Gives the second photo that would become `a.jpg` the name `a-2.jpg`, and so on.

    A photo that was given twice is done once. Names that differ in case alone count as the same:
    on many file systems they are.
    """
    jobs = list(jobs)
    wanted = {_key(job.target) for job in jobs}
    taken, seen, distinct = set(), set(), []
    for source, target, _ in jobs:
        if (_identity(source), target) in seen:
            continue
        seen.add((_identity(source), target))
        name, number = target, 2
        while _key(name) in taken or (name != target and _key(name) in wanted):
            name = target.with_name(f"{target.stem}-{number}{target.suffix}")
            number += 1
        taken.add(_key(name))
        distinct.append(Job(source, name, renamed=name != target))
    return distinct


def _identity(source):
    return source if files.is_url(source) else os.path.realpath(source)


def _key(path):
    return os.path.normpath(path).casefold()


def _spare_inputs(jobs):
    """Raises if a photo to be read would be overwritten."""
    sources = {}
    for source, *_ in jobs:
        if not files.is_url(source) and (found := _inode(source)):
            sources[found] = source
    for _, target, _ in jobs:
        if _inode(target) in sources:
            raise UserError(
                f"{sources[_inode(target)]}: would be overwritten by its stylised picture; "
                "name another --output"
            )


def _inode(path):
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


# --- Doing it ------------------------------------------------------------------------------------


class Loaded(NamedTuple):
    """A photo as the network gets it.

    `rgb` is uint8 `[H, W, 3]`, `alpha` uint8 `[H, W]` or None; `exif` and `notes` are as in
    `fst.images.Picture`.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None
    exif: bytes | None
    notes: tuple[str, ...]


def stylise(config, jobs: Iterable[Job], threads=None, frames=None):
    """Stylises photos, of several at a time, one in the network, and videos.

    Close the generator (`contextlib.closing`) where it may be left early: what is being written
    then becomes whole.

    Args:
        config: the `InferenceConfig`.
        jobs: what `plan` returned, or a part of it.
        threads: how many read, and how many write; 0: one step after the other. By default what
            suits the machine, and 0 for a single photo.
        frames: the progress of a video, as for `fst.video.stylise_video`.

    Yields:
        An `Outcome` for each job, in their order. After a full disk the jobs that are left fail
        without being tried.

    Raises:
        UserError: a trained style is damaged.
    """
    styles = {
        name: stylizer.load(style.folder, engine=config.engine, precision=config.precision)
        for name, style in _styles(config).items()
    }
    jobs = list(jobs)
    if threads is None:
        threads = pipeline.default_threads() if len(jobs) > 1 else 0
    stages = _stages(styles, config, frames)
    with contextlib.closing(
        pipeline.run(jobs, stages, threads=threads, pixels=_pixels_in_flight())
    ) as all_done:
        for job, notes, error in all_done:
            yield Outcome(job, _one_line(job, error) if error else None, notes or ())


def stylise_file(styles, job, config):
    """Stylises one photo, or draws its contact sheet.

    Transparency stays as it was; what lies under it is taken for white.

    Args:
        styles: a dictionary from names to `Stylizer`s: one, or several for a contact sheet.
        job: the photo and its target.
        config: the `InferenceConfig`.

    Returns:
        The notes on how the photo was read.

    Raises:
        UserError: the photo cannot be read, is too large, or its target cannot be written.
    """
    loaded = _load(job, config)
    return _save(job, loaded, _through_network(styles, job, loaded.rgb, config), config)


def _stages(styles, config, frames):
    """The three parts of `stylise_file`, for `fst.pipeline`, which stop trying at a full disk.

    A video is read and written frame by frame, all of it beside the network's work on it.
    """
    disk = _Disk()

    def load(job, hold):
        with disk.watched(job):
            if _is_video(job.source):
                return None
            return _load(job, config, lambda pixels: hold(pixels * len(styles)))

    def work(job, loaded):
        with disk.watched(job):
            if loaded is None:
                return stylise_clip(styles, job, config, frames)
            return loaded, _through_network(styles, job, loaded.rgb, config)

    def save(job, worked):
        if _is_video(job.source):
            return worked
        with disk.watched(job):
            return _save(job, *worked, config)

    return pipeline.Stages(load, work, save)


class _Disk:
    """Remembers that the disk was full, so that no more photos are tried in vain."""

    def __init__(self):
        self._full = None

    @contextlib.contextmanager
    def watched(self, job):
        if self._full:
            raise UserError(f"{job.name}: not tried ({self._full})")
        try:
            yield
        except UserError as error:
            cause = error.__cause__
            if isinstance(cause, OSError) and cause.errno in _FULL:
                self._full = os.strerror(cause.errno)
            raise


def _pixels_in_flight():
    """How many pixels may be in memory beside the network's.

    A quarter of what is free goes to them; whatever is free, a few photos of a good camera are
    enough to keep the network at work.
    """
    return min(_MAX_IN_FLIGHT, max(1, memory.available() // 4 // _BYTES_PER_PIXEL))


def _load(job, config, hold=lambda pixels: None):
    """Reads a photo; `hold` is told of its pixels before and after (see `pipeline.Stages`)."""
    data = files.read_bytes(job.source)
    hold(images.count_pixels(job.source, data))
    picture = images.load_picture(job.source, data, keep_private=config.keep_metadata)
    height, width, _ = picture.rgb.shape
    with _fitting_in_memory(job, height, width, config):
        rgb, alpha = _scaled(picture, config.max_size)
    hold(rgb.shape[0] * rgb.shape[1])
    return Loaded(rgb, alpha, picture.exif, picture.notes)


def _through_network(styles, job, rgb, config):
    """The stylised pictures by the styles' names, at `--scale`, before the rest of the look."""
    with _fitting_in_memory(job, *rgb.shape[:2], config):
        return {name: at_scale(style, rgb, config) for name, style in styles.items()}


def at_scale(style, rgb, config):
    """A picture in one style, at `--scale` and `--tile`: the part of the look for the network."""
    return look.at_scale(lambda image: style(image, tile=config.tile), rgb, config.scale)


def finished(rgb, stylised, config):
    """What is left of the look that the options ask for, which needs no network."""
    mixed = look.blend(rgb, stylised, config.strength, config.preserve_color)
    return look.finish(mixed, config.sharpen, config.contrast, config.saturation)


def _save(job, loaded, stylised, config):
    """Finishes a photo's stylised pictures and writes the target; returns the photo's notes."""
    rgb, alpha, exif, notes = loaded
    with _fitting_in_memory(job, *rgb.shape[:2], config):
        results = {name: finished(rgb, picture, config) for name, picture in stylised.items()}
        if config.contact_sheet:
            result, alpha = _sheet(rgb, results, alpha), None
        else:
            (result,) = results.values()
        images.save_picture(job.target, result, alpha, quality=config.quality, exif=exif)
    return notes


@contextlib.contextmanager
def _fitting_in_memory(job, height, width, config):
    """Turns a MemoryError into what a user can do about it."""
    try:
        yield
    except MemoryError:
        raise _too_large(job, height, width, config) from None


def stylise_clip(styles, job, config, progress=None):
    """Stylises one video, each frame as a photo would be.

    Args:
        styles: a dictionary from the name to the one `Stylizer`.
        job: the video and its target.
        config: the `InferenceConfig`.
        progress: as for `fst.video.stylise_video`.

    Returns:
        The notes on how the video was read and written.

    Raises:
        UserError: the video cannot be read, is too large, or its target cannot be written.
    """
    (style,) = styles.values()

    def paint(rgb):
        return finished(rgb, at_scale(style, rgb, config), config)

    paint_next = steady.Steady(paint) if config.steady else paint

    def stylise_frame(rgb):
        rgb = _at_most(rgb, config.max_size)
        with _fitting_in_memory(job, *rgb.shape[:2], config):
            return paint_next(rgb)

    options = {"quality": config.quality, "keep_private": config.keep_metadata}
    return video.stylise_video(job.source, job.target, stylise_frame, **options, progress=progress)


def _too_large(job, height, width, config):
    at, remedy = ("", "")
    if config.scale > 1:
        at, remedy = f" at --scale {config.scale:g}", "lower it, or "
    return UserError(
        f"{job.name}: {width}x{height} px{at} do not fit in memory; "
        f"{remedy}give --tile 256, or --max-size {_smaller(max(height, width))}"
    )


def _sheet(rgb, results, alpha):
    shown = {name: images.over_white(result, alpha) for name, result in results.items()}
    return contact_sheet.style_sheet(images.over_white(rgb, alpha), shown)


def _scaled(picture, max_size):
    """The picture's colours and alpha, its long side at most `max_size` px, if that is not 0."""
    rgb, alpha = picture.rgb, picture.alpha
    if alpha is not None:
        # Nobody has seen those colours, and the network would spread them over the whole picture.
        rgb = np.where(alpha[..., None] == 0, np.uint8(255), rgb)
    return _at_most(rgb, max_size), None if alpha is None else _at_most(alpha, max_size)


def _at_most(picture, max_size):
    height, width = picture.shape[:2]
    scale = max_size / max(height, width)
    if not 0 < scale < 1:
        return picture
    return images.resize(picture, max(1, round(height * scale)), max(1, round(width * scale)))


def _smaller(side):
    """About 0.7 of `side`, which halves the memory, as a round number."""
    return max(16, side * 7 // 1000 * 100)


def _one_line(job, error):
    text = " ".join(str(error).split())
    return text if job.name[:100] in text else f"{job.name}: {text}"
