#!/usr/bin/env python3
"""Stylises any number of photos on any number of machines, with Ray Data and the SavedModel.

python -m fst.export gallery/udnie -o udnie
python examples/ray_folder.py "$PWD/udnie" PHOTOS OUTPUT [--size 512]

PHOTOS and OUTPUT are folders, or addresses such as s3://bucket/folder. Run within a Ray cluster it
uses all of it; alone it starts Ray on this machine. Photos whose stylised file is there already are
left out, so the same command goes on where it was stopped. Needs TensorFlow, Pillow and ray[data];
on a cluster the SavedModel must lie where every machine finds it.
"""

import argparse
import io
import logging
import posixpath
import sys

import ray
from pyarrow import fs

SUFFIXES = ["jpg", "jpeg", "png", "webp", "bmp"]


def locate(address):
    """The file system of a folder or address, and the path within it."""
    return fs.FileSystem.from_uri(address) if "://" in address else (fs.LocalFileSystem(), address)


class Stylise:
    """A worker: loads the network once, then turns rows of `path` and `bytes` into files."""

    def __init__(self, model, photos, output, size, threads):
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        self.model = tf.saved_model.load(model)
        self.stylise = self.model.signatures["serving_default"]
        self.files, self.output = locate(output)
        self.photos, self.size = locate(photos)[1].rstrip("/"), size

    def __call__(self, row):
        target = posixpath.join(self.output, self.name_of(row["path"]))
        try:
            if self.files.get_file_info(target).type != fs.FileType.NotFound:
                return {"path": row["path"], "outcome": "there already"}
            self.write(target, self.paint(row["bytes"]))
        except Exception as error:  # One bad photo among millions must not end the run.
            return {"path": row["path"], "outcome": f"failed: {error}"}
        return {"path": row["path"], "outcome": "stylised"}

    def name_of(self, path):
        """Where a photo's result goes below OUTPUT: as it lay below PHOTOS, always a JPEG."""
        name = path[path.index(self.photos) + len(self.photos) :].lstrip("/")
        return name if name.lower().endswith((".jpg", ".jpeg")) else name + ".jpg"

    def paint(self, data):
        import numpy as np
        from PIL import Image, ImageOps

        with Image.open(io.BytesIO(data)) as file:
            image = ImageOps.exif_transpose(file).convert("RGB")
        image.thumbnail((self.size, self.size))
        # The network's least is 16 px.
        image = image.resize([max(16, side) for side in image.size])
        stylised = self.stylise(image=np.asarray(image)[None])["stylized"][0].numpy()
        buffer = io.BytesIO()
        Image.fromarray(stylised).save(buffer, "JPEG", quality=92)
        return buffer.getvalue()

    def write(self, target, data):
        """Writes a file that is whole when it appears, or a restart would take it for done."""
        self.files.create_dir(posixpath.dirname(target), recursive=True)
        partial = f"{target}.part"
        with self.files.open_output_stream(partial) as stream:
            stream.write(data)
        self.files.move(partial, target)


def fail(text):
    print(f"error: {text}", file=sys.stderr)
    return 2


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "model", help="a style's saved_model folder, as an absolute path on a cluster"
    )
    parser.add_argument("photos")
    parser.add_argument("output")
    parser.add_argument("--size", type=int, default=512, help="long side at most, px")
    parser.add_argument("--workers", type=int, default=1, help="networks that work side by side")
    parser.add_argument("--cpus", type=int, default=2, help="cores of each")
    parser.add_argument("--gpus", type=float, default=0, help="GPUs of each, such as 1 or 0.5")
    args = parser.parse_args()
    ray.init(log_to_driver=False, logging_level=logging.ERROR)
    logging.getLogger("ray").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    there = ray.cluster_resources()
    if args.workers * args.cpus > there["CPU"] or args.workers * args.gpus > there.get("GPU", 0):
        return fail(
            f"--workers {args.workers}: the cluster has {there['CPU']:g} cores and "
            f"{there.get('GPU', 0):g} GPUs, and Ray would wait for more"
        )
    try:
        rows = ray.data.read_binary_files(
            args.photos,
            include_paths=True,
            file_extensions=SUFFIXES,
            num_cpus=0,  # Else no core would be left for them to read with.
        )
    except (OSError, ValueError) as error:
        return fail(
            f"{args.photos}: no such folder, or not to be read ({str(error).splitlines()[0]})"
        )
    outcomes = rows.map(
        Stylise,
        fn_constructor_args=(args.model, args.photos, args.output, args.size, args.cpus),
        compute=ray.data.ActorPoolStrategy(size=args.workers),
        num_cpus=args.cpus,
        num_gpus=args.gpus,
    )
    counts = {}
    try:
        for row in outcomes.iter_rows():
            kind = row["outcome"].split(":")[0]
            counts[kind] = counts.get(kind, 0) + 1
            if kind == "failed":
                print(f"{row['path']}: {row['outcome']}", file=sys.stderr)
    except ray.exceptions.RayError as error:  # Its last line is what happened on the worker.
        return fail(f"a worker gave up: {str(error).strip().splitlines()[-1]}")
    print(", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())))
    return 1 if counts.get("failed") else 0


if __name__ == "__main__":
    sys.exit(main())
