"""The figures of a comparison's report, as SVG that takes the page's own colours."""

import contextlib
import io
import math
import re

import numpy as np
from markupsafe import Markup

from fst.comparison.words import STARTS, optimizer_name

_INK = "#010203"  # stands for the page's own text colour, light or dark
COLOURS = {"noise": "#d9730d", "style": "#2f9e5f", "content": "#2f80c2"}
_FAST, _UNTOUCHED = (0, (5, 2)), (0, (1, 2))  # dashes: levels are told apart without colours


def worth_figure(settings, results):
    """Best total so far over the network's, against evaluations: median and quartiles, as SVG.

    Each photo's totals are divided by the network's on that photo, so that a curve crosses 1 at the
    median worth.
    """
    with _figure(5.6, 3.5) as (figure, axis):
        for start in results[0]["starts"]:
            curves = best_over_fast(results, start, start in settings["also_from"])
            low, median, high = np.quantile(curves, (0.25, 0.5, 0.75), axis=0)
            end = _until(median <= 1) if start in settings["also_from"] else len(median)
            steps, colour = np.arange(1, end + 1), COLOURS[start]
            axis.fill_between(steps, low[:end], high[:end], color=colour, alpha=0.2, linewidth=0)
            name = f"{optimizer_name(settings)} {STARTS[start]}"
            axis.plot(steps, median[:end], color=colour, linewidth=2, label=name)
        untouched = np.median([r["untouched"]["total"] / r["fast"]["total"] for r in results])
        axis.axhline(untouched, color=_INK, linestyle=_UNTOUCHED, label="untouched photo")
        axis.axhline(1, color=_INK, linestyle=_FAST, label="fast network")
        axis.set_xlabel("evaluations of the loss", color=_INK)
        axis.set_ylabel("total loss, the network's = 1", color=_INK)
        _logarithmic(axis, 4)
        # Above the axes: within them a line would run through it, wherever there is most room.
        place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": 2}
        axis.legend(**place, frameon=False, labelcolor=_INK, fontsize=9)
        return _svg(figure, "worth")


def photo_figure(result, name):
    """One photo's best totals so far from each start, and the two levels, as SVG."""
    with _figure(3.4, 2.0) as (figure, axis):
        for start, run in result["starts"].items():
            best = np.minimum.accumulate(run["totals"])
            axis.plot(np.arange(1, len(best) + 1), best, color=COLOURS[start], linewidth=1.8)
        axis.axhline(result["untouched"]["total"], color=_INK, linestyle=_UNTOUCHED, linewidth=1.3)
        axis.axhline(result["fast"]["total"], color=_INK, linestyle=_FAST, linewidth=1.3)
        _logarithmic(axis, 3)
        return _svg(figure, name)


def best_over_fast(results, start, followed_to_level):
    """The lowest total so far, divided by the network's on the same photo.

    Args:
        results: those of the photos.
        start: such as `"noise"`.
        followed_to_level: the runs were ended once they were as good as the network. What lies
            below 1 is then not known of all, and shown as 1.

    Returns:
        float64 `[photos, evaluations]`; a shorter run keeps its last value.
    """
    runs = [result["starts"][start]["totals"] for result in results]
    longest = max(map(len, runs))
    curves = [
        np.pad(np.minimum.accumulate(run), (0, longest - len(run)), mode="edge")
        / result["fast"]["total"]
        for run, result in zip(runs, results, strict=True)
    ]
    curves = np.stack(curves)
    if followed_to_level:
        curves[curves < 1 + 1e-5] = 1  # Totals are kept to six digits.
    return curves


def _until(reached):
    """How many entries there are up to the first that is True, with it; else all."""
    return int(np.argmax(reached)) + 1 if reached.any() else len(reached)


@contextlib.contextmanager
def _figure(width, height):
    """A figure of this size in inches with one pair of axes, in the page's colours."""
    import matplotlib  # Slow to import, and `summarise` does without it.
    from matplotlib.figure import Figure

    style = {"svg.fonttype": "none", "font.size": 10, "axes.linewidth": 0.6}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        axis = figure.subplots()
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["bottom", "left"]].set_color(_INK)
        axis.tick_params(colors=_INK, width=0.6)
        axis.grid(color=_INK, alpha=0.12, linewidth=0.6)
        yield figure, axis


def _logarithmic(axis, ticks_at_least):
    """Makes the axes logarithmic, with so many ticks or some more that are plain numbers."""
    low, high = axis.dataLim.intervaly
    axis.set(xscale="log", yscale="log")
    axis.set_xlim(1, max(axis.dataLim.x1, 2) * 1.1)
    axis.set_ylim(low / 1.06, high * 1.06)
    for one, limits_ in ((axis.xaxis, axis.get_xlim()), (axis.yaxis, axis.get_ylim())):
        ticks = _ticks(*limits_, ticks_at_least)
        one.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
        one.set_ticks([], minor=True)


def _ticks(low, high, least):
    """At least so many round numbers in a range above 0, as few as may be, or its ends."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), [n / 10 for n in range(10, 100)]):
        ticks = [float(f"{step * 10.0**power:.3g}") for power in powers for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= least:
            return ticks
    return [float(f"{end:.4g}") for end in (low, high)]


def _svg(figure, name):
    """A figure as an SVG element that can stand in a page among others; `name` sets it apart."""
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True)
    text = text.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r' (?:width|height)="[0-9.]+pt"', "", text, count=2)  # The page sets the size.
    text = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{name}-", text)
    return Markup(text.replace(_INK, "currentColor"))
