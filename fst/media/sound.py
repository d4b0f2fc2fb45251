"""The sound of a video, track by track: copied, or converted for the new file."""

import contextlib
import io
from fractions import Fraction

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
    left_out = [entry.is_discard for entry in sound.index_entries]
    cut = any(left_out) and (all(left_out) or _is_cut(sound, left_out))
    known = codec in (_KNOWN.get(muxer) or out.supported_codecs)
    if known and not cut and _takes(av, muxer, sound):
        return _Copied(out.add_stream_from_template(sound), strict=muxer in ("mp4", "mov")), None
    fitting = _fitting(av, "libopus" if muxer == "webm" else "aac", sound.codec_context)
    if fitting is None:
        return None, f"sound left out: {codec} of this kind can be neither kept nor converted"
    track = _Converted(av, out, *fitting, end)
    return track, _told(codec, sound.codec_context, track.stream.codec_context, cut)


class _Copied:
    """A track that is copied; `strict`, if its container refuses two packets of one time."""

    def __init__(self, stream, strict):
        self.stream, self._strict = stream, strict
        self._last = None

    def take(self, packet):
        time = packet.pts if packet.dts is None else packet.dts
        # An empty packet ends the stream. Times that run back are of a damaged file, or of pieces
        # laid end to end.
        if not packet.size or time is None or not self._follows(time):
            return []
        packet.dts = self._last = time
        packet.stream = self.stream
        return [packet]

    def _follows(self, time):
        return self._last is None or time > self._last or (time == self._last and not self._strict)

    def rest(self):
        return []


class _Converted:
    """A track in another codec, and with it maybe another rate or other channels."""

    def __init__(self, av, out, name, rate, layout, end):
        self._av, self._end = av, end
        self.stream = out.add_stream(name, rate=rate)
        self.stream.layout = layout
        self.stream.bit_rate = 96_000 * self.stream.codec_context.channels
        self._fit, self._given = None, None

    def take(self, packet):
        try:
            frames = packet.decode()
        except self._av.FFmpegError:  # A click where the sound is damaged.
            return []
        return [made for frame in frames for made in self._encoded(frame)]

    def rest(self):
        return self._drained() + self._made_of(None)

    def _encoded(self, frame):
        given = frame.format.name, frame.layout.name, frame.sample_rate
        made = []
        if given != self._given:  # A broadcast goes from stereo to 5.1 where a film begins.
            made = self._drained()
            self._fit = _Fit(self._av, frame, self.stream.codec_context, self._end)
            self._given = given
        return made + self._through(frame)

    def _drained(self):
        return self._through(None) if self._fit else []

    def _through(self, frame):
        return [packet for fitting in self._fit(frame) for packet in self._made_of(fitting)]

    def _made_of(self, frame):
        try:
            return self.stream.encode(frame)
        except self._av.FFmpegError:  # AAC refuses what is no number, as damaged floats may be.
            return []


class _Fit:
    """FFmpeg's filters that make sound fit an encoder, and silence of the holes in it.

    A function from a frame, or None at the end, to a list of frames.

    Args:
        frame: the first one.
        end: seconds, behind which all is left out, or None.
    """

    def __init__(self, av, frame, encoder, end=None):
        self._graph = av.filter.Graph()
        unit = frame.time_base or Fraction(1, frame.sample_rate)
        kind = f"sample_rates={encoder.sample_rate}:sample_fmts={encoder.format.name}"
        steps = [
            (
                "abuffer",
                f"sample_rate={frame.sample_rate}:sample_fmt={frame.format.name}"
                f":channel_layout={frame.layout.name}:time_base={unit.numerator}/{unit.denominator}",
            ),
            ("aresample", f"osr={encoder.sample_rate}:async=1"),
            ("aformat", f"{kind}:channel_layouts={encoder.layout.name}"),
            ("abuffersink", None),
        ]
        if end is not None:
            steps.insert(3, ("atrim", f"end={float(end):.6f}"))
        nodes = [self._graph.add(name, arguments) for name, arguments in steps]
        self._graph.link_nodes(*nodes).configure()
        self._graph.set_audio_frame_size(1024)  # So that what is damaged takes little along.

    def __call__(self, frame):
        frames = []
        # At the end, or where it wants more.
        with contextlib.suppress(EOFError, BlockingIOError):
            self._graph.push(frame)
            while True:
                frames.append(self._graph.pull())
        return frames


def _is_cut(sound, left_out):
    """Whether players skip some of the sound: phones cut a clip by a list of times."""
    entries, begin = sound.index_entries, left_out.index(False)
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
    """Whether an encoder takes sound of the given kind, made fit for it."""
    try:
        encoder = av.codec.CodecContext.create(name, "w")
        encoder.sample_rate, encoder.layout = rate, layout
        encoder.format = encoder.codec.audio_formats[0]
        encoder.open()
        frame = av.AudioFrame(given.format.name, given.layout.name, 1024)
        frame.sample_rate = given.sample_rate
        _Fit(av, frame, encoder)
    except (av.FFmpegError, ValueError, AttributeError):
        # A broken file may say anything about its sound, or give no format at all.
        return False
    return True


def _told(codec, given, made, cut):
    changes = []
    if made.sample_rate != given.sample_rate:
        changes.append(f"{given.sample_rate} to {made.sample_rate} Hz")
    if made.channels != given.channels:
        changes.append(f"{given.channels} channels to {made.channels}")
    if cut:
        changes.append("since a part of it is cut off")
    return ", ".join([f"sound converted from {codec} to {made.name}", *changes])
