"""Photos and videos in, stylised ones out.

The network works on one photo at a time, while the next are read and the previous ones written
(`fst.batch.pipeline`). What is to be read and written has been decided by `fst.batch.plan`.
"""

import contextlib
import errno
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fst import collection, files
from fst.batch import contact_sheet, pipeline
from fst.batch.plan import Job, spare_inputs
from fst.batch.plan import styles as wanted_styles
from fst.checkpoint import Checkpoint
from fst.config import InferenceConfig
from fst.errors import UserError
from fst.media import images, video
from fst.stylize import look, memory, steady, stylizer

# The file system's, and no single photo's, fault: the next photo would meet them too.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

_BYTES_PER_PIXEL = 64  # of memory that a photo takes at most while it is read, finished or written
_MAX_IN_FLIGHT = 48_000_000  # pixels, hence 3 GB at most


class Outcome(NamedTuple):
    """What became of a job; `failure` is None, or one line that names the photo.

    `notes` is what a user may want to know of how the photo was read, a phrase each.
    """

    job: Job
    failure: str | None
    notes: tuple[str, ...] = ()


class Loaded(NamedTuple):
    """A photo as the network gets it.

    `rgb` is uint8 `[H, W, 3]`, `alpha` uint8 `[H, W]` or None; `exif` and `notes` are as in
    `fst.media.images.Picture`.
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
        jobs: what `fst.batch.plan.plan` returned, or a part of it.
        threads: how many read, and how many write; 0: one step after the other. By default what
            suits the machine, and 0 for a single photo.
        frames: the progress of a video, as for `fst.media.video.stylise_video`.

    Yields:
        An `Outcome` for each job, in their order. After a full disk the jobs that are left fail
        without being tried.

    Raises:
        UserError: a trained style is damaged.
    """
    styles = stylizer.load_all(wanted_styles(config), config.engine, config.precision)
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

    Transparency stays as it was; the pixels under it count as white.

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
    """The three parts of `stylise_file`, for `pipeline`, which stop trying at a full disk.

    A video is read and written frame by frame, all of it beside the network's work on it.
    """
    disk = _Disk()

    def load(job, hold):
        with disk.watched(job):
            if job.moving:
                return None
            return _load(job, config, lambda pixels: hold(pixels * len(styles)))

    def work(job, loaded):
        with disk.watched(job):
            if loaded is None:
                return stylise_clip(styles, job, config, frames)
            return loaded, _through_network(styles, job, loaded.rgb, config)

    def save(job, worked):
        if job.moving:
            return worked
        with disk.watched(job):
            return _save(job, *worked, config)

    return pipeline.Stages(load, work, save)


class _Disk:
    """Remembers that the disk was full, so that no more photos are tried."""

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
    """Reads a photo; `hold` gets its number of pixels before and after (see `pipeline.Stages`)."""
    data = files.read_bytes(job.source)
    hold(images.count_pixels(job.source, data))
    picture = images.load_picture(job.source, data, keep_private=config.keep_metadata)
    height, width, _ = picture.rgb.shape
    with _fitting_in_memory(job, height, width, config):
        rgb, alpha = images.for_network(picture, config.longest_side)
    hold(rgb.shape[0] * rgb.shape[1])
    return Loaded(rgb, alpha, picture.exif, picture.notes)


def _through_network(styles, job, rgb, config):
    """The stylised pictures by the styles' names, at `--scale`, before the rest of the look."""
    with _fitting_in_memory(job, *rgb.shape[:2], config):
        return {name: at_scale(style, rgb, config) for name, style in styles.items()}


def at_scale(style, rgb, config):
    """A picture in one style, at `--scale` and `--tile`: the part of the look for the network."""
    return look.at_scale(lambda image: style(image, tile=config.tile), rgb, config.scale)


