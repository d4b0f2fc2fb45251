"""Woodcut: two carp circle a lotus, in black, vermilion and blue on warm paper."""

import numpy as np

from styles_made.sheet import (
    TAU,
    Array,
    Sheet,
    edge_distance,
    palette,
    sample,
    smoothstep,
)

POND = (0.5, 0.5)
SWIM_RADIUS = 0.300
# Half width of a carp at places from its mouth to the root of its tail, along its back.
CARP_BACK = (0, 0.012, 0.05, 0.11, 0.18, 0.28, 0.38, 0.48, 0.56, 0.60)
CARP_WIDTH = (0, 0.026, 0.050, 0.071, 0.083, 0.086, 0.074, 0.050, 0.029, 0.024)


class Block:
    """The print: how much black, vermilion and blue lie on the paper, and its separate shapes."""

    def __init__(self, sheet: Sheet):
        self.sheet = sheet
        self.ink, self.red, self.blue = (np.zeros((sheet.n, sheet.n), np.float32) for _ in range(3))
        self.shapes = np.zeros((sheet.n, sheet.n), np.int32)
        self.rough = 0.075 * sheet.noise(0.008)  # the knife never cuts quite straight
        self.grid = sheet.rng.uniform(-1, 1, (64, 64)).astype(np.float32)

    def put(
        self,
        mask: Array,
        ink: Array,
        red: Array | float = 0,
        blue: Array | float = 0,
        part: Array | int = 0,
    ):
        """Print a shape over what lies below; ``part`` numbers its pieces, to be outlined."""
        for plate, value in ((self.ink, ink), (self.red, red), (self.blue, blue)):
            plate[mask] = np.broadcast_to(value, mask.shape)[mask]
        self.shapes[mask] = self.shapes.max() + 1 + np.broadcast_to(part, mask.shape)[mask]

    def hatch(self, phase: Array, dark: Array) -> Array:
        """One line for every whole of the phase, broader where it shall be darker."""
        away = np.abs(phase % 1 * 2 - 1)
        dark = dark + self.rough * (dark > 0.02)
        return smoothstep(-0.05, 0.05, dark - away)

    def mottle(self, u: Array, v: Array) -> Array:
        """Noise in the coordinates of a shape, about -1 to 1."""
        return sample(self.grid, u, v) + 0.4 * sample(self.grid, 2.3 * u + 9, 2.3 * v + 5)


def pond_polar(sheet: Sheet) -> tuple[Array, Array]:
    """Distance from the middle of the pond, and the angle around it."""
    dx, dy = sheet.x - POND[0], sheet.y - POND[1]
    return np.hypot(dx, dy), np.arctan2(dy, dx)


def print_water(block: Block) -> None:
    """Whirling water in lines that swell and break off, as a gouge leaves them."""
    sheet = block.sheet
    radius, angle = pond_polar(sheet)
    warp = 0.9 * sheet.noise(0.16) + 0.35 * sheet.noise(0.07)
    phase = radius / 0.0172 + 4 * angle / TAU + warp
    # Noise drawn out along the lines tapers them; a slow spiral sets dark troughs, bright crests.
    # In one turn the phase gains 4, so the noise repeats after 8 rows to close without a seam.
    taper = sample(block.grid[:8, :36], angle * 36 / TAU, phase * 2)
    trough = np.sin(TAU * (radius / 0.105 + 2 * angle / TAU) + 1.4 * sheet.noise(0.2))
    dark = 0.46 + 0.26 * trough + 0.26 * taper
    tint = smoothstep(-0.15, -0.05, trough + 0.35 * taper)
    # Slim white cuts through the darkest troughs keep them from clotting.
    block.put(radius < 2, block.hatch(phase, np.clip(dark, 0, 0.86)), 0, tint)


