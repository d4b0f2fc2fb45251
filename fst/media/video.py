"""Videos, frame by frame: read, handed to a function, written with the sound they came with.

One frame is in work at a time, so that a long video takes no more memory than a short one. Neither
TensorFlow is imported here nor, before there is a video, PyAV.
"""

import contextlib
import os
from pathlib import Path

import numpy as np

from fst import files
from fst.files import ImageError
from fst.media import animation, clip, gif, images, sound

_MUXERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}

OUTPUTS = frozenset(_MUXERS)
"""The suffixes of videos that can be written, lower case."""

MOVING_OUTPUTS = OUTPUTS | {".gif"}
"""Those, and of animated pictures."""

EXTENSIONS = OUTPUTS | {".avi", ".divx", ".3gp", ".3g2", ".flv", ".f4v", ".wmv", ".asf", ".ogv"}
EXTENSIONS |= {".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".vob", ".mxf", ".dv", ".qt"}
"""The suffixes of files that are taken for videos where they cannot be asked, lower case."""

# How the files begin that `images` reads, at most 12 bytes; those of HEIC and AVIF are boxes.
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"II*\0", b"MM\0*", b"BM")
_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis"}

# What a file may hand on of itself; the rest may tell a place, a person or a serial number.
_KEPT_TAGS = {"title", "artist", "album", "genre", "date", "creation_time", "description"}
_KEPT_TAGS |= {"copyright"}


def is_video(path):
    """Whether a file is a video, by what it holds; by its name, where that cannot be asked."""
    named = Path(path).suffix.lower() in EXTENSIONS
    if not clip.is_regular(path):
        return named and not os.path.isdir(path)
    try:
        with open(path, "rb") as file:
            head = file.read(12)
    except (OSError, ValueError):
        return named
    if _is_picture(head):
        return False
    return named or clip.holds_video(path)


def is_moving(path):
    """Whether a file is a video or an animated picture."""
    return is_video(path) or animation.is_animation(path)


def largest_side(target):
    """The longest side, px, that a result gets where none is asked for; 0: as it is."""
    return gif.MAX_SIDE if Path(target).suffix.lower() == ".gif" else 0


def check_available():
    """Raises a UserError unless PyAV is installed, before long work begins."""
    clip.pyav()


def stylise_video(source, target, stylise, *, quality=92, keep_private=False, progress=None):
    """Stylises a video and writes it with the same frames, times and sound.

    Sound is copied as it is where the container takes it, else converted to AAC (WebM: Opus). The
    picture becomes H.264, in WebM VP9, of 8 bits, tagged as BT.709. A GIF has no sound, fewer
    colours, and at most `fst.media.gif.MAX_RATE` pictures a second.

    Args:
        source: path of the video, or of an animated picture.
        target: path of the result, its suffix in `MOVING_OUTPUTS`; it stands there only when whole.
        stylise: a function from a frame, uint8 `[H, W, 3]` RGB, upright, to uint8 `[h, w, 3]`. It
            is called once for each frame, in the order they are shown; `h` and `w` stay the same.
            H.264 has even sides: next to an odd last row or column it is put once more.
        quality: 1 to 100; at 92 an eye hardly tells the file from the frames.
        keep_private: keep all that the file tells of itself, such as the place.
        progress: a function of (frames, total) that returns an iterator over the frames, as tqdm
            does; `total` is None where the file does not tell it.

    Returns:
        What a user may want to know of the conversion, a phrase each.

    Raises:
        UserError: `source` cannot be read or has no frame, `target` cannot be written, or PyAV is
            not installed. Where the file system is at fault, its cause is an OSError.
    """
    with _reader(source) as original, _writing(target), files.atomic_path(target) as temporary:
        film = _film(temporary, original, quality, keep_private)
        try:
            frames = original.frames(film.add_sound)
            frames = progress(frames, original.total) if progress else frames
            for frame in film.thinned(frames):
                film.add_frame(stylise(original.picture(frame)), frame)
            if not film.began:
                raise ImageError(f"{original.name}: holds no frame that can be read")
            film.finish()
        finally:
            film.close()
    return tuple(original.notes + film.notes)


