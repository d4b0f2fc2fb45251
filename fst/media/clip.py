"""A video file read: its frames as pictures, its sound as the packets it lies in.

A frame comes out as pictures are everywhere here: upright, RGB in 0-255, whatever the file held.
"""

import collections
import importlib
import os
import stat
from fractions import Fraction

import numpy as np

from fst import files
from fst.errors import UserError
from fst.files import ImageError
from fst.media import hdr, timeline

_THREADS = 8  # that decode one video

# Colour codes of ITU-T H.273, as FFmpeg numbers them, to the matrices that its scaler knows.
BT709 = 1
_BT601, _BT2020 = 5, 9
_MATRICES = {1: BT709, 4: 4, 5: _BT601, 6: _BT601, 7: 7, 9: _BT2020, 10: _BT2020}
LIMITED, FULL = 1, 2  # whether black and white are 16 and 235, or 0 and 255
_HDR = {hdr.PQ: "PQ", hdr.HLG: "HLG"}
_WIDE = {9: "bt2020", 11: "smpte431", 12: "smpte432"}  # primaries; the last two are called P3

# Bilinear chroma, rounding down, is the scaler's default. It costs 10 dB and darkens by a level.
PRECISE = ("BICUBIC", "ACCURATE_RND", "FULL_CHR_H_INT", "FULL_CHR_H_INP")

# What FFmpeg also calls a film: lists of other files, text drawn on a screen, and single pictures.
_NO_FILMS = {"concat", "hls", "dash", "imf", "tty", "image2", "gif", "apng", "ico", "fits", "iff"}
# Those whose times may begin again in the middle, and those without times of being shown.
_RESTARTING = {"mpegts", "mpeg"}
_UNTIMED = {"avi"}

_HD = 577  # rows; from here on colours that name no matrix are BT.709, as players have it


def pyav():
    """The module `av`, PyAV, which brings FFmpeg with it.

    Raises:
        UserError: it is not installed.
    """
    try:
        av = importlib.import_module("av")
    except ImportError:
        raise UserError("videos need the package PyAV, which is missing: pip install av") from None
    av.logging.set_level(None)  # FFmpeg prints on its own; what matters comes as an exception.
    return av


def scaler_flags(av):
    """`PRECISE` as PyAV wants it."""
    kind = av.video.reformatter.Interpolation
    flags = kind(0)
    for name in PRECISE:
        flags |= kind[name]
    return flags


