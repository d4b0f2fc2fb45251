"""TIFF files made by hand, for the kinds that no library writes all of.

Nothing here is shared with what reads them: not the packing of bits, not the compression.
"""

import struct
import zlib

import numpy as np

GREY_WHITE_IS_ZERO, GREY, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8
CHUNKY, PLANAR = 1, 2
COMPRESSIONS = {"none": 1, "lzw": 5, "deflate": 8, "old deflate": 32946, "packbits": 32773}

_KINDS = {"B": 1, "s": 2, "H": 3, "I": 4, "Q": 16}


def write_tiff(
    samples,
    bits,
    photometric,
    *,
    planar=CHUNKY,
    order="<",
    compression="none",
    predictor=1,
    rows_per_strip=None,
    sample_format=1,
    tags=(),
    big=False,
    reversed_bits=False,
):
    """The bytes of a TIFF.

    Args:
        samples: `[H, W, S]`, whole numbers below `2 ** bits`, or of floats their own type.
        bits: of each sample.
        photometric: what the samples mean.
        planar: `CHUNKY`, or `PLANAR`: one sample's plane after the other.
        order: `"<"` or `">"`: of the bytes.
        compression: one of `COMPRESSIONS`.
        predictor: 2 stores the difference to the sample on the left.
        rows_per_strip: all of them when None.
        sample_format: 1: unsigned, 2: signed, 3: float.
        tags: more of them: (number, struct's letter, values).
        big: write a BigTIFF.
        reversed_bits: store every byte's lowest bit first, as FillOrder 2 says.
    """
    height, width, count = samples.shape
    planes = [samples] if planar == CHUNKY else [samples[..., i : i + 1] for i in range(count)]
    rows = rows_per_strip or height
    strips = [
        _compressed(_packed(plane[top : top + rows], bits, order, predictor), compression)
        for plane in planes
        for top in range(0, height, rows)
    ]
    start = 16 if big else 8
    if reversed_bits:
        tags = [*tags, (266, "H", [2])]
        turned = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
        strips = [strip.translate(turned) for strip in strips]
    places = [start + sum(len(s) + len(s) % 2 for s in strips[:i]) for i in range(len(strips))]
    entries = [
        (256, "I", [width]),
        (257, "I", [height]),
        (258, "H", [bits] * count),
        (259, "H", [COMPRESSIONS[compression]]),
        (262, "H", [photometric]),
        (273, "I", places),
        (277, "H", [count]),
        (278, "I", [rows]),
        (279, "I", [len(strip) for strip in strips]),
        (284, "H", [planar]),
        (339, "H", [sample_format] * count),
        *([(317, "H", [predictor])] if predictor != 1 else []),
        *tags,
    ]
    body = b"".join(strip + b"\0" * (len(strip) % 2) for strip in strips)
    mark, version = (b"II" if order == "<" else b"MM"), (43 if big else 42)
    head = mark + struct.pack(f"{order}H", version)
    head += struct.pack(f"{order}HHQ", 8, 0, 16 + len(body)) if big else b""
    head += b"" if big else struct.pack(f"{order}I", 8 + len(body))
    return head + body + _directory(sorted(entries), start + len(body), order, big)


def _directory(entries, start, order, big):
    number, offset, size = ("Q", "Q", 20) if big else ("H", "I", 12)
    room = struct.calcsize(offset)
    after = start + struct.calcsize(f"<{number}") + size * len(entries) + room
    directory, values = struct.pack(f"{order}{number}", len(entries)), b""
    for tag, kind, given in entries:
        data = given if kind == "s" else struct.pack(f"{order}{len(given)}{kind}", *given)
        if len(data) > room:
            place = after + len(values)
            values += data + b"\0" * (len(data) % 2)
            data = struct.pack(f"{order}{offset}", place)
        directory += struct.pack(f"{order}HH{offset}", tag, _KINDS[kind], len(given))
        directory += data.ljust(room, b"\0")
    return directory + bytes(room) + values


def _packed(samples, bits, order, predictor):
    """Rows of samples as bytes; below 8 bits several share one, and each row begins anew."""
    if samples.dtype.kind == "f":
        return samples.astype(samples.dtype.newbyteorder(order)).tobytes()
    if predictor == 2:
        left = np.zeros_like(samples)
        left[:, 1:] = samples[:, :-1]
        samples = (samples.astype(np.int64) - left) % 2**bits
    if bits in (8, 16, 32):
        return samples.astype(f"{order}u{bits // 8}").tobytes()
    # High bits first, whatever the order of bytes.
    places = np.arange(bits - 1, -1, -1)
    ones = (samples.reshape(len(samples), -1, 1).astype(np.int64) >> places) & 1
    return np.packbits(ones.reshape(len(samples), -1).astype(np.uint8), axis=1).tobytes()


def _compressed(data, compression):
    if compression == "none":
        return data
    if "deflate" in compression:
        return zlib.compress(data)
    return _lzw(data) if compression == "lzw" else _packbits(data)


def _packbits(data):
    """Runs of one byte, and stretches that are none."""
    out, place = b"", 0
    while place < len(data):
        run = 1
        while run < 128 and data[place + run : place + run + 1] == data[place : place + 1]:
            run += 1
        if run > 1:
            out += bytes([257 - run]) + data[place : place + 1]
        else:
            out += b"\0" + data[place : place + 1]
        place += run
    return out


def _lzw(data):
    """Codes of 9 bits and no table to speak of: it is cleared before codes grow longer."""
    codes = []
    for place in range(0, len(data), 200):
        codes += [256, *data[place : place + 200]]
    bits = "".join(f"{code:09b}" for code in [*(codes or [256]), 257])
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")
