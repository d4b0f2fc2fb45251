"""People's own films: what a player shows of them, when and with which sound, is what comes out."""

import os
from fractions import Fraction
from types import SimpleNamespace

import av
import films
import numpy as np
import pytest
from conftest import draw_photo
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fst.errors import UserError
from fst.media import animation, clip, hdr, sound, video
from fst.words import plural

pytestmark = pytest.mark.slow

FILM_RATE = Fraction(1, 24)


def same(picture):
    return picture


def evenly(count, unit=Fraction(1, 600), first=0):
    """Times of a film of 24 frames a second, in units, and the time at which it ends."""
    step = round(FILM_RATE / unit)
    return [first + step * index for index in range(count)], first + step * count


def levels_of(count, first=0):
    return [16 + 8 * index for index in range(first, first + count)]


def check(path, times, end, levels, tolerance=0.0015):
    """Frames of `levels` at `times` in a film that ends at `end`, all in seconds."""
    found_times, found_levels, found_end = films.seen(path)
    np.testing.assert_allclose(found_times, times, atol=tolerance)
    # The grey of two frames differs by 8, and by 7 where black is 16.
    np.testing.assert_allclose(found_levels, levels, atol=3)
    assert found_end == pytest.approx(end, abs=tolerance)


# --- Any film ------------------------------------------------------------------------------------

SOURCES = {  # container: the codecs of picture and sound, the unit, and whether times may vary
    ".mp4": (("libx264", "mpeg4"), ("aac", "libmp3lame", "ac3"), Fraction(1, 600), True),
    ".mov": (("libx264",), ("aac", "pcm_s16le"), Fraction(1, 600), True),
    ".mkv": (("libx264", "mpeg4"), ("aac", "libopus", "pcm_s16le"), Fraction(1, 1000), True),
    ".ts": (("libx264", "mpeg2video"), ("aac", "ac3"), Fraction(1, 24), False),
    ".flv": (("libx264",), ("aac",), Fraction(1, 1000), False),
    ".avi": (("libx264", "mpeg4"), ("pcm_s16le",), Fraction(1, 24), False),
}


@st.composite
def any_film(draw):
    suffix = draw(st.sampled_from(sorted(SOURCES)))
    codecs, sounds, unit, varies = SOURCES[suffix]
    count = draw(st.integers(8 if suffix == ".ts" else 2, 20))  # Else FFmpeg does not know a TS.
    if varies:
        steps = draw(st.lists(st.integers(10, 300), min_size=count, max_size=count))
        times = np.cumsum([draw(st.sampled_from([0, 0, 240])), *steps]).tolist()
        times, end = times[:-1], times[-1]
    else:
        times, end = evenly(count, unit)
    return {
        "suffix": suffix,
        "times": times,
        "end": end,
        "unit": unit,
        "codec": draw(st.sampled_from(codecs)),
        "b_frames": draw(st.integers(0, 3)),
        "sound": draw(st.sampled_from([None, *sounds])),
        "target": draw(st.sampled_from([".mp4", ".mov", ".mkv", ".webm"])),
    }


@settings(max_examples=60)
@given(film=any_film())
def test_any_film_keeps_its_times_its_end_and_its_sound(tmp_path_factory, film):
    folder = tmp_path_factory.mktemp("film")
    suffix, target = film.pop("suffix"), folder / f"b{film.pop('target')}"
    films.write(folder / f"a{suffix}", **film)
    notes = video.stylise_video(folder / f"a{suffix}", target, same)
    assert all(note.startswith("sound converted") for note in notes)

    times, unit, sound = np.array(film["times"]), film["unit"], film["sound"]
    # All that plays begins at zero: a film with no sound to wait for, with its first picture.
    begin = times[0] if suffix in (".ts", ".flv") or not sound else 0
    times = (times - begin) * float(unit)
    end = float((film["end"] - begin) * unit)
    found_times, found_levels, found_end = films.seen(target)
    # The run-up of AAC and MP3 may come first, of which these tell nothing: all is then later.
    late = found_times[0] - times[0]
    run_up = sound and (target.suffix in (".mkv", ".webm") or suffix in (".ts", ".flv", ".avi"))
    assert -0.002 < late < (0.06 if run_up else 0.002)
    np.testing.assert_allclose(found_times - late, times, atol=0.002)
    np.testing.assert_allclose(found_levels, levels_of(len(times)), atol=3)
    if sound:
        begin, sound_end, tone = films.heard(target)
        assert tone[0] == pytest.approx(late, abs=0.03)
        assert end - 0.03 < sound_end - late < end + 0.08
        assert end - 0.002 < found_end - late < end + 0.09
    else:
        assert found_end == pytest.approx(end, abs=0.002)


