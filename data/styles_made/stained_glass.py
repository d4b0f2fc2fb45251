"""Stained glass: a sun over hills, a river and poppies, in leaded panes."""

from collections.abc import Sequence

import numpy as np

from styles_made.sheet import (
    TAU,
    Array,
    Ramp,
    Sheet,
    blur,
    edge_distance,
    palette,
    relief,
    sample,
    smoothstep,
)

SUN = (0.60, 0.30)


class Window:
    """Panes of glass, painted shape by shape, a later shape covering the earlier ones."""

    def __init__(self, sheet: Sheet):
        self.sheet = sheet
        self.panes = np.zeros((sheet.n, sheet.n), np.int32)
        self.shapes = np.zeros((sheet.n, sheet.n), np.int32)
        self.colours = [np.zeros(3, np.float32)]

    def add(self, mask: Array, cells: Array, tone: Array, ramp: Ramp, jitter: float = 0.8) -> None:
        """
        Cut ``mask`` into panes by its cell numbers and colour each by its mean ``tone``.

        The tone, from 0 to 1, points into the ramp; the jitter, in steps of the ramp, lets
        neighbouring panes differ as hand-picked glass does.
        """
        rng = self.sheet.rng
        _, index = np.unique(cells[mask], return_inverse=True)
        counts = np.bincount(index)
        mean = np.bincount(index, tone[mask]) / counts
        step = mean * (len(ramp) - 1) + rng.normal(0, jitter, len(counts))
        chosen = palette(ramp)[np.clip(np.rint(step), 0, len(ramp) - 1).astype(int)]
        chosen = chosen * rng.uniform(0.82, 1.16, (len(counts), 1))
        self.panes[mask] = len(self.colours) + index
        self.shapes[mask] = self.shapes.max() + 1
        self.colours.extend(chosen.astype(np.float32))

    def voronoi(self, mask: Array, spacing: float, stretch: float = 1.0, tilt: float = 0) -> Array:
        """Cell numbers of even but irregular cells in ``mask``, drawn out along ``tilt``."""
        rng, x, y = self.sheet.rng, self.sheet.x[mask], self.sheet.y[mask]
        u = (x * np.cos(tilt) + y * np.sin(tilt)) / np.sqrt(stretch)
        v = (y * np.cos(tilt) - x * np.sin(tilt)) * np.sqrt(stretch)
        count = max(1, round(mask.mean() / spacing**2))
        picks = rng.integers(0, len(u), 60 * count)
        cloud = np.stack([u[picks], v[picks]], 1)
        seeds = relax(cloud, cloud[:count].copy(), 4)
        cells = np.zeros(mask.shape, np.int32)
        cells[mask] = nearest_seed(u, v, seeds)
        return cells


def nearest_seed(u: Array, v: Array, seeds: Array) -> Array:
    """Number of the seed nearest to each point."""
    best = np.full(u.shape, np.inf, np.float32)
    owner = np.zeros(u.shape, np.int32)
    for number, (su, sv) in enumerate(seeds):
        distance = (u - su) ** 2 + (v - sv) ** 2
        closer = distance < best
        best[closer] = distance[closer]
        owner[closer] = number
    return owner


def relax(cloud: Array, seeds: Array, rounds: int) -> Array:
    """Lloyd's relaxation: move each seed to the middle of the points that are nearest to it."""
    for _ in range(rounds):
        owner = nearest_seed(cloud[:, 0], cloud[:, 1], seeds)
        counts = np.bincount(owner, minlength=len(seeds))
        for axis in range(2):
            sums = np.bincount(owner, cloud[:, axis], len(seeds))
            seeds[:, axis] = np.where(counts > 0, sums / counts.clip(min=1), seeds[:, axis])
    return seeds