def carp_coordinates(sheet: Sheet, start: float) -> tuple[Array, Array, Array]:
    """Way along the back from the mouth, way across it, and half the width there."""
    radius, angle = pond_polar(sheet)
    along = ((angle - start + 1.2) % TAU - 1.2) * SWIM_RADIUS
    across = radius - SWIM_RADIUS - 0.016 * np.sin(TAU * along / 0.62 + 0.9)
    knots = np.linspace(0, 0.60, 241)
    width = np.interp(knots, CARP_BACK, CARP_WIDTH)
    padded = np.concatenate([-width[15:0:-1], width, np.full(15, width[-1])])
    width = np.convolve(padded, np.hanning(31) / np.hanning(31).sum(), "valid")
    half = np.interp(along, knots, width).astype(np.float32)
    return along, across, np.where((along > 0) & (along < 0.60), half, 0)


def roof_tiles(u: Array, v: Array) -> tuple[Array, Array, Array]:
    """Overlapping round scales: distance from the middle of each (0 to 1), bearing, and number."""
    row = np.floor(u / 0.6)
    found, offset, bearing, number = np.zeros(u.shape, bool), u * 0, u * 0, np.zeros(u.shape, int)
    for candidate in (row - 1, row):  # the scale nearer the head lies on top
        shift = (candidate % 2) * 0.8
        column = np.rint((v - shift) / 1.6)
        du, dv = u - candidate * 0.6, v - shift - column * 1.6
        distance = np.hypot(du, dv)
        mine = ~found & (distance < 1)
        offset[mine], bearing[mine] = distance[mine], np.arctan2(dv, du)[mine]
        number[mine] = (candidate * 31 + column)[mine].astype(int)
        found |= mine
    return offset, bearing, number


def print_tail(block: Block, along: Array, across: Array) -> None:
    """The tail: two long lobes of fin rays that part behind the body."""
    past = np.clip((along - 0.575) / 0.165, 0, 1.4)
    sway = 0.018 * past**2
    spread = 0.022 + 0.075 * past**0.9
    side = (across - sway) / spread
    mask = (np.abs(side) < 1) & (along > 0.575) & (past < 0.50 + 0.5 * np.abs(side) ** 1.1)
    rays = block.hatch(side * 6.5 + 0.25 * np.sin(9 * past), 0.62 - 0.35 * past)
    block.put(mask, rays, smoothstep(0.5, 0.35, past), 0)


def print_fins(block: Block, along: Array, across: Array) -> None:
    """Two pairs of fins, fans that open backwards from the sides of the body."""
    for root, out, length, opening in ((0.165, 0.070, 0.118, 0.52), (0.40, 0.058, 0.075, 0.42)):
        for side in (-1, 1):
            da, dt = along - root, side * across - out
            reach, bearing = np.hypot(da, dt) / length, np.arctan2(dt, da) - 0.80
            mask = (np.abs(bearing) < opening) & (reach < 0.88 + 0.12 * np.cos(bearing * 3))
            rays = block.hatch(bearing / opening * 4.5, 0.58 - 0.30 * reach)
            block.put(mask, rays, 0, smoothstep(0.62, 0.54, reach))


def print_carp(block: Block, start: float, spots: tuple[float, float], sumi: float) -> None:
    """A carp seen from above; ``spots`` places its red marks, ``sumi`` how much of it is black."""
    along, across, half = carp_coordinates(block.sheet, start)
    print_tail(block, along, across)
    print_fins(block, along, across)
    side = np.where(half > 0, across / np.maximum(half, 1e-4), 9)
    offset, bearing, number = roof_tiles(along / 0.0150, across / 0.0150 + 0.8)
    u = along * 15 + spots[0]
    mark = block.mottle(u, across * 13 + spots[1])
    red = smoothstep(-0.04, 0.0, mark)
    black = smoothstep(0.0, 0.03, block.mottle(u * 1.5 + 20, across * 19 + 31) - 1 + sumi)
    shade = 0.50 * smoothstep(0.45, 1.0, np.abs(side)) + 0.05 * np.sin(number)
    dark = np.clip(0.44 - 0.62 * offset + shade + 0.62 * black, 0, 0.92)
    scales = np.maximum(block.hatch(bearing * 9 / np.pi, dark), smoothstep(0.80, 0.86, offset))
    block.put(np.abs(side) < 1, scales * (along > 0.12), red, 0)
    print_head(block, along, across, side)
    print_back_fin(block, along, across)


