"""The statistics of a comparison: what `fst.comparison.measure` measured, over all photos.

A pass of the fast network is *worth* as many evaluations as the optimiser needs, from some start,
until its best total is as low as the network's on the same photo. Where it was not so low by its
last evaluation, N, the worth is more than N: larger than every number that was reached, and known
no closer. Statistics keep that: each says whether it is a number or only a bound.
"""

import csv
import io
import math

import numpy as np

from fst.metrics import summary

TERMS = ("total", "content", "style", "tv")
COLUMNS = (
    "photo",
    "method",
    "evaluations",
    *TERMS,
    "ssim_photo_luma",
    "ssim_photo_rgb",
    "ssim_fast_luma",
    "ssim_fast_rgb",
    "seconds",
    "speed_up",
)
"""Of metrics.csv. `seconds` is a pass or the run up to that evaluation; `speed_up` is how many
times as long as a pass over the same photo the run took."""

MEASURED = COLUMNS[3:]


def table(settings, results):
    """A dictionary with the keys `COLUMNS` for each photo and method; None where none applies.

    The methods are `"photo"` (left untouched), `"fast"`, and `"gatys 20"` and so on, its best
    picture within that many evaluations from `settings["init"]`.
    """
    rows = []
    for result in results:
        fast = result["fast"]
        measured = [("photo", None, result["untouched"]), ("fast", None, fast)]
        for budget in settings["budgets"]:
            values = result["gatys"][str(budget)]
            values = {**values, "speed_up": values["seconds"] / fast["seconds"]}
            measured.append((f"gatys {budget}", budget, values))
        for method, evaluations, values in measured:
            row = {"photo": result["photo"], "method": method, "evaluations": evaluations}
            rows.append({**row, **{column: values.get(column) for column in MEASURED}})
    return rows


def to_csv(rows):
    """The rows of `table` as CSV text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: f"{v:.8g}" if isinstance(v, float) else v for k, v in row.items()})
    return text.getvalue()


def summarise(settings, results):
    """All statistics over the photos, as plain JSON types.

    Args:
        settings: what is in `settings.json`.
        results: what is in the photos' `result.json`, at least one.

    Returns:
        A dictionary:

        - `photos`: how many.
        - `untouched`: for each of `TERMS` a `fst.metrics.Summary` as a dictionary.
        - `fast`: the same for all of `COLUMNS` that apply; `total_over_untouched`, the summary of
          its total divided by the untouched photo's; `photos_not_below_untouched`, on how many
          photos it is as high or higher; `shares`, summaries of how much of the total each weighted
          term makes up, 0-1.
        - `gatys`: for each budget, as text, the same for all columns; `total_over_fast`, the
          summary of its total divided by the network's on the same photo; `photos_lower` and
          `photos_higher`, on how many photos total, content and style are lower or higher than
          the network's; `shares`, and on how many photos they are lower or higher.
        - `starts`: for each start `worth`, in evaluations, and `speed_up`, how many times as long
          as a pass of the network that worth took: each with `min`, `lower_quartile`, `median`,
          `upper_quartile` and `max` as `{"value", "reached"}`; `not_reached`, on how many photos
          the network's total was not reached; `seconds_per_evaluation`, a summary.
    """
    rows = table(settings, results)
    return {
        "photos": len(results),
        "untouched": _columns(rows, "photo"),
        "fast": {**_columns(rows, "fast"), **_against_untouched(settings, results)},
        "gatys": {
            str(budget): {
                **_columns(rows, f"gatys {budget}"),
                **_against_fast(settings, results, str(budget)),
            }
            for budget in settings["budgets"]
        },
        "starts": {
            start: _start(results, start) for start in (settings["init"], *settings["also_from"])
        },
    }


def _columns(rows, method):
    rows = [row for row in rows if row["method"] == method]
    columns = [column for column in MEASURED if any(row[column] is not None for row in rows)]
    return {column: summary([row[column] for row in rows])._asdict() for column in columns}


def _against_untouched(settings, results):
    ratios = [result["fast"]["total"] / result["untouched"]["total"] for result in results]
    return {
        "total_over_untouched": summary(ratios)._asdict(),
        "photos_not_below_untouched": sum(ratio >= 1 for ratio in ratios),
        "shares": _summaries([_shares(settings, result["fast"]) for result in results]),
    }


def _against_fast(settings, results, budget):
    gatys = [result["gatys"][budget] for result in results]
    fast = [result["fast"] for result in results]
    ratios = [g["total"] / f["total"] for g, f in zip(gatys, fast, strict=True)]
    shares = [[_shares(settings, terms) for terms in method] for method in (gatys, fast)]
    lower, higher = _sides(gatys, fast, TERMS[:3])
    share_lower, share_higher = _sides(*shares, TERMS[1:])
    return {
        "total_over_fast": summary(ratios)._asdict(),
        "photos_lower": lower,
        "photos_higher": higher,
        "shares": _summaries(shares[0]),
        "photos_share_lower": share_lower,
        "photos_share_higher": share_higher,
    }


def _shares(settings, terms):
    return {t: settings[f"{t}_weight"] * terms[t] / terms["total"] for t in TERMS[1:]}


def _summaries(values):
    return {name: summary([value[name] for value in values])._asdict() for name in values[0]}


def _sides(ones, others, names):
    """On how many photos the one is lower, and on how many higher, than the other, by name."""
    pairs = list(zip(ones, others, strict=True))
    lower = {name: sum(one[name] < other[name] for one, other in pairs) for name in names}
    return lower, {name: sum(one[name] > other[name] for one, other in pairs) for name in names}


def _start(results, start):
    runs = [result["starts"][start] for result in results]
    worths = [worth_of(run) for run in runs]
    times = [
        (evaluations * run["seconds_per_evaluation"] / result["fast"]["seconds"], reached)
        for (evaluations, reached), run, result in zip(worths, runs, results, strict=True)
    ]
    return {
        "worth": quantiles(worths),
        "speed_up": quantiles(times),
        "not_reached": sum(not reached for _, reached in worths),
        "seconds_per_evaluation": summary(r["seconds_per_evaluation"] for r in runs)._asdict(),
    }


def worth_of(run):
    """One run's worth: evaluations, and whether it was reached or is more than that."""
    if run["worth"] is None:
        return len(run["totals"]), False
    return run["worth"], True


def quantiles(values):
    """Minimum, quartiles, median and maximum of numbers of which some are known only from below.

    A value that was not reached counts as larger than all that were. A quantile that falls on such
    a one, or between it and the number before it, is known only from below as well: it cannot be
    less than the same quantile of all values taken as they stand.

    Args:
        values: pairs of a number and whether it was reached; if not, the true one is larger.

    Returns:
        A dictionary of `{"value": float, "reached": bool}`. Quartiles between two values are
        interpolated linearly.
    """
    ordered = sorted(values, key=lambda value: (not value[1], value[0]))
    numbers = [number for number, _ in ordered]

    def quantile(share):
        place = share * (len(ordered) - 1)
        before, after = math.floor(place), math.ceil(place)
        if not ordered[after][1]:
            return {"value": float(np.quantile(numbers, share)), "reached": False}
        step = (place - before) * (numbers[after] - numbers[before])
        return {"value": float(numbers[before] + step), "reached": True}

    names = ("min", "lower_quartile", "median", "upper_quartile", "max")
    return {name: quantile(quarter / 4) for quarter, name in enumerate(names)}
