"""Content photos as a stream of square crops.

What step `k` of a run sees depends on the seed and on `k` alone: a resumed run, or one shared
among several workers, sees the same as an uninterrupted one.
"""

import functools
import hashlib
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from fst import files, packages
from fst.errors import UserError, first_line
from fst.media import folders, images, samples
from fst.words import plural

TFDS_PREFIX = "tfds:"

_TFDS_SHUFFLE = 2048  # Photos in TFDS's shuffle buffer, kept as compressed bytes: about 300 MB.
_TFDS_SPARE = 8  # Photos in a row that may be broken; the next one stands in for a broken one.

_LOADING = min(8, os.cpu_count() or 1)  # Photos at a time: one takes 10 ms of a core.
_AHEAD = 2  # Batches that wait.


def open_photos(content, *, holdout=0, seed=1, without=()):
    """Opens the content photos named by `--content`.

    Args:
        content: a folder, or `tfds:NAME[:SPLIT]`; or nothing, for the sample photos that come with
            the package and others (`fst.media.samples`).
        holdout: photos to keep out of training, for measuring; at most a tenth of them all.
        seed: seed of the order.
        without: folders in a folder of photos whose pictures are none of them, such as that of the
            trained styles.

    Returns:
        `FilePhotos` or `TfdsPhotos`.

    Raises:
        UserError: there is no such folder or data set, or it holds no photos.
    """
    if not content:
        return SamplePhotos(seed=seed)
    if content.startswith(TFDS_PREFIX):
        return TfdsPhotos(content[len(TFDS_PREFIX) :], holdout=holdout, seed=seed)
    return FolderPhotos(content, holdout=holdout, seed=seed, without=without)


class Photo(NamedTuple):
    """One content photo: `read()` returns the bytes of the file called `name`."""

    name: str
    read: Callable[[], bytes]

    def crop(self, *how):
        """A training crop; the arguments are those of `images.crop`."""
        return images.decode_crop(self.read(), *how, self.name)

    def picture(self, long_side):
        """The whole photo, float32 `[H, W, 3]`, 0-255, with this long side in px."""
        return images.load_rgb(self.name, long_side, data=self.read())


class ArrayPhoto(NamedTuple):
    """One content photo that was handed in, uint8 `[H, W, 3]`."""

    name: str
    pixels: np.ndarray

    def crop(self, *how):
        """As `Photo.crop`."""
        return images.crop(self.pixels, *how)

    def picture(self, long_side):
        """As `Photo.picture`."""
        height, width = self.pixels.shape[:2]
        scale = long_side / max(height, width)
        sides = (max(1, round(side * scale)) for side in (height, width))
        return images.resize(self.pixels, *sides).astype(np.float32)


