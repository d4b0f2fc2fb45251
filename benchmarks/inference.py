#!/usr/bin/env python3
"""Seconds and memory for a picture: every engine, beside PyTorch and this machine's own rate.

    python benchmarks/inference.py udnie --sizes 256x256 512x512 1920x1080 3840x2160 --huge

Each engine runs each size in a process of its own, whose peak memory is told. `keras` is the
network as it is trained; `torch` is the same architecture with the same weights in PyTorch, eager,
where that is installed, and its picture is compared first. `--huge` adds a photo of 11,600×8,600 px
through the whole of `infer.py`, from JPEG to JPEG.

The share of the machine's rate counts the multiplications and additions of the network's layers as
they are trained, whatever an engine makes of them.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import numpy as np
import psutil

from fst import collection
from fst.models.architecture import EPSILON, layers, walk
from fst.stylize import engines

ROOT = Path(__file__).resolve().parent.parent

RUNS = {
    "keras": ("keras", "float32"),
    "torch": ("torch", "float32"),
    "torch channels_last": ("torch_channels_last", "float32"),
    "tensorflow": ("tensorflow", "float32"),
    "onnxruntime": ("onnxruntime", "float32"),
    "openvino": ("openvino", "float32"),
    "openvino bfloat16": ("openvino", "bfloat16"),
}
_PACKAGES = {"keras": ("keras",), "torch": ("torch",), "torch_channels_last": ("torch",)}
_HUGE = (11600, 8600)


def flop(width, height, channels):
    """Multiplications and additions of the network's convolutions for one picture."""
    total, pixels = 0, width * height
    for layer in layers(channels):
        pixels = pixels * 4 if layer.enlarge else pixels / layer.stride**2
        total += 2 * int(np.prod(layer.shape)) * pixels
    return total


def sample(width, height):
    """A photo, enlarged or reduced to that size: uint8 `[height, width, 3]`."""
    from PIL import Image
    from skimage import data

    photo = Image.fromarray(data.astronaut())
    return np.asarray(photo.resize((width, height), Image.Resampling.LANCZOS))


# --- What is compared ----------------------------------------------------------------------------


def runner(style, engine, precision):
    """A function from float32 `[H, W, 3]` to the stylised picture."""
    if engine == "keras":
        return _keras(style)
    if engine.startswith("torch"):
        return _torch(style.read_weights(), engine == "torch_channels_last")
    return engines.load(engine, style.read_weights(), precision)


def _keras(style):
    import tensorflow as tf

    network = style.read_network()
    spec = [tf.TensorSpec([1, None, None, 3], tf.float32)]
    run = tf.function(lambda batch: network(batch, training=False), spec)
    return lambda image: run(tf.constant(image[None]))[0].numpy()


def _torch(weights, channels_last):
    """The architecture as a PyTorch user would write it, for sizes that are multiples of four."""
    import torch
    from torch import nn
    from torch.nn import functional

    order = torch.channels_last if channels_last else torch.contiguous_format

    class Part(nn.Module):
        def __init__(self, layer):
            super().__init__()
            kernel, bias = weights[layer.conv]
            self.layer = layer
            self.pad = nn.ReflectionPad2d(layer.kernel // 2)
            self.conv = nn.Conv2d(*kernel.shape[2:], layer.kernel, layer.stride)
            self.conv.weight.data = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
            self.conv.bias.data = torch.from_numpy(bias)
            self.norm = nn.Identity()
            if layer.normalise:
                self.norm = nn.InstanceNorm2d(kernel.shape[3], EPSILON, affine=True)
                scale, shift = weights[layer.norm]
                self.norm.weight.data = torch.from_numpy(scale)
                self.norm.bias.data = torch.from_numpy(shift)

        def forward(self, x):
            if self.layer.enlarge:
                x = functional.interpolate(x, scale_factor=2, mode="nearest")
            x = self.norm(self.conv(self.pad(x)))
            return torch.relu(x) if self.layer.activate else x

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleDict({layer.name: Part(layer) for layer in layers()})

        def forward(self, x):
            return walk(layers(), self, x)

        def normalised(self, x, layer):
            return self.parts[layer.name](x)

        def add(self, x, y, layer):
            return x + y

        def pixels(self, x, layer):
            x = self.parts[layer.name](x)
            return 127.5 * (1 + x * torch.rsqrt(1 + x * x))

    network = Network()
    network = network.eval().to(memory_format=order)

    def run(image):
        with torch.inference_mode():
            x = torch.from_numpy(image).permute(2, 0, 1)[None] / 127.5 - 1
            x = network(x.contiguous(memory_format=order))
            return x[0].permute(1, 2, 0).contiguous().numpy()

    return run


# --- Measuring -----------------------------------------------------------------------------------


def measure_here(name, style, width, height, repeats):
    """What the process for one engine and size prints."""
    image = sample(width, height).astype(np.float32)
    run = runner(style, *RUNS[name])
    stylised, seconds = run(image), []
    for _ in range(repeats):
        started = time.perf_counter()
        run(image)
        seconds.append(time.perf_counter() - started)
    return {"seconds": seconds, "mean": float(stylised.mean()), "probe": _probe(stylised)}


def _probe(stylised):
    """Some of the picture's values, to see that it is the same picture."""
    return np.rint(stylised[::37, ::41]).astype(int).ravel()[:5000].tolist()


def in_own_process(arguments):
    """Runs this file, or another; returns what it printed, its seconds and its peak MiB."""
    command, peak = [sys.executable, *map(str, arguments)], 0
    started = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        process = psutil.Popen(command, stdout=out, cwd=ROOT, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            # Asked for again and again: the system's own record counts this process's memory too.
            with contextlib.suppress(psutil.Error):
                peak = max(peak, process.memory_info().rss)
            time.sleep(0.01)
        seconds = time.perf_counter() - started
        out.seek(0)
        printed = out.read().decode()
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, arguments))} failed: {printed}")
    return printed, seconds, peak / 2**20