def print_head(block: Block, along: Array, across: Array, side: Array) -> None:
    """The bare head with gills, eyes and barbels."""
    gill = 0.150 - 0.045 * side**2
    mask = (np.abs(side) < 1) & (along < gill)
    cheek = block.hatch(along / 0.0085, 0.75 * smoothstep(0.45, 1.0, np.abs(side)))
    arc = block.hatch((gill - along) / 0.016 + 0.5, 0.55 * smoothstep(0.036, 0.0, gill - along))
    nose = block.hatch(across / 0.009 + 0.5, 0.5 * smoothstep(0.045, 0.01, along))
    ink = np.maximum(np.maximum(cheek, arc), nose)
    crown = np.hypot((along - 0.085) / 0.040, across / 0.030)
    crown += 0.15 * block.mottle(along * 60, across * 60)
    block.put(mask, ink, smoothstep(1.0, 0.94, crown), 0)
    for way in (-1, 1):
        eye = np.hypot(along - 0.060, across - way * 0.043)
        block.put(eye < 0.0135, smoothstep(0.0085, 0.0075, eye), 0, 0)
        curl = way * (0.016 + 0.9 * np.clip(-along + 0.012, 0, 1) ** 0.8)
        barbel = (np.abs(across - curl) < 0.0030) & (along < 0.012) & (along > -0.036)
        block.put(barbel, 1 + 0 * along, 0, 0)


def print_back_fin(block: Block, along: Array, across: Array) -> None:
    """The fin along the ridge of the back, folded to one side."""
    place = np.clip((along - 0.215) / 0.205, 0, 1)
    fold = 0.014 * np.sin(5 * place)
    half = 0.021 * np.clip(np.sin(np.pi * place**0.7), 0, 1) ** 0.8
    mask = (np.abs(across - fold) < half) & (place > 0) & (place < 1)
    rays = block.hatch((along + 0.9 * (across - fold)) / 0.0135, 0.44 + 0 * along)
    block.put(mask, rays, 0, 1)


def print_pads(block: Block) -> None:
    """Lotus leaves that float in the corners, each with a notch and forked veins."""
    sheet = block.sheet
    pads = ((0.075, 0.085, 0.175, 0.9), (0.955, 0.045, 0.13, 2.2), (0.925, 0.915, 0.185, 3.9))
    pads += ((0.055, 0.945, 0.135, 5.4), (0.27, 0.015, 0.065, 1.6), (0.745, 0.985, 0.06, 4.6))
    for cx, cy, size, notch in pads:
        dx, dy = sheet.x - cx, sheet.y - cy
        radius, angle = np.hypot(dx, dy) / size, (np.arctan2(dy, dx) - notch) % TAU
        edge = 1 + 0.025 * np.sin(9 * angle + cx * 50) + 0.05 * sheet.noise(0.09)
        mask = (radius < edge) & (np.minimum(angle, TAU - angle) > 0.16)
        count = max(9, round(105 * size))
        veins = block.hatch(angle / TAU * count, 0.05 + 0.035 / (radius + 0.15))
        # Between the veins short lines run outwards, more of them as the leaf widens.
        fine = np.where(radius > 0.55, 4, 2) * count
        dark = 0.30 + 0.28 * np.cos(angle + notch + 0.8) + 0.30 * block.mottle(dx * 30, dy * 30)
        lines = block.hatch(angle / TAU * fine + 0.5, np.clip(dark, 0, 0.80) * (radius > 0.14))
        rim = smoothstep(0.90, 0.92, radius / edge) * smoothstep(0.97, 0.95, radius / edge)
        glow = block.hatch(angle / TAU * count, 0.16 + 0.10 * radius)
        block.put(
            mask,
            np.maximum(lines * (1 - glow), np.maximum(veins, rim)),
            0,
            1 - 0.8 * glow * (radius > 0.2),
        )


