"""A video file read: its frames as pictures, its sound as the packets it lies in.

A frame comes out as pictures are everywhere here: upright, RGB in 0-255, whatever the file held.
"""

import collections
import importlib
import os
from fractions import Fraction

import numpy as np

from fst import files
from fst.errors import UserError
from fst.files import ImageError

_THREADS = 8  # that decode one video

# Colour codes of ITU-T H.273, as FFmpeg numbers them, to the matrices that its scaler knows.
BT709 = 1
_BT601, _BT2020 = 5, 9
_MATRICES = {1: BT709, 4: 4, 5: _BT601, 6: _BT601, 7: 7, 9: _BT2020, 10: _BT2020}
LIMITED, FULL = 1, 2  # whether black and white are 16 and 235, or 0 and 255
_HDR = {16: "smpte2084", 18: "arib-std-b67"}  # PQ and HLG
_WIDE = {9: "bt2020", 11: "smpte431", 12: "smpte432"}  # primaries; the last two are called P3

# Bilinear chroma, rounding down, is the scaler's default. It costs 10 dB and darkens by a level.
PRECISE = ("BICUBIC", "ACCURATE_RND", "FULL_CHR_H_INT", "FULL_CHR_H_INP")

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


class Clip:
    """A video that is open for reading, once from start to end; a context manager.

    Args:
        source: its path.

    Attributes:
        name: what messages call it.
        video: PyAV's stream of the picture.
        sounds: PyAV's streams of sound, all of them.
        total: the number of frames, as far as the file tells, or None.
        aspect: how much wider than high a pixel is shown, once the picture is upright: a Fraction.
        notes: what a user may want to know of how it was read; complete when it has been.

    Raises:
        ImageError: it cannot be read, is no video, or has no picture.
    """

    def __init__(self, source):
        self._av = pyav()
        self.name = files.printable(source)
        try:
            # Without "file:" a colon in the name would make a protocol of what stands before it.
            self.container = self._av.open(f"file:{source}")
        except (self._av.FFmpegError, OSError) as error:
            # Only errors of the system are told as they are: FFmpeg's own words name its insides.
            if isinstance(error, OSError):
                raise ImageError(
                    f"{self.name}: cannot be read: {files.reason_of(error)}"
                ) from error
            raise ImageError(
                f"{self.name}: is not a video that can be read, or is damaged from the start"
            ) from None
        self.video = self._picture_stream()
        self.video.thread_type = "AUTO"
        # With more than a dozen a damaged packet takes those after it along, and few cores feed a
        # network that many frames.
        self.video.codec_context.thread_count = min(os.cpu_count() or 1, _THREADS)
        self.sounds = [s for s in self.container.streams.audio if s.codec_context is not None]
        self.total = self.video.frames or round(self._seconds * (self.rate or 0)) or None
        self.notes = []
        self._size = self._hdr = None
        self._read = self._faults = 0
        self._end = None
        self._note_left_out()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.container.close()

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
            on_sound: is called with each packet of `sounds`, in between.

        Yields:
            PyAV's frames, in the order they are shown.
        """
        for packet in self._packets():
            if packet is not None and packet.stream.index != self.video.index:
                on_sound(packet)
                continue
            for frame in self._decoded(packet):
                self._read += 1
                if frame.time is not None:
                    self._end = frame.time
                yield frame
        self._note_faults()

    def picture(self, frame):
        """A frame as uint8 `[H, W, 3]` RGB, upright; all have the first frame's size.

        Raises:
            ImageError: its kind of pixels cannot be converted.
        """
        if not self._size:
            self._size = frame.width, frame.height
            self._matrix = _matrix_of(frame)
        try:
            rgb = self._from_hdr(frame) if _is_wide(frame) else self._from_sdr(frame)
        except self._av.FFmpegError as error:
            reason = files.reason_of(error)
            raise ImageError(f"{self.name}: its frames cannot be converted ({reason})") from None
        return self._upright(rgb)

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
        if self.video.duration:
            return float(self.video.duration * self.video.time_base)
        return (self.container.duration or 0) / 1e6

    def _packets(self):
        """The packets of picture and sound; at a place that cannot be read, None and the end."""
        try:
            yield from self.container.demux([self.video, *self.sounds])
        except self._av.FFmpegError:
            self._faults += 1
            yield None  # Lets the decoder hand out what it has.

    def _decoded(self, packet):
        try:
            return self.video.decode(packet)
        except self._av.FFmpegError:
            self._faults += 1
            return []

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
        self._note(
            "colours of a wide range (HDR) become those of BT.709, what is brighter is white"
        )
        frame.color_range = _range_of(frame)
        if self._hdr is None:
            self._hdr = self._hdr_filter(frame)
        self._hdr.push(frame)
        return self._hdr.pull().to_ndarray()

    def _hdr_filter(self, frame):
        """FFmpeg's scaler as a filter, which alone changes primaries and transfer functions."""
        width, height = self._size
        graph = self._av.filter.Graph()
        given = (
            f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:pixel_aspect=1/1"
            f":time_base={self.video.time_base.numerator}/{self.video.time_base.denominator}"
        )
        hdr = _HDR.get(frame.color_trc)
        primaries = _WIDE.get(frame.color_primaries, _WIDE[9])
        source = f":in_transfer={hdr or 'bt709'}:in_primaries={primaries}"
        target = f":out_transfer={'iec61966-2-1' if hdr else 'bt709'}:out_primaries=bt709"
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
        elif self._end is not None:
            start = float((self.video.start_time or 0) * self.video.time_base)
            seconds = self._end - start
            if seconds < 0.95 * self._seconds - 1:
                self._note(f"ends early: holds frames for {seconds:.1f} of {self._seconds:.1f} s")


def _matrix_of(frame):
    """Where a frame's axes point when it is shown: x' = a x + c y, y' = b x + d y."""
    # Asked of one frame only: one that was asked lives on until Python looks for cycles, and a
    # hundred of them may fill the memory.
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(data), np.int32)[:5])
            return a, b, c, d
    return 1, 0, 0, 1


def _range_of(frame):
    if frame.color_range in (LIMITED, FULL):
        return frame.color_range
    return FULL if frame.format.name.startswith("yuvj") or frame.format.is_rgb else LIMITED


def _is_wide(frame):
    return frame.color_trc in _HDR or frame.color_primaries in _WIDE
