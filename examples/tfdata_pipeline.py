#!/usr/bin/env python3
"""Stylises a folder of photos with a SavedModel, in a tf.data pipeline.

python -m fst.export gallery/udnie -o udnie
python examples/tfdata_pipeline.py udnie PHOTOS OUTPUT [--size 512]

    names ─► read, decode, resize ─► batches of equal sizes ─► network ─► single photos ─► encode

Reading and decoding go on in parallel while the network works. Needs TensorFlow alone.
"""

import argparse
import os
import sys
from pathlib import Path

import tensorflow as tf

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif"}  # What tf.io.decode_image reads.
SIZE_KEY = tf.constant([2**32, 1], tf.int64)  # Height and width in one number.


def load_photo(path, size):
    """Reads one photo as uint8 `[H, W, 3]`, its long side at most `size` px.

    TensorFlow does not turn a photo upright by its EXIF tag; `infer.py` does.
    """
    photo = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
    shape = tf.cast(tf.shape(photo)[:2], tf.float32)
    scale = tf.minimum(1.0, size / tf.reduce_max(shape))
    target = tf.maximum(16, tf.cast(tf.round(shape * scale), tf.int32))  # The network's least.
    resized = tf.image.resize(photo, target, antialias=True)
    return tf.cast(tf.round(tf.clip_by_value(resized, 0.0, 255.0)), tf.uint8)


def pipeline(model, paths, size=512, batch_size=4):
    """A dataset of `(path, stylised photo as JPEG)`; photos that cannot be read are left out.

    Args:
        model: the SavedModel, as `tf.saved_model.load` returns it.
        paths: a list of files.
        size: long side at most, px.
        batch_size: photos at most that go through the network together.
    """
    stylise = model.signatures["serving_default"]
    photos = tf.data.Dataset.from_tensor_slices(paths)
    photos = photos.map(
        lambda path: (path, load_photo(path, size)), num_parallel_calls=tf.data.AUTOTUNE
    ).ignore_errors()
    # A batch is one tensor, so that its photos must have the same size: gather them by size.
    batches = photos.group_by_window(
        key_func=lambda _, photo: tf.tensordot(tf.shape(photo, tf.int64)[:2], SIZE_KEY, 1),
        reduce_func=lambda _, same_size: same_size.batch(batch_size),
        window_size=batch_size,
    ).prefetch(1)
    stylised = batches.map(lambda path, batch: (path, stylise(image=batch)["stylized"])).unbatch()
    return stylised.map(
        lambda path, picture: (path, tf.io.encode_jpeg(picture, quality=92)),
        num_parallel_calls=tf.data.AUTOTUNE,
    ).prefetch(tf.data.AUTOTUNE)


def fail(text):
    print(f"error: {text}", file=sys.stderr)
    sys.exit(2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("saved_model", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--size", type=int, default=512, help="long side at most, px")
    parser.add_argument("--batch-size", type=int, default=4)
    args = parser.parse_args()
    if not (args.saved_model / "saved_model.pb").is_file():
        fail(f"{args.saved_model} is no SavedModel: python -m fst.export STYLE -o FOLDER makes one")
    paths = sorted(path for path in args.photos.glob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        fail(f"{args.photos} holds no photos ({' '.join(sorted(SUFFIXES))})")
    if args.output.resolve() == args.photos.resolve():
        fail(f"{args.output} is the folder of the photos: name another for the stylised ones")
    if args.size < 16 or args.batch_size < 1:
        fail("--size is at least 16, --batch-size at least 1")

    try:
        args.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"{args.output} cannot be the folder of the stylised ones: {error.strerror}")
    model = tf.saved_model.load(str(args.saved_model))
    if "styles" in model.signatures:  # As a gallery's has, which must be told the style each time.
        fail(f"{args.saved_model} holds several styles: export one, such as gallery/udnie")
    left = {os.fsencode(path) for path in paths}  # Bytes, since a name need not be text.
    files = sorted(path for path in left if os.path.isfile(path))  # A pipe would be waited for.
    stylised = pipeline(model, files, args.size, args.batch_size) if files else ()
    for path, jpeg in stylised:
        source = Path(os.fsdecode(path.numpy()))
        is_jpeg = source.suffix.lower() in (".jpg", ".jpeg")
        (args.output / (source.name + ".jpg" * (not is_jpeg))).write_bytes(jpeg.numpy())
        left.remove(path.numpy())
    print(f"{len(paths) - len(left)} of {len(paths)} stylised into {args.output}")
    for path in sorted(left):
        print(f"failed: {os.fsdecode(path)} cannot be read as a picture", file=sys.stderr)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
