#!/usr/bin/env python3
"""A trained style as a layer of a Keras model.

python -m fst.export gallery/udnie -o udnie
python examples/keras_layer.py udnie [-o classifier.keras]

Trains a small classifier that sees every picture in the manner of a painting, so that it must tell
things by their shape and not by their texture (the idea of Geirhos et al., "ImageNet-trained CNNs
are biased towards texture", 2019). Here they are discs and squares that the program draws. Then
saves the model, loads it again, and compares. Needs TensorFlow, with the Keras that comes with it.
"""

import argparse
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

SIZE = 32  # px: tiny, so that the example takes seconds


def build_classifier(saved_model, classes):
    """A model from photos, float32 `[B, H, W, 3]` in 0-255 of any size, to class probabilities.

    `keras.models.load_model` does not read SavedModels in Keras 3; a `TFSMLayer` holds one.
    """
    style = keras.layers.TFSMLayer(str(saved_model), call_endpoint="float", name="style")
    style.trainable = False  # Else `fit` would train the painter as well.

    image = keras.Input((None, None, 3), name="image")
    x = style(image)["stylized"]  # The layer gives what the signature gives: a dictionary.
    x = keras.layers.Resizing(SIZE, SIZE)(x)
    x = keras.layers.Rescaling(1 / 255)(x)
    for filters in (16, 32):
        x = keras.layers.Conv2D(filters, 3, strides=2, activation="relu")(x)
    x = keras.layers.Flatten()(x)
    return keras.Model(image, keras.layers.Dense(classes, activation="softmax")(x))


def draw_shapes(count, seed):
    """Discs (0) and squares (1) in random colours: float32 `[count, SIZE, SIZE, 3]`, labels."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    y, x = np.mgrid[:SIZE, :SIZE]
    pictures = np.empty((count, SIZE, SIZE, 3), np.float32)
    for picture, label in zip(pictures, labels, strict=True):
        down, right = abs(y - random.integers(13, 19)), abs(x - random.integers(13, 19))
        inside = np.maximum(down, right) < 9 if label else down**2 + right**2 < 10**2
        picture[:] = random.integers(0, 100, 3)
        picture[inside] = random.integers(155, 256, 3)
    return pictures, labels


def fail(text):
    print(f"error: {text}", file=sys.stderr)
    sys.exit(2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("saved_model", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("classifier.keras"))
    parser.add_argument("--epochs", type=int, default=15)
    args = parser.parse_args()
    if not (args.saved_model / "saved_model.pb").is_file():
        fail(f"{args.saved_model} is no SavedModel: python -m fst.export STYLE -o FOLDER makes one")
    if args.output.suffix != ".keras":
        fail(f"{args.output}: Keras saves models under names that end in .keras")
    if not args.output.parent.is_dir():
        fail(f"{args.output}: there is no folder {args.output.parent}")
    # A gallery's must be told the style with every picture.
    if "styles" in tf.saved_model.load(str(args.saved_model)).signatures:
        fail(f"{args.saved_model} holds several styles: export one, such as gallery/udnie")

    keras.utils.set_random_seed(1)
    model = build_classifier(args.saved_model.resolve(), classes=2)
    model.compile(
        keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    model.fit(*draw_shapes(64, seed=1), epochs=args.epochs, batch_size=16, verbose=0)
    pictures, labels = draw_shapes(32, seed=2)
    before = model.predict(pictures, verbose=0)
    print(f"{np.mean(before.argmax(1) == labels):.0%} of 32 new pictures are recognised correctly")

    model.save(args.output)
    # The file names the SavedModel's folder and does not hold it, so that the folder must stay.
    # Keras loads foreign code only when told to trust it.
    loaded = keras.models.load_model(args.output, safe_mode=False)
    after = loaded.predict(pictures, verbose=0)
    print(f"saved and loaded from {args.output}: differs by {np.abs(after - before).max():.1g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