def is_regular(path):
    """Whether a path leads to a file, and not to a folder, a pipe or a device, or nowhere."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def holds_video(path):
    """Whether a regular file is a video, whatever it is called; False too if PyAV is missing."""
    try:
        with Clip(path):
            return True
    except UserError:
        return False


class _Nameless:
    """An open file with what PyAV needs of it, and without its name."""

    def __init__(self, file):
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


class Clip:
    """A video that is open for reading, once from start to end; a context manager.

    Args:
        source: its path.

    Attributes:
        name: what messages call it.
        video: PyAV's stream of the picture.
        sounds: PyAV's streams of sound, all of them.
        time_base: the unit of the frames' times, seconds, a Fraction.
        tags: what the file tells of itself, texts by name.
        chapters: its chapters, as PyAV has them.
        total: the number of frames, as far as the file tells, or None.
        aspect: how much wider than high a pixel is shown, once the picture is upright: a Fraction.
        notes: what a user may want to know of how it was read; complete when it has been.

    Raises:
        ImageError: it cannot be read, is no video, or has no picture.
    """

    def __init__(self, source):
        self._av = pyav()
        self.name, self._file = files.printable(source), None
        self.container = self._opened(source)
        self.video = self._picture_stream()
        self.video.thread_type = "AUTO"
        # With more than a dozen a damaged packet takes those after it along, and few cores feed a
        # network that many frames.
        self.video.codec_context.thread_count = min(os.cpu_count() or 1, _THREADS)
        self.sounds = [s for s in self.container.streams.audio if s.codec_context is not None]
        self.time_base = self.video.time_base
        self.tags = self.container.metadata
        self.chapters = [self._moved(chapter) for chapter in self.container.chapters()]
        self.total = self._count() or None
        self.notes = []
        self._size = self._light = self._wide = None
        self._read = self._packets_read = self._faults = 0
        self._end = 0.0
        kind = self.container.format.name
        self._timeline = timeline.Timeline(self._start(), kind in _RESTARTING)
        self._shown = timeline.Shown() if kind in _UNTIMED else None
        self._note_left_out()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.container.close()
        if self._file:
            self._file.close()

    @property
    def rate(self):
        """Frames per second on average, a Fraction, or None where that is unknown."""
        return self.video.average_rate or self.video.guessed_rate

    @property
    def aspect(self):
        wide = self.video.sample_aspect_ratio or Fraction(1)
        return 1 / wide if self._turned and wide else wide

    def frames(self, on_sound):
        """Reads the video to its end.

        A part that is damaged is left out, and told in `notes`: the rest may be worth having.

        Args:
            on_sound: is called with each packet of `sounds`, in between, its times moved likewise.

        Yields:
            PyAV's frames, in the order they are shown; their `pts`, each later than the one before,
            counts from the film's start, and their `duration` lasts until the next one.
        """
        last, duration = None, 0
        for packet in self._packets():
            if packet is not None and packet.stream.index != self.video.index:
                on_sound(packet)
                continue
            for frame in self._decoded(packet):
                self._read += 1
                frame.pts = self._time_of(frame, last)
                if last is not None:
                    last.duration = duration = frame.pts - last.pts
                    yield last
                last = frame
        if last is not None:
            last.duration = self._last_duration(last) or duration or self._step
            yield last
        self._note_faults()

    def end_of(self, track):
        """When `video` or one of `sounds` ends, seconds, if the file tells it exactly; else None.

        MP4 and MOV do, which cut by a list and not by leaving out: what lies beyond is not played.
        """
        return self._told_end(track) if self._is_indexed else None

    def picture(self, frame):
        """A frame as uint8 `[H, W, 3]` RGB, upright; all have the first frame's size.

        Raises:
            ImageError: its kind of pixels cannot be converted.
        """
        if not self._size:
            self._size = frame.width, frame.height
            # Asked of one frame only: one that was asked lives on until Python looks for cycles,
            # and a hundred of them may fill the memory.
            side_data = list(frame.side_data)
            self._matrix, self._peak = _matrix_of(side_data), hdr.peak_of(side_data)
        try:
            if frame.color_trc in _HDR:
                rgb = self._from_hdr(frame)
            else:
                rgb = self._from_wide(frame) if _is_wide(frame) else self._from_sdr(frame)
        except self._av.FFmpegError as error:
            reason = files.reason_of(error)
            raise ImageError(f"{self.name}: its frames cannot be converted ({reason})") from None
        return self._upright(rgb)

    def _opened(self, source):
        try:
            if not stat.S_ISREG(os.stat(source).st_mode):
                raise ImageError(f"{self.name}: is not a regular file; save the video to a file")
            # Without "file:" a colon in the name would make a protocol of what stands before it.
            container = self._av.open(f"file:{source}", metadata_errors="replace")
            if container.format.name == "image2":  # It looks at the name alone, such as clip.jpg.
                container.close()
                self._file = open(source, "rb")  # noqa: SIM115  closed with the container
                container = self._av.open(_Nameless(self._file), metadata_errors="replace")
        except (self._av.FFmpegError, OSError, ValueError) as error:
            # Only errors of the system are told as they are: FFmpeg's own words name its insides.
            if isinstance(error, OSError):
                raise ImageError(
                    f"{self.name}: cannot be read: {files.reason_of(error)}"
                ) from error
            raise self._no_video() from None
        kind = container.format.name
        if kind in _NO_FILMS or kind.endswith("_pipe"):
            container.close()
            raise self._no_video()
        return container

    def _no_video(self):
        return ImageError(
            f"{self.name}: is not a video that can be read, or is damaged from the start"
        )

    def _picture_stream(self):
        av = self._av
        shown = [
            stream
            for stream in self.container.streams.video
            # A cover is a single picture beside the sound.
            if not stream.disposition & av.stream.Disposition.attached_pic
            and stream.codec_context is not None
        ]
        if not shown:
            self.container.close()
            raise ImageError(f"{self.name}: holds no moving picture; give a video")
        return shown[0]

    @property
    def _seconds(self):
        """How long picture and sound last, as the file tells; 0 where it does not."""
        if not self.video.duration:
            return (self.container.duration or 0) / 1e6
        ends = map(self._told_end, (self.video, *self.sounds))
        return float(max(filter(None, ends), default=0))

    def _told_end(self, track):
        """When a track ends, seconds, as the file tells, or None."""
        if not track.duration:
            return None
        return ((track.start_time or 0) + track.duration) * track.time_base - self._start()

    @property
    def _step(self):
        """A frame's usual duration, in units of `time_base`."""
        return max(1, round(1 / ((self.rate or 25) * self.time_base)))

    def _count(self):
        if self._is_indexed:
            return sum(not entry.is_discard for entry in self.video.index_entries)
        seconds = (self.video.duration or 0) * self.time_base or self._seconds
        return self.video.frames or round(seconds * (self.rate or 0))

    @property
    def _is_indexed(self):
        """Whether the file lists its packets, and says which of them are not to be shown."""
        return "mp4" in self.container.format.name and len(self.video.index_entries) > 0

    def _start(self):
        """What the file's times begin with, seconds."""
        start = Fraction(self.container.start_time or 0, 10**6)
        if start >= 0:
            return start
        # Sound may have a run-up that is not played; pictures before zero are meant to be seen.
        return min(Fraction(0), (self.video.start_time or 0) * self.time_base)

    def _moved(self, chapter):
        """A chapter with its times counted from where the film begins."""
        shift = round(self._start() / chapter["time_base"])
        times = {key: max(0, chapter[key] - shift) for key in ("start", "end")}
        return {**chapter, **times}

    def _packets(self):
        """The packets of picture and sound; at a place that cannot be read, None and the end."""
        try:
            for packet in self.container.demux([self.video, *self.sounds]):
                self._end = max(self._end, self._timeline.place(packet) or 0)
                if packet.stream.index == self.video.index and packet.dts is not None:
                    if not packet.size:  # "As before"; to the decoder it would be the end.
                        continue
                    self._packets_read += 1
                    if self._shown:
                        self._shown.fed(packet)
                yield packet
        except self._av.FFmpegError:
            self._faults += 1
            yield None  # Lets the decoder hand out what it has.

    def _decoded(self, packet):
        try:
            return self.video.decode(packet)
        except self._av.FFmpegError:
            self._faults += 1
            return []

    def _time_of(self, frame, last):
        """When a frame is shown, in units of `time_base`: behind the last one, whatever it says."""
        time = self._shown.time_of(frame) if self._shown else frame.pts
        self._timed = time is not None
        if last is None:
            return 0 if time is None else time
        return last.pts + self._step if time is None else max(time, last.pts + 1)

    def _last_duration(self, frame):
        """How long the last frame stands, in units of `time_base`; 0 where the file is silent."""
        # A packet's duration is that until the next one is decoded. Only where the packets lie in
        # the order they are shown is it the frame's as well, so the whole track is asked.
        read_whole = not self._faults and self._packets_read == len(self.video.index_entries)
        end = self.end_of(self.video) if read_whole else None
        if end is not None and end > frame.pts * self.time_base:
            return round(end / self.time_base) - frame.pts
        return frame.duration if self._timed else 0

    def _from_sdr(self, frame):
        width, height = self._size
        rgb = frame.reformat(
            width=width,
            height=height,
            format="rgb24",
            src_colorspace=_MATRICES.get(
                frame.colorspace, BT709 if frame.height >= _HD else _BT601
            ),
            src_color_range=_range_of(frame),
            dst_color_range=FULL,
            interpolation=scaler_flags(self._av),
        )
        return rgb.to_ndarray()

    def _from_hdr(self, frame):
        kind = _HDR[frame.color_trc]
        self._note(f"HDR ({kind}) becomes SDR: light brighter than white paper is squeezed into it")
        if self._light is None:
            self._light = hdr.ToneMap(frame.color_trc, self._peak)
        width, height = self._size
        signal = frame.reformat(
            width=width,
            height=height,
            format="rgb48le",
            src_colorspace=_MATRICES.get(frame.colorspace, _BT2020),
            src_color_range=_range_of(frame),
            dst_color_range=FULL,
            interpolation=scaler_flags(self._av),
        )
        return self._light(signal.to_ndarray())

    def _from_wide(self, frame):
        self._note("colours of a wide range become those of BT.709")
        frame.color_range = _range_of(frame)
        if self._wide is None:
            self._wide = self._wide_filter(frame)
        self._wide.push(frame)
        return self._wide.pull().to_ndarray()

    def _wide_filter(self, frame):
        """FFmpeg's scaler as a filter, which alone changes primaries."""
        width, height = self._size
        graph = self._av.filter.Graph()
        given = (
            f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:pixel_aspect=1/1"
            f":time_base={self.time_base.numerator}/{self.time_base.denominator}"
        )
        source = f":in_transfer=bt709:in_primaries={_WIDE[frame.color_primaries]}"
        target = ":out_transfer=bt709:out_primaries=bt709"
        quality = ":flags=bicubic+accurate_rnd+full_chroma_int"
        steps = (
            ("buffer", given),
            ("scale", f"w={width}:h={height}:out_range=pc{source}{target}{quality}"),
            ("format", "rgb24"),
            ("buffersink", None),
        )
        graph.link_nodes(*(graph.add(name, arguments) for name, arguments in steps)).configure()
        return graph

    @property
    def _turned(self):
        return self._size is not None and abs(self._matrix[1]) > abs(self._matrix[0])

    def _upright(self, rgb):
        """Turns and mirrors a picture as the display matrix says: phones store what they see."""
        a, b, c, d = self._matrix
        across, down = (c, b) if self._turned else (a, d)
        rgb = rgb.transpose(1, 0, 2) if self._turned else rgb
        return np.ascontiguousarray(rgb[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1])

    def _note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    def _note_left_out(self):
        kept = {self.video.index, *(sound.index for sound in self.sounds)}
        others = [stream for stream in self.container.streams if stream.index not in kept]
        if others:
            kinds = collections.Counter(stream.type for stream in others)
            counted = (f"{number} {kind}" for kind, number in sorted(kinds.items()))
            self._note(f"left out: {', '.join(counted)}")
        pixel = self.video.codec_context.format
        if pixel is not None and max(part.bits for part in pixel.components) > 8:
            self._note("more than 8 bits for a colour become 8")

    def _note_faults(self):
        if self._faults:
            places = f"{self._faults} place{'s' * (self._faults > 1)}"
            self._note(f"damaged in {places}, {self._read} frames could be read")
        elif self._end < 0.95 * self._seconds - 1:
            self._note(f"ends early: holds {self._end:.1f} of {self._seconds:.1f} s")


def _matrix_of(side_data):
    """Where a frame's axes point when it is shown: x' = a x + c y, y' = b x + d y."""
    for data in side_data:
        if data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(data), np.int32)[:5])
            return a, b, c, d
    return 1, 0, 0, 1


def _range_of(frame):
    if frame.color_range in (LIMITED, FULL):
        return frame.color_range
    return FULL if frame.format.name.startswith("yuvj") or frame.format.is_rgb else LIMITED


def _is_wide(frame):
    return frame.color_primaries in _WIDE