def _save(job, loaded, stylised, config):
    """Finishes a photo's stylised pictures and writes the target; returns the photo's notes."""
    rgb, alpha, exif, notes = loaded
    with _fitting_in_memory(job, *rgb.shape[:2], config):
        results = {name: look.dress(rgb, picture, config) for name, picture in stylised.items()}
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
        progress: as for `fst.media.video.stylise_video`.

    Returns:
        The notes on how the video was read and written.

    Raises:
        UserError: the video cannot be read, is too large, or its target cannot be written.
    """
    (style,) = styles.values()

    def paint(rgb):
        return look.dress(rgb, at_scale(style, rgb, config), config)

    largest = config.max_size or video.largest_side(job.target)
    paint_next = steady.Steady(paint) if config.steady else paint
    scaled = set()

    def stylise_frame(rgb):
        if max(rgb.shape[:2]) > largest > 0 == config.max_size:
            scaled.add(f"scaled to {largest} px, since --max-size gives no other size")
        rgb = images.at_most(rgb, largest)
        with _fitting_in_memory(job, *rgb.shape[:2], config):
            return paint_next(rgb)

    options = {"quality": config.quality, "keep_private": config.keep_metadata}
    options["progress"] = progress
    return (*video.stylise_video(job.source, job.target, stylise_frame, **options), *scaled)


def stylise_video(
    style: str | os.PathLike | dict[str, float] | Checkpoint | Callable,
    source: str | os.PathLike,
    target: str | os.PathLike,
    *,
    steady: bool = True,
    progress: Callable | None = None,
    **options: Any,
) -> tuple[str, ...]:
    """Stylises a video or an animated picture, frame by frame, with the sound that it came with.

    Args:
        style: what `fst.load` takes, or what it returned: any function from a picture, uint8
            `[H, W, 3]`, and `tile` to the stylised one.
        source: path of the video.
        target: path of the result: .mp4, .m4v, .mov, .mkv, .webm or .gif. It stands there only when
            whole; H.264 in its size, but VP9 in .webm.
        steady: keep what stands still from flickering.
        progress: a function of (frames, total) that returns an iterator over the frames, as tqdm
            does; `total` is None where the file does not tell it.
        options: further fields of `fst.config.InferenceConfig`: `strength`, `preserve_color`,
            `scale`, `max_size`, `tile`, `saturation`, `contrast`, `sharpen`, `quality`,
            `keep_metadata`, `checkpoints`, `engine`, `precision`.

    Returns:
        What one may want to know of the conversion, a phrase each.

    Raises:
        UserError: there is no such style, `source` cannot be read, `target` cannot be written or
            names no video, an option is out of its range, or PyAV is not installed.

    Example:
        >>> fst.stylise_video("udnie", "clip.gif", "painted.gif", strength=0.8)
        ('a GIF has 256 colours for each picture',)
    """
    target = Path(target)
    if target.suffix.lower() not in video.MOVING_OUTPUTS:
        known = " ".join(sorted(video.MOVING_OUTPUTS))
        raise UserError(f"‹target› {target}: the suffix names no format of a video; use {known}")
    config = InferenceConfig("given", (str(source),), str(target), steady=steady, **options)
    job = Job(Path(source), target, moving=True)
    spare_inputs([job])
    if not callable(style):
        trained = collection.find(style, config.checkpoints)
        style = stylizer.Stylizer(trained, config.engine, config.precision)
    return stylise_clip({"given": style}, job, config, progress)


def _too_large(job, height, width, config):
    at, remedy = ("", "")
    if config.scale > 1:
        at, remedy = f" at ‹scale› {config.scale:g}", "lower it, or "
    return UserError(
        f"{job.name}: {width}x{height} px{at} do not fit in memory; "
        f"{remedy}give ‹tile› 256, or ‹max_size› {_smaller(max(height, width))}"
    )


def _sheet(rgb, results, alpha):
    shown = {name: images.over_white(result, alpha) for name, result in results.items()}
    return contact_sheet.style_sheet(images.over_white(rgb, alpha), shown)


def _smaller(side):
    """About 0.7 of `side`, which halves the memory, as a round number."""
    return max(16, side * 7 // 1000 * 100)


def _one_line(job, error):
    text = error.for_command_line()
    return text if job.name[:100] in text else f"{job.name}: {text}"
