"""`history.csv`: a row for every training step; `history.png`: its curves.

`history_styles.csv`: of several styles, those of each, as means from one save to the next.
"""

import csv

import numpy as np

from fst import files

COLUMNS = ("step", "total", "content", "style", "tv", "images/s")
STYLES_COLUMNS = ("step", "name", "content", "style", "images")

_ADVICE = "make room and run the same command again, it goes on where the state was last saved"


class History:
    """The losses of every step, appended to a CSV file.

    Args:
        path: the file; rows after the step `keep`, which a killed run had not saved, are dropped.
        keep: the last step to keep.

    Raises:
        UserError: the file cannot be written.
    """

    def __init__(self, path, keep=0):
        self._path = path
        _begin(path, COLUMNS, keep)

    def append(self, first_step, losses, images_per_second):
        """Appends consecutive steps.

        Args:
            first_step: number of the first, from 1.
            losses: `[N, 4]`: total, content, style, tv.
            images_per_second: the speed at which they were made.

        Raises:
            UserError: the file cannot be written.
        """
        rows = [
            (first_step + offset, *(f"{value:.8g}" for value in terms), f"{images_per_second:.4g}")
            for offset, terms in enumerate(losses)
        ]
        with files.writing(self._path, _ADVICE):
            _write(self._path, "a", rows)


class StylesHistory:
    """The losses of every style, appended to a CSV file: their means since the last save.

    Args:
        path: the file; rows after the step `keep` are dropped.
        names: of the styles, in the network's order.
        keep: the last step to keep.

    Raises:
        UserError: the file cannot be written.
    """

    def __init__(self, path, names, keep=0):
        self._path, self._names = path, names
        self._sums = np.zeros((len(names), 3))
        _begin(path, STYLES_COLUMNS, keep)

    def add(self, by_style):
        """Adds what `StepResult.by_style` tells of a step, or the sum of some, `[styles, 4]`."""
        self._sums += by_style[:, :3]

    def write(self, step):
        """Writes a row for every style that was trained since the last time.

        Raises:
            UserError: the file cannot be written.
        """
        rows = [
            (step, name, f"{content / count:.6g}", f"{style / count:.6g}", int(count))
            for name, (content, style, count) in zip(self._names, self._sums, strict=True)
            if count
        ]
        self._sums[:] = 0
        with files.writing(self._path, _ADVICE):
            _write(self._path, "a", rows)


def _begin(path, columns, keep):
    rows = [row for row in read_rows(path, columns) if int(row[0]) <= keep]
    with files.writing(path, _ADVICE), files.atomic_path(path) as temporary:
        _write(temporary, "w", [columns, *rows])


def read_rows(path, columns=COLUMNS):
    """The rows of a history as lists of text; a torn last row of a killed run is left out."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")  # A letter may be torn as well.
    except FileNotFoundError:
        return []
    whole = text[: text.rfind("\n") + 1]
    return [row for row in csv.reader(whole.splitlines()[1:]) if len(row) == len(columns)]


def read_history(path):
    """The history as a float64 array `[steps, 6]`, its columns as in `COLUMNS`."""
    return np.array(read_rows(path), dtype=np.float64).reshape(-1, len(COLUMNS))


def draw_curves(path, picture, smooth=0.02):
    """Draws the three terms against the step.

    Args:
        path: the CSV file.
        picture: the PNG file to write.
        smooth: width of the running mean, as a share of the run: single batches jump.
    """
    # Slow to import, and needed once a run. Without pyplot, whose backend is the caller's: in a
    # notebook, switching it would hide every later plot.
    from matplotlib.figure import Figure

    history = read_history(path)
    window = max(1, int(len(history) * smooth))
    figure = Figure(figsize=(12, 3.2), layout="constrained")
    for axis, name in zip(figure.subplots(1, 3), ("total", "content", "style"), strict=True):
        values = history[:, COLUMNS.index(name)]
        axis.plot(history[:, 0], values, color="#b8c4d6", linewidth=0.4)
        mean = np.convolve(values, np.ones(window) / window, mode="valid")
        axis.plot(history[window - 1 :, 0], mean, color="#1f3b73", linewidth=1.5)
        axis.set(title=name, xlabel="step")
        axis.set_ylim(mean.min() * 0.7, np.percentile(values, 98))
        axis.grid(alpha=0.3)
    with files.atomic_path(picture) as temporary:
        figure.savefig(temporary, dpi=110)


def _write(path, mode, rows):
    with open(path, mode, newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
