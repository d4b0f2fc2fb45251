#!/usr/bin/env python3
"""Stylises a folder of photos with ONNX Runtime, without TensorFlow.

python -m fst.export gallery/udnie --format onnx -o udnie.onnx
python examples/onnx_folder.py udnie.onnx PHOTOS OUTPUT [--size 512]

Needs NumPy, Pillow and onnxruntime, and starts in a fraction of a second.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


def load_photo(path, size):
    """One photo, upright, as uint8 `[1, H, W, 3]`, its long side at most `size` px."""
    if not path.is_file():
        raise OSError("is not a regular file")  # A pipe would be waited for.
    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file).convert("RGB")
    image.thumbnail((size, size))
    # The network's least is 16 px.
    image = image.resize([max(16, side) for side in image.size])
    return np.asarray(image)[None]


def fail(text):
    print(f"error: {text}", file=sys.stderr)
    sys.exit(2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--size", type=int, default=512, help="long side at most, px")
    args = parser.parse_args()
    paths = sorted(path for path in args.photos.glob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        fail(f"{args.photos} holds no photos ({' '.join(sorted(SUFFIXES))})")
    if args.output.resolve() == args.photos.resolve():
        fail(f"{args.output} is the folder of the photos: name another for the stylised ones")
    options = onnxruntime.SessionOptions()
    options.enable_mem_pattern = False  # It would keep memory for each new size of photo.
    try:
        session = onnxruntime.InferenceSession(
            args.model, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime raises kinds of its own.
        fail(f"{args.model} is no ONNX model: {str(error).splitlines()[0]}")

    try:
        args.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"{args.output} cannot be the folder of the stylised ones: {error.strerror}")
    failed = 0
    for path in paths:
        try:
            (stylised,) = session.run(["stylized"], {"image": load_photo(path, args.size)})
            Image.fromarray(stylised[0]).save(args.output / path.name, quality=92)
        except Exception as error:  # A damaged photo may raise nearly anything in Pillow.
            failed += 1
            print(f"failed: {path}: {error}", file=sys.stderr)
    print(f"{len(paths) - failed} of {len(paths)} stylised into {args.output}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
