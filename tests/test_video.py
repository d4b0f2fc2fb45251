"""Videos through infer.py: frames, times, sound, shapes and colours kept; flicker; mistakes."""

import os
import signal
import time
import weakref
from fractions import Fraction

import av
import forks
import numpy as np
import pytest
from conftest import draw_photo, run, run_here, wait_for
from PIL import Image
from tiny import litter

from fst.batch import command as infer
from fst.errors import UserError
from fst.media import clip, video
from fst.stylize import steady

pytestmark = pytest.mark.slow

MATRICES = {"bt709": (1, 0.2126, 0.0722), "bt601": (5, 0.299, 0.114)}
RATE = Fraction(24)


def encode(
    path, pictures, times=None, *, rate=RATE, sounds=(), codec="libx264", colours=("bt709", 1),
    **set_to,
):  # fmt: skip
    """Writes a video of uint8 `[H, W, 3]` pictures, at `times` in 1/600 s or `rate`, with tones.

    `sounds` names a codec for each track; `set_to` are attributes of the stream of the picture.
    """
    matrix, full_range = MATRICES[colours[0]][0], colours[1]
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate, options={"crf": "12", "preset": "veryfast"})
        stream.pix_fmt = set_to.pop("pix_fmt", "yuv420p")
        if turn := set_to.pop("turn", None):
            stream.set_display_rotation(*turn)
        context, tracks = stream.codec_context, []
        for name, value in set_to.items():
            setattr(context, name, value)
        context.color_range, context.colorspace = full_range, matrix
        for name in sounds:
            tracks.append(out.add_stream(name, rate=48_000))
        step = Fraction(1, 600) if times else 1 / rate
        for index, picture in enumerate(pictures):
            if not index:
                stream.height, stream.width = picture.shape[:2]
                context.time_base = step
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame = frame.reformat(
                format=stream.pix_fmt,
                src_color_range=2,
                dst_color_range=full_range,
                dst_colorspace=matrix,
                interpolation=4 | 0x40000 | 0x2000,  # accurate rounding
            )
            frame.pts, frame.time_base = times[index] if times else index, step
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        for number, track in enumerate(tracks):
            _add_tone(out, track, (index + 1) / rate, 220 * (number + 1))
    return path


