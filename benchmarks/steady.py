#!/usr/bin/env python3
"""What `--steady` takes out of a stylised video's flicker, and what it costs where things move.

    python benchmarks/steady.py udnie great_wave stained_glass

Films the cat of scikit-image, 432×288 px, with a camera that stands, pans or shakes, adds grain,
sends the film through H.264 where a CRF is named, and stylises every frame, with `Steady` and
without. Prints tables in Markdown: flicker in grey levels (`fst.stylize.steady.flicker`), sharpness
(the mean difference of neighbouring pixels, grey levels), and the SSIM of both pictures of a frame.
"""

import argparse
import io
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import av
import numpy as np
from PIL import Image
from skimage import data

import fst
from fst.media import images
from fst.metrics import ssim_luma
from fst.stylize.steady import Steady, flicker

WIDTH, HEIGHT, FRAMES = 432, 288, 16
STILL = (5, None), (5, 18), (5, 23), (12, 26)  # grain, in grey levels, and CRF

# Name, px from frame to frame (sideways, or at random where the hand shakes), grain, CRF.
MOVING = (
    ("pan of 4 px a frame", 4, 4, None),
    ("pan of 1 px a frame", 1, 4, None),
    ("pan of 1/4 px a frame", 0.25, 4, None),
    ("pan of 1/4 px a frame", 0.25, 0, None),
    ("shaking hand, 0.7 px", "shake", 4, 20),
)


def view(left=0.0, top=0.0):
    """The scene from a place `(left, top)` px off, float32 `[HEIGHT, WIDTH, 3]`."""
    cat = Image.fromarray(data.chelsea()).resize((512, 341), Image.Resampling.LANCZOS)
    box = (left + 4, top + 20, left + 4 + WIDTH, top + 20 + HEIGHT)
    return np.float32(cat.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, box))


def film(scenes, grain, crf):
    """`scenes` as a camera gives them: with grain of its own in every frame, uint8."""
    random = np.random.default_rng(0)
    frames = [images.to_levels(s + random.normal(0, grain, s.shape)) for s in scenes]
    return frames if crf is None else through_h264(frames, crf)


def through_h264(frames, crf):
    held = io.BytesIO()
    with av.open(held, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": str(crf)})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode(None))
    held.seek(0)
    with av.open(held) as source:
        return [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]


def moves(how):
    """Where the camera looks in each frame, px."""
    if how == "shake":
        return np.random.default_rng(1).normal(0, 0.7, (FRAMES, 2))
    return [(how * index, 0) for index in range(FRAMES)]


def both_ways(stylise, frames):
    """The frames stylised one by one, and by `Steady`."""
    calm = Steady(stylise)
    return [stylise(frame) for frame in frames], [calm(frame) for frame in frames]


def sharpness(pictures):
    return np.mean([np.abs(np.diff(np.float32(p), axis=1)).mean() for p in pictures])


def table_of_still(styles):
    films = [film([view()] * FRAMES, grain, crf) for grain, crf in STILL]
    heads = [f"noise {grain}, {f'CRF {crf}' if crf else 'uncompressed'}" for grain, crf in STILL]
    print(row("flicker without, with `--steady`", *heads), row(*["---"] * 5), sep="\n")
    print(row("the film itself", *[f"{flicker(frames):.2f}" for frames in films]))
    for style in styles:
        pairs = [map(flicker, both_ways(fst.load(style), frames)) for frames in films]
        print(row(f"`{style}`", *["{:.2f}, {:.2f}".format(*pair) for pair in pairs]), flush=True)


def table_of_moving(style):
    stylise = fst.load(style)
    print("\n" + row(f"clip, `{style}`", "sharpness", "SSIM of the two", "flicker"))
    print(row(*["---"] * 4))
    for name, how, grain, crf in MOVING:
        plain, calm = both_ways(stylise, film([view(*at) for at in moves(how)], grain, crf))
        alike = np.mean([ssim_luma(a, b) for a, b in zip(plain[1:], calm[1:], strict=True)])
        pairs = [f"{measure(plain):.2f}, {measure(calm):.2f}" for measure in (sharpness, flicker)]
        what = f"{name}, noise {grain}" + (f", CRF {crf}" if crf else "")
        print(row(what, pairs[0], f"{alike:.3f}", pairs[1]), flush=True)


def what_moves(style):
    """An object that goes 6 px a frame over the scene: how both ways differ behind it and on it.

    Without grain, which `Steady` would average away behind it.
    """
    thing, scenes, spans = view()[64:128, 150:214], [], []
    for index in range(FRAMES):
        left = 40 + 6 * index
        scene = view()
        scene[100:164, left : left + 64] = thing
        scenes.append(scene)
        spans.append((slice(left - 40, left - 6), slice(left, left + 64)))
    plain, calm = both_ways(fst.load(style), film(scenes, 0, None))
    apart = [
        [np.abs(np.float32(a[100:164, part]) - b[100:164, part]).mean() for part in parts]
        for a, b, parts in zip(plain[8:], calm[8:], spans[8:], strict=True)
    ]
    behind, on = np.mean(apart, axis=0)
    print(f"\nmoving object, `{style}`: {behind:.2f} grey levels behind it, {on:.2f} on it")


def row(*cells):
    return f"| {' | '.join(cells)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    usual = ["udnie", "great_wave", "stained_glass"]
    parser.add_argument("styles", nargs="*", default=usual, help="the second table is of the first")
    styles = parser.parse_args().styles
    table_of_still(styles)
    table_of_moving(styles[0])
    what_moves(styles[0])


if __name__ == "__main__":
    main()
