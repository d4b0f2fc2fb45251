"""The command `python -m fst.gatys`: files in, files out, and what is shown meanwhile."""

import itertools
import os
import signal
from pathlib import Path

from PIL import Image

from fst import files
from fst.console import cli, heap, quiet, unused
from fst.errors import UserError
from fst.gatys.options import GatysConfig
from fst.gatys.sweep import combinations, parse_sweep, run_sweep
from fst.gatys.unused import in_gatys
from fst.media import images

_FRAME_MS = 120  # how long the animation shows a snapshot
_LAST_FRAME_MS = 2000


def main(program="python -m fst.gatys"):
    """Runs the command, called `program` in its help; returns its exit code."""
    # A stop by the system keeps the best picture so far, just as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    config = cli.parse(GatysConfig, program)
    check(config)
    runs = combinations(config.options(), parse_sweep(config.sweep)) if config.sweep else []
    unused.tell(in_gatys(config, [options for _, options in runs]))
    quiet.quiet_pillow()
    content = images.load_rgb(config.content)
    styles = [images.load_rgb(style) for style in config.style]
    heap.keep_freed()
    quiet.quiet_tensorflow()
    if config.sweep:
        return run_sweep(config, content, styles)
    return _optimize(config, content, styles)


def check(config):
    """Raises a UserError unless the command makes sense and what it will write can be written."""
    output = Path(config.output)
    images.check_output(output, "--output")
    if config.sweep:
        parse_sweep(config.sweep)
        if config.trace or config.snapshots:
            raise UserError("--trace and --snapshots are for one picture: leave them or --sweep")
    if config.trace and os.path.isdir(config.trace):
        raise UserError(f"--trace {config.trace}: is a folder; give a file name")
    written = {"--output": config.output, "--trace": config.trace}
    if config.snapshots:
        snapshots = Snapshots(config.output, config.snapshots)
        _check_apart(snapshots.folder, config)
        written["--snapshots"] = snapshots.animation
    for flag, path in written.items():
        if path:
            files.check_writable(Path(path), flag)
            _check_spares(path, flag, (config.content, *config.style))


def _check_apart(folder, config):
    """Raises a UserError if an image lies in the folder of the snapshots, which may replace it."""
    for source in (config.content, *config.style):
        if not files.is_url(source) and os.path.realpath(folder) == os.path.realpath(
            os.path.dirname(source)
        ):
            raise UserError(
                f"--snapshots would be written to {folder}, where {source} lies: name another "
                "--output"
            )


def _check_spares(path, flag, sources):
    """Raises a UserError if writing `path` would overwrite one of the images it is made from."""
    for source in sources:
        if files.is_url(source) or not os.path.exists(source) or not os.path.exists(path):
            continue
        if os.path.samefile(path, source):
            raise UserError(f"{flag} {path}: would overwrite {source}; give another file name")


def _optimize(config, content, styles):
    from fst.console.progress import Reporter
    from fst.gatys.optimizer import count_steps, optimize
    from fst.models.perceptual import load_vgg19

    features = load_vgg19(config.vgg_weights, config.precision, config.pooling)
    snapshots = Snapshots(config.output, config.snapshots)
    with Reporter() as reporter:
        steps = count_steps(content.shape[:2], config)

        def after(step, best):
            reporter.step(step, steps)
            try:
                snapshots.after(step, best)
            except UserError as error:
                if step.step == 1:
                    raise
                # Late, as when the disk is full: the picture itself must not be lost with them.
                snapshots.end()
                reporter.event(f"no more snapshots: {error.for_command_line()}")

        result = optimize(content, styles, config.options(), features=features, on_step=after)
    images.save_or_rescue(config.output, result.picture)
    if config.trace:
        write_trace(config.trace, result.trace)
    snapshots.animate(result.picture.shape[:2])
    done = len(result.trace)
    done = f"stopped after {done} of {steps}" if result.interrupted else done
    terms = "  ".join(f"{name} {value:.4g}" for name, value in result.losses._asdict().items())
    print(f"{config.output}: the best of {done} steps, {terms}")
    return 130 if result.interrupted else 0


def write_trace(path, trace):
    """Writes the losses of every step as CSV; raises a UserError if that fails."""
    header = ["step", "height", "width", "total", "content", "style", "tv", "best", "seconds"]
    rows = [
        [*step[:3], *(f"{value:.8g}" for value in (*step.losses, step.best)), f"{step.seconds:.3f}"]
        for step in trace
    ]
    with files.writing(f"--trace {path}"):
        files.write_table(path, header, rows)


class Snapshots:
    """The best picture every so many steps, in `<output>_snapshots/`, and an animation of them.

    Args:
        output: the picture that the run writes.
        every: steps between two snapshots; 0 for none at all.

    Attributes:
        animation: the path of the animation.
    """

    def __init__(self, output, every):
        output = Path(output)
        self._every = every
        self.folder = output.with_name(f"{output.stem}_snapshots")
        # Not `with_suffix`, which makes cat.webp of cat.v2_snapshots.
        self.animation = output.with_name(f"{output.stem}_snapshots.webp")
        self._frames = []

    def after(self, step, best):
        """Writes a snapshot if one is due after `step`, a `fst.gatys.optimizer.Step`."""
        if self._every and (step.step == 1 or step.step % self._every == 0):
            path = self.folder / f"{step.step:05d}.png"
            images.save_picture(path, best())
            self._frames.append(path)

    def end(self):
        """Takes no more of them."""
        self._every = 0

    def animate(self, size):
        """Writes the snapshots of this run as an animated WebP beside their folder.

        Args:
            size: its height and width, px; the snapshots of coarser scales are enlarged.

        Raises:
            UserError: it cannot be written.
        """
        if not self._frames:
            return
        path = self.animation
        frames = (Image.fromarray(self._frame(frame, size)) for frame in self._frames)
        first = next(frames)
        times = [_FRAME_MS] * (len(self._frames) - 1) + [_LAST_FRAME_MS]
        with files.writing(path, also=[ValueError]), files.atomic_path(path) as temporary:
            first.save(
                temporary,
                save_all=True,
                append_images=itertools.chain(frames),
                duration=times,
                loop=0,
                quality=85,
            )

    @staticmethod
    def _frame(path, size):
        picture = images.load_picture(path).rgb
        return picture if picture.shape[:2] == tuple(size) else images.resize(picture, *size)
