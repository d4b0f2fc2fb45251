#!/usr/bin/env python3
r"""Stylises a photo with TensorFlow Serving, over its REST API.

Start the server, with a gallery's SavedModel as version 1 of the model `gallery`:

    docker run --rm -p 8501:8501 -e MODEL_NAME=gallery \
        -v "$PWD/checkpoints/gallery/saved_model:/models/gallery/1:ro" tensorflow/serving

and ask it:

    python examples/serving_request.py photo.jpg -o stylised.png --style udnie

A SavedModel of one style, as `python -m fst.export gallery/udnie -o udnie` makes it, is served
likewise, and asked without --style:

    python examples/serving_request.py photo.jpg -o stylised.png --model udnie

Needs NumPy, Pillow and requests. JSON takes about four bytes for each of a picture's numbers,
12 MB for 1000x1000 px; gRPC (the package tensorflow-serving-api) takes one.
"""

import argparse
import sys

import numpy as np
import requests
from PIL import Image, ImageOps


class ServingError(Exception):
    """One line: what is wrong, and what to do."""


def stylise(photo, url="http://localhost:8501", model="gallery", style=None, timeout=120):
    """Asks the server for a stylised photo.

    Args:
        photo: uint8 `[H, W, 3]`, at least 16 px on each side.
        url: of the server's REST API.
        model: its name there.
        style: the style's name, where the model holds several.
        timeout: seconds to wait for the answer.

    Returns:
        uint8 `[H, W, 3]`.

    Raises:
        ServingError: the server cannot be reached, or it refuses.
    """
    # "inputs" is a batch for the signature's only input, and "outputs" one of its only output.
    request = {"signature_name": "serving_default", "inputs": photo[None].tolist()}
    if style is not None:
        inputs = {"image": photo[None].tolist(), "style": [style]}
        request = {"signature_name": "names", "inputs": inputs}
    address = f"{url.rstrip('/')}/v1/models/{model}:predict"
    try:
        answer = requests.post(address, json=request, timeout=timeout)
    except requests.Timeout:
        raise ServingError(f"{address} has not answered within {timeout} s") from None
    except (requests.RequestException, ValueError):
        raise ServingError(f"{address} cannot be reached: is the server running?") from None
    try:
        body = answer.json()
        if answer.ok:
            return np.asarray(body["outputs"], np.uint8)[0]
        reason = body["error"]
    except (ValueError, KeyError, TypeError):  # Some other server's answer.
        reason = f"{answer.status_code} {answer.reason}"
    raise ServingError(f"{address} answers: {' '.join(str(reason).split())[:300]}")


def fail(text):
    print(f"error: {text}", file=sys.stderr)
    sys.exit(2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photo")
    parser.add_argument("-o", "--output", default="stylised.png")
    parser.add_argument("--url", default="http://localhost:8501", help="of the REST API")
    parser.add_argument("--model", default="gallery", help="the model's name on the server")
    parser.add_argument("--style", help="the style's name, where the model holds several")
    parser.add_argument("--size", type=int, default=512, help="long side at most, px")
    args = parser.parse_args()
    try:
        with Image.open(args.photo) as file:
            image = ImageOps.exif_transpose(file).convert("RGB")
    except OSError as error:
        fail(f"{args.photo} cannot be read: {error}")
    image.thumbnail((args.size, args.size))
    try:
        stylised = stylise(np.asarray(image), args.url, args.model, args.style)
        Image.fromarray(stylised).save(args.output)
    except (ServingError, OSError, ValueError) as error:
        fail(str(error))
    print(f"{args.output}: {stylised.shape[1]}x{stylised.shape[0]} px")
    return 0


if __name__ == "__main__":
    sys.exit(main())
