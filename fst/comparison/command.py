"""The command `compare.py`, also `fst compare`: fast and slow side by side, in a report."""

import signal
import sys

from fst.comparison.measure import CompareConfig, Comparison, list_photos
from fst.comparison.unused import in_comparison
from fst.console import cli, heap, quiet, unused
from fst.errors import UserError
from fst.files import ImageError


def main(program="compare.py"):
    """Runs the command, called `program` in its help; returns its exit code."""
    # A stop by the system ends as Ctrl-C does: the photos that are done are kept.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    config = cli.parse(CompareConfig, program)
    quiet.quiet_pillow()

    def tell(note):
        print(f"note: {note}", file=sys.stderr)

    photos = list_photos(config.photos, tell, without=[config.output])
    unused.tell(in_comparison(config))
    heap.keep_freed()
    quiet.quiet_tensorflow()
    from fst.comparison.report import write_report
    from fst.console.progress import Reporter

    title = ""

    def show(step, steps, start):
        reporter.step(step, steps, f"{title}, from {start}")

    with Reporter() as reporter, Comparison(config, show) as comparison:
        if not comparison.style_is_the_trained_one:
            reporter.event(
                f"note: {config.style} is not the file that the style was trained on; "
                "if it is another picture, the comparison means nothing"
            )
        failed = 0
        for number, photo in enumerate(photos, start=1):
            title = f"photo {number} of {len(photos)}"
            if comparison.is_done(photo):
                continue
            try:
                comparison.compare(photo)
            except ImageError as error:
                failed += 1
                print(f"failed: {error.for_command_line()}", file=sys.stderr)
        if failed == len(photos):
            raise UserError("no photo could be compared")
        report = write_report(comparison.folder)
    print(f"{report.headline}\nthe report is {report.page}")
    return 1 if failed else 0