def measure(name, style, width, height, repeats):
    command = [__file__, style, "--one", name, "--sizes", f"{width}x{height}"]
    printed, _, memory = in_own_process([*command, "--repeats", repeats])
    found = json.loads(printed.splitlines()[-1])
    return {
        "engine": name,
        "size": f"{width}x{height}",
        "seconds": float(np.median(found["seconds"])),
        "fastest": min(found["seconds"]),
        "peak_mib": memory,
        "probe": found["probe"],
    }


def measure_huge(style, folder):
    """A photo of 100 megapixels through the whole command."""
    from PIL import Image

    source, target = folder / "huge.jpg", folder / "stylised.jpg"
    Image.fromarray(sample(*_HUGE)).save(source, quality=92)
    command = ["infer.py", style, source, "-o", target]
    _, seconds, memory = in_own_process(command)
    with Image.open(target) as stylised:
        assert stylised.size == _HUGE
    return {"seconds": seconds, "peak_mib": memory, "file_mib": source.stat().st_size / 2**20}


def measure_start(style, folder):
    """Whole commands on one small photo: mostly start-up."""
    from PIL import Image

    source = folder / "small.jpg"
    Image.fromarray(sample(320, 240)).save(source)
    found = {}
    for engine in installed(engines.PACKAGES):
        command = ["infer.py", style, source, "-o", folder / "small_out.jpg", "--engine", engine]
        found[engine] = min(in_own_process(command)[1] for _ in range(3))
    return found


def installed(names):
    packages = {**engines.PACKAGES, **_PACKAGES}
    return [name for name in names if all(map(find_spec, packages[name]))]


# --- The report ----------------------------------------------------------------------------------


def show(rows, style, rate):
    channels = style.read_width()
    peers = f"{'x torch cl':>10} {'x keras':>8}"
    print(f"\n{'size':>10} {'engine':20} {'s':>8} {'MiB':>6} {'rate':>5} {peers}")
    for row in rows:
        same = {other["engine"]: other for other in rows if other["size"] == row["size"]}
        width, height = map(int, row["size"].split("x"))
        share = flop(width, height, channels) / row["seconds"] / 1e9 / rate
        ratios = [
            f"{same[peer]['seconds'] / row['seconds']:.2f}" if peer in same else "-"
            for peer in ("torch channels_last", "keras")
        ]
        print(
            f"{row['size']:>10} {row['engine']:20} {row['seconds']:8.3f} {row['peak_mib']:6.0f} "
            f"{share:5.0%} {ratios[0]:>10} {ratios[1]:>8}"
        )
        if "keras" in same and row["engine"] != "keras":
            off = np.abs(np.subtract(row["probe"], same["keras"]["probe"])).max()
            if off > 2:
                print(f"{'':10} its picture differs from keras' by up to {off} grey levels")


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("style", help="a trained style: its name or folder")
    parser.add_argument("--sizes", nargs="+", default=["256x256", "512x512"], metavar="WxH")
    parser.add_argument("--engines", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--repeats", type=int, help="default: fewer for larger sizes")
    parser.add_argument("--huge", action="store_true", help="the photo of 100 megapixels too")
    parser.add_argument("--json", type=Path, help="file to write the numbers to as well")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    arguments = read_arguments()
    style = collection.find(arguments.style)
    sizes = [tuple(map(int, size.split("x"))) for size in arguments.sizes]
    if arguments.one:
        print(json.dumps(measure_here(arguments.one, style, *sizes[0], arguments.repeats)))
        return
    from machine import cpu_model, matrix_rate

    rate = matrix_rate("float32")
    names = ("tensorflow", "keras", "torch", "openvino", "onnxruntime")
    versions = ", ".join(f"{name} {version(name)}" for name in names if find_spec(name))
    print(f"{cpu_model()}, {os.cpu_count()} cores, {rate:.0f} GFLOP/s; {versions}")
    rows = []
    for width, height in sizes:
        repeats = arguments.repeats or max(2, min(10, 2_500_000 // (width * height)))
        for name in arguments.engines:
            if all(map(find_spec, {**engines.PACKAGES, **_PACKAGES}[RUNS[name][0]])):
                rows.append(measure(name, arguments.style, width, height, repeats))
                print(f"  {width}x{height} {name}: {rows[-1]['seconds']:.3f} s", flush=True)
    show(rows, style, rate)
    numbers = {"gflop_per_s": rate, "versions": versions, "rows": rows}
    with tempfile.TemporaryDirectory() as folder:
        numbers["start"] = measure_start(arguments.style, Path(folder))
        for name, seconds in numbers["start"].items():
            print(f"infer.py on one photo of 320x240 px, {name}: {seconds:.2f} s")
        if arguments.huge:
            numbers["huge"] = huge = measure_huge(arguments.style, Path(folder))
            print(
                f"infer.py on {_HUGE[0]}x{_HUGE[1]} px, JPEG to JPEG: {huge['seconds']:.0f} s, "
                f"{huge['peak_mib']:.0f} MiB"
            )
    if arguments.json:
        for row in rows:
            del row["probe"]
        arguments.json.write_text(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    main()
