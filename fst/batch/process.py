"""What a command that stylises sets in its process."""

from fst.console import heap, quiet
from fst.stylize import stylizer


def prepare_for(engine):
    """Has this process, which is the command's own, compute with `engine` quietly and fast."""
    if engine == "tensorflow":
        heap.keep_freed(gib=1)
        quiet.quiet_tensorflow()
    stylizer.before_strips = quiet.quiet_tensorflow
