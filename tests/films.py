"""Small films of every kind for tests, and what a player would show of a file.

The n-th frame of a film is grey, of level `16 + 8 n`, so that a frame tells which one it is.
"""

import contextlib
import struct
from fractions import Fraction

import av
import numpy as np

SIZE = 32, 48
PITCH = 440


def write(
    path,
    times,
    end,
    *,
    codec="libx264",
    b_frames=2,
    unit=Fraction(1, 600),
    sound=None,
    sound_from=0,
    sound_to=None,
    tone_to=None,
    **options,
):
    """Writes a film with frames at `times`, the last of which stands until `end`.

    Args:
        times: in units.
        end: in units.
        sound: the codec of a tone, or None, from `sound_from` to `sound_to`, seconds; from
            `tone_to` on it is silent.
        options: as FFmpeg's container has them.
    """
    reordering = {"bf": str(b_frames)} if codec in ("libx264", "mpeg4", "mpeg2video") else {}
    with av.open(str(path), "w", options=options) as out:
        stream = out.add_stream(codec, rate=Fraction(24), options=reordering)
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = unit
        stream.bit_rate = 4_000_000
        track = sound and out.add_stream(sound, rate=48_000, layout="mono")
        packets = []
        for index, time in enumerate(times):
            grey = np.full((*SIZE, 3), 16 + 8 * index, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            frame.pts, frame.time_base = time, unit
            packets += stream.encode(frame)
        packets += stream.encode(None)
        ends = dict(zip(times, [*times[1:], end], strict=True))
        for packet in packets:
            packet.duration = ends[packet.pts] - packet.pts
        # An MP4 lasts as long as its packets take to be decoded: they should take as long as the
        # pictures are shown.
        first, last = packets[0], packets[-1]
        if path.suffix in (".mp4", ".mov"):
            last.dts = max(last.dts, last.pts - (first.pts - first.dts))
            if last.pts != times[-1]:
                last.duration = end - times[0] - (last.dts - first.dts)
        for packet in packets:
            out.mux(packet)
        if sound:
            add_tone(out, track, sound_from, sound_to or float(end * unit), tone_to)
    return path


def add_tone(out, track, begin, end, tone_end=None):
    """A tone from `begin` on, seconds, silence from `tone_end`, to the first full packet's end."""
    for start in range(0, round(48_000 * (end - begin)), 1024):
        at = np.arange(start, start + 1024)
        wave = np.sin(at * (2 * np.pi * PITCH / 48_000)) * 8000
        if tone_end is not None:
            wave *= at < 48_000 * (tone_end - begin)
        frame = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate, frame.time_base = 48_000, Fraction(1, 48_000)
        frame.pts = start + round(48_000 * begin)
        out.mux(track.encode(frame))
    out.mux(track.encode(None))


def seen(path):
    """What a player shows: times and grey levels of the frames, and the seconds at which all ends.

    Times count from where the file begins.
    """
    with av.open(str(path)) as film:
        frames = list(film.decode(video=0))
        start = (film.start_time or 0) / 1e6
        end = (film.duration or 0) / 1e6
        levels = [float(frame.to_ndarray(format="gray").mean()) for frame in frames]
        return [float(frame.time) - start for frame in frames], levels, end


def heard(path):
    """When sound begins and ends, and where in it a tone is: seconds."""
    with av.open(str(path)) as film:
        start = (film.start_time or 0) / 1e6
        frames = list(film.decode(audio=0))
    rate = frames[0].sample_rate
    waves = []
    for frame in frames:
        channels = 1 if frame.format.is_planar else frame.layout.nb_channels
        wave = frame.to_ndarray()[0, ::channels].astype(float)
        waves.append(wave / (32768 if frame.format.name.startswith("s16") else 1))
    begin = float(frames[0].time) - start
    loud = np.flatnonzero(np.abs(np.concatenate(waves)) > 0.05)
    samples = sum(map(len, waves))
    tone = (begin + loud[0] / rate, begin + loud[-1] / rate) if len(loud) else None
    return begin, begin + samples / rate, tone


# --- Edit lists of MP4 and MOV -------------------------------------------------------------------

_PARENTS = {b"moov", b"trak", b"edts", b"mdia"}


def edit(path, edits):
    """Cuts every track of an MP4 as a phone does: by a list, with all that was cut still there.

    Args:
        edits: pairs of where a part begins in the media, and how long it is, seconds. Each track
            begins where it began before.
    """
    data = path.read_bytes()
    scales = _values(data, b"mdhd", 12)
    (movie,) = _values(data, b"mvhd", 12)
    lists = iter(scales)

    def edited(payload):
        scale = next(lists)
        first = struct.unpack(">i", payload[12:16])[0]  # what is there already: the run-up
        entries = b"".join(
            struct.pack(">IiHH", round(length * movie), first + round(begin * scale), 1, 0)
            for begin, length in edits
        )
        return struct.pack(">II", 0, len(edits)) + entries

    path.write_bytes(_changed(data, edited))
    return path


def _boxes(data):
    at = 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        yield kind, data[at + 8 : at + size]
        at += size


def _values(data, wanted, offset):
    found = []
    for kind, payload in _boxes(data):
        if kind in _PARENTS:
            found += _values(payload, wanted, offset)
        elif kind == wanted:
            found.append(struct.unpack(">I", payload[offset : offset + 4])[0])
    return found


def _changed(data, edited):
    parts = []
    for kind, payload in _boxes(data):
        if kind in _PARENTS:
            payload = _changed(payload, edited)
        elif kind == b"elst":
            payload = edited(payload)
        parts.append(struct.pack(">I4s", len(payload) + 8, kind) + payload)
    return b"".join(parts)


@contextlib.contextmanager
def reading(path):
    """A file open in PyAV."""
    with av.open(str(path)) as film:
        yield film
