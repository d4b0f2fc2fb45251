"""Pictures side by side in one, with labels."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fst import files
from fst.media import images

GAP = 6  # px of white between the pictures
_FONT_SIZE = 22  # px


def draw_grid(rows, row_labels, column_labels=()):
    """Draws rows of pictures, each row as high as its highest picture or its label.

    Each column is as wide as its widest picture, or the longest word of its label.

    Args:
        rows: lists of pictures, `[H, W, 3]` in 0-255 of any sizes; None leaves a place empty.
        row_labels: a text for each row, drawn left of it; all empty for none.
        column_labels: a text for each column, drawn above; none when empty.

    Returns:
        uint8 `[H, W, 3]`.
    """
    pictures = [[_to_image(picture) for picture in row] for row in rows]
    columns = list(zip(*pictures, strict=True))
    widths = [max(picture.width for picture in column) for column in columns]
    heights = [max(picture.height for picture in row) for row in pictures]
    font = ImageFont.load_default(size=_FONT_SIZE)
    left_labels = [_wrap(label, font, 150) for label in row_labels]
    top_labels = [_wrap(label, font, w) for label, w in zip(column_labels, widths, strict=False)]
    # A place that stayed empty, or a small picture, is narrower than its label.
    for index, label in enumerate(top_labels):
        widths[index] = max(widths[index], _measure(label, font)[0])
    for index, label in enumerate(left_labels):
        heights[index] = max(heights[index], _measure(label, font)[1])
    left = max((_measure(label, font)[0] for label in left_labels), default=0)
    top = max((_measure(label, font)[1] for label in top_labels), default=0)
    left, top = left + 2 * GAP if left else 0, top + 2 * GAP if top else 0
    size = (
        left + sum(widths) + GAP * (len(widths) + 1),
        top + sum(heights) + GAP * (len(heights) + 1),
    )
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    x = left + GAP
    for label, width in zip(top_labels, widths, strict=False):
        place = (x + width // 2, top // 2 + GAP // 2)
        draw.multiline_text(place, label, "black", font, "mm", align="center")
        x += width + GAP
    y = top + GAP
    for label, row, height in zip(left_labels, pictures, heights, strict=True):
        draw.multiline_text((GAP * 2, y + height // 2), label, "black", font, "lm")
        x = left + GAP
        for picture, width in zip(row, widths, strict=True):
            sheet.paste(
                picture, (x + (width - picture.width) // 2, y + (height - picture.height) // 2)
            )
            x += width + GAP
        y += height + GAP
    return np.asarray(sheet)


def _to_image(picture):
    if picture is None:
        return Image.new("RGB", (1, 1), "white")
    picture = np.asarray(picture)
    if picture.dtype != np.uint8:
        picture = images.to_levels(picture)
    return Image.fromarray(picture)


def _wrap(label, font, width):
    """Breaks a label at spaces so that its lines are at most `width` px."""
    lines = []
    for word in map(files.shown, label.split()):
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)


def _measure(label, font):
    if not label:
        return 0, 0
    draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    _, _, right, bottom = draw.multiline_textbbox((0, 0), label, font)
    return round(right), round(bottom)
