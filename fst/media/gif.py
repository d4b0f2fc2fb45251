"""A film written as an animated GIF, which every chat and page plays, with what that costs.

A GIF has 256 colours for each picture, times in 1/100 s and no sound, and grows with every pixel:
so some frames are left out and the rest scaled down.
"""

import contextlib
from fractions import Fraction

from fst.media import images

MAX_SIDE = 640
"""The longest side, px, unless another is asked for: a second of 640x360 px takes some MB."""

MAX_RATE = 30
"""The most pictures a second; shorter ones than 1/50 s browsers show for 1/10 s."""

_UNIT = Fraction(1, 100)
_LONGEST = 65_535  # units that one picture can stand


class Gif:
    """A GIF being written, with the face of `fst.media.video.Film`; it repeats for ever.

    Args:
        av: the module PyAV.
        path: where it is written.
        original: the `Clip` or `Animation` that is read.
    """

    def __init__(self, av, path, original):
        self._av, self._original = av, original
        self._out = av.open(f"file:{path}", "w", format="gif", options={"loop": "0"})
        self._stream = self._palette = self._sides = None
        self._end = 0
        self.began = False
        self.notes = ["a GIF has 256 colours for each picture"]
        if original.sounds:
            self.notes.append("a GIF has no sound")

    def thinned(self, frames):
        """Yields the frames that are taken; each lasts for those that are left out after it."""
        kept, left_out = None, 0
        # As two films of the same rate may differ by a tick, so may a rate and this one.
        least = Fraction(95, 100) / (MAX_RATE * self._original.time_base)
        for frame in frames:
            if kept is not None and frame.pts - kept.pts < least:
                kept.duration = frame.pts + frame.duration - kept.pts
                left_out += 1
                continue
            if kept is not None:
                yield kept
            kept = frame
        if kept is not None:
            yield kept
        if left_out:
            self.notes.append(f"{left_out} frames left out: a GIF gets {MAX_RATE} a second at most")

    def add_frame(self, rgb, frame):
        """Adds uint8 `[h, w, 3]` at the time of `frame`, which it is made from."""
        if not self.began:
            self._begin(*rgb.shape[:2])
        height, width = self._sides
        if rgb.shape[:2] != self._sides:
            rgb = images.resize(rgb, height, width)
        picture = self._av.VideoFrame.from_ndarray(rgb, format="rgb24")
        picture.pts, picture.time_base = frame.pts, self._original.time_base
        self._palette.push(picture)
        picture = self._palette.pull()
        unit = self._original.time_base / _UNIT
        begin, end = round(frame.pts * unit), round((frame.pts + frame.duration) * unit)
        picture.pts, picture.time_base = max(begin, self._end), _UNIT
        self._end = picture.pts + min(max(1, end - picture.pts), _LONGEST)
        for packet in self._stream.encode(picture):
            packet.duration = self._end - picture.pts
            self._out.mux(packet)

    def add_sound(self, packet):
        """Passes over a packet of sound."""

    def finish(self):
        """Writes the end of the file."""
        self._out.mux(self._stream.encode(None))
        self._out.close()

    def close(self):
        """Lets go of the file, whatever its state."""
        with contextlib.suppress(self._av.FFmpegError, OSError):
            self._out.close()

    def _begin(self, height, width):
        # A GIF has square pixels: the longer side of the original's is made shorter, not the other
        # longer, so that no side grows beyond what was asked for.
        wide = self._original.aspect
        if wide > 1:
            height = max(1, round(height / wide))
        else:
            width = max(1, round(width * wide))
        self._sides = height, width
        self._stream = self._out.add_stream("gif", rate=100)
        self._stream.height, self._stream.width = height, width
        self._stream.pix_fmt = "pal8"
        self._stream.codec_context.time_base = _UNIT
        self._palette = self._palette_filter(height, width)
        self.began = True

    def _palette_filter(self, height, width):
        """FFmpeg's palettes, one for each picture, so that no film is read twice or held whole."""
        graph = self._av.filter.Graph()
        unit = self._original.time_base
        source = graph.add(
            "buffer",
            f"video_size={width}x{height}:pix_fmt=rgb24:pixel_aspect=1/1"
            f":time_base={unit.numerator}/{unit.denominator}",
        )
        split, sink = graph.add("split"), graph.add("buffersink")
        colours = graph.add("palettegen", "stats_mode=single:reserve_transparent=0")
        # An ordered pattern: one that spreads errors would crawl over what stands still.
        mapped = graph.add("paletteuse", "new=1:dither=bayer:bayer_scale=3")
        source.link_to(split)
        split.link_to(colours, 0, 0)
        split.link_to(mapped, 1, 0)
        colours.link_to(mapped, 0, 1)
        mapped.link_to(sink)
        graph.configure()
        return graph