class _Photos:
    """What both kinds share: crops by index, and a record of the photos that were skipped.

    Attributes:
        held_out: the `Photo`s kept out of training.
        skipped: the names of the unreadable photos met so far, each with the reason.
        notes: what a user may want to know of the choice of photos, a line each.
    """

    def __init__(self, seed):
        self.seed = seed
        self.skipped = {}
        self.notes = []
        self.held_out = []
        self._failure = None

    def batches(self, config, styles=1, *, start_step=0, worker=0, workers=1, replicas=1):
        """The crops of the steps from `start_step` to the last, and the styles they are to get.

        Args:
            config: a `TrainingConfig`.
            styles: how many styles there are. All take their turns, each as often as
                `config.style_turns` says, in an order that is drawn anew each time round.
            start_step: the first step, from 0.
            worker, workers: which share of every batch to give: with two workers of a global batch
                of four, the first gives the crops 0 and 1, the second 2 and 3.
            replicas: pieces, one after the other, that the worker's share of a step comes in.

        Returns:
            A finite `tf.data.Dataset` of pairs: crops, float32
            `[batch_size / workers / replicas, crop, crop, 3]`, 0-255, and the number of the style
            of each, int32 `[batch_size / workers / replicas]`.
        """
        batch, share = config.batch_size, config.batch_size // workers
        size = config.crop_size
        turns = np.repeat(np.arange(styles), config.for_each_style("style_turns", styles))

        # Converting them, with all that they call, would take seconds at the start of every run.
        @tf.autograph.experimental.do_not_convert
        def load(index, *candidates):
            crop = tf.numpy_function(
                functools.partial(self._load, size=size, resize_to=config.photo_size),
                (index, *candidates),
                tf.uint8,
                stateful=False,
            )
            return tf.cast(tf.ensure_shape(crop, (size, size, 3)), tf.float32), style_of(index)

        def style_of(index):
            draw = functools.partial(_style_of, seed=self.seed, turns=turns)
            return tf.ensure_shape(tf.numpy_function(draw, [index], tf.int32, stateful=False), ())

        @tf.autograph.experimental.do_not_convert
        def mine(index, *_):
            return index % batch // share == worker

        steps = (config.steps - start_step) * replicas
        return (
            self._elements(start_step * batch)
            .filter(mine)
            .map(load, num_parallel_calls=_LOADING, deterministic=True)
            .batch(share // replicas, drop_remainder=True)
            .take(steps)
            # Keras, told the number, does not try for one more, which would count as a step.
            .apply(tf.data.experimental.assert_cardinality(steps))
            .prefetch(_AHEAD)
            .with_options(_options())
        )

    def pictures(self, wanted, long_side):
        """Whole pictures, to look at or to measure with; the unreadable ones are skipped.

        Args:
            wanted: `Photo`s.
            long_side: scales each so that its long side has this many px.

        Yields:
            Pairs of a name and a float32 `[H, W, 3]`, 0-255.
        """
        for photo in wanted:
            try:
                picture = photo.picture(long_side)
                _check_not_thin(picture, photo.name)
            except images.ImageError as error:
                self.skipped.setdefault(photo.name, str(error))
            else:
                yield photo.name, picture

    def raise_failure(self):
        """Raises what went wrong in the stream, if anything did, in the user's terms."""
        if self._failure is not None:
            raise self._failure

    def _load(self, index, *candidates, size, resize_to):
        random = np.random.default_rng([self.seed, 1, int(index)])
        position, flip = tuple(random.random(2)), bool(random.random() < 0.5)
        try:
            for photo in self._candidates(int(index), *candidates):
                try:
                    return photo.crop(size, resize_to, position, flip)
                except images.ImageError as error:
                    self.skipped.setdefault(photo.name, str(error))
            raise UserError(self._all_broken())
        except (UserError, ValueError) as error:
            # TensorFlow would turn it into an error of its own, with a traceback inside its text.
            self._failure = error
            raise


class _ListedPhotos(_Photos):
    """Photos of which any can be had at any time, in an order drawn anew for every epoch.

    Args:
        listed: a dictionary from names to what `make` makes a photo of.
        make: a function of a name and that.
        holdout, seed: see `open_photos`.
    """

    def __init__(self, listed, make, *, holdout=0, seed=1):
        super().__init__(seed)
        # By a hash of the name: the same photos stay out whatever the seed, the style or the
        # photos beside them.
        out = sorted(listed, key=_hash)[: min(holdout, len(listed) // 10)]
        self.held_out = [make(name, listed[name]) for name in out]
        kept = set(out)
        self._photos = [make(name, item) for name, item in listed.items() if name not in kept]

    def __len__(self):
        return len(self._photos)

    def __iter__(self):
        return iter(self._photos)

    def _elements(self, start):
        return tf.data.Dataset.range(start, np.iinfo(np.int64).max)

    def _candidates(self, index):
        epoch, start = divmod(index, len(self._photos))
        order = _order(self.seed, 0, epoch, len(self._photos))
        # Round the same epoch: beyond its end the next one could bring the broken ones again.
        for place in itertools.chain(order[start:], order[:start]):
            yield self._photos[place]


class FilePhotos(_ListedPhotos):
    """Photos in files.

    Args:
        paths: a dictionary from names to paths.
        where: what an error calls them all together.
        holdout, seed: see `open_photos`.
    """

    def __init__(self, paths, where, *, holdout=0, seed=1):
        super().__init__(paths, _in_file, holdout=holdout, seed=seed)
        self._where = where

    def _all_broken(self):
        photos = plural(len(self._photos), "photo")
        return f"‹content›: of {photos} in {self._where} none can be read"


class FolderPhotos(FilePhotos):
    """The photos of a folder and of the folders in it, but for those of `without`."""

    def __init__(self, folder, *, holdout=0, seed=1, without=()):
        self.folder = Path(folder)
        if not os.path.isdir(folder):
            raise UserError(
                f"‹content›: there is no folder '{folder}'; name a folder of photos, or "
                "tfds:NAME (data/README.md tells where to get some)"
            )
        paths, left_out = folders.look_through(self.folder, without=without)
        if not paths:
            others = f" (left out: {folders.names_of(left_out, self.folder)})" if left_out else ""
            raise UserError(f"‹content›: the folder '{folder}' holds no photos{others}")
        named = {path.relative_to(self.folder).as_posix(): path for path in paths}
        super().__init__(named, f"'{folder}'", holdout=holdout, seed=seed)
        if left_out:
            self.notes.append(f"--content: {folders.left_out_words(left_out, self.folder)}")


class SamplePhotos(FilePhotos):
    """The few photos that come with the package and others, for those who have none at hand."""

    def __init__(self, *, seed=1):
        paths = samples.files_to_learn_from()
        super().__init__(paths, "the installed packages", seed=seed)
        self.notes.append(f"no --content was given: training on {len(paths)} sample photos")


def take_photos(given, *, holdout=0, seed=1):
    """Content photos that a caller hands in.

    Args:
        given: pictures `[H, W, 3]`, RGB, 0-255, of any sizes: an array `[N, H, W, 3]` or another
            sequence, whose order is drawn anew for every epoch; or a `tf.data.Dataset` or other
            iterable, which is taken as it comes, and again from its beginning when it ends. Or
            what `open_photos` returned.
        holdout, seed: see `open_photos`; of an iterable no photos are kept out.

    Raises:
        ValueError: it holds no pictures, or others.
    """
    if isinstance(given, _Photos):
        return given
    if isinstance(given, (str, Path)):
        raise ValueError(
            f"photos: is the text '{given}'; a folder is named by the config's content"
        )
    if hasattr(given, "__len__") and hasattr(given, "__getitem__"):
        return ListedArrays(given, holdout=holdout, seed=seed)
    if not hasattr(given, "__iter__"):
        raise ValueError(f"photos: {type(given).__name__} is neither a sequence nor an iterable")
    return StreamedArrays(given, seed=seed)


class ListedArrays(_ListedPhotos):
    """A sequence of pictures; see `take_photos`."""

    def __init__(self, given, *, holdout=0, seed=1):
        if not len(given):
            raise ValueError("photos: holds none")
        listed = {f"photo {index}": index for index in range(len(given))}
        _as_pixels(given[0], "photo 0")  # Now, and not after a minute of compiling.

        def make(name, index):
            return _LatePhoto(name, functools.partial(_pixels_at, given, index, name))

        super().__init__(listed, make, holdout=holdout, seed=seed)

    def _all_broken(self):
        return "photos: none of them can be read"


class _LatePhoto(NamedTuple):
    """A photo of a sequence, which may make its items only when they are asked for."""

    name: str
    get: Callable[[], ArrayPhoto]

    def crop(self, *how):
        return self.get().crop(*how)

    def picture(self, long_side):
        return self.get().picture(long_side)


def _pixels_at(given, index, name):
    return ArrayPhoto(name, _as_pixels(given[index], name))


class StreamedArrays(_Photos):
    """Pictures that come one after another; see `take_photos`."""

    def __init__(self, given, *, seed=1):
        super().__init__(seed)
        self._given, self._drawn = given, 0
        first = iter(given)
        # What comes only once is looked at, and then comes all the same.
        self._once = first if first is given else None
        self._head = [
            ArrayPhoto(f"photo {n}", _as_pixels(picture, f"photo {n}"))
            for n, picture in enumerate(itertools.islice(first, _LOOKED_AT))
        ]
        if not self._head:
            raise ValueError("photos: holds none")

    def __len__(self):
        return self._drawn

    def __iter__(self):
        return iter(self._head)

    def _elements(self, start):
        return tf.data.Dataset.from_generator(
            functools.partial(self._numbered, start),
            output_signature=(
                tf.TensorSpec([], tf.int64),
                tf.TensorSpec([None, None, 3], tf.uint8),
            ),
        )

    def _numbered(self, start):
        try:
            for index, pixels in enumerate(self._endless()):
                self._drawn = max(self._drawn, index + 1)
                if index >= start:
                    yield index, pixels
        except (UserError, ValueError) as error:
            self._failure = error
            raise

    def _endless(self):
        if self._once is not None:
            yield from (photo.pixels for photo in self._head)
            yield from (_as_pixels(picture, "one of them") for picture in self._once)
            raise ValueError(_CAME_TO_AN_END)
        while True:
            number = None
            for number, picture in enumerate(self._given):
                yield _as_pixels(picture, f"photo {number}")
            if number is None:  # Such as a data set of a generator that is used up.
                raise ValueError(_CAME_TO_AN_END)

    def _candidates(self, index, pixels):
        yield ArrayPhoto(f"photo {index}", pixels)

    def _all_broken(self):
        return "photos: one of them cannot be cropped"


_CAME_TO_AN_END = (
    "photos: came to an end, and cannot be begun again: hand in a sequence, a tf.data.Dataset, or "
    "one that repeats"
)


def _check_not_thin(picture, name):
    """Raises an ImageError where too little of a long, thin photo is left for the networks."""
    height, width = picture.shape[:2]
    if min(height, width) < images.MIN_SIDE:
        raise images.ImageError(
            f"{name}: is too thin: scaled down, it has {width}x{height} px, and {images.MIN_SIDE} "
            "are needed"
        )


_LOOKED_AT = 4  # photos of a stream, which the previews show


def _as_pixels(picture, name):
    """A picture that was handed in, as uint8 `[H, W, 3]`.

    Raises:
        ValueError: it is none.
    """
    array = np.asarray(picture)
    if array.ndim != 3 or array.shape[2] != 3 or min(array.shape[:2]) < images.MIN_SIDE:
        hint = "; unbatch() it" if array.ndim == 4 else ""
        raise ValueError(
            f"photos: {name} has the shape {list(array.shape)}, not [H, W, 3] with sides of at "
            f"least {images.MIN_SIDE} px{hint}"
        )
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise ValueError(f"photos: {name} is of {array.dtype}, not of finite numbers in 0-255")
    return images.to_levels(array)


def _options():
    """Nothing is tuned while it runs: where it ends the tuner may sleep on, for up to a minute."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def _hash(name):
    # A name may hold bytes that are no text.
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()


def _in_file(name, path):
    # Not called by its path, since the card keeps the reasons for what was skipped.
    name = files.shown(name)
    return Photo(name, functools.partial(files.read_bytes, path, name))


@functools.lru_cache(maxsize=8)
def _order(seed, what, epoch, count):
    return np.random.default_rng([seed, what, epoch]).permutation(count)


def _style_of(index, *, seed, turns):
    """The style that crop `index` of a run is painted in: each as often as it stands in `turns`."""
    lap, place = divmod(int(index), len(turns))
    return np.int32(turns[_order(seed, 2, lap, len(turns))[place]])


class TfdsPhotos(_Photos):
    """The photos of a TensorFlow Datasets data set, left compressed until they are cropped."""

    def __init__(self, name, *, holdout=0, seed=1):
        super().__init__(seed)
        name, _, split = name.partition(":")
        self.name, self._split = name, split or "train"
        self._stream = _open_tfds(name, self._split)
        count = int(self._stream.cardinality())
        if count <= 0:
            raise UserError(f"‹content›: the split '{self._split}' of tfds:{name} holds no photos")
        kept = min(holdout, count // 10)
        self.held_out = list(_photos_of(self._stream.take(kept)))
        self._count = count - kept
        self._stream = self._stream.skip(kept)

    def __len__(self):
        return self._count

    def __iter__(self):
        return _photos_of(self._stream)

    def _elements(self, start):
        first_epoch, skip = divmod(start, self._count)

        def shuffled(epoch):
            # TensorFlow mixes in a seed of the process, unless this graph has one; it cannot be 0.
            tf.compat.v1.set_random_seed(1 + self.seed)
            return self._stream.shuffle(_TFDS_SHUFFLE, seed=epoch, reshuffle_each_iteration=False)

        epochs = tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max)
        photos = epochs.flat_map(shuffled).skip(skip)
        windows = photos.window(_TFDS_SPARE, shift=1).flat_map(
            lambda *window: tf.data.Dataset.zip(tuple(w.batch(_TFDS_SPARE) for w in window))
        )
        return windows.enumerate(start).map(lambda index, window: (index, *window))

    def _candidates(self, _, numbers, photos):
        return itertools.starmap(_numbered, zip(numbers, photos, strict=True))

    def _all_broken(self):
        return f"‹content›: {_TFDS_SPARE} photos in a row of tfds:{self.name} cannot be read"


def _photos_of(stream):
    return itertools.starmap(_numbered, stream.as_numpy_iterator())


def _numbered(number, data):
    return Photo(f"photo {number}", functools.partial(bytes, data))


def _image_of(name, features, kind):
    """The name of the feature that holds the photos."""
    found = {
        key: feature.np_dtype for key, feature in features.items() if isinstance(feature, kind)
    }
    if not found:
        raise UserError(f"‹content›: tfds:{name} holds no images")
    # TFDS lays the bytes of a float into a picture's four channels, which then shows but noise.
    photos = [key for key, dtype in found.items() if dtype in (np.uint8, np.uint16)]
    if not photos:
        kinds = ", ".join(f"'{key}' of {np.dtype(dtype)}" for key, dtype in found.items())
        raise UserError(
            f"‹content›: tfds:{name} holds no photos but {kinds}; name a data set whose images are "
            "of uint8 or uint16"
        )
    return "image" if "image" in photos else photos[0]


def _open_tfds(name, split):
    packages.need("tensorflow_datasets", f"‹content› tfds:{name}")
    import tensorflow_datasets as tfds  # Slow to import, and most runs train on a folder.

    try:
        key = _image_of(name, tfds.builder(name).info.features, tfds.features.Image)
        stream = tfds.load(
            name, split=split, shuffle_files=False, decoders={key: tfds.decode.SkipDecoding()}
        )
    except tfds.core.DatasetNotFoundError as error:
        raise UserError(
            f"‹content›: TensorFlow Datasets knows no '{name}'; its catalogue is at "
            "https://www.tensorflow.org/datasets/catalog"
        ) from error
    except UserError:
        raise
    except Exception as error:  # Its builders raise whatever their downloads and parsers raise.
        reason = first_line(error)
        raise UserError(f"‹content›: tfds:{name}:{split} cannot be loaded: {reason}") from error
    # With its place in the data set, which is all the name that a photo has there.
    return stream.map(lambda example: example[key]).enumerate()
