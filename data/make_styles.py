"""
Draw the project's own style pictures, procedurally and reproducibly.

    python data/make_styles.py                       # all of them, into data/styles
    python data/make_styles.py --only stained_glass  # one of them

A style picture is seen by the trainer only through Gram matrices of VGG features, that is through
its palette and its local texture. So every picture here fills the whole sheet with detail between
about 5 and 40 pixels, in few, strong colours, and leaves no plain area anywhere.

Everything is drawn at twice the wanted size in a unit square (x to the right, y downwards) and
reduced at the end, which gives clean edges without any anti-aliasing code. Each picture has a
random generator of its own, so the same library versions write the same bytes every time.
"""

import argparse
import io
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from styles_made.flow_strokes import flow_strokes
from styles_made.sheet import REFERENCE_SIZE, Array, Sheet
from styles_made.stained_glass import stained_glass
from styles_made.woodcut import woodcut

MAX_BYTES = 395_000

STYLES: dict[str, tuple[Callable[[Sheet], Array], int]] = {
    "stained_glass": (stained_glass, 7),
    "flow_strokes": (flow_strokes, 11),
    "woodcut": (woodcut, 5),
}


def encode(colour: Array, size: int) -> bytes:
    """Reduce to the final size and encode as the best JPEG that keeps within the size limit."""
    picture = Image.fromarray((np.clip(colour, 0, 1) * 255 + 0.5).astype(np.uint8))
    picture = picture.resize((size, size), Image.Resampling.LANCZOS)
    for quality in range(93, 60, -2):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= MAX_BYTES:
            break
    return buffer.getvalue()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees all of the old one or all of the new one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)  # mkstemp makes files that only their owner can read
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the style pictures of this project.")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "styles")
    parser.add_argument("--only", choices=sorted(STYLES), help="draw this picture only")
    parser.add_argument("--size", type=int, default=REFERENCE_SIZE, help="width and height")
    options = parser.parse_args()
    if options.size < 64:
        parser.error("--size must be at least 64")
    options.output.mkdir(parents=True, exist_ok=True)
    for name in [options.only] if options.only else STYLES:
        draw, seed = STYLES[name]
        start = time.perf_counter()
        content = encode(draw(Sheet(options.size, seed)), options.size)
        path = options.output / f"{name}.jpg"
        write_atomically(path, content)
        print(f"{path}: {len(content) / 1024:.0f} KiB in {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