def polar_cells(window: Window, radius: Array, angle: Array, rings: Sequence[float], width: float):
    """Cells in rings around a centre, cut across at irregular places about ``width`` apart."""
    ring = np.searchsorted(np.asarray(rings, np.float32), radius).astype(np.int32)
    turn = (angle / TAU) % 1
    cells = np.zeros(ring.shape, np.int32)
    edges = [0.0, *rings, rings[-1] * 1.2]
    for number in range(len(rings) + 1):
        count = max(3, round(TAU * (edges[number] + edges[number + 1]) / 2 / width))
        knots = (np.arange(count) + window.sheet.rng.uniform(-0.22, 0.22, count)) / count
        here = ring == number
        cells[here] = number * 1000 + np.searchsorted(knots, turn[here]) % count
    return cells


def glass_sky(window: Window) -> None:
    """Whirling rings of light around the sun, from gold through rose to deep blue."""
    sheet = window.sheet
    dx, dy = sheet.x - SUN[0], sheet.y - SUN[1]
    radius = np.hypot(dx, dy) * (1 + 0.05 * sheet.noise(0.22))
    angle = np.arctan2(dy, dx) + 1.6 * np.sqrt(radius)
    rings = 0.198 + np.cumsum([0, 0.040, 0.045, 0.05, 0.054, 0.058, 0.06, 0.06, 0.06, 0.06])
    cells = polar_cells(window, radius, angle, rings, 0.062)
    ramp = ["ff9e1f", "ffc52e", "f4622a", "e23357", "c52a86", "7a2fb8", "2e4fd0", "1587d8"]
    ramp += ["13b9cf", "1a58cc", "2238a8", "1a2480"]
    window.add(sheet.y < 2, cells, (radius - 0.18) / 0.48, ramp, 0.9)
    # Flames all around, and one pane of evening red in every gap between two of them.
    turn = angle / TAU * 16
    flame = 0.122 + 0.066 * np.abs(turn % 1 * 2 - 1) ** 1.25
    for mask, cut, ramp in (
        (radius < 0.198, turn, ["e23357", "c52a86", "d8304a"]),
        (radius < flame, turn + 0.5, ["ffb01e", "ff8a1a", "ffcb3a"]),
    ):
        window.add(mask, np.floor(cut).astype(np.int32) % 16, 0.5 + 0 * radius, ramp, 0.7)
    disc = polar_cells(window, radius, angle, [0.036, 0.078], 0.05)
    gold = ["fff6c8", "ffe56a", "ffcf2e", "ffb41a"]
    window.add(radius < 0.12, disc, radius / 0.12, gold, 0.5)


def glass_clouds(window: Window) -> None:
    """Banks of cloud: discs that overlap, each with an eye and a ring of panes around it."""
    sheet = window.sheet
    lobes = ((-1.55, 0.30, 0.62), (1.5, 0.32, 0.66), (-0.75, -0.28, 0.82), (0.72, -0.10, 0.80))
    lobes += ((-0.08, 0.34, 0.72),)
    ramp = ["b07fe0", "7fb2f0", "f3a9cc", "ffd6c4", "fff3dc"]
    for cx, cy, size in ((0.165, 0.145, 0.078), (0.915, 0.085, 0.068), (0.925, 0.385, 0.058)):
        for right, down, part in lobes:
            dx, dy = sheet.x - cx - right * size, (sheet.y - cy - down * size) * 1.1
            radius = np.hypot(dx, dy) / (part * size)
            cells = polar_cells(window, radius, np.arctan2(dy, dx), [0.46, 1.0], 0.74 / part)
            cells[radius < 0.46] = 0
            # Light falls on the side of each disc that looks towards the sun.
            facing = dx * (SUN[0] - cx) + dy * (SUN[1] - cy - 0.25)
            tone = 0.62 + 0.5 * np.tanh(facing / (part * size) * 4) * (radius > 0.46)
            window.add(radius < 1, cells, tone, ramp, 0.6)


