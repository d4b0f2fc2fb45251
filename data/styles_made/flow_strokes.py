"""Flow strokes: an evening sky that whirls over the sea, in thick paint."""

import numpy as np

from styles_made.sheet import (
    TAU,
    Array,
    Ramp,
    Sheet,
    palette,
    relief,
    smoothstep,
)

HORIZON = 0.60
EVENING_SUN = (0.335, 0.455)
# Middle, reach and strength of each whirl in the sky, and the number of its spiral arms.
WHIRLS = (
    (0.735, 0.23, 0.16, 0.56, 2),
    (0.14, 0.15, 0.13, -0.38, -1),
    (0.97, 0.40, 0.08, -0.20, -1),
    (0.43, 0.09, 0.09, -0.22, -1),
)


def sky_phase(sheet: Sheet) -> Array:
    """
    Where in the turn of its colours the sky is; strokes run along its level lines.

    It is a stream function of the wind, counted in colour periods. The angle around each whirl
    adds a whole number of periods per turn, so that the bands wind up into spirals without a seam.
    """
    stream = 0.56 * sheet.y + 0.035 * np.sin(6.5 * sheet.x + 1) + 0.02 * sheet.noise(0.25)
    turns = 0.10 * sheet.noise(0.12)
    for cx, cy, reach, strength, arms in WHIRLS:
        dx, dy = sheet.x - cx, sheet.y - cy
        stream += strength / (1 + 1.6 * (dx**2 + dy**2) / reach**2)
        turns += arms * np.arctan2(dy, dx) / TAU
    return stream / 0.22 + turns


def sea_stream(sheet: Sheet) -> Array:
    """Stream function of the waves: flat far away, steep and crossing near the viewer."""
    depth = np.clip((sheet.y - HORIZON) / (1 - HORIZON), 0, 1)
    swell = np.sin(15 * sheet.x * (1.3 - 0.5 * depth) + 9 * depth + 0.8 * sheet.noise(0.3))
    return sheet.y + 0.030 * depth**0.8 * swell + 0.014 * depth * sheet.noise(0.12)


def bands(phase: Array, ramp: Ramp) -> Array:
    """Colours that take turns as the phase grows, the ramp closing on itself at every whole."""
    colours = palette(ramp)
    place = phase % 1 * len(colours)
    first, part = place.astype(int) % len(colours), place % 1
    # Near the middle of its band a colour stays pure; only its borders are mixed.
    part = smoothstep(0.3, 0.7, part)[..., None]
    return colours[first] * (1 - part) + colours[(first + 1) % len(colours)] * part


def evening(sheet: Sheet) -> tuple[Array, Array]:
    """Underpainting and the direction of the strokes at every place."""
    dx, dy = sheet.x - EVENING_SUN[0], sheet.y - EVENING_SUN[1]
    sun = np.hypot(dx, dy)
    sky, sea = sky_phase(sheet), sea_stream(sheet)
    night = ["14246b", "1f4fa8", "2a86c8", "6fcfd0", "fbe9b7", "f6a545", "e2553a", "8a2560"]
    water = ["0f2a66", "12608f", "1fa0a4", "0f3f7c", "7fd8c4", "16337a"]
    colour = bands(sky, night)
    warm = bands(
        sun / 0.13 + 0.3 * sheet.noise(0.1) + 0.35, ["ffd75a", "fb9d33", "ee5b36", "f7b23f"]
    )
    near = smoothstep(0.24, 0.13, sun + 0.02 * sheet.noise(0.06))[..., None]
    colour = colour * (1 - near) + warm * near
    disc = (sun < 0.085)[..., None]
    colour = np.where(disc, palette(["fff3c4"]), colour)
    wet = bands(sea / 0.085 + 0.16 * sheet.noise(0.15), water)
    colour = np.where((sheet.y > HORIZON)[..., None], glints(sheet, wet), colour)
    angle = stream_angle(sky)
    round_sun = np.arctan2(dx, -dy)
    angle = np.where(sun < 0.18, round_sun, angle)
    return land(sheet, colour, np.where(sheet.y > HORIZON, stream_angle(sea), angle))


def stream_angle(phase: Array) -> Array:
    """Direction of the level lines of a phase, whose jumps by whole numbers do not count."""
    wave = np.exp(1j * TAU * phase).astype(np.complex64)
    down, right = ((np.conj(wave) * part).imag for part in np.gradient(wave))
    return np.arctan2(-right, down)


def glints(sheet: Sheet, water: Array) -> Array:
    """Lay the path of light that leads from the sun across the water."""
    depth = np.clip((sheet.y - HORIZON) / (1 - HORIZON), 0, 1)
    spread = 0.05 + 0.11 * depth
    path = np.exp(-(((sheet.x - EVENING_SUN[0] - 0.03 * depth) / spread) ** 2))
    lit = smoothstep(0.42, 0.62, path * (0.62 + 0.5 * sheet.noise(0.11, 0.022)))[..., None]
    gold = bands(sheet.y / 0.06 + 0.3 * sheet.noise(0.08), ["ffe9a8", "fba73a", "f26a38"])
    return water * (1 - lit) + gold * lit


def land(sheet: Sheet, colour: Array, angle: Array) -> tuple[Array, Array]:
    """A violet headland on the right, its strokes falling down its side."""
    top = HORIZON - 0.10 * smoothstep(0.60, 0.86, sheet.x) - 0.045 * smoothstep(0.82, 1.0, sheet.x)
    top = top + 0.008 * np.sin(40 * sheet.x)
    mask = (sheet.y > top) & (sheet.y < HORIZON + 0.004) & (sheet.x > 0.585)
    rock = bands((sheet.y - top) / 0.07 + 0.2 * sheet.noise(0.06), ["2a1a5e", "5a2570", "a03a6a"])
    return np.where(mask[..., None], rock, colour), np.where(mask, -0.28, angle)


