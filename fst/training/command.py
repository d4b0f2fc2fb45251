"""The command `train.py`, also `fst train`: trains a style and shows the progress."""

import shlex
import signal
import sys

from fst import collection, packages
from fst.config import TrainingConfig, infer_command
from fst.console import cli, heap, quiet, unused
from fst.errors import UserError
from fst.training.style_images import list_pictures, names_of
from fst.training.unused import in_training
from fst.words import plural


def main(program="train.py"):
    """Runs the command, called `program` in its help; returns its exit code."""
    return run(cli.parse(TrainingConfig, program), infer_program(program))


def run(config, infer="python infer.py"):
    """Trains as `config` says, shows how far it is, and returns the exit code.

    Args:
        config: the `TrainingConfig`.
        infer: how the command that stylises with the result begins, for a hint.
    """
    # A stop by the system, on a cluster or a spot machine, saves the state just as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if config.tensorboard:
        packages.need("tensorboard", "‹tensorboard›")  # Now: TensorFlow takes seconds to load.
    unused.tell(in_training(config))
    heap.keep_freed()
    quiet.quiet_pillow()
    quiet.quiet_tensorflow()
    from fst.console.progress import Reporter
    from fst.training.loop import train

    with Reporter() as reporter:
        done = train(config, on_progress=reporter.progress, on_event=reporter.event)
    if not done.card_path.exists():
        return 0  # A worker that leaves the files to the chief.
    names = names_of(config, list_pictures(config))
    skipped = _provenance(done, names[0])["skipped_photos"]
    if skipped["count"]:
        print(
            f"skipped {plural(skipped['count'], 'photo')} that could not be read:", file=sys.stderr
        )
        for name, reason in skipped["named"].items():
            print(f"  {reason if name in reason else f'{name}: {reason}'}", file=sys.stderr)
    what = "style is" if len(names) == 1 else f"{len(names)} styles are"
    hint = infer_command(_short_name(done, names, config), config.output, infer)
    print(f"the {what} in {done.folder}; try: {hint}")
    return 0


def _short_name(done, names, config):
    """What the first of the trained styles is called on the command line."""
    if not config.add_to:
        return config.name if len(names) == 1 else f"{config.name}/{names[0]}"
    try:  # It may mean another style too, or the gallery lie elsewhere.
        found = collection.find(names[0], config.output)
    except UserError:
        found = None
    if found and found.folder.resolve() == done.folder.resolve():
        return names[0]
    return shlex.quote(f"{done.folder}/{names[0]}")


def infer_program(program):
    """How the command that stylises is called where training is called `program`."""
    return "fst infer" if program.startswith("fst ") else "python infer.py"


def _provenance(done, name):
    """What the card says of the style's training, also where it was added to a gallery."""
    card = done.read_card()
    entry = next((style for style in done.styles() if style["name"] == name), {})
    return entry.get("training", card)
