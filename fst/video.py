"""Videos, frame by frame: read, handed to a function, written with the sound they came with.

One frame is in work at a time, so that a long video takes no more memory than a short one. Neither
TensorFlow is imported here nor, before there is a video, PyAV.
"""

import contextlib
from pathlib import Path

import numpy as np

from fst import clip, files, images
from fst.errors import UserError
from fst.files import ImageError

_MUXERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}

OUTPUTS = frozenset(_MUXERS)
"""The suffixes of videos that can be written, lower case."""

EXTENSIONS = OUTPUTS | {".avi"}  # AVI has no frames of differing lengths: read, not written.
"""The suffixes of files that are taken for videos, lower case."""

# Sound that goes into the container as it is. What FFmpeg would accept is more than players play.
_SOUND = {"aac", "mp3", "ac3", "eac3", "alac"}
_SOUNDS = {"mp4": _SOUND | {"opus", "flac"}, "mov": _SOUND, "webm": {"opus", "vorbis"}}

# What a file may hand on of itself; the rest may tell a place, a person or a serial number.
_KEPT_TAGS = {"title", "artist", "album", "genre", "date", "creation_time", "description"}
_KEPT_TAGS |= {"copyright"}


def is_video(name):
    """Whether a path is called as a video; nothing is read."""
    return Path(name).suffix.lower() in EXTENSIONS


def check_available():
    """Raises a UserError unless PyAV is installed, before long work begins."""
    clip.pyav()


def stylise_video(source, target, stylise, *, quality=92, keep_private=False, progress=None):
    """Stylises a video and writes it with the same frames, times and sound.

    Sound is copied as it is where the container takes it, else converted to AAC (WebM: Opus). The
    picture becomes H.264, in WebM VP9, of 8 bits, tagged as BT.709.

    Args:
        source: path of the video.
        target: path of the result, its suffix in `OUTPUTS`; it stands there only when whole.
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
    with clip.Clip(source) as original, _writing(target), files.atomic_path(target) as temporary:
        film = _Film(temporary, original, quality, keep_private)
        try:
            frames = original.frames(film.add_sound)
            for frame in progress(frames, original.total) if progress else frames:
                film.add_frame(stylise(original.picture(frame)), frame)
            if not film.began:
                raise ImageError(f"{original.name}: holds no frame that can be read")
            film.finish()
        finally:
            film.close()
    return tuple(original.notes + film.notes)


@contextlib.contextmanager
def _writing(target):
    """Turns what goes wrong with the result's file into one line that names it."""
    av = clip.pyav()
    try:
        yield
    except (av.FFmpegError, OSError) as error:
        # PyAV's errors are no plain OSErrors, for which those who stop at a full disk look.
        cause = OSError(error.errno, error.strerror) if isinstance(error, OSError) else error
        raise UserError(f"{target}: cannot be written: {files.reason_of(error)}") from cause


class _Film:
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
        self._last = None
        self._durations = {}
        self.began = False
        self.notes = []

    def add_frame(self, rgb, frame):
        """Adds uint8 `[h, w, 3]` at the time of `frame`, PyAV's, which it is made from."""
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
        picture.pts, picture.time_base = self._time_of(frame), self._original.video.time_base
        self._durations[picture.pts] = frame.duration
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
        for sound in self._original.sounds:
            self._add_track(sound)
        tags = self._original.container.metadata
        self._out.metadata.update(
            {key: tags[key] for key in tags if self._all_tags or key.lower() in _KEPT_TAGS}
        )
        self._out.set_chapters(self._original.container.chapters())
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
        context.time_base = original.video.time_base
        context.sample_aspect_ratio = original.aspect
        context.color_range = clip.LIMITED
        context.colorspace = context.color_primaries = context.color_trc = clip.BT709
        return stream

    def _add_track(self, sound):
        codec = sound.codec_context.codec.canonical_name
        known = _SOUNDS.get(self._muxer) or self._out.supported_codecs
        if codec in known:
            track = _Copied(self._out.add_stream_from_template(sound))
        else:
            track = _Converted(self._av, self._out, sound, self._muxer == "webm")
            self.notes.append(f"sound converted from {codec} to {track.stream.codec_context.name}")
        for key in {"language", "title"} & set(sound.metadata):
            track.stream.metadata[key] = sound.metadata[key]
        self._tracks[sound.index] = track

    def _fitted(self, rgb):
        """A frame at the size of the file: with even sides, or with square pixels."""
        height, width = self._sides
        if self._muxer == "webm":
            return rgb if rgb.shape[1] == width else images.resize(rgb, height, width)
        grow = (0, height - rgb.shape[0]), (0, width - rgb.shape[1]), (0, 0)
        return np.pad(rgb, grow, mode="edge")

    def _time_of(self, frame):
        """The frame's time in the original's units; behind the last one, where it has none."""
        video = self._original.video
        step = max(1, round(1 / ((self._original.rate or 25) * video.time_base)))
        time = frame.pts
        if time is None:
            time = 0 if self._last is None else self._last + step
        if self._last is not None:
            time = max(time, self._last + 1)
        self._last = time
        return time

    def _mux_picture(self, packets):
        for packet in packets:
            # The encoder forgets it; the next frame's time tells it, except for the last one.
            packet.duration = self._durations.pop(packet.pts, None) or packet.duration
            self._out.mux(packet)


class _Copied:
    """A track of sound that goes over as it is."""

    def __init__(self, stream):
        self.stream = stream
        self._last = None

    def take(self, packet):
        time = packet.pts if packet.dts is None else packet.dts
        # An empty packet ends the stream. Times that run back are of a damaged file.
        if not packet.size or time is None or (self._last is not None and time < self._last):
            return []
        packet.dts = self._last = time
        packet.stream = self.stream
        return [packet]

    def rest(self):
        return []


class _Converted:
    """A track of sound in a codec that the container does not take."""

    def __init__(self, av, out, sound, opus):
        self._av = av
        given = sound.codec_context
        rate = 48_000 if opus or given.sample_rate > 48_000 else given.sample_rate
        self.stream = out.add_stream("libopus" if opus else "aac", rate=rate)
        self.stream.layout = {1: "mono", 2: "stereo"}.get(given.channels, given.layout.name)
        self.stream.bit_rate = 96_000 * given.channels

    def take(self, packet):
        try:
            frames = packet.decode()
        except self._av.FFmpegError:  # A click where the sound is damaged.
            return []
        return [packet for frame in frames for packet in self.stream.encode(frame)]

    def rest(self):
        return self.stream.encode(None)


def _codec(muxer, quality):
    """The encoder and its options: its constant-quality scale runs from fine to coarse."""
    share = (quality - 1) / 99
    if muxer == "webm":
        crf = round(63 - 42 * share)
        return "libvpx-vp9", {"crf": str(crf), "b": "0", "row-mt": "1", "cpu-used": "4"}
    return "libx264", {"crf": str(round(51 - 36 * share))}