# --- The last frame ------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [".mp4", ".mov", ".mkv", ".webm"])
@pytest.mark.parametrize("source", [".mp4", ".mov", ".mkv"])
def test_a_last_frame_that_stands_for_long(tmp_path, source, target):
    times, _ = evenly(12, Fraction(1, 600))
    for b_frames in (0, 2):
        made = films.write(tmp_path / f"a{source}", times, 6000, b_frames=b_frames)
        assert video.stylise_video(made, tmp_path / f"b{target}", same) == ()
        check(tmp_path / f"b{target}", np.array(times) / 600, 10, levels_of(12))


@pytest.mark.parametrize("target", [".mp4", ".mkv"])
def test_a_single_frame_lasts(tmp_path, target):
    films.write(tmp_path / "a.mp4", [0], 1800)
    assert video.stylise_video(tmp_path / "a.mp4", tmp_path / f"b{target}", same) == ()
    check(tmp_path / f"b{target}", [0], 3, [16])


def test_pictures_that_end_before_the_sound_are_no_fault(tmp_path):
    times, end = evenly(12)
    films.write(tmp_path / "a.mkv", times, end, sound="pcm_s16le", sound_to=6)
    assert video.stylise_video(tmp_path / "a.mkv", tmp_path / "b.mkv", same) == ()
    times, _, end = films.seen(tmp_path / "b.mkv")
    assert (len(times), round(end, 1)) == (12, 6)