def glass_mountains(window: Window) -> None:
    """Two faceted mountain ranges against the light."""
    sheet = window.sheet
    ranges = (
        ([0.5, 0.40, 0.47, 0.36, 0.45, 0.52, 0.49, 0.55, 0.46, 0.50, 0.43], 0.7),
        ([0.48, 0.53, 0.46, 0.54, 0.57, 0.53, 0.58, 0.56, 0.52, 0.57, 0.51], -0.6),
    )
    ramps = (["8b4bd0", "5d35b8", "3a2a96", "7a2c94"], ["2f3f9c", "23307c", "4a2684", "1d5c9c"])
    for (ridge, tilt), ramp in zip(ranges, ramps, strict=True):
        top = np.interp(sheet.x[0], np.linspace(0, 1, len(ridge)), ridge)
        mask = sheet.y > top
        cells = window.voronoi(mask & (sheet.y < 0.75), 0.055, 2.2, TAU / 4 + tilt)
        window.add(mask, cells, sheet.rng.uniform(0.2, 0.8) + 0 * sheet.x, ramp, 1.1)


def glass_hills(window: Window) -> None:
    """Rolling fields ploughed along their slopes: emerald, corn, lime and teal."""
    sheet = window.sheet
    hills = (
        (0.57, 0.030, 1.3, 0.4, ["0f8f6a", "12b07a", "3cc46a", "0a6f66"]),
        (0.635, 0.035, 1.0, 2.6, ["f2b21c", "e88a12", "ffd84a", "c9640f"]),
        (0.70, 0.040, 1.2, 4.4, ["2fae4a", "7acb3a", "118a4e", "b8dc3e"]),
        (0.785, 0.030, 0.9, 1.0, ["0e7f70", "12a394", "1a62a0", "3cc4a0"]),
    )
    for level, swing, waves, phase, ramp in hills:
        top = level + swing * np.sin(TAU * waves * sheet.x + phase)
        depth = sheet.y - top
        row = np.floor((depth + 0.006 * sheet.noise(0.1)) / 0.031).astype(np.int32)
        # Each row starts its cuts elsewhere, like bricks, and they lean with the slope.
        along = sheet.x + 0.6 * depth + row * 0.377
        cut = np.floor((along + 0.012 * sheet.noise(0.08)) / 0.074).astype(np.int32)
        window.add(depth > 0, row * 1000 + cut, (row % 4) / 3.0, ramp, 0.7)


def glass_river(window: Window) -> None:
    """A bright river that winds towards us and widens."""
    sheet = window.sheet
    depth = np.clip((sheet.y - 0.575) / 0.425, 0, 1)
    centre = 0.52 + 0.10 * np.sin(8.5 * depth**0.75 + 0.6) * (0.4 + depth)
    width = 0.016 + 0.105 * depth**1.15
    across = (sheet.x - centre) / width
    lane = np.floor((across + 1) * (1 + (depth > 0.42))).astype(np.int32)
    step = np.floor(5.5 * np.log(depth + 0.14) + 0.43 * lane + 0.12 * across).astype(np.int32)
    ramp = ["e6fbff", "8fe6f5", "35c4ea", "1490dc", "1467c4"]
    mask = (np.abs(across) < 1) & (depth > 0)
    window.add(mask, step * 10 + lane, np.abs(across), ramp, 1.0)


def glass_cypresses(window: Window) -> None:
    """Dark flames of trees, the uprights of the composition."""
    sheet = window.sheet
    for cx, foot, height, girth in ((0.115, 0.86, 0.56, 0.056), (0.232, 0.84, 0.38, 0.044)):
        up = (foot - sheet.y) / height
        lean = 0.012 * np.sin(7 * up + 9 * cx)
        half = girth * np.clip(np.sin(np.pi * np.clip(up, 0, 1) ** 0.62), 0, 1) ** 0.8
        mask = (np.abs(sheet.x - cx - lean) < half) & (up > 0) & (up < 1)
        cells = window.voronoi(mask, 0.041, 2.6, TAU / 4 - 0.25)
        ramp = ["0d6e48", "129052", "0a5560", "57b03c"]
        window.add(mask, cells, sheet.rng.random(mask.shape, np.float32), ramp, 1.0)


