"""The sound of a film, track by track: carried over as it is, or made what the new file takes."""

import contextlib
import io

import numpy as np

# What goes into a container as it is. What FFmpeg would accept is more than players play.
_CODECS = {"aac", "mp3", "ac3", "eac3", "alac"}
_UNCOMPRESSED = {"pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_f32le"}
_KNOWN = {
    "mp4": _CODECS | {"opus", "flac"},
    "mov": _CODECS | _UNCOMPRESSED,
    "webm": {"opus", "vorbis"},
}

# Codecs need a run-up, which players do not play: at most so long it is, else something was cut.
_RUN_UP = 0.15  # seconds

_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


def add_track(av, out, muxer, sound, end=None):
    """Adds a track for one of a film's to a file that is to be written.

    Args:
        av: the module PyAV.
        out: PyAV's container, not begun.
        muxer: its name.
        sound: PyAV's stream, of the film that is read.
        end: when it ends, seconds; None: with its last packet.

    Returns:
        The track, which has `stream`, `take(packet)` and `rest()`, both of which return packets to
        write, or None where nothing can be made of the sound; and what to say of it, or None.
    """
    codec = sound.codec_context.codec.canonical_name
    cut = _is_cut(sound)
    known = codec in (_KNOWN.get(muxer) or out.supported_codecs)
    if known and not cut and _takes(av, muxer, sound):
        return _Copied(out.add_stream_from_template(sound)), None
    fitting = _fitting(av, "libopus" if muxer == "webm" else "aac", sound.codec_context)
    if fitting is None:
        return None, f"sound left out: {codec} of this kind can be neither kept nor converted"
    track = _Converted(av, out, *fitting, end)
    return track, _told(codec, sound.codec_context, track.stream.codec_context, cut)


class _Copied:
    """A track that goes over as it is."""

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
    """A track in another codec, and with it maybe another rate or other channels."""

    def __init__(self, av, out, name, rate, layout, end):
        self._av, self._end = av, end
        self.stream = out.add_stream(name, rate=rate)
        self.stream.layout = layout
        self.stream.bit_rate = 96_000 * self.stream.codec_context.channels
        self._resampler, self._given = None, None

    def take(self, packet):
        try:
            frames = packet.decode()
        except self._av.FFmpegError:  # A click where the sound is damaged.
            return []
        frames = [self._until_end(frame) for frame in frames]
        return [made for frame in frames if frame for made in self._encoded(frame)]

    def rest(self):
        return self._drained() + self.stream.encode(None)

    def _encoded(self, frame):
        given = frame.format.name, frame.layout.name, frame.sample_rate
        made = []
        if given != self._given:  # A broadcast goes from stereo to 5.1 where a film begins.
            made = self._drained()
            self._resampler, self._given = _resampler(self._av, self.stream.codec_context), given
        return made + self._through(self._resampler.resample(frame))

    def _until_end(self, frame):
        """The frame, its part before the end, or None behind it."""
        if self._end is None or frame.pts is None:
            return frame
        left = round((self._end - frame.pts * frame.time_base) * frame.sample_rate)
        if left >= frame.samples:
            return frame
        if left <= 0:
            return None
        channels = 1 if frame.format.is_planar else frame.layout.nb_channels
        samples = np.ascontiguousarray(frame.to_ndarray()[:, : left * channels])
        part = self._av.AudioFrame.from_ndarray(samples, frame.format.name, frame.layout.name)
        part.sample_rate, part.pts, part.time_base = frame.sample_rate, frame.pts, frame.time_base
        return part

    def _drained(self):
        return self._through(self._resampler.resample(None)) if self._resampler else []

    def _through(self, frames):
        packets = []
        for frame in frames:
            # AAC refuses numbers that are none, which damaged sound in floats may hold.
            with contextlib.suppress(self._av.FFmpegError):
                packets += self.stream.encode(frame)
        return packets


def _is_cut(sound):
    """Whether players leave out some of the sound: phones cut a clip by a list, not by a knife."""
    left_out = [entry.is_discard for entry in sound.index_entries]
    if not any(left_out):
        return False
    begin = left_out.index(False) if not all(left_out) else 0
    entries = sound.index_entries
    run_up = (entries[begin].timestamp - entries[0].timestamp) * sound.time_base
    return any(left_out[begin:]) or run_up > _RUN_UP


def _takes(av, muxer, sound):
    """Whether a container takes a track as it is, found out by a file of nothing else."""
    try:
        with av.open(io.BytesIO(), "w", format=muxer) as trial:
            trial.add_stream_from_template(sound)
            trial.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True


def _fitting(av, name, given):
    """An encoder's name, and the rate and layout nearest to the given sound that it takes."""
    layouts = [given.layout.name, _LAYOUTS.get(given.channels), "stereo"]
    for layout in filter(None, dict.fromkeys(layouts)):
        rate = _nearest_rate(av.codec.Codec(name, "w").audio_rates, given.sample_rate)
        if _works(av, name, rate, layout, given):
            return name, rate, layout
    return None


def _nearest_rate(rates, given):
    return min((rate for rate in rates if rate >= given), default=max(rates))


def _works(av, name, rate, layout, given):
    """Whether the encoder takes silence of the given kind, made fit for it."""
    try:
        encoder = av.codec.CodecContext.create(name, "w")
        encoder.sample_rate, encoder.layout = rate, layout
        encoder.format = encoder.codec.audio_formats[0]
        encoder.open()
        silence = av.AudioFrame(given.format.name, given.layout.name, 4096)
        silence.sample_rate, silence.pts = given.sample_rate, 0
        for plane in silence.planes:
            plane.update(bytes(plane.buffer_size))
        for frame in _resampler(av, encoder).resample(silence):
            encoder.encode(frame)
    except (av.FFmpegError, ValueError, AttributeError):
        # What a broken file tells of its sound may be anything, such as no format at all.
        return False
    return True


def _resampler(av, encoder):
    """What makes sound fit an encoder, and silence of the holes in it."""
    return av.AudioResampler(
        format=encoder.format,
        layout=encoder.layout,
        rate=encoder.sample_rate,
        frame_size=1024,  # Without one, PyAV would pass on what fits, holes and all.
        options={"async": "1"},
    )


def _told(codec, given, made, cut):
    changes = []
    if made.sample_rate != given.sample_rate:
        changes.append(f"{given.sample_rate} to {made.sample_rate} Hz")
    if made.channels != given.channels:
        changes.append(f"{given.channels} channels to {made.channels}")
    if cut:
        changes.append("since a part of it is cut off")
    return ", ".join([f"sound converted from {codec} to {made.name}", *changes])
