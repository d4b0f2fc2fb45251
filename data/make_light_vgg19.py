#!/usr/bin/env python3
"""Makes the light loss network of the package: nearly VGG19's features, for 2/5 of the arithmetic.

    python data/make_light_vgg19.py --photos photos/ --paintings paintings/
    python data/make_light_vgg19.py --photos photos/ --paintings paintings/ --measure

Reads the VGG19 of the package, writes `fst/models/weights/vgg19_light.npz` and prints how far its
features are from VGG19's on pictures that it was not made with; with --measure it only prints.

The responses of a convolution lie near a plane of fewer dimensions than it has channels. So each
but the first becomes two: one of 3x3 to the coordinates in that plane, and one of 1x1 from there to
all channels (Zhang et al., "Accelerating Very Deep Convolutional Networks for Classification and
Detection", 2015, section 2.1). The plane is that of the least squared error between the responses
of VGG19 and those of the light network, whose layers before are made already: so each makes good,
as far as it can, for the errors of those before it (section 2.3, here without the rectifier).
Kernels are rounded to 8 bits.

Half of the pictures are photos in styles of the gallery, since those are what a loss looks at.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import keras
import numpy as np
from keras import ops

import fst
from data.make_vgg19 import ABOUT, LAYERS, ROOT, best_scale, quantise, relative_error
from fst import errors, files
from fst.media import folders, images
from fst.models import vgg19
from fst.models.perceptual import Vgg19Features, gram_matrix

CHANNELS = {
    "block1_conv2": 16,
    "block2_conv1": 32,
    "block2_conv2": 64,
    "block3_conv1": 96,
    "block3_conv2": 112,
    "block3_conv3": 72,
    "block3_conv4": 72,
    "block4_conv1": 112,
    "block4_conv2": 160,
}
"""How many coordinates stand between the two convolutions: those that a few trials on the errors of
the Gram matrices and of relu4_2 at the same cost left."""

STYLES = (
    "great_wave",
    "udnie",
    "the_scream",
    "starry_night",
    "stained_glass",
    "pen_sketch",
    "mosaic_ducks",
    "seurat_grande_jatte",
)

_SIDE = 192  # px, of the crops that are looked at
_BATCH = 4
_DAMPING = 1e-6  # of the responses' mean energy


def collect(photos, paintings=None, count=48, skip=0):
    """Crops to fit the network to: photos, the same photos in styles, and paintings.

    Args:
        photos, paintings: folders; no paintings where there is no folder of them.
        count: of the photos.
        skip: how many files of the folder are passed over before the first.

    Returns:
        float32 `[N, 192, 192, 3]`, 0-255.

    Raises:
        UserError: a folder is not there, a picture cannot be read, or none is large enough.
    """
    paths = folders.find_images(photos)
    stylise = [fst.load(name, ROOT / "checkpoints") for name in STYLES]
    found = []
    for index, path in enumerate(paths[skip :: max(1, len(paths) // count)][:count]):
        photo = images.load_rgb(path)[:_SIDE, :_SIDE].astype(np.float32)
        found += [photo, stylise[index % len(stylise)](photo)]
    for path in folders.find_images(paintings) if paintings else []:
        found.append(images.load_rgb(path, 512)[:_SIDE, :_SIDE].astype(np.float32))
    large = [picture for picture in found if picture.shape == (_SIDE, _SIDE, 3)]
    if not large:
        raise errors.UserError(f"{photos}: holds too few pictures of {_SIDE} x {_SIDE} px and more")
    return np.stack(large)


def make(network, pictures, channels):
    """Makes the layers one after the other, each from what those before it give.

    Args:
        network: VGG19, a `keras.Model` as `fst.models.vgg19.load_network` gives it.
        pictures: float32 `[N, H, W, 3]`, 0-255.
        channels: as `CHANNELS`; layers that are not in it stay as they are.

    Returns:
        A dictionary for `fst.models.vgg19.write_quantised`.
    """
    names = [layer.name for layer in network.layers if layer.name in vgg19.NAMES]
    pixels = keras.applications.vgg19.preprocess_input(pictures.copy())
    full = [pixels[start : start + _BATCH] for start in range(0, len(pixels), _BATCH)]
    light, made = list(full), {}
    for name, before in zip(names, [names[0], *names], strict=False):
        if name[:6] != before[:6]:  # Another block.
            full, light = [[ops.max_pool(x, 2) for x in maps] for maps in (full, light)]
        kernel, bias = network.get_layer(name).get_weights()
        wanted = [_convolved(x, kernel) for x in full]
        if name in channels:
            coordinates = _plane(wanted, [_convolved(x, kernel) for x in light], channels[name])
            levels = _rounded(kernel @ coordinates.T.astype(np.float32))
            light = [_convolved(x, vgg19.dequantise(*levels)) for x in light]
            wide, shift, _ = _least_squares(wanted, light)
            levels += _rounded(wide.T[None, None].astype(np.float32))
            made[name] = *levels, (bias + shift).astype(np.float32)
        else:
            made[name] = *_rounded(kernel), bias
        last = vgg19.dequantise(*made[name][-3:-1])
        light = [ops.relu(_convolved(x, last) + made[name][-1]) for x in light]
        full = [ops.relu(x + bias) for x in wanted]
        print(f"{name}: {channels.get(name, 'all')} of {len(bias)}", flush=True)
    return made


def _convolved(x, kernel):
    return ops.conv(x, kernel, padding="same")


def _rounded(kernel):
    scale = best_scale(kernel)
    return quantise(kernel, scale, None), scale


def _plane(wanted, given, count):
    """The coordinates `[count, D]` of `given` from which `wanted` is found best.

    Of all matrices of this rank the one with the least squared error (reduced-rank regression).
    """
    pull, _, covariance = _least_squares(wanted, given)
    directions = np.linalg.eigh(pull @ covariance.T)[1][:, ::-1][:, :count]
    return directions.T @ pull


def _least_squares(wanted, given):
    """The matrix `[D, E]` and the shift `[D]` by which `given` comes nearest to `wanted`.

    And the covariance of the two, `[D, E]`.
    """
    energy, covariance = _covariance(given, given), _covariance(wanted, given)
    energy += _DAMPING * np.mean(np.diag(energy)) * np.eye(len(energy))
    matrix = np.linalg.solve(energy, covariance.T).T
    return matrix, _mean(wanted) - matrix @ _mean(given), covariance


def _flat(x):
    return ops.convert_to_numpy(ops.reshape(x, (-1, x.shape[-1])))


def _mean(maps):
    return np.mean(np.concatenate([_flat(x).mean(0, np.float64)[None] for x in maps]), 0)


def _covariance(one, other):
    """`[D, E]` over all positions; the batches are of one size, but for the last."""
    count = sum(_flat(x).shape[0] for x in one)
    middle, other_middle = _mean(one).astype(np.float32), _mean(other).astype(np.float32)
    pairs = zip(one, other, strict=True)
    sums = ((_flat(x) - middle).T @ (_flat(y) - other_middle) for x, y in pairs)
    return sum(part.astype(np.float64) for part in sums) / count


# --- Measuring -----------------------------------------------------------------------------------


def errors_of(full, light, pictures):
    """Relative errors: of the Gram matrices of the style layers, and of the map of relu4_2.

    Args:
        full, light: two `Vgg19Features`.
        pictures: float32 `[N, H, W, 3]`, 0-255.

    Returns:
        `[N, layers]`, `‖light − full‖² / ‖full‖²`.
    """
    rows = []
    for picture in pictures:
        maps = [features(picture[None], LAYERS) for features in (full, light)]
        pairs = [[*map(gram_matrix, found[:-1]), found[-1]] for found in maps]
        rows.append([relative_error(f, g) for f, g in zip(*pairs, strict=True)])
    return np.array(rows)


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder, searched recursively")
    parser.add_argument("--paintings", type=Path, required=True, help="folder")
    parser.add_argument("--output", type=Path, default=vgg19.LIGHT_PATH, help="file to write")
    parser.add_argument("--measure", action="store_true", help="measure the file that is there")
    return parser.parse_args()


def main():
    arguments = read_arguments()
    full = Vgg19Features()
    if not arguments.measure:
        chosen = collect(arguments.photos, arguments.paintings)
        made = make(full.network, chosen, CHANNELS)
        with files.atomic_path(arguments.output) as path, path.open("wb") as file:
            vgg19.write_quantised(file, made, f"a light form of: {ABOUT}")
        print(f"{arguments.output}: {arguments.output.stat().st_size:,} bytes")
    others = collect(arguments.photos, count=12, skip=7)
    found = errors_of(full, Vgg19Features(str(arguments.output)), others)
    print(
        f"\nrelative errors on {len(others)} photos and stylised photos, the Gram matrices' first"
    )
    for layer, column in zip(LAYERS, found.T, strict=True):
        print(f"{layer:10}{column.mean():10.1e}{column.max():10.1e}")
    return 0


if __name__ == "__main__":
    errors.run(main)
