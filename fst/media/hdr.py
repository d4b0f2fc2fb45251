"""Tone mapping: the light of an HDR video for an ordinary screen.

HDR (ITU-R BT.2100) tells light of up to 10,000 cd/m², of which 203 are a white sheet of paper
(BT.2408); an ordinary screen ends there. Light below half of that does not change. Brighter light
is compressed into the remaining range, by the curve of BT.2390, and keeps its hue.
"""

import numpy as np

PQ, HLG = 16, 18
"""The two transfer functions of HDR, by their numbers in ITU-T H.273."""

WHITE = 203.0
"""The light of white paper, cd/m²."""

PEAK = 1000.0
"""The brightest light of a film that does not tell it, cd/m²: that of most which are made."""

FULL = 255 * 256
"""The signal 1 in FFmpeg's 16 bits, and not 65535."""

_LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)  # of BT.2020
# From the primaries of BT.2020 to those of BT.709, by BT.2087.
_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
    np.float32,
)
_ROWS = 128  # that are in work at a time: a frame of 4K in float32 is 100 MB


class ToneMap:
    """A function from the signal of HDR to that of an ordinary screen.

    Args:
        transfer: `PQ` or `HLG`.
        peak: the brightest light of the film, cd/m².
    """

    def __init__(self, transfer, peak=PEAK):
        self._hlg = transfer == HLG
        # HLG is no light but a share of it; BT.2100 gives 1000 cd/m² as the screen it is made for.
        self._peak = PEAK if self._hlg else float(np.clip(peak, WHITE, 10_000))
        signal = np.minimum(np.arange(65_536) / FULL, 1)
        self._light = (_from_hlg(signal) if self._hlg else _from_pq(signal)).astype(np.float32)
        brightest = np.linspace(0, 1, 4096) ** 2 * (self._peak / WHITE)
        self._gain = (self._squeezed(brightest[1:]) / brightest[1:]).astype(np.float32)
        self._gain = np.concatenate([self._gain[:1], self._gain])
        self._levels = np.rint(255 * _to_srgb(np.linspace(0, 1, 65_536))).astype(np.uint8)

    def __call__(self, signal):
        """Maps a picture.

        Args:
            signal: uint16 `[H, W, 3]` RGB with the primaries of BT.2020, 0 to `FULL`.

        Returns:
            uint8 `[H, W, 3]` sRGB.
        """
        strips = [self._strip(signal[at : at + _ROWS]) for at in range(0, len(signal), _ROWS)]
        return np.concatenate(strips)

    def _strip(self, signal):
        light = self._light[signal]
        if self._hlg:
            light *= (self._peak / WHITE) * (light @ _LUMA)[..., None] ** 0.2
        light = light @ _TO_BT709.T
        # The brightest channel is mapped and takes the others along, or a hue would turn.
        share = np.clip(light.max(-1) * (WHITE / self._peak), 0, 1)
        light *= np.interp(np.sqrt(share) * 4095, np.arange(4096), self._gain)[..., None]
        return self._levels[(np.clip(light, 0, 1) * 65_535 + 0.5).astype(np.uint16)]

    def _squeezed(self, light):
        """BT.2390's curve for a light in parts of `WHITE`; at the peak it is 1."""
        top = _to_pq(self._peak / WHITE)
        white, given = _to_pq(1.0) / top, _to_pq(light) / top
        knee = 1.5 * white - 0.5
        if knee >= 1:
            return np.minimum(light, 1)
        t = np.clip((given - knee) / (1 - knee), 0, 1)
        bent = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee)
        bent += (3 * t**2 - 2 * t**3) * white
        return np.where(given < knee, light, _from_pq(bent * top))


def peak_of(side_data):
    """The brightest light of a film, cd/m², as a frame's side data tells it; else `PEAK`."""
    found = {data.type.name: bytes(data) for data in side_data}
    level = found.get("CONTENT_LIGHT_LEVEL", b"")[:4]
    if any(level):
        return float(np.frombuffer(level, np.uint32)[0])
    # FFmpeg's structure: x and y of three primaries and of white, darkest and brightest light, all
    # of them fractions, and whether they are told.
    screen = np.frombuffer(found.get("MASTERING_DISPLAY_METADATA", b"")[:88], np.int32)
    if len(screen) == 22 and screen[18] > 0 and screen[19] > 0:
        return float(screen[18] / screen[19])
    return PEAK


def _from_pq(signal):
    """SMPTE ST 2084: a signal in 0-1 to light in parts of `WHITE`."""
    root = np.asarray(signal, np.float64) ** (32 / 2523)
    share = np.maximum(root - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * root)
    return share ** (16384 / 2610) * (10_000 / WHITE)


def _to_pq(light):
    root = (np.asarray(light, np.float64) * (WHITE / 10_000)) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * root) / (1 + 2392 / 128 * root)) ** (2523 / 32)


def _from_hlg(signal):
    """BT.2100: a signal in 0-1 to the light of the scene in 0-1."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


def _to_srgb(light):
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