def glass_leaves(window: Window) -> None:
    """Long leaves that rise from the lower edge between the flowers."""
    sheet, rng = window.sheet, window.sheet.rng
    for cx in np.linspace(0.03, 0.97, 9):
        tilt, length = rng.uniform(-0.5, 0.5), rng.uniform(0.16, 0.26)
        x, y = sheet.x - cx, 1.02 - sheet.y
        along = (y * np.cos(tilt) + x * np.sin(tilt)) / length
        across = x * np.cos(tilt) - y * np.sin(tilt) + 0.05 * tilt * along**2
        half = 0.034 * np.sin(np.pi * np.clip(along, 0, 1) ** 0.8)
        mask = (np.abs(across) < half) & (along > 0) & (along < 1)
        cells = (across > 0) * 10 + np.floor(along * 3.2 + 0.5 * (across > 0)).astype(np.int32)
        window.add(mask, cells, 0.5 + 20 * across, ["0c7a3e", "2fb04a", "8fd43c", "0b5a50"], 0.8)


def glass_poppies(window: Window) -> None:
    """Large flowers in front: two wreaths of petals around a dark eye."""
    sheet, rng = window.sheet, window.sheet.rng
    reds = ["ff3b2a", "e0162b", "b30f36", "ff6a2a"]
    pinks = ["ff7ab0", "f0408c", "c4206e", "ff9ad0"]
    flowers = ((0.07, 0.91, 0.098, reds), (0.265, 0.88, 0.090, pinks), (0.41, 0.955, 0.082, reds))
    flowers += (
        (0.70, 0.945, 0.095, reds),
        (0.835, 0.84, 0.086, pinks),
        (0.955, 0.945, 0.092, reds),
    )
    for cx, cy, size, ramp in flowers:
        dx, dy = sheet.x - cx, (sheet.y - cy) * 1.08
        radius, angle = np.hypot(dx, dy) / size, np.arctan2(dy, dx) + rng.uniform(0, TAU)
        for reach, count, shift in ((1.0, 6, 0.0), (0.62, 5, 0.4)):
            turn = angle / TAU * count + shift
            mask = radius < reach * (0.80 + 0.20 * np.abs(np.sin(np.pi * turn)) ** 0.7)
            petal = np.floor(turn).astype(np.int32) % count
            window.add(mask, petal, rng.uniform(0.2, 0.8) + 0 * radius, ramp, 1.0)
        eye = np.floor(angle / TAU * 3).astype(np.int32)
        window.add(radius < 0.27, eye, 0.5 + 0 * radius, ["ffd23c", "ffae1c", "ffe98a"], 0.8)


def absorb_slivers(panes: Array, smallest: float) -> Array:
    """Give panes too small to hold between leads to whatever pane lies next to them."""
    panes = panes.copy()
    small = np.bincount(panes.ravel()) < smallest
    for _ in range(60):
        if not small[panes].any():
            break
        for axis, shift in ((0, 1), (1, 1), (0, -1), (1, -1)):
            beside = np.roll(panes, shift, axis)
            panes = np.where(small[panes] & ~small[beside], beside, panes)
    return panes


def glass_texture(sheet: Sheet, panes: Array, count: int) -> tuple[Array, Array]:
    """Streaks of light and the height of the hammered surface, different in every pane."""
    rng = sheet.rng
    turn = rng.uniform(0, TAU, count).astype(np.float32)[panes]
    start = rng.uniform(0, 64, count).astype(np.float32)[panes]
    u = sheet.x * np.cos(turn) + sheet.y * np.sin(turn)
    v = sheet.y * np.cos(turn) - sheet.x * np.sin(turn)
    grid = rng.uniform(-1, 1, (64, 64)).astype(np.float32)
    bend = 0.008 * sheet.noise(0.05)
    streaks = sample(grid, u * 14 + start, (v + bend) * 90 + start)
    streaks += 0.6 * sample(grid, u * 30 + start, (v + bend) * 210)
    hammered = sample(grid, u * 105, v * 105 + start) + 0.5 * sample(grid, u * 230, v * 230)
    return streaks, hammered