class Canvas:
    """Wet paint: its colour and how thick it lies."""

    def __init__(self, sheet: Sheet, ground: Array):
        self.sheet, self.colour = sheet, ground.astype(np.float32).copy()
        self.height = np.zeros((sheet.n, sheet.n), np.float32)
        # One row for each worn brush: how much paint every bristle carries, across the brush.
        self.brushes = sheet.rng.uniform(0, 1, (64, 15)).astype(np.float32)

    def stroke(self, x: float, y: float, turn: float, bend: float, half: tuple, colour: Array):
        """Drag a flat brush along a bow through (x, y); ``half`` is its length and width."""
        length, width = half
        reach = int(np.hypot(length, width)) + 2
        x0, x1 = max(0, int(x) - reach), min(self.sheet.n, int(x) + reach + 1)
        y0, y1 = max(0, int(y) - reach), min(self.sheet.n, int(y) + reach + 1)
        dx = np.arange(x0, x1, dtype=np.float32)[None, :] - np.float32(x)
        dy = np.arange(y0, y1, dtype=np.float32)[:, None] - np.float32(y)
        cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        along = (dx * cos + dy * sin) / length
        across = (dy * cos - dx * sin - bend * length * (along * along - 0.33)) / width
        cover, thick = self.bristles(along, across)
        patch = (slice(y0, y1), slice(x0, x1))
        tint = colour + 0.16 * (thick - 0.55)[..., None] * cover[..., None]
        self.colour[patch] += (tint - self.colour[patch]) * cover[..., None]
        self.height[patch] += ((0.5 + thick) * width - self.height[patch]) * cover * 0.9

    def bristles(self, along: Array, across: Array) -> tuple[Array, Array]:
        """Cover and thickness of the paint at places along (-1 to 1) and across the stroke."""
        brush = self.brushes[self.sheet.rng.integers(64)]
        place = np.clip((across + 1) * 7, 0, 13.999)
        first = place.astype(np.int32)
        hair = brush[first] + (brush[first + 1] - brush[first]) * (place - first)
        # Bristles that carry little paint run dry before the others do: a ragged end.
        end = 0.62 + 0.38 * hair
        start = 0.86 + 0.14 * brush[::-1][first]
        cover = smoothstep(0, 0.10, end - along) * smoothstep(0, 0.10, start + along)
        cover *= smoothstep(0, 0.16, 1 - np.abs(across))
        # Paint is pushed to the sides of the brush and heaped where the stroke begins.
        thick = 0.35 + 0.5 * hair + 0.25 * across**2 - 0.22 * along
        return cover, thick


def lay_strokes(
    canvas: Canvas, source: Array, angle: Array, length: float, width: float, times: float
):
    """Cover the canvas ``times`` over with strokes of one size, in random order."""
    sheet, rng = canvas.sheet, canvas.sheet.rng
    accents = palette(["ffefb0", "ff7a3c", "27b3b0", "1a2c86", "c43a6e"])
    step = np.sqrt(length * width / times)
    side = int(np.ceil(1 / step))
    corners = np.stack(np.divmod(np.arange(side * side), side), 1)
    spots = (corners + rng.random((side * side, 2))) / side
    for v, u in rng.permutation(spots):
        row, column = int(v * sheet.n), int(u * sheet.n)
        turn = angle[row, column]
        size = rng.uniform(0.75, 1.25) * length / 2
        ahead = neighbour_angle(sheet, angle, row, column, turn, size)
        bend = np.clip(np.sin(ahead - turn), -0.6, 0.6) * 0.5
        colour = source[row, column] * rng.uniform(0.80, 1.18) + rng.normal(0, 0.035, 3)
        if rng.random() < 0.06:  # a touch of another colour makes its surroundings glow
            colour = 0.3 * colour + 0.7 * accents[rng.integers(len(accents))]
        half = (size * sheet.n, rng.uniform(0.75, 1.2) * width / 2 * sheet.n)
        tilt = turn + rng.normal(0, 0.09)
        canvas.stroke(u * sheet.n, v * sheet.n, tilt, bend, half, np.float32(colour))


def neighbour_angle(sheet: Sheet, angle: Array, row: int, column: int, turn: float, reach: float):
    """Direction of the flow where a stroke of half length ``reach`` is going to end."""
    across = np.clip(column + np.cos(turn) * reach * sheet.n, 0, sheet.n - 1)
    down = np.clip(row + np.sin(turn) * reach * sheet.n, 0, sheet.n - 1)
    return angle[int(down), int(across)]


def flow_strokes(sheet: Sheet) -> Array:
    """Thick strokes along the wind and the waves, broad ones first, fine ones on top."""
    source, angle = evening(sheet)
    canvas = Canvas(sheet, source * 0.6)
    for length, width, times in ((0.13, 0.034, 1.6), (0.085, 0.021, 1.5), (0.058, 0.013, 1.2)):
        lay_strokes(canvas, source, angle, length, width, times)
    lay_strokes(canvas, source * 1.08, angle, 0.036, 0.0085, 0.55)
    light = relief(canvas.height, 0.45 / np.sqrt(sheet.px))[..., None]
    colour = np.clip(canvas.colour, 0, 1)
    return colour * (1 + 0.34 * light) + 0.10 * np.clip(light, 0, 1) ** 2
