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

from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

SUPERSAMPLING = 2
REFERENCE_SIZE = 768  # line widths below are given in pixels of a picture of this size
MAX_BYTES = 395_000
TAU = 2 * np.pi

Array = np.ndarray
Ramp = Sequence[str]


# --------------------------------------------------------------------------------------------------
# Common tools
# --------------------------------------------------------------------------------------------------


class Sheet:
    """The drawing area: its coordinates, its scale and its random numbers."""

    def __init__(self, size: int, seed: int):
        self.n = size * SUPERSAMPLING
        self.rng = np.random.default_rng(seed)
        axis = ((np.arange(self.n) + 0.5) / self.n).astype(np.float32)
        self.x, self.y = np.meshgrid(axis, axis)
        # Array pixels per pixel of the reference size.
        self.px = self.n / REFERENCE_SIZE

    def noise(self, cell: float, cell_y: float | None = None) -> Array:
        """Smooth noise, about -1 to 1, with features ``cell`` (of the unit square) in size."""
        columns = max(2, round(1 / cell)) + 3
        rows = max(2, round(1 / (cell_y or cell))) + 3
        grid = self.rng.uniform(-1.6, 1.6, (rows, columns)).astype(np.float32)
        # The box leaves out the outermost knots, where the interpolation has nothing to lean on.
        return np.asarray(
            Image.fromarray(grid).resize(
                (self.n, self.n), Image.Resampling.BICUBIC, (1.5, 1.5, columns - 1.5, rows - 1.5)
            )
        )

    def fbm(self, cell: float, octaves: int = 4) -> Array:
        """Noise of several sizes, each half as large and half as strong as the last."""
        total = sum(0.5**k * self.noise(cell / 2**k) for k in range(octaves))
        return total / (2 - 0.5 ** (octaves - 1))


def smoothstep(low: float, high: float, value: Array) -> Array:
    """Rise softly from 0 at ``low`` to 1 at ``high``."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def palette(colours: Ramp) -> Array:
    """Hex colours as an array of floats, one row each, from 0 to 1."""
    return np.array([[int(c[k : k + 2], 16) for k in (0, 2, 4)] for c in colours], np.float32) / 255


def blur(image: Array, radius: float) -> Array:
    """Gaussian blur of an RGB picture of floats from 0 to 1."""
    picture = Image.fromarray((np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255


def sample(texture: Array, u: Array, v: Array) -> Array:
    """Read a small texture at real positions, in between its knots and without an end."""
    rows, columns = texture.shape
    u0, v0 = np.floor(u).astype(np.int32), np.floor(v).astype(np.int32)
    fu, fv = smoothstep(0, 1, u - u0), smoothstep(0, 1, v - v0)
    left, right, top, bottom = u0 % columns, (u0 + 1) % columns, v0 % rows, (v0 + 1) % rows
    upper = texture[top, left] * (1 - fu) + texture[top, right] * fu
    lower = texture[bottom, left] * (1 - fu) + texture[bottom, right] * fu
    return upper * (1 - fv) + lower * fv


def relief(height: Array, strength: float, angle: float = -2.2) -> Array:
    """Light on a surface of the given height: about 0 on the flat, brighter towards the lamp."""
    down, right = np.gradient(height)
    slope = right * np.cos(angle) + down * np.sin(angle)
    return np.tanh(-strength * slope)


def edge_distance(labels: Array, reach: int) -> Array:
    """
    Distance to the nearest change of label, in array pixels, right up to ``reach``.

    The exact Euclidean transform in its two passes: along the rows first, then the smallest sum of
    squares down each column. Distances above ``reach`` are never needed, which keeps it quick.
    """
    edge = np.zeros(labels.shape, bool)
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edge[1:] |= labels[1:] != labels[:-1]
    position = np.arange(labels.shape[1])
    before = np.maximum.accumulate(np.where(edge, position, -10_000), axis=1)
    after = np.minimum.accumulate(np.where(edge, position, 20_000)[:, ::-1], axis=1)[:, ::-1]
    across = np.minimum(position - before, after - position).clip(max=reach).astype(np.float32) ** 2
    nearest = across.copy()
    for step in range(1, reach):
        np.minimum(nearest[step:], across[:-step] + step * step, out=nearest[step:])
        np.minimum(nearest[:-step], across[step:] + step * step, out=nearest[:-step])
    return np.sqrt(nearest)


# --------------------------------------------------------------------------------------------------
# Stained glass: a sun over hills, a river and poppies, in leaded panes
# --------------------------------------------------------------------------------------------------

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


# --------------------------------------------------------------------------------------------------
# Flow strokes: an evening sky that whirls over the sea, in thick paint
# --------------------------------------------------------------------------------------------------

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


# --------------------------------------------------------------------------------------------------
# Woodcut: two carp circle a lotus, in black, vermilion and blue on warm paper
# --------------------------------------------------------------------------------------------------

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


# --------------------------------------------------------------------------------------------------
# Command line
# --------------------------------------------------------------------------------------------------

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