def _is_picture(head):
    """Whether a file that begins with these bytes is for `fst.media.images`."""
    if head[4:8] == b"ftyp":
        return head[8:12] in _BRANDS
    return head.startswith(_PICTURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def _reader(source):
    if animation.is_animation(source):
        return animation.Animation(source)
    return clip.Clip(source)


def _film(path, original, quality, keep_private):
    if path.suffix.lower() == ".gif":
        return gif.Gif(clip.pyav(), path, original)
    return Film(path, original, quality, keep_private)


@contextlib.contextmanager
def _writing(target):
    """Turns what goes wrong with the result's file into one line that names it."""
    av = clip.pyav()
    with files.writing(target, also=[av.FFmpegError]):
        try:
            yield
        except av.FFmpegError as error:
            if not isinstance(error, OSError):
                raise
            # No plain OSError, for which those who stop at a full disk look.
            raise OSError(error.errno, error.strerror) from error


class Film:
    """A video being written. The file begins with the first frame, which tells the size."""

    def __init__(self, path, original, quality, keep_private):
        self._av = clip.pyav()
        self._flags = clip.scaler_flags(self._av)
        self._original, self._quality = original, quality
        self._muxer = _MUXERS[path.suffix.lower()]
        self._all_tags = keep_private
        options = {}
        if self._muxer in ("mp4", "mov"):
            # The index in front, so that a web page can begin to play.
            options["movflags"] = "+faststart" + "+use_metadata_tags" * keep_private
        self._out = self._av.open(f"file:{path}", "w", format=self._muxer, options=options)
        self._early = []  # sound that comes before the first frame
        self._tracks = {}
        self._first = self._held = None  # the first and the last packet of the picture so far
        self._durations, self._end = {}, 0
        self.began = False
        self.notes = []

    def thinned(self, frames):
        """The frames that are taken: all."""
        return frames

    def add_frame(self, rgb, frame):
        """Adds uint8 `[h, w, 3]` at the time of `frame`, which it is made from."""
        if not self.began:
            self._begin(*rgb.shape[:2])
        picture = self._av.VideoFrame.from_ndarray(self._fitted(rgb), format="rgb24")
        picture = picture.reformat(
            format="yuv420p",
            src_color_range=clip.FULL,
            dst_color_range=clip.LIMITED,
            dst_colorspace=clip.BT709,
            interpolation=self._flags,
        )
        picture.pts, picture.time_base = frame.pts, self._original.time_base
        self._durations[frame.pts] = frame.duration
        self._end = frame.pts + frame.duration
        self._mux_picture(self._picture.encode(picture))

    def add_sound(self, packet):
        """Adds a packet of the original's sound."""
        if not self.began:
            self._early.append(packet)
        elif track := self._tracks.get(packet.stream.index):
            self._out.mux(track.take(packet))

    def finish(self):
        """Writes what is still under way, and the end of the file."""
        self._mux_picture(self._picture.encode(None))
        self._mux_last_picture()
        for track in self._tracks.values():
            self._out.mux(track.rest())
        self._out.close()

    def close(self):
        """Lets go of the file, whatever its state."""
        with contextlib.suppress(self._av.FFmpegError, OSError):
            self._out.close()

    def _begin(self, height, width):
        if self._muxer == "webm":  # PyAV has no way to tell it the shape of a pixel.
            self._sides = (height, max(1, round(width * self._original.aspect)))
        else:
            self._sides = (height + height % 2, width + width % 2)
        self._picture = self._picture_stream()
        for given in self._original.sounds:
            self._add_track(given)
        tags = self._original.tags
        self._out.metadata.update(
            {key: tags[key] for key in tags if self._all_tags or key.lower() in _KEPT_TAGS}
        )
        self._out.set_chapters(self._original.chapters)
        self._out.start_encoding()
        self.began = True
        for packet in self._early:
            self.add_sound(packet)
        self._early = []

    def _picture_stream(self):
        original = self._original
        codec, options = _codec(self._muxer, self._quality)
        stream = self._out.add_stream(codec, rate=original.rate or 25, options=options)
        stream.height, stream.width = self._sides
        stream.pix_fmt = "yuv420p"  # What every player plays; colours at full resolution few do.
        context = stream.codec_context
        context.time_base = original.time_base
        context.sample_aspect_ratio = original.aspect
        context.color_range = clip.LIMITED
        context.colorspace = context.color_primaries = context.color_trc = clip.BT709
        return stream

    def _add_track(self, given):
        track, note = sound.add_track(
            self._av, self._out, self._muxer, given, self._original.end_of(given)
        )
        if note:
            self.notes.append(note)
        if track is None:
            return
        for key in {"language", "title"} & set(given.metadata):
            track.stream.metadata[key] = given.metadata[key]
        self._tracks[given.index] = track

    def _fitted(self, rgb):
        """A frame at the size of the file: with even sides, or with square pixels."""
        height, width = self._sides
        if self._muxer == "webm":
            return rgb if rgb.shape[1] == width else images.resize(rgb, height, width)
        grow = (0, height - rgb.shape[0]), (0, width - rgb.shape[1]), (0, 0)
        return np.pad(rgb, grow, mode="edge")

    def _mux_picture(self, packets):
        for packet in packets:
            # The encoder forgets it; the next frame's time tells it, except for the last one.
            packet.duration = self._durations.pop(packet.pts, None) or packet.duration
            if self._held:
                self._out.mux(self._held)
            self._first = self._first or (packet.pts, packet.dts)
            self._held = packet

    def _mux_last_picture(self):
        packet, (begin, decoded) = self._held, self._first
        if self._muxer in ("mp4", "mov"):
            # They know only how long it takes until the next packet is decoded, and the sum of that
            # should be how long the pictures are shown. So the last packet is decoded as long
            # before it is shown as the first one is, or lasts, if it is not shown last, the rest.
            packet.dts = max(packet.dts, packet.pts - (begin - decoded))
            if packet.pts + packet.duration < self._end:
                packet.duration = self._end - begin - (packet.dts - decoded)
        self._out.mux(packet)


def _codec(muxer, quality):
    """The encoder and its options: its constant-quality scale runs from fine to coarse."""
    share = (quality - 1) / 99
    if muxer == "webm":
        crf = round(63 - 42 * share)
        return "libvpx-vp9", {"crf": str(crf), "b": "0", "row-mt": "1", "cpu-used": "4"}
    return "libx264", {"crf": str(round(51 - 36 * share))}
