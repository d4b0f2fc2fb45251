#!/usr/bin/env python3
r"""How good trained styles are, in numbers and for the eye, on photos that they never saw.

    python benchmarks/quality.py great_wave=great_wave.jpg udnie=udnie.jpg --photos a.jpg b.jpg
    python benchmarks/quality.py udnie=udnie.jpg --photos photos/ --peers udnie=theirs/ \
        --sheet blind.png

Each style is given with its style image. The losses are relative, in float32: content at relu4_2,
style layer by layer and as the mean of the layers. SSIM is that of photo and picture in grey, and
`lattice` the energy in step with the network's grid of 4 px, in squared grey levels, less what
grids of 3 and 5 px find by chance. Photos have a long side of --size px, the style image of
--style-size. Without --photos the packaged sample photos are taken.

--peers gives other pictures of the same photos, such as another program's, in files of the photos'
names: they get a line of their own under each style. --sheet lays both side by side, which is left
and which is right by chance; a text file beside the sheet holds the key.
"""

import argparse
import os
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import numpy as np

import fst
from fst import errors, files, metrics
from fst.errors import UserError
from fst.loss_options import EMBEDDED
from fst.media import grid, images, samples
from fst.models.lattice import lattice_energy
from fst.models.perceptual import STYLE_LAYERS, gram_matrix, load_vgg19


def measure(photo, picture, features, targets, layers):
    """Content, SSIM, lattice, and style by layer of one picture, `[3 + layers]`."""
    wanted = np.asarray(features(photo[None], ("relu4_2",))[0])
    content, *found = features(picture[None], ("relu4_2", *layers))
    style = [
        np.sum((np.asarray(gram_matrix(f)) - t) ** 2) / np.sum(t**2)
        for f, t in zip(found, targets, strict=True)
    ]
    relative = np.sum((np.asarray(content) - wanted) ** 2) / np.sum(wanted**2)
    return [relative, metrics.ssim_luma(photo, picture), lattice(picture), *style]


def lattice(picture):
    """The energy in step with the network's grid, beyond what other grids find, grey levels²."""
    at = {period: np.mean(lattice_energy(picture[None], period)) for period in (3, 4, 5)}
    return at[4] - (at[3] + at[5]) / 2


def open_photos(given, size):
    """The photos to measure on, by name."""
    if not given:
        return samples.load(size)
    paths = []
    for place in map(Path, given):
        inside = sorted(path for path in place.iterdir()) if place.is_dir() else [place]
        paths += [path for path in inside if path.is_file()]
    if not paths:
        raise UserError(f"--photos: there are no files in {' '.join(map(str, given))}")
    return {path.stem: images.load_rgb(path, size) for path in paths}


def open_peers(folder, photos):
    """The peer's picture of every photo, at the photo's size."""
    found = {path.stem: path for path in Path(folder).iterdir()}
    missing = [name for name in photos if name not in found]
    if missing:
        raise UserError(f"--peers: {folder} has no picture of {', '.join(missing)}")
    peers = {}
    for name, photo in photos.items():
        height, width = photo.shape[:2]
        peer = images.load_rgb(found[name])
        if peer.shape != photo.shape:
            print(f"note: {found[name]} is scaled to {width}x{height} px, as its photo is")
            peer = images.resize(peer, height, width)
        peers[name] = peer
    return peers


def draw_sheet(path, photos, ours, theirs, seed):
    """Writes the photo and the two pictures of it, sides by chance, and the key beside it."""
    chance = random.Random(seed)
    rows, key = [], []
    for name in photos:
        pair = [("ours", ours[name]), ("theirs", theirs[name])]
        chance.shuffle(pair)
        key.append(f"{name}: left {pair[0][0]}, right {pair[1][0]}\n")
        rows.append([photos[name], *(picture for _, picture in pair)])
    sheet = grid.draw_grid(rows, list(photos), ("photo", "left", "right"))
    images.save_picture(path, sheet)
    with files.atomic_path(path.with_suffix(".key.txt")) as temporary:
        temporary.write_text("".join(key), encoding="utf-8")


def show(name, rows):
    content, ssim, energy, *terms = np.mean(rows, axis=0)
    by_layer = "  ".join(f"{term:7.4f}" for term in terms)
    print(
        f"{name:28}{content:7.3f}{ssim:7.3f}{np.mean(terms):8.4f}{energy:9.2f}  {by_layer}",
        flush=True,
    )


def read_pairs(given, what):
    pairs = {}
    for text in given:
        name, _, value = text.rpartition("=")
        if not name:
            raise UserError(f"'{text}': give a style and its {what}, as in udnie={what}")
        pairs[name] = value
    return pairs


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("styles", nargs="+", help="STYLE=STYLE_IMAGE, as infer.py calls the style")
    parser.add_argument("--photos", nargs="*", default=[], help="photos or folders to measure on")
    parser.add_argument("--peers", nargs="*", default=[], help="STYLE=FOLDER of other pictures")
    parser.add_argument("--sheet", type=Path, help="picture to write for the eye; needs --peers")
    parser.add_argument("--seed", type=int, help="of the sheet's sides; by default by chance")
    parser.add_argument("--size", type=int, default=512, help="long side of the photos, in px")
    parser.add_argument("--style-size", type=int, default=512, help="of the style image, in px")
    parser.add_argument("--style-layers", nargs="+", default=STYLE_LAYERS)
    parser.add_argument("--vgg-weights", default=EMBEDDED, help="as for train.py")
    parser.add_argument("--checkpoints", default="checkpoints")
    arguments = parser.parse_args()
    styles, peers = read_pairs(arguments.styles, "image"), read_pairs(arguments.peers, "folder")
    photos = open_photos(arguments.photos, arguments.size)
    features, layers = load_vgg19(arguments.vgg_weights), tuple(arguments.style_layers)
    print(f"{'style':28}content   ssim   style  lattice  " + "  ".join(layers))
    for name, picture in styles.items():
        stylise = fst.load(name, arguments.checkpoints, engine="auto")
        style = images.load_rgb(picture, arguments.style_size)
        targets = [np.asarray(gram_matrix(found)) for found in features(style[None], layers)]
        sides = {name: {key: stylise(photo) for key, photo in photos.items()}}
        if name in peers:
            sides[f"{name}, theirs"] = open_peers(peers[name], photos)
        for side, pictures in sides.items():
            rows = [
                measure(photo, pictures[key].astype(np.float32), features, targets, layers)
                for key, photo in photos.items()
            ]
            show(side, rows)
        if arguments.sheet and name in peers:
            sheet = arguments.sheet.with_stem(f"{arguments.sheet.stem}_{name.replace('/', '_')}")
            draw_sheet(sheet, photos, *sides.values(), arguments.seed)
    return 0


if __name__ == "__main__":
    errors.run(main)