def test_a_film_of_which_the_end_is_missing_does_not_stand_still_for_the_rest(tmp_path):
    times = [600 * index for index in range(20)]
    options = {"codec": "mpeg4", "sound": "aac", "movflags": "faststart"}
    source = films.write(tmp_path / "a.mp4", times, 12_000, **options)
    data = source.read_bytes()
    source.write_bytes(data[: len(data) * 2 // 3])
    (note,) = video.stylise_video(source, tmp_path / "b.mp4", same)
    found, _, end = films.seen(tmp_path / "b.mp4")
    assert 4 < len(found) < 18
    assert note.startswith("ends early: holds ")
    assert note.endswith(" of 20.0 s")
    assert end < 18


# --- Edit lists ----------------------------------------------------------------------------------

# Where the parts begin and how long they are, in frames, of 24.
CUTS = {
    "the beginning": [(12, 12)],
    "both ends": [(6, 12)],
    "the middle": [(0, 6), (12, 6)],
    "turned round": [(12, 6), (0, 6)],
}


@pytest.mark.parametrize("target", [".mp4", ".mov", ".mkv", ".webm"])
@pytest.mark.parametrize("cut", sorted(CUTS))
def test_a_clip_that_a_phone_has_cut(tmp_path, cut, target):
    times, end = evenly(24)
    source = films.write(tmp_path / "a.mp4", times, end, sound="aac")
    films.edit(source, [(begin / 24, length / 24) for begin, length in CUTS[cut]])
    made = tmp_path / f"b{target}"
    (note,) = video.stylise_video(source, made, same)
    assert note.startswith("sound converted from aac to ")
    assert note.endswith("since a part of it is cut off")
    shown = [frame for begin, length in CUTS[cut] for frame in range(begin, begin + length)]
    found_times, found_levels, _ = films.seen(made)
    np.testing.assert_allclose(found_times, np.arange(12) / 24, atol=0.0015)
    np.testing.assert_allclose(found_levels, [16 + 8 * frame for frame in shown], atol=3)
    _, _, tone = films.heard(made)
    assert tone == (pytest.approx(0, abs=0.003), pytest.approx(0.5, abs=0.006))


@pytest.mark.parametrize("target", [".mp4", ".mov", ".mkv", ".webm"])
def test_sound_that_was_cut_away_is_not_heard(tmp_path, target):
    times, end = evenly(24)
    # The cut falls into the packet in which the tone ends.
    source = films.write(tmp_path / "a.mp4", times, end, sound="aac", tone_to=0.49)
    films.edit(source, [(0.5, 0.5)])
    video.stylise_video(source, tmp_path / f"b{target}", same)
    with av.open(str(tmp_path / f"b{target}")) as film:
        waves = [frame.to_ndarray()[0] for frame in film.decode(audio=0)]
    wave = np.concatenate(waves)
    assert np.abs(wave[1200:]).max() < 0.01
    assert 0.5 <= len(wave) / 48_000 < 0.55


# --- Times that begin elsewhere, or anew ---------------------------------------------------------


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("b_frames", [0, 1, 2, 3])
def test_avi_tells_no_times_of_being_shown(tmp_path, codec, b_frames):
    times, end = evenly(12, FILM_RATE)
    source = films.write(
        tmp_path / "a.avi", times, end, codec=codec, b_frames=b_frames, unit=FILM_RATE
    )
    for suffix in (".mp4", ".mkv"):
        video.stylise_video(source, tmp_path / f"b{suffix}", same)
        check(tmp_path / f"b{suffix}", np.arange(12) / 24, 0.5, levels_of(12))


def test_avi_with_frames_that_stand_longer(tmp_path):
    times = [0, 1, 2, 5, 6, 9, 10, 14]
    films.write(tmp_path / "a.avi", times, 15, codec="mpeg4", b_frames=0, unit=FILM_RATE)
    video.stylise_video(tmp_path / "a.avi", tmp_path / "b.mp4", same)
    check(tmp_path / "b.mp4", np.array(times) / 24, 15 / 24, levels_of(8))


def test_a_lost_frame_of_an_avi_does_not_move_those_after_the_next_key_frame():
    from fst.media.timeline import Shown

    class Thing:
        def __init__(self, time, key=False):
            self.pts = self.dts = time
            self.key_frame = key

    shown = Shown()
    for time in range(5):
        shown.fed(Thing(time))
    # Decoded as 0, 3, 1, 2 and 4, which is a key frame; the first 1 is lost.
    assert [shown.time_of(Thing(time)) for time in (0, 2, 1)] == [0, 1, 2]
    assert shown.time_of(Thing(4, key=True)) == 4


@pytest.mark.parametrize("first", [0, 24 * 3600, 2**33 // 3750 - 8])
def test_a_broadcast_begins_at_any_time_and_its_clock_runs_over(tmp_path, first):
    times, end = evenly(24, FILM_RATE, first)
    source = films.write(
        tmp_path / "a.ts", times, end, codec="mpeg2video", unit=FILM_RATE, b_frames=0
    )
    video.stylise_video(source, tmp_path / "b.mp4", same)
    check(tmp_path / "b.mp4", np.arange(24) / 24, 1, levels_of(24))


@pytest.mark.parametrize(("suffix", "codec"), [(".ts", "libx264"), (".mpg", "mpeg2video")])
def test_recordings_put_one_behind_the_other(tmp_path, suffix, codec):
    times, end = evenly(20, FILM_RATE)
    part = films.write(
        tmp_path / f"a{suffix}", times, end, codec=codec, unit=FILM_RATE, sound="mp2"
    )
    part.write_bytes(part.read_bytes() * 3)
    video.stylise_video(part, tmp_path / "b.mkv", same)
    found_times, found_levels, found_end = films.seen(tmp_path / "b.mkv")
    np.testing.assert_allclose(found_levels, 3 * levels_of(20), atol=3)
    np.testing.assert_allclose(np.diff(found_times), 1 / 24, atol=0.03)
    assert found_times[40] - found_times[0] == pytest.approx(40 / 24, abs=0.04)
    assert found_end == pytest.approx(60 / 24, abs=0.1)


def test_files_without_times_have_those_of_their_rate(tmp_path):
    times, end = evenly(12, FILM_RATE)
    films.write(tmp_path / "a.h264", times, end, unit=FILM_RATE)
    video.stylise_video(tmp_path / "a.h264", tmp_path / "b.mp4", same)
    found, levels, end = films.seen(tmp_path / "b.mp4")
    np.testing.assert_allclose(np.diff(found), 1 / 25, atol=0.001)  # FFmpeg's guess
    np.testing.assert_allclose(levels, levels_of(12), atol=3)
    assert end == pytest.approx(12 / 25, abs=0.002)


@pytest.mark.parametrize("target", [".mp4", ".mkv"])
@pytest.mark.parametrize(("first", "sound_from"), [(0, 0.5), (300, 0), (600, 0.5), (600, 2)])
def test_picture_and_sound_that_do_not_begin_together(tmp_path, first, sound_from, target):
    times, end = evenly(24, first=first)
    source = tmp_path / "a.mkv"
    films.write(source, times, end, sound="pcm_s16le", sound_from=sound_from, sound_to=3)
    assert len(video.stylise_video(source, tmp_path / f"b{target}", same)) <= 1
    begin = min(first / 600, sound_from)
    found, _, _ = films.seen(tmp_path / f"b{target}")
    np.testing.assert_allclose(found, np.arange(24) / 24 + first / 600 - begin, atol=0.002)
    _, _, tone = films.heard(tmp_path / f"b{target}")
    assert tone[0] == pytest.approx(sound_from - begin, abs=0.005)


@pytest.mark.parametrize("first", [0, 3000])
def test_chapters_begin_where_the_film_does(tmp_path, first):
    times, end = evenly(24, Fraction(1, 1000), first)
    films.write(
        tmp_path / "plain.mkv", times, end, codec="mpeg4", b_frames=0, unit=Fraction(1, 1000)
    )
    with (
        av.open(str(tmp_path / "plain.mkv")) as given,
        av.open(str(tmp_path / "a.mkv"), "w") as out,
    ):
        stream = out.add_stream_from_template(given.streams.video[0])
        out.set_chapters(
            [
                {
                    "id": number,
                    "start": first + begin,
                    "end": first + begin + 500,
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": f"part {number}"},
                }
                for number, begin in enumerate((0, 500), 1)
            ]
        )
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    video.stylise_video(tmp_path / "a.mkv", tmp_path / "b.mkv", same)
    with av.open(str(tmp_path / "b.mkv")) as film:
        found = film.chapters()
    begins = [float(chapter["start"] * chapter["time_base"]) for chapter in found]
    assert begins == [0, 0.5]
    assert [chapter["metadata"]["title"] for chapter in found] == ["part 1", "part 2"]


# --- Sound ---------------------------------------------------------------------------------------


def with_sound(path, codec, rate, layout, samples, sample_format):
    """Half a second of grey with sound of numpy `[1, N]`, written in one piece."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=24)
        stream.height, stream.width = films.SIZE
        track = out.add_stream(codec, rate=rate)
        track.layout = layout
        grey = np.full((*films.SIZE, 3), 99, np.uint8)
        for _ in range(12):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        out.mux(stream.encode(None))
        frame = av.AudioFrame.from_ndarray(samples, sample_format, layout)
        frame.sample_rate, frame.pts = rate, 0
        out.mux(track.encode(frame))
        out.mux(track.encode(None))
    return path


def tone(rate, channels, seconds=0.5):
    wave = 8000 * np.sin(np.arange(int(rate * seconds)) * (2 * np.pi * films.PITCH / rate))
    return np.repeat(wave.astype(np.int16), channels)[None]


def samples_of(frame):
    """The first channel. (PyAV's own way to numpy reads beyond the end of eight channels.)"""
    dtype = {"s": "i2", "f": "f4", "d": "f8"}[frame.format.name[0]]
    step = 1 if frame.format.is_planar else frame.layout.nb_channels
    return np.frombuffer(frame.planes[0], dtype, frame.samples * step)[::step].astype(float)


def track_of(path):
    """Codec, rate, channels and layout of the sound of a file, its seconds and its pitch, Hz."""
    with av.open(str(path)) as film:
        context = film.streams.audio[0].codec_context
        frames = list(film.decode(audio=0))
        kind = context.codec.canonical_name, context.sample_rate, context.channels
    wave = np.concatenate([samples_of(frame) for frame in frames])
    pitch = np.abs(np.fft.rfft(wave)).argmax() * kind[1] / len(wave)
    return kind, len(wave) / kind[1], pitch


@pytest.mark.parametrize(
    ("rate", "layout", "channels", "target", "kind", "note"),
    [
        (11_024, "mono", 1, ".mp4", ("aac", 11_025, 1), ", 11024 to 11025 Hz"),
        (44_056, "stereo", 2, ".mp4", ("aac", 44_100, 2), ", 44056 to 44100 Hz"),
        (192_000, "stereo", 2, ".mp4", ("aac", 96_000, 2), ", 192000 to 96000 Hz"),
        (5000, "mono", 1, ".mp4", ("aac", 7350, 1), ", 5000 to 7350 Hz"),
        (48_000, "5.1", 6, ".mp4", ("aac", 48_000, 6), ""),
        (48_000, "quad", 4, ".mp4", ("aac", 48_000, 4), ""),
        (48_000, "7.1", 8, ".webm", ("opus", 48_000, 8), ""),
        (48_000, "4.0", 4, ".webm", ("opus", 48_000, 4), ""),
        (11_024, "mono", 1, ".mkv", ("pcm_s16le", 11_024, 1), None),
        (48_000, "5.1", 6, ".mov", ("pcm_s16le", 48_000, 6), None),
    ],
)
def test_sound_becomes_what_the_container_takes(
    tmp_path, rate, layout, channels, target, kind, note
):
    source = with_sound(tmp_path / "a.mkv", "pcm_s16le", rate, layout, tone(rate, channels), "s16")
    notes = video.stylise_video(source, tmp_path / f"b{target}", same)
    encoder = "libopus" if kind[0] == "opus" else kind[0]
    told = f"sound converted from pcm_s16le to {encoder}{note}"
    assert notes == (() if note is None else (told,))
    found, seconds, pitch = track_of(tmp_path / f"b{target}")
    assert found == kind
    assert seconds == pytest.approx(0.5, abs=0.2)
    assert pitch == pytest.approx(films.PITCH, rel=0.03)


@pytest.mark.parametrize(("layout", "channels"), [("quad", 4), ("5.1", 6)])
@pytest.mark.parametrize("target", [".mp4", ".mov", ".mkv", ".webm"])
def test_channels_of_which_nobody_tells_where_they_stand(tmp_path, layout, channels, target):
    source = with_sound(
        tmp_path / "a.mov", "pcm_s16le", 48_000, layout, tone(48_000, channels), "s16"
    )
    source.write_bytes(source.read_bytes().replace(b"chan", b"free"))
    with av.open(str(source)) as film:
        assert film.streams.audio[0].codec_context.layout.name == f"{channels} channels"
    video.stylise_video(source, tmp_path / f"b{target}", same)
    _, _, pitch = track_of(tmp_path / f"b{target}")
    assert pitch == pytest.approx(films.PITCH, rel=0.03)


def test_sound_of_which_nothing_can_be_made_is_left_out_and_said(tmp_path):
    source = with_sound(
        tmp_path / "a.mkv", "pcm_s16le", 48_000, "9 channels", np.zeros((1, 9 * 4800), "i2"), "s16"
    )
    notes = video.stylise_video(source, tmp_path / "b.mp4", same)
    assert notes == ("sound left out: pcm_s16le of this kind can be neither kept nor converted",)
    with av.open(str(tmp_path / "b.mp4")) as film:
        assert not film.streams.audio
        assert len(list(film.decode(video=0))) == 12
    assert video.stylise_video(source, tmp_path / "b.mkv", same) == ()
    assert track_of(tmp_path / "b.mkv")[0] == ("pcm_s16le", 48_000, 9)


def test_numbers_that_are_none_cost_a_click_and_not_the_film(tmp_path):
    wave = np.sin(np.arange(24_000) / 10).astype(np.float32)
    wave[9000:9010] = np.nan
    source = with_sound(tmp_path / "a.mkv", "pcm_f32le", 48_000, "mono", wave[None], "flt")
    video.stylise_video(source, tmp_path / "b.mp4", same)
    assert track_of(tmp_path / "b.mp4")[1] == pytest.approx(0.5, abs=0.05)


def test_a_hole_in_the_sound_stays_where_it_was(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as out:
        stream = out.add_stream("mpeg4", rate=24)
        stream.height, stream.width = films.SIZE
        track = out.add_stream("pcm_s16le", rate=48_000, layout="mono")
        grey = np.full((*films.SIZE, 3), 99, np.uint8)
        for _ in range(48):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        out.mux(stream.encode(None))
        for start in (0, 72_000):
            frame = av.AudioFrame.from_ndarray(tone(48_000, 1), "s16", "mono")
            frame.sample_rate, frame.pts = 48_000, start
            out.mux(track.encode(frame))
    for suffix in (".mp4", ".webm"):
        video.stylise_video(tmp_path / "a.mkv", tmp_path / f"b{suffix}", same)
        with av.open(str(tmp_path / f"b{suffix}")) as film:
            wave = np.concatenate([frame.to_ndarray()[0] for frame in film.decode(audio=0)])
        loud = np.abs(wave) > 0.05
        assert not loud[26_000:70_000].any()
        assert np.flatnonzero(loud[48_000:])[0] == pytest.approx(24_000, abs=400)


# --- What a file is ------------------------------------------------------------------------------

KINDS = {
    ".3gp": ("mpeg4", "aac"),
    ".ts": ("libx264", "aac"),
    ".mpg": ("mpeg2video", "mp2"),
    ".flv": ("libx264", "aac"),
    ".wmv": ("wmv2", None),
    ".asf": ("wmv1", "ac3"),
    ".nut": ("mpeg4", "aac"),
}


@pytest.mark.parametrize("suffix", sorted(KINDS))
def test_a_video_is_one_whatever_it_is_called(tmp_path, suffix):
    codec, sound = KINDS[suffix]
    times, end = evenly(12, FILM_RATE)
    options = {"codec": codec, "b_frames": 0, "unit": FILM_RATE, "sound": sound}
    source = films.write(tmp_path / f"a{suffix}", times, end, **options)
    for name in (f"a{suffix}", "nameless", "photo.jpg", "film.unknown"):
        renamed = source.rename(tmp_path / name)
        assert video.is_video(renamed)
        assert video.is_moving(renamed)
        video.stylise_video(renamed, tmp_path / "b.mp4", same)
        found, levels, _ = films.seen(tmp_path / "b.mp4")
        np.testing.assert_allclose(np.diff(found), 1 / 24, atol=0.002)
        np.testing.assert_allclose(levels, levels_of(12), atol=3)
        source = renamed


def animate(path, durations, size=films.SIZE, **options):
    """An animated picture of the levels of a film, the durations in ms."""
    pictures = [Image.new("RGB", size[::-1], (level,) * 3) for level in levels_of(len(durations))]
    if path.suffix == ".webp":
        options["lossless"] = True
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, **options)
    return path


DURATIONS = [100, 200, 300, 100, 1500]
STARTS = [0, 0.1, 0.3, 0.6, 0.7]


@pytest.mark.parametrize("target", [".mp4", ".mkv", ".webm", ".gif"])
@pytest.mark.parametrize("source", [".gif", ".webp", ".png", ".avif"])
def test_an_animation_becomes_a_film(tmp_path, source, target):
    made = animate(tmp_path / f"a{source}", DURATIONS)
    assert (video.is_video(made), video.is_moving(made)) == (False, True)
    notes = video.stylise_video(made, tmp_path / f"b{target}", same)
    assert notes == (("a GIF has 256 colours for each picture",) if target == ".gif" else ())
    found, levels, end = films.seen(tmp_path / f"b{target}")
    np.testing.assert_allclose(found, STARTS, atol=0.0015)
    # A GIF and an MP4 differ in what black is; each level is far from the others all the same.
    np.testing.assert_allclose(levels, levels_of(5), atol=3)
    assert end == pytest.approx(2.2, abs=0.002)


def test_what_is_transparent_becomes_white_and_is_said(tmp_path):
    pictures = [Image.new("RGBA", (48, 32), (10 + index, 20, 30, 0)) for index in range(3)]
    pictures[0].save(tmp_path / "a.png", save_all=True, append_images=pictures[1:], duration=100)
    seen = []
    notes = video.stylise_video(
        tmp_path / "a.png", tmp_path / "b.mp4", lambda rgb: seen.append(rgb) or rgb
    )
    assert notes == ("what is transparent becomes white",)
    assert all((rgb == 255).all() for rgb in seen)


def test_a_gif_that_was_cut_off_gives_the_pictures_before_the_cut(tmp_path):
    pictures = [Image.fromarray(draw_photo(seed, 24, 32)) for seed in range(4)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=100)
    whole = (tmp_path / "a.gif").read_bytes()
    found = set()
    for end in range(len(whole) // 2, len(whole), 11):
        (tmp_path / "b.gif").write_bytes(whole[:end])
        with animation.Animation(tmp_path / "b.gif") as film:
            number = len(list(film.frames(None)))
        told = f"damaged, {plural(number, 'picture')} could be read"
        assert film.notes in ([], [told])  # None for a cut between two pictures.
        found.add((number, bool(film.notes)))
    assert {(2, True), (3, True)} <= found


def test_pictures_of_no_time_are_shown_as_browsers_do(tmp_path):
    animate(tmp_path / "a.gif", [10, 0, 20])
    with animation.Animation(tmp_path / "a.gif") as film:
        assert [frame.duration for frame in film.frames(None)] == [100, 100, 20]


def test_a_still_picture_does_not_move(tmp_path):
    for suffix in (".gif", ".png", ".webp", ".jpg", ".bmp", ".tif", ".avif"):
        Image.new("RGB", (20, 20)).save(tmp_path / f"a{suffix}")
        assert not video.is_video(tmp_path / f"a{suffix}")
        assert not video.is_moving(tmp_path / f"a{suffix}")


def test_a_gif_of_a_film_is_thinned_and_says_what_is_lost(tmp_path):
    unit = Fraction(1, 60)
    source = films.write(tmp_path / "a.mp4", list(range(20)), 80, unit=unit, sound="aac")
    notes = video.stylise_video(source, tmp_path / "b.gif", same)
    assert notes == (
        "a GIF has 256 colours for each picture",
        "a GIF has no sound",
        "10 frames left out: a GIF gets 30 a second at most",
    )
    with Image.open(tmp_path / "b.gif") as image:
        assert (image.n_frames, image.info["loop"]) == (10, 0)
    found, levels, end = films.seen(tmp_path / "b.gif")
    np.testing.assert_allclose(found, np.arange(10) / 30, atol=0.0051)
    np.testing.assert_allclose(levels, levels_of(20)[::2], atol=3)
    assert end == pytest.approx(80 / 60, abs=0.006)


def test_a_gif_of_a_quick_animation_is_thinned_too(tmp_path):
    source = animate(tmp_path / "a.gif", [20] * 6)
    notes = video.stylise_video(source, tmp_path / "b.gif", same)
    assert notes[1:] == ("3 frames left out: a GIF gets 30 a second at most",)
    found, levels, end = films.seen(tmp_path / "b.gif")
    np.testing.assert_allclose(found, [0, 0.04, 0.08], atol=0.0015)
    np.testing.assert_allclose(levels, levels_of(6)[::2], atol=3)
    assert end == pytest.approx(0.12, abs=0.002)


@pytest.mark.parametrize("name", ["a.avi", "a.jpg"])
def test_a_tag_that_is_no_text_does_not_make_a_film_unreadable(tmp_path, name):
    with av.open(str(tmp_path / "a.avi"), "w") as out:
        out.metadata["title"] = "Caf#"
        stream = out.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = *films.SIZE, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.full((*films.SIZE, 3), 99, np.uint8), format="rgb24")
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    written = (tmp_path / "a.avi").read_bytes()
    assert written.count(b"Caf#") == 1
    (tmp_path / name).write_bytes(written.replace(b"Caf#", b"Caf\xe9"))  # As of Latin-1.
    video.stylise_video(tmp_path / name, tmp_path / "b.mp4", same)
    with av.open(str(tmp_path / "b.mp4")) as film:
        assert film.metadata["title"] == "Caf\ufffd"


def test_a_gif_has_its_own_colours_in_each_picture(tmp_path):
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16).repeat(2, 0).repeat(3, 1)
    pictures = [np.stack([ramp, 0 * ramp, 0 * ramp], -1), np.stack([0 * ramp, 0 * ramp, ramp], -1)]
    source = animate(tmp_path / "a.gif", [100, 100])
    left = iter(pictures)
    video.stylise_video(source, tmp_path / "b.gif", lambda _: next(left))
    with av.open(str(tmp_path / "b.gif")) as film:
        made = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    for picture, found in zip(pictures, made, strict=True):
        assert np.abs(found.astype(int) - picture).mean() < 2


# --- What is no file -----------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_a_pipe_is_named_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.mp4")
    assert video.is_video(tmp_path / "a.mp4")
    with pytest.raises(UserError, match=r"a\.mp4: is not a regular file"):
        video.stylise_video(tmp_path / "a.mp4", tmp_path / "b.mp4", same)
    os.mkfifo(tmp_path / "a.unknown")
    assert not video.is_video(tmp_path / "a.unknown")
    assert not video.is_moving(tmp_path / "a.unknown")
    assert sorted(found.name for found in tmp_path.iterdir()) == ["a.mp4", "a.unknown"]


def test_lists_of_other_files_and_texts_are_no_videos(tmp_path):
    times, end = evenly(3)
    films.write(tmp_path / "whole.mp4", times, end)
    texts = {
        "list.mp4": "ffconcat version 1.0\nfile 'whole.mp4'\n",
        "list.m3u8": "#EXTM3U\n#EXTINF:10,\nwhole.mp4\n#EXT-X-ENDLIST\n",
        "words.txt": "words\n" * 500,
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        assert not clip.holds_video(tmp_path / name)
        with pytest.raises(UserError, match="is not a video that can be read"):
            video.stylise_video(tmp_path / name, tmp_path / "b.mp4", same)


def test_an_icon_is_no_video(tmp_path):
    Image.new("RGB", (32, 32), (200, 100, 0)).save(tmp_path / "a.ico")
    with av.open(str(tmp_path / "a.ico")) as film:  # FFmpeg would read it.
        assert film.streams.video
    assert not clip.holds_video(tmp_path / "a.ico")


# --- HDR -----------------------------------------------------------------------------------------

LIGHT = [0, 0.1, 1, 5, 10, 26, 50, 100, 203, 400, 600, 1000, 4000]  # cd/m²


def pq(light):
    """SMPTE ST 2084: the signal in 0-1 for a light in cd/m²."""
    root = (np.asarray(light, float) / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * root) / (1 + 18.6875 * root)) ** 78.84375


def bt2390(light, peak):
    """BT.2390's curve with its formulas as they stand there, solved for light by bisection."""
    highest = pq(203) / pq(peak)
    knee = 1.5 * highest - 0.5
    given = pq(min(light, peak)) / pq(peak)
    if given >= knee:
        t = (given - knee) / (1 - knee)
        given = (
            (2 * t**3 - 3 * t**2 + 1) * knee
            + (t**3 - 2 * t**2 + t) * (1 - knee)
            + (-2 * t**3 + 3 * t**2) * highest
        )
    low, high = 0.0, 10_000.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if pq(middle) < given * pq(peak) else (low, middle)
    return low


def srgb(share):
    return 255 * np.where(share <= 0.0031308, 12.92 * share, 1.055 * share ** (1 / 2.4) - 0.055)


def write_hdr(path, signals, transfer, chroma=(512, 512)):
    """A film of one frame in 10 bits, BT.2020, 16 columns for each signal in 0-1."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=24)
        stream.height, stream.width, stream.pix_fmt = 32, 16 * len(signals), "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries = transfer, 9
        context.colorspace, context.color_range = 9, 1
        frame = av.VideoFrame(stream.width, 32, "yuv420p10le")
        luma = np.rint(64 + 876 * np.repeat(signals, 16))
        for plane, row in zip(frame.planes, (luma, *chroma), strict=True):
            pixels = np.zeros((plane.height, plane.line_size // 2), np.uint16)
            pixels[:, : plane.width] = row
            plane.update(pixels.tobytes())
        frame.color_range, frame.colorspace = 1, 9
        frame.color_trc, frame.color_primaries = transfer, 9
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def shown_of(source, target):
    seen = []
    notes = video.stylise_video(source, target, lambda rgb: seen.append(rgb) or rgb)
    return seen[0][16, 8::16].astype(float), notes


def test_the_light_of_pq_keeps_its_value_to_half_of_white_and_its_order_above(tmp_path):
    source = write_hdr(tmp_path / "a.mkv", pq(LIGHT), hdr.PQ)
    found, notes = shown_of(source, tmp_path / "b.mp4")
    assert notes == (
        "more than 8 bits for a colour become 8",
        "HDR (PQ) becomes SDR: light brighter than white paper is squeezed into it",
    )
    assert np.ptp(found, axis=1).max() <= 1  # Grey stays grey.
    expected = [srgb(bt2390(light, 1000) / 203) for light in LIGHT]
    np.testing.assert_allclose(found[:, 1], expected, atol=1.5)
    np.testing.assert_allclose(found[:7, 1], srgb(np.array(LIGHT[:7]) / 203), atol=1.5)
    assert (np.diff(found[:11, 1]) > 0).all()
    with av.open(str(tmp_path / "b.mp4")) as film:
        assert film.streams.video[0].codec_context.color_trc == 1


def test_the_light_of_hlg(tmp_path):
    # BT.2408: 38 % of the signal is a grey card, 26 cd/m², and 75 % is white paper, 203.
    source = write_hdr(tmp_path / "a.mkv", [0, 0.38, 0.75, 1], hdr.HLG)
    found, notes = shown_of(source, tmp_path / "b.mp4")
    assert "HDR (HLG)" in notes[1]
    expected = [srgb(bt2390(light, 1000) / 203) for light in (0, 26, 203, 1000)]
    np.testing.assert_allclose(found[:, 1], expected, atol=2.5)


def test_a_colour_of_hdr_keeps_its_hue():
    # A red of BT.709, in BT.2020, at lights of which the last is far beyond white.
    share = np.array([0.6274, 0.0691, 0.0164])
    for light in (20, 80, 150, 400):
        signal = np.rint(hdr.FULL * pq(light * share)).astype(np.uint16)
        red, green, blue = hdr.ToneMap(hdr.PQ, 400)(signal[None, None])[0, 0].astype(int)
        assert red == pytest.approx(srgb(bt2390(light, 400) / 203), abs=2)
        assert max(green, blue) < 14


def test_a_film_that_tells_its_brightest_light_is_mapped_to_that():
    class Data:
        def __init__(self, name, values):
            self.type, self._values = type("Kind", (), {"name": name}), values

        def __bytes__(self):
            return np.array(self._values, np.int32).tobytes()

    screen = Data("MASTERING_DISPLAY_METADATA", [0] * 16 + [1, 10_000, 40_000_000, 10_000, 1, 1])
    level = Data("CONTENT_LIGHT_LEVEL", [600, 200])
    assert hdr.peak_of([screen]) == 4000
    assert hdr.peak_of([screen, level]) == 600
    assert hdr.peak_of([]) == hdr.peak_of([Data("CONTENT_LIGHT_LEVEL", [0, 0])]) == 1000
    white = np.full((1, 1, 3), round(hdr.FULL * float(pq(600))), np.uint16)
    assert hdr.ToneMap(hdr.PQ, 600)(white).max() == 255
    assert hdr.ToneMap(hdr.PQ, 4000)(white).max() < 245


def test_the_side_data_of_a_real_file_is_read(tmp_path):
    screen = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(20000000,50)"
    parameters = f"log-level=none:hdr10=1:master-display={screen}"
    for extra, peak in (("", 2000), (":max-cll=1500,400", 1500)):  # cd/m²
        with av.open(str(tmp_path / "a.mkv"), "w") as out:
            options = {"x265-params": parameters + extra}
            stream = out.add_stream("libx265", rate=24, options=options)
            stream.height, stream.width, stream.pix_fmt = 64, 64, "yuv420p10le"
            stream.codec_context.color_trc = hdr.PQ
            out.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p10le")))
            out.mux(stream.encode(None))
        with clip.Clip(tmp_path / "a.mkv") as film:
            (frame,) = film.frames(None)
            assert hdr.peak_of(frame.side_data) == peak


@pytest.mark.parametrize(("strict", "kept"), [(True, [0, 4, 8]), (False, [0, 4, 4, 8])])
def test_sound_that_comes_again_is_copied_once_where_the_container_wants_that(strict, kept):
    track = sound._Copied("stream", strict)
    packets = [SimpleNamespace(size=1, pts=time, dts=time) for time in (0, 4, 4, 3, 8)]
    assert [packet.dts for given in packets for packet in track.take(given)] == kept