def _add_tone(out, track, seconds, pitch):
    count = int(48_000 * seconds)
    wave = np.sin(np.arange(count) * (2 * np.pi * pitch / 48_000)) * 8000
    for start in range(0, count, 4096):
        part = np.repeat(wave[start : start + 4096].astype(np.int16), 2)[None]
        frame = av.AudioFrame.from_ndarray(part, format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
        out.mux(track.encode(frame))
    out.mux(track.encode(None))


def frames_of(path):
    """The frames of a file, as FFmpeg hands them out."""
    with av.open(str(path)) as clip:
        return list(clip.decode(clip.streams.video[0]))


def seconds_of(path):
    return [float(frame.time) for frame in frames_of(path)]


def pictures_of(path):
    """The frames of a file as uint8 RGB, `[T, H, W, 3]`."""
    flags = 4 | 0x40000 | 0x2000 | 0x4000
    return np.stack([f.to_ndarray(format="rgb24", interpolation=flags) for f in frames_of(path)])


def stream_of(path):
    """What the file tells of its picture."""
    with av.open(str(path)) as clip:
        found = clip.streams.video[0]
        context = found.codec_context
        return {
            "rate": found.average_rate,
            "size": (context.height, context.width),
            "aspect": found.sample_aspect_ratio,
            "codec": context.name,
            "pixels": context.pix_fmt,
            "colours": (context.colorspace, context.color_primaries, context.color_trc),
            "range": context.color_range,
        }


def sound_of(path):
    """Codec, language and the packets' bytes of each track of sound."""
    tracks = []
    with av.open(str(path)) as clip:
        for index, track in enumerate(clip.streams.audio):
            clip.seek(0)
            data = [bytes(packet) for packet in clip.demux(audio=index) if packet.size]
            tracks.append((track.codec_context.name, track.language, data))
    return tracks


def moving(count, height=96, width=128, step=3, coarse=2):
    """A picture that moves sideways, `count` times uint8 `[height, width, 3]`."""
    small = Image.fromarray(draw_photo(3, height // coarse, 2 * width // coarse))
    wide = np.asarray(small.resize((2 * width, height)))
    return [np.roll(wide, -step * index, axis=1)[:, :width] for index in range(count)]


def invert(picture):
    return 255 - picture


def same(picture):
    return picture


# --- Frames, times and sound ---------------------------------------------------------------------


@pytest.mark.slow
def test_ten_seconds_keep_frames_rate_and_sound(tmp_path):
    source = encode(
        tmp_path / "a.mp4", moving(240, 360, 640, step=8, coarse=10), sounds=("aac", "mp3")
    )
    assert video.stylise_video(source, tmp_path / "b.mp4", invert) == ()
    before, after = frames_of(source), frames_of(tmp_path / "b.mp4")
    assert len(before) == len(after) == 240
    assert [frame.time for frame in after] == [frame.time for frame in before]
    made = stream_of(tmp_path / "b.mp4")
    assert (made["rate"], made["size"]) == (24, (360, 640))
    assert (made["codec"], made["pixels"]) == ("h264", "yuv420p")
    # In their order, each from its own: the next one differs by far more.
    for index in (0, 1, 100, 238, 239):
        old, new = (group[index].to_ndarray(format="gray") for group in (before, after))
        assert np.abs(255.0 - old - new)[::4, ::4].mean() < 3
        other = before[index - 1].to_ndarray(format="gray")
        assert np.abs(255.0 - other - new)[::4, ::4].mean() > 6
    sounds = sound_of(source)
    assert [codec for codec, *_ in sounds] == ["aac", "mp3float"]
    assert sound_of(tmp_path / "b.mp4") == sounds
    assert len(sounds[0][2]) > 400


TIMES = [0, 25, 75, 100, 101, 150, 300, 310, 600]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_frames_keep_their_times_where_the_rate_varies(tmp_path, suffix):
    source = encode(tmp_path / "a.mp4", moving(9), TIMES)
    video.stylise_video(source, tmp_path / f"b{suffix}", invert)
    np.testing.assert_allclose(
        seconds_of(tmp_path / f"b{suffix}"), np.array(TIMES) / 600, atol=6e-4
    )


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(15), Fraction(60)])
def test_rates(tmp_path, rate):
    source = encode(tmp_path / "a.mp4", moving(12), rate=rate)
    for suffix in (".mp4", ".mkv"):
        video.stylise_video(source, tmp_path / f"b{suffix}", same)
        assert float(stream_of(tmp_path / f"b{suffix}")["rate"]) == pytest.approx(float(rate))
        np.testing.assert_allclose(
            seconds_of(tmp_path / f"b{suffix}"), np.arange(12) / float(rate), atol=6e-4
        )


def test_sound_that_the_container_does_not_take_is_converted(tmp_path):
    source = encode(tmp_path / "a.mkv", moving(24), sounds=("pcm_s16le", "libopus"))
    expected = {
        ".mp4": (["aac", "opus"], ("sound converted from pcm_s16le to aac",)),
        ".mkv": (["pcm_s16le", "opus"], ()),
        ".webm": (["opus", "opus"], ("sound converted from pcm_s16le to libopus",)),
    }
    for suffix, (codecs, notes) in expected.items():
        target = tmp_path / f"b{suffix}"
        assert video.stylise_video(source, target, same) == notes
        assert [codec for codec, *_ in sound_of(target)] == codecs
        assert pitch_of(target) == pytest.approx(220, abs=3)
        with av.open(str(target)) as clip:
            assert sum(f.samples for f in clip.decode(audio=0)) == pytest.approx(48_000, abs=2500)


def pitch_of(path):
    """The strongest frequency of the first track of sound, Hz."""
    with av.open(str(path)) as clip:
        wave = np.concatenate([f.to_ndarray().astype(float)[0] for f in clip.decode(audio=0)])
        channels = 1 if clip.streams.audio[0].format.is_planar else 2
    wave = wave[::channels]
    return np.abs(np.fft.rfft(wave)).argmax() * 48_000 / len(wave)


def test_avi_is_read(tmp_path):
    source = encode(tmp_path / "a.avi", moving(12), codec="mpeg4", sounds=("mp3",))
    assert video.stylise_video(source, tmp_path / "b.mp4", same) == ()
    assert len(frames_of(tmp_path / "b.mp4")) == 12
    assert sound_of(tmp_path / "b.mp4")[0][2] == sound_of(source)[0][2]


def test_other_streams_are_left_out_and_said(tmp_path):
    encode(tmp_path / "a.mkv", moving(4), max_b_frames=0)
    with av.open(str(tmp_path / "a.mkv")) as given, av.open(str(tmp_path / "s.mkv"), "w") as out:
        picture = out.add_stream_from_template(given.streams.video[0])
        out.add_attachment("letters.ttf", "font/ttf", b"x" * 99)
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = picture
                out.mux(packet)
    notes = video.stylise_video(tmp_path / "s.mkv", tmp_path / "b.mkv", same)
    assert notes == ("left out: 1 attachment",)
    assert len(frames_of(tmp_path / "b.mkv")) == 4


def test_tags_that_tell_the_place_are_kept_on_request_only(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as out:
        out.metadata.update({"title": "Sea", "location": "+48.1+011.5/"})
        stream = out.add_stream("libx264", rate=24)
        stream.height = stream.width = 64
        out.mux(stream.encode(av.VideoFrame.from_ndarray(draw_photo(1, 64, 64), "rgb24")))
        out.mux(stream.encode(None))
    for keep in (False, True):
        video.stylise_video(tmp_path / "a.mkv", tmp_path / "b.mkv", same, keep_private=keep)
        with av.open(str(tmp_path / "b.mkv")) as clip:
            tags = {key.lower(): value for key, value in clip.metadata.items()}
        assert tags["title"] == "Sea"
        assert ("location" in tags) == keep


# --- Shapes and colours --------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(33, 47), (34, 47), (33, 46), (17, 16)])
def test_odd_sizes(tmp_path, height, width):
    # Grey, since colours lie at half the resolution, and a file so small loses many.
    pictures = [Image.fromarray(p).convert("L").resize((width, height)) for p in moving(3)]
    pictures = [np.asarray(p.convert("RGB")) for p in pictures]
    source = encode(tmp_path / "a.webm", pictures, codec="libvpx-vp9")
    video.stylise_video(source, tmp_path / "b.webm", same)
    assert stream_of(tmp_path / "b.webm")["size"] == (height, width)
    video.stylise_video(source, tmp_path / "b.mp4", same, quality=100)
    made = pictures_of(tmp_path / "b.mp4").astype(float)
    assert made.shape == (3, height + height % 2, width + width % 2, 3)
    assert np.abs(made[:, :height, :width] - pictures_of(source)).mean() < 4
    if height % 2:
        assert np.abs(made[:, -1] - made[:, -2]).mean() < 4


TURNS = [(90, False, False), (180, False, False), (-90, False, False), (0, True, False)]
TURNS += [(0, False, True), (90, True, False)]


@pytest.mark.parametrize("turn", TURNS)
def test_a_turned_clip_comes_upright_out(tmp_path, turn):
    stored = np.zeros((64, 96, 3), np.uint8)
    stored[:32, :48] = (220, 30, 30)
    stored[:32, 48:] = (30, 200, 60)
    stored[32:, :48] = (40, 40, 210)
    degrees, across, down = turn
    source = encode(tmp_path / "a.mp4", [stored] * 3, turn=turn, sample_aspect_ratio=Fraction(4, 3))
    video.stylise_video(source, tmp_path / "b.mp4", same)
    # Turned against the clock, as by numpy, and then mirrored.
    expected = np.rot90(stored, degrees // 90)
    expected = expected[:, ::-1] if across else expected
    expected = expected[::-1] if down else expected
    made = pictures_of(tmp_path / "b.mp4")[0]
    assert made.shape == expected.shape
    assert np.abs(made.astype(float) - expected).mean() < 6
    aspect = Fraction(3, 4) if degrees % 180 else Fraction(4, 3)
    assert stream_of(tmp_path / "b.mp4")["aspect"] == aspect
    assert all(not list(f.side_data) or f.rotation == 0 for f in frames_of(tmp_path / "b.mp4"))


def test_pixels_that_are_not_square(tmp_path):
    source = encode(tmp_path / "a.mp4", moving(2, 48, 60), sample_aspect_ratio=Fraction(16, 15))
    for suffix, aspect, width in ((".mp4", Fraction(16, 15), 60), (".mkv", Fraction(16, 15), 60)):
        video.stylise_video(source, tmp_path / f"b{suffix}", same)
        made = stream_of(tmp_path / f"b{suffix}")
        assert (made["aspect"], made["size"]) == (aspect, (48, width))
    video.stylise_video(source, tmp_path / "b.webm", same)
    made = stream_of(tmp_path / "b.webm")
    assert (made["aspect"] or 1, made["size"]) == (1, (48, 64))


@pytest.mark.parametrize(("aspect", "size"), [((16, 15), (45, 60)), ((8, 9), (48, 53))])
def test_a_gif_has_square_pixels(tmp_path, aspect, size):
    source = encode(tmp_path / "a.mp4", moving(2, 48, 60), sample_aspect_ratio=Fraction(*aspect))
    video.stylise_video(source, tmp_path / "b.gif", same)
    assert stream_of(tmp_path / "b.gif")["size"] == size


@pytest.mark.parametrize("matrix", list(MATRICES))
@pytest.mark.parametrize("full_range", [1, 2])
def test_colours_come_through_every_matrix_and_range(tmp_path, matrix, full_range):
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 30, 90)]
    colours += [(128, 128, 128), (240, 200, 160)]
    picture = np.repeat(np.repeat(np.array(colours, np.uint8)[None], 32, 0), 32, 1)
    source = encode(tmp_path / "a.mp4", [picture] * 2, colours=(matrix, full_range))
    seen = []

    def look(rgb):
        seen.append(rgb)
        return rgb

    video.stylise_video(source, tmp_path / "b.mp4", look, quality=100)
    made = stream_of(tmp_path / "b.mp4")
    assert (made["colours"], made["range"]) == ((1, 1, 1), 1)
    # By the formula of BT.709, and not by the code under test.
    luma, blue, red = planes_of(frames_of(tmp_path / "b.mp4")[1])
    rgb = from_bt709(luma, blue, red)
    for index, colour in enumerate(colours):
        at = 16, 32 * index + 16
        np.testing.assert_allclose(seen[1][at], colour, atol=5)
        np.testing.assert_allclose(rgb[at], colour, atol=5)


def planes_of(frame):
    planes = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        planes.append(rows[:, : plane.width].astype(float))
    return planes[0], *(np.kron(p, np.ones((2, 2))) for p in planes[1:])


def from_bt709(luma, blue, red):
    luma, blue, red = (luma - 16) / 219, (blue - 128) / 112, (red - 128) / 112
    r, b = luma + 0.7874 * red, luma + 0.9278 * blue
    g = (luma - 0.2126 * r - 0.0722 * b) / 0.7152
    return np.clip(255 * np.stack([r, g, b], -1), 0, 255)


def test_untouched_frames_neither_darken_nor_lose_their_colours(tmp_path):
    source = encode(tmp_path / "a.mp4", moving(4))
    video.stylise_video(source, tmp_path / "b.mp4", same, quality=100)
    old, new = (pictures_of(tmp_path / name).astype(float) for name in ("a.mp4", "b.mp4"))
    assert np.abs((new - old).mean((0, 1, 2))).max() < 0.35
    assert np.abs(new - old).mean() < 2.5


def test_quality_changes_the_size_of_the_file(tmp_path):
    source = encode(tmp_path / "a.mp4", moving(12))
    for suffix in (".mp4", ".webm"):
        sizes = []
        for quality in (30, 95):
            video.stylise_video(source, tmp_path / f"b{suffix}", same, quality=quality)
            sizes.append((tmp_path / f"b{suffix}").stat().st_size)
        assert sizes[0] < sizes[1] / 2


# --- Memory and progress -------------------------------------------------------------------------


def test_frames_are_let_go(tmp_path):
    source = encode(tmp_path / "a.mp4", moving(60))
    alive, most = weakref.WeakValueDictionary(), 0

    def count(rgb):
        nonlocal most
        alive[len(alive) + 1000 * id(rgb)] = rgb
        most = max(most, len(alive))
        return rgb

    video.stylise_video(source, tmp_path / "b.mp4", count)
    assert most < 4


PEAK = """
import re, sys
from fst.media import video
video.stylise_video(sys.argv[1], sys.argv[1] + ".mkv", lambda rgb: 255 - rgb)
# Not getrusage's, which begins with what the process that started this one had.
print(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1])
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads Linux's own numbers")
@pytest.mark.slow
def test_a_long_video_takes_no_more_memory_than_a_short_one(tmp_path):
    peaks = []
    for count in (60, 240):
        # 180 frames more are 70 MB as RGB.
        encode(tmp_path / f"{count}.mp4", moving(count, 270, 480), sounds=("aac",))
        done = run("-c", PEAK, tmp_path / f"{count}.mp4")
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] - peaks[0] < 25, peaks


def test_progress_is_told_how_many(tmp_path):
    source = encode(tmp_path / "a.mp4", moving(7))
    shown = []

    def progress(frames, total):
        for frame in frames:
            yield frame
            shown.append(total)

    video.stylise_video(source, tmp_path / "b.mp4", same, progress=progress)
    assert shown == [7] * 7


# --- Flicker -------------------------------------------------------------------------------------


def paint(picture):
    """Stands in for a network: what it is shown of noise, it makes three times as strong."""
    around = np.asarray(Image.fromarray(picture).resize((24, 16)).resize(picture.shape[1::-1]))
    return np.clip(around + 3.0 * (picture.astype(float) - around), 0, 255).astype(np.uint8)


def grainy(picture, seed, strength=5):
    noise = np.random.default_rng(seed).normal(0, strength, picture.shape)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


def test_flicker_is_the_mean_change_from_frame_to_frame():
    frames = [np.full((4, 5, 3), level, np.uint8) for level in (10, 14, 8)]
    assert steady.flicker(iter(frames)) == 5
    with pytest.raises(ValueError, match="two"):
        steady.flicker(frames[:1])


@pytest.mark.parametrize("strength", [2, 5, 10])
def test_a_still_scene_flickers_far_less(strength):
    scene = draw_photo(5, 160, 200)
    frames = [grainy(scene, seed, strength) for seed in range(12)]
    stylise = steady.Steady(paint)
    plain, calm = [paint(f) for f in frames], [stylise(f) for f in frames]
    assert steady.flicker(calm) < 0.25 * steady.flicker(plain)
    # And not by blurring: it is nearer to the painting of the scene without grain.
    clean = paint(scene).astype(float)
    assert np.abs(calm[-1] - clean).mean() < 0.6 * np.abs(plain[-1] - clean).mean()


def test_a_slow_fade_is_followed():
    scene = draw_photo(5, 96, 128) // 2
    frames = [grainy(scene + index, index, 3) for index in range(40)]
    stylise = steady.Steady(same)
    last = [stylise(frame) for frame in frames][-1]
    assert abs(last.mean() - frames[-1].mean()) < 6


def test_what_moves_leaves_no_ghost():
    scene, thing = draw_photo(5, 160, 240), draw_photo(8, 48, 48)
    stylise = steady.Steady(paint)
    for index in range(16):
        frame = scene.copy()
        at = 20 + 9 * index
        frame[60:108, at : at + 48] = thing
        frame = grainy(frame, index)
        calm, plain = stylise(frame).astype(float), paint(frame)
        if index:
            # Where the thing is and where it has just been the frame stands for itself.
            moved = slice(60, 108), slice(at - 9, at + 48)
            assert np.abs(calm[moved] - plain[moved]).mean() < 1
    trail = calm[60:108, at - 60 : at - 20]
    alone = paint(scene)[60:108, at - 60 : at - 20]
    assert np.abs(trail.mean((0, 1)) - alone.mean((0, 1))).max() < 4


def test_a_moving_camera_is_left_alone():
    frames = [grainy(f, index, 3) for index, f in enumerate(moving(10, 144, 192, step=4))]
    stylise = steady.Steady(paint)
    for frame in frames:
        calm = stylise(frame)
    assert np.abs(calm.astype(float) - paint(frame)).mean() < 1


def test_a_cut_starts_anew():
    stylise = steady.Steady(paint)
    for seed in range(4):
        stylise(grainy(draw_photo(5, 96, 128), seed))
    first = grainy(draw_photo(6, 96, 128), 9)
    np.testing.assert_array_equal(stylise(first), paint(first))
    other = draw_photo(7, 50, 70)
    np.testing.assert_array_equal(stylise(other), paint(other))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 70), (16, 17), (50, 33)])
def test_steady_takes_every_size(height, width):
    stylise = steady.Steady(same)
    for seed in range(3):
        assert stylise(draw_photo(seed, height, width)).shape == (height, width, 3)


# --- Damaged files and other failures ------------------------------------------------------------


def fails(source, target, stylise=same):
    """The one line that stylising fails with; nothing may be left of it."""
    before = sorted(target.parent.rglob("*"))
    with pytest.raises(UserError) as caught:
        video.stylise_video(source, target, stylise)
    assert sorted(target.parent.rglob("*")) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_files_that_are_no_video_fail_by_name(tmp_path):
    whole = encode(tmp_path / "whole.mp4", moving(24)).read_bytes()
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("not a video\n" * 100)
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    with av.open(str(tmp_path / "sound.mp4"), "w") as out:
        _add_tone(out, out.add_stream("aac", rate=48_000), 1, 220)
    for name in ("empty.mp4", "text.mp4", "cut.mp4", "sound.mp4", "none.mp4"):
        assert fails(tmp_path / name, tmp_path / "b.mp4").startswith(f"{tmp_path / name}: ")


def test_a_file_that_ends_early_gives_what_it_holds(tmp_path):
    source = encode(tmp_path / "a.mkv", moving(96, 192, 256), sounds=("aac",))
    data = source.read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(data[: len(data) // 2])
    notes = video.stylise_video(cut, tmp_path / "b.mp4", same)
    assert 10 < len(frames_of(tmp_path / "b.mp4")) < 90
    assert any("ends early" in note or "damaged" in note for note in notes)


def test_a_file_damaged_inside_gives_the_rest(tmp_path, cores):
    cores(32)  # So many threads would lose more.
    frames = moving(24)
    for codec, pixels in (("libx264", "yuv420p"), ("png", "rgb24")):
        source = encode(tmp_path / "a.mov", frames, codec=codec, pix_fmt=pixels)
        data = bytearray(source.read_bytes())
        middle = len(data) // 2
        data[middle : middle + 400] = np.random.default_rng(0).bytes(400)
        source.write_bytes(data)
        with clip.Clip(source) as opened:
            assert opened.video.codec_context.thread_count == 8
        notes = video.stylise_video(source, tmp_path / "b.mp4", same)
        assert notes == ("damaged in 1 place, 23 frames could be read",)
        assert len(frames_of(tmp_path / "b.mp4")) == 23


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError, ValueError])
def test_a_stop_leaves_the_old_file(tmp_path, stop):
    source = encode(tmp_path / "a.mp4", moving(8))
    target = tmp_path / "out" / "b.mp4"
    target.parent.mkdir()
    target.write_bytes(b"old")
    calls = []

    def stopped(rgb):
        calls.append(1)
        if len(calls) == 5:
            raise stop
        return rgb

    with pytest.raises(stop):
        video.stylise_video(source, target, stopped)
    assert [f.name for f in target.parent.iterdir()] == ["b.mp4"]
    assert target.read_bytes() == b"old"


FULL = """
import resource, sys
from fst.errors import UserError
from fst.media import video
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
try:
    video.stylise_video(sys.argv[1], sys.argv[2], lambda rgb: 255 - rgb)
except UserError as error:
    print(error, "/", type(error.__cause__).__name__, error.__cause__.errno)
"""


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_target_that_cannot_be_finished_leaves_nothing(tmp_path, suffix):
    source = encode(tmp_path / "a.mp4", moving(24))
    target = tmp_path / "out" / f"b{suffix}"
    done = forks.run("-c", FULL, source, target)
    assert done.stdout == f"{target}: cannot be written: File too large / OSError 27\n", done.stderr
    assert list(target.parent.iterdir()) == []


# --- The command ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def styles(tmp_path_factory):
    """A folder with a small untrained style, `waves`."""
    import keras

    from fst.checkpoint import Checkpoint
    from fst.models.network import build_network

    root = tmp_path_factory.mktemp("styles")
    keras.utils.set_random_seed(1)
    style = Checkpoint(root / "waves")
    style.write_weights(build_network(4))
    style.write_card({"format": 1, "name": "waves", "config": {"width": 4}})
    return root


@pytest.fixture
def command(styles, monkeypatch, capsys):
    """Runs `infer.py waves ARGUMENTS...` in this process; returns exit code, stdout, stderr."""
    before = signal.getsignal(signal.SIGTERM)

    def call(*arguments):
        words = ["infer.py", "waves", "--checkpoints", styles, *arguments]
        return run_here(infer.main, words, monkeypatch, capsys)

    yield call
    signal.signal(signal.SIGTERM, before)


def test_a_video_to_a_file_in_the_look_of_photos(command, styles, tmp_path):
    import fst

    source = encode(tmp_path / "a.mp4", moving(5, 64, 96), sounds=("aac",))
    target = tmp_path / "new" / "b.mp4"
    code, out, err = command(source, "-o", target, "--strength", 0.7, "--quality", 100)
    assert (code, out, err) == (0, f"1 of 1 stylised into {target}\n", "")
    waves, before = fst.load("waves", styles), pictures_of(source)
    expected = np.stack([waves(picture, strength=0.7) for picture in before]).astype(float)
    made = pictures_of(target)
    assert np.abs(made - expected).mean() < 0.3 * np.abs(before - expected).mean()
    assert sound_of(target) == sound_of(source)
    assert litter(tmp_path) == []


def test_videos_and_photos_to_a_folder(command, tmp_path):
    encode(tmp_path / "a.avi", moving(3, 64, 96), codec="mpeg4")
    encode(tmp_path / "b.MKV", moving(3, 64, 96))
    Image.fromarray(draw_photo(1, 40, 40)).save(tmp_path / "c.png")
    (tmp_path / "d.mp4").write_text("not a video")
    inputs = [tmp_path / name for name in ("a.avi", "b.MKV", "c.png", "d.mp4")]
    options = ("--max-size", 48, "--steady", "--format", "jpg")
    code, out, err = command(*inputs, "-o", tmp_path / "out", *options)
    assert code == 1
    assert err.startswith(f"failed: {tmp_path / 'd.mp4'}: is not a video")
    assert len(err.splitlines()) == 1
    assert out == f"3 of 4 stylised into {tmp_path / 'out'}; 1 failed\n"
    names = sorted(found.name for found in (tmp_path / "out").iterdir())
    assert names == ["a.mp4", "b.MKV", "c.jpg"]
    assert stream_of(tmp_path / "out" / "a.mp4")["size"] == (32, 48)
    assert len(frames_of(tmp_path / "out" / "b.MKV")) == 3
    (tmp_path / "out" / "a.mp4").write_bytes(b"kept")
    code, out, _ = command(inputs[0], "-o", f"{tmp_path / 'out'}/", "--skip-existing")
    assert (code, out.split("; ")[1]) == (0, "1 skipped, there already\n")
    assert (tmp_path / "out" / "a.mp4").read_bytes() == b"kept"


def test_steady_takes_the_flicker_out(command, tmp_path):
    scene = draw_photo(5, 96, 128)
    source = encode(tmp_path / "a.mp4", [grainy(scene, seed, 8) for seed in range(10)])
    flickers = []
    for options in ((), ("--steady",)):
        assert command(source, "-o", tmp_path / "b.mp4", "--quality", 100, *options)[0] == 0
        flickers.append(steady.flicker(pictures_of(tmp_path / "b.mp4")))
    assert flickers[1] < flickers[0] / 2


def test_a_folder_gives_its_photos_only(command, tmp_path):
    clip = encode(tmp_path / "in" / "a.mp4", moving(3)) if (tmp_path / "in").mkdir() is None else 0
    code, _, err = command(tmp_path / "in", "-o", tmp_path / "out")
    assert (code, "name its videos one by one" in err) == (2, True)
    Image.fromarray(draw_photo(1, 40, 40)).save(clip.with_name("c.png"))
    assert command(tmp_path / "in", "-o", tmp_path / "out")[0] == 0
    assert [found.name for found in (tmp_path / "out").iterdir()] == ["c.png"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("a.mp4", "-o", "b.jpg"), "--output b.jpg: the suffix names no format of a video"),
        (("a.mp4", "-o", "b.avi"), "--output b.avi: the suffix names no format of a video"),
        (("a.3gp", "-o", "b.jpg"), "--output b.jpg: the suffix names no format of a video"),
        (("a.png", "-o", "b.mp4"), "--output b.mp4: the suffix names a video, and a.png is none"),
        (("a.txt", "-o", "b.mkv"), "--output b.mkv: the suffix names a video, and a.txt is none"),
        (("http://a.org/a.gif", "-o", "b.mp4"), "a.gif is none (download it, if it moves)"),
        (("a.mp4", "-o", "b.mp4", "--contact-sheet"), "--contact-sheet is for photos"),
        (("http://a.org/a.mp4?x=1", "-o", "b.mp4"), "download the video and give the file"),
        (("a.mp4", "a.mkv", "-o", "b.mp4"), "--output b.mp4: names a file"),
        (
            ("http://ada:secret@a.org/a.png", "http://a.org/b.png", "-o", "b.jpg"),
            "names a file, but http://a.org/a.png http://a.org/b.png may be",
        ),
        (("a.mp4", "-o", "a.mp4"), "would be overwritten"),
        (("none.mp4", "-o", "b.mp4"), "none.mp4: no such file"),
    ],
)
def test_wrong_use_is_one_line(command, tmp_path, monkeypatch, arguments, complaint):
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "a.mkv", "a.3gp", "a.txt"):
        (tmp_path / name).write_bytes(b"x")
    Image.fromarray(draw_photo(1, 40, 40)).save("a.png")
    code, out, err = command(*arguments)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert complaint in err
    assert (tmp_path / "a.mp4").read_bytes() == b"x"


def moving_gif(path, height=48, width=64):
    pictures = [Image.fromarray(picture) for picture in moving(4, height, width)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100)
    return path


def test_what_a_file_is_decides_and_not_its_name(command, tmp_path):
    small = encode(tmp_path / "a.ts", moving(12, 48, 64))
    for name in ("a.flv", "nameless", "photo.jpg"):
        (tmp_path / name).write_bytes(small.read_bytes())
    Image.fromarray(draw_photo(1, 40, 40)).save(tmp_path / "c.png")
    (tmp_path / "c.png").rename(tmp_path / "film.mp4")
    inputs = [tmp_path / name for name in ("a.ts", "a.flv", "nameless", "photo.jpg", "film.mp4")]
    code, out, err = command(*inputs, "-o", tmp_path / "out")
    assert (code, out) == (0, f"5 of 5 stylised into {tmp_path / 'out'}\n")
    assert err == f"note: {tmp_path / 'a.flv'} becomes {tmp_path / 'out' / 'a-2.mp4'}\n"
    names = sorted(found.name for found in (tmp_path / "out").iterdir())
    assert names == ["a-2.mp4", "a.mp4", "film.jpg", "nameless.mp4", "photo.mp4"]
    for name in ("a-2.mp4", "a.mp4", "nameless.mp4", "photo.mp4"):
        assert len(frames_of(tmp_path / "out" / name)) == 12
    assert Image.open(tmp_path / "out" / "film.jpg").format == "JPEG"


def test_an_animation_moves_where_the_output_does(command, tmp_path):
    source = moving_gif(tmp_path / "a.gif")
    assert command(source, "-o", tmp_path / "b.mp4")[:2] == (
        0,
        f"1 of 1 stylised into {tmp_path / 'b.mp4'}\n",
    )
    assert len(frames_of(tmp_path / "b.mp4")) == 4
    code, _, err = command(source, "-o", tmp_path / "b.gif")
    assert (code, err) == (0, f"note: {source}: a GIF has 256 colours for each picture\n")
    with Image.open(tmp_path / "b.gif") as made:
        assert (made.n_frames, made.size) == (4, (64, 48))
    for name, options in (("c.png", ()), ("d.gif", ("--contact-sheet",))):
        code, _, err = command(source, "-o", tmp_path / name, *options)
        assert (code, err) == (0, f"note: {source}: animated, only its first picture is taken\n")
        with Image.open(tmp_path / name) as made:
            assert getattr(made, "n_frames", 1) == 1


def test_a_still_gif_stays_a_picture(command, tmp_path):
    Image.fromarray(draw_photo(1, 40, 40)).save(tmp_path / "a.gif")
    assert command(tmp_path / "a.gif", "-o", tmp_path / "b.gif")[::2] == (0, "")
    with Image.open(tmp_path / "b.gif") as made:
        assert made.n_frames == 1


def test_a_film_becomes_a_gif_of_a_size_for_chats(command, tmp_path):
    source = encode(tmp_path / "a.mp4", moving(3, 64, 800))
    code, _, err = command(source, "-o", tmp_path / "b.gif")
    assert (code, len(err.splitlines())) == (0, 2)
    assert "scaled to 640 px, since --max-size gives no other size" in err
    command(source, "-o", tmp_path / "c.gif", "--max-size", 700)
    for name, width in (("b.gif", 640), ("c.gif", 700)):
        with Image.open(tmp_path / name) as made:
            assert (made.n_frames, made.width) == (3, width)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "a.unknown"])
def test_a_pipe_among_videos_is_named(command, tmp_path, name):
    os.mkfifo(tmp_path / name)
    source = encode(tmp_path / "b.mp4", moving(3))
    code, out, err = command(tmp_path / name, source, "-o", tmp_path / "out")
    assert (code, out) == (1, f"1 of 2 stylised into {tmp_path / 'out'}; 1 failed\n")
    assert err.startswith(f"failed: {tmp_path / name}: is not a regular file")
    assert len(err.splitlines()) == 1


def test_too_little_memory_names_the_size_and_the_flag(command, loading, tmp_path):
    def exhausted(image, **_):
        raise MemoryError

    loading.by = lambda *_: {"waves": exhausted}
    source = encode(tmp_path / "a.mp4", moving(3))
    code, _, err = command(source, "-o", tmp_path / "b.mp4")
    assert code == 1
    assert "a.mp4: 128x96 px do not fit in memory; give --tile 256, or --max-size" in err


def test_a_bar_of_frames_on_a_terminal_only(command, tmp_path, on_a_terminal):
    source = encode(tmp_path / "a.mp4", moving(3))
    assert command(source, "-o", tmp_path / "b.mp4")[2] == ""
    on_a_terminal()
    assert "/3 [" in command(source, "-o", tmp_path / "b.mp4")[2]


@pytest.mark.slow
def test_a_killed_run_leaves_nothing(styles, tmp_path):
    source = encode(tmp_path / "a.mp4", moving(400, 192, 256))
    output = tmp_path / "out" / "b.mp4"
    process = forks.start("infer.py", styles / "waves", source, "-o", output)
    wait_for(lambda: litter(tmp_path))
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "stopped"
    assert list(output.parent.iterdir()) == []