def glass_light(window: Window, panes: Array, distance: Array) -> Array:
    """Colour of the glass: daylight through it, streaks, ripples, and dirt along the leads."""
    sheet, count = window.sheet, len(window.colours)
    base = np.stack(window.colours)[panes]
    streaks, hammered = glass_texture(sheet, panes, count)
    turn = sheet.rng.uniform(0, TAU, count).astype(np.float32)
    area = np.bincount(panes.ravel(), minlength=count).clip(min=1)
    mid_x = (np.bincount(panes.ravel(), sheet.x.ravel(), count) / area).astype(np.float32)
    mid_y = (np.bincount(panes.ravel(), sheet.y.ravel(), count) / area).astype(np.float32)
    # One side of every pane is thicker, hence darker: the mark of blown glass.
    wedge = (sheet.x - mid_x[panes]) * np.cos(turn)[panes]
    wedge = np.tanh(30 * (wedge + (sheet.y - mid_y[panes]) * np.sin(turn)[panes]))
    glow = smoothstep(1.5, 11, distance / sheet.px)
    light = 0.63 + 0.47 * glow + 0.16 * wedge + 0.15 * streaks
    # Thick glass grows more saturated as it darkens, thin glass whiter, as Beer's law has it.
    density = np.exp(-1.5 * (light - 1))[..., None]
    colour = np.clip(base, 0.02, 0.98) ** density * (0.55 + 0.45 * light[..., None])
    spark = relief(hammered, 5 / sheet.px * 2)
    return colour * (1 + 0.22 * spark[..., None]) + 0.10 * np.clip(spark, 0, 1)[..., None] ** 2


def glass_leads(sheet: Sheet, outlines: Array, joints: Array) -> tuple[Array, Array]:
    """Cover and shading of the leads: broad around the shapes, narrow inside them."""
    wobble = 1 + 0.16 * sheet.noise(0.03)
    broad, narrow = 4.3 * sheet.px * wobble, 2.7 * sheet.px * wobble
    inside = np.maximum(1 - outlines / broad, 1 - joints / narrow)
    cover = smoothstep(-0.10, 0.12, inside)
    height = np.sqrt(np.clip(inside, 0, 1)) + 0.05 * sheet.noise(0.006)
    return cover, relief(height, 2.2 * sheet.px)


def stained_glass(sheet: Sheet) -> Array:
    """A leaded window: a whirling sun above hills, a river and poppies."""
    window = Window(sheet)
    for part in (glass_sky, glass_clouds, glass_mountains, glass_hills, glass_river):
        part(window)
    for part in (glass_cypresses, glass_leaves, glass_poppies):
        part(window)
    panes = absorb_slivers(window.panes, (9 * sheet.px) ** 2)
    joints = edge_distance(panes, int(12 * sheet.px))
    outlines = edge_distance(window.shapes, int(7 * sheet.px))
    colour = glass_light(window, panes, joints)
    cover, shine = glass_leads(sheet, outlines, joints)
    # Bright glass shines over the metal a little, which makes the window look lit from behind.
    halo = blur(colour * (1 - cover[..., None]), 9 * sheet.px)
    metal = np.array([0.055, 0.05, 0.075], np.float32)
    metal = metal + (0.20 * np.clip(shine, 0, 1) + 0.03 * shine)[..., None]
    colour = colour * (1 - cover[..., None]) + metal * cover[..., None]
    return colour + 0.16 * halo