def print_lotus(block: Block, cx: float, cy: float, size: float, turn: float) -> None:
    """An open lotus: four wreaths of pointed petals with vermilion tips."""
    sheet = block.sheet
    dx, dy = sheet.x - cx, sheet.y - cy
    radius, angle = np.hypot(dx, dy) / size, np.arctan2(dy, dx) + turn
    for reach, count, shift in ((1.0, 9, 0), (0.80, 8, 0.5), (0.60, 7, 0.2), (0.42, 6, 0.7)):
        place = angle / TAU * count + shift
        beside = np.abs(place % 1 * 2 - 1)
        mask = radius < reach * (1 - 0.42 * beside**1.7)
        along = np.clip(radius / reach, 0, 1)
        dark = np.clip(0.95 - 1.35 * along, 0, 1) + 0.5 * smoothstep(0.5, 1, beside) * (1 - along)
        ink = block.hatch(place * 6, np.clip(dark, 0, 0.7))
        tip = block.hatch(place * 6 + 0.5, np.clip(2.4 * along - 1.30, 0, 1.2))
        block.put(mask, ink, tip, 0, np.floor(place).astype(int) % count)
    seeds = block.hatch(radius / 0.055, np.full_like(radius, 0.42))
    block.put(radius < 0.17, seeds, 1, 0)


def outline(block: Block) -> None:
    """Key lines around all shapes, and a cut of bare paper that lifts them off the water."""
    sheet = block.sheet
    distance = edge_distance(block.shapes, int(9 * sheet.px)) / sheet.px
    swell = 1 + 0.35 * sheet.noise(0.05) + 2 * block.rough
    water = block.shapes == 1
    bare = smoothstep(5.6, 5.0, distance / swell) * water
    block.ink *= 1 - bare
    block.blue *= 1 - bare
    np.maximum(block.ink, smoothstep(1.9, 1.5, distance / swell), out=block.ink)


def pull_print(block: Block) -> Array:
    """Print the plates on paper: worn ink, the grain of the wood, colours slightly out of place."""
    sheet = block.sheet
    fibres = 0.5 * sheet.noise(0.0035) + 0.5 * sheet.noise(0.02, 0.003)
    grain = sheet.noise(0.30, 0.0055) + 0.6 * sheet.noise(0.12, 0.003)
    colour = palette(["f4e6c6"]) * (1 + 0.022 * fibres[..., None])
    slip = round(1.3 * sheet.px)
    for plate, tone, down, right in (
        (block.blue, "2f86a6", slip, -slip),
        (block.red, "dc3a22", -slip, slip),
    ):
        rows, columns = (np.arange(sheet.n) - by for by in (down, right))
        moved = plate[np.ix_(rows.clip(0, sheet.n - 1), columns.clip(0, sheet.n - 1))]
        worn = moved * (0.90 + 0.10 * np.tanh(2 * grain))
        colour = colour * (1 - worn[..., None] * (1 - palette([tone])))
    # Where the pressure was low the ink leaves specks of the paper uncovered.
    bare = smoothstep(1.02, 1.3, fibres + 0.4 * sheet.noise(0.2) + 0.3 * grain)
    worn = block.ink * (1 - 0.75 * bare)
    return colour * (1 - worn[..., None]) + palette(["17130f"]) * worn[..., None]


def woodcut(sheet: Sheet) -> Array:
    """Two carp in a whirl of water around a lotus."""
    block = Block(sheet)
    print_water(block)
    print_pads(block)
    print_carp(block, 0.35, (3.1, 7.4), 0.15)
    print_carp(block, 0.35 + np.pi, (11.7, 2.2), 0.42)
    print_lotus(block, *POND, 0.150, 0.3)
    print_lotus(block, 0.105, 0.105, 0.098, 1.0)
    print_lotus(block, 0.90, 0.895, 0.105, 0.1)
    outline(block)
    return pull_print(block)
