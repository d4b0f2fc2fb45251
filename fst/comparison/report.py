"""The report of a comparison: what was measured, in words, figures, tables and pictures.

From the results in REPORT `write_report` makes three files beside them:

    report.html   one page that needs no other file, no network and no JavaScript
    metrics.csv   a row for each photo and method
    metrics.json  the settings, the statistics over all photos, and every photo's results

The page's words are the same whichever method the numbers favour.
"""

import base64
import io
import json
from pathlib import Path
from typing import NamedTuple

import jinja2
from markupsafe import Markup
from PIL import Image

from fst import files
from fst.comparison.figures import COLOURS, photo_figure, worth_figure
from fst.comparison.statistics import MEASURED, summarise, table, to_csv
from fst.comparison.words import (
    STARTS,
    conditions,
    facts,
    headline,
    limits,
    number,
    photo_worth,
    warnings,
)
from fst.errors import UserError
from fst.media import images
from fst.words import plural

_LONGEST = 512  # px: pictures are shown no larger, so that the page stays small enough to send
_QUALITY = 90  # of the page's JPEGs


class Report(NamedTuple):
    """The headline of a report.

    Attributes:
        page: the path of report.html.
        photos: how many photos it compares.
        headline: its first sentences.
        worth: for every start the median worth over the photos, `{"value": evaluations, "reached":
            bool}`; where not reached, it is more than the value.
        seconds: the median time of a pass of the fast network.
    """

    page: Path
    photos: int
    headline: str
    worth: dict
    seconds: float


def write_report(folder):
    """Writes report.html, metrics.csv and metrics.json of a comparison, finished or not.

    Args:
        folder: REPORT, as `measure` filled it. Photos without a `result.json` are left out.

    Returns:
        A `Report`.

    Raises:
        UserError: REPORT holds no finished photo, a file of it cannot be read, or there is no room
            to write.
    """
    folder = Path(folder)
    settings = _read_json(folder / "settings.json")
    results = read_results(folder)
    found = summarise(settings, results)
    kept = {"settings": settings, "summary": found, "photos": results}
    page = _page(folder, settings, results, found)
    _write(folder / "metrics.csv", to_csv(table(settings, results)))
    _write(folder / "metrics.json", json.dumps(kept, indent=1) + "\n")
    _write(folder / "report.html", page)
    worth = {start: of["worth"]["median"] for start, of in found["starts"].items()}
    seconds = found["fast"]["seconds"]["median"]
    return Report(folder / "report.html", len(results), headline(settings, found), worth, seconds)


def read_results(folder):
    """The results of REPORT's finished photos, each with its folder's name as `id`, in its order.

    Raises:
        UserError: there are none, or one is damaged.
    """
    paths = sorted((Path(folder) / "photos").glob("*/result.json"))
    # Hidden is what a killed run had begun to write.
    paths = [path for path in paths if not path.parent.name.startswith(".")]
    if not paths:
        raise UserError(f"{folder}: holds no finished photo; run compare.py with -o {folder}")
    return [{"id": path.parent.name, **_read_json(path)} for path in paths]


def _read_json(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({files.reason_of(error)})") from error
    except ValueError as error:
        raise UserError(
            f"{path}: is damaged ({files.reason_of(error)}); remove its folder and compare again"
        ) from error


def _write(path, text):
    advice = "make room and run the same command again"
    with files.writing(path, advice), files.atomic_path(path) as temporary:
        # A file's name may hold bytes that are no text, which UTF-8 cannot write.
        temporary.write_text(text, encoding="utf-8", errors="replace", newline="")


def _page(folder, settings, results, found):
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    photos = [_photo(folder, settings, result, place) for place, result in enumerate(results)]
    return environment.get_template("report.html").render(
        name=settings["checkpoint"],
        headline=headline(settings, found),
        unbroken=Markup('<span class="unbroken">L-BFGS</span>'),
        warnings=warnings(settings, found),
        conditions=conditions(settings, found),
        facts=facts(settings, found),
        limits=limits(settings, found),
        device=settings["device"],
        size=settings["size"],
        several=found["photos"] > 1,
        followed=[STARTS[start] for start in settings["also_from"]],
        figure=worth_figure(settings, results),
        rows=_table(settings, found),
        photos=photos,
        starts=[(STARTS[start], COLOURS[start]) for start in found["starts"]],
        scaled=settings["size"] > _LONGEST and _LONGEST,
    )


def _table(settings, found):
    """The rows of the page's table: the method, and its cells as (mean ± std, median) or None."""
    methods = [("untouched photo", found["untouched"]), ("fast network", found["fast"])]
    for budget in settings["budgets"]:
        methods.append((f"Gatys, {budget}", found["gatys"][str(budget)]))
    return [
        (name, [_cell(column, of[column]) if column in of else None for column in MEASURED])
        for name, of in methods
    ]


def _cell(column, of):
    """A `Summary`, as a dictionary, in two texts: mean with deviation, and median."""
    mean, median = number(of["mean"]), number(of["median"])
    digits = len(mean.partition(".")[2])
    if column.startswith("ssim"):
        digits, mean, median = 2, f"{of['mean']:.2f}", f"{of['median']:.2f}"
    if of["count"] == 1 or not of["max"]:
        return mean, None
    std = number(of["std"]) if "e" in mean else f"{of['std']:.{digits}f}"
    return f"{mean} ± {std}", median


def _photo(folder, settings, result, place):
    """What the page shows of one photo."""
    name, rows = result["photo"], table(settings, [result])
    checkpoint = settings["checkpoint"]
    titles = {"photo": "untouched", "fast": "fast network"}
    alts = {"photo": f"{name}, the photo", "fast": f"{name} in {checkpoint} by the fast network"}
    pictures = []
    for row in rows:
        after = f"after {plural(row['evaluations'], 'evaluation')}"
        method = row["method"]
        path = folder / "photos" / result["id"] / f"{method.replace(' ', '_')}.png"
        pictures.append(
            {
                **_embedded(path),
                "title": titles.get(method) or f"Gatys, {row['evaluations']}",
                "alt": alts.get(method) or f"{name} by Gatys et al. {after}",
                "total": number(row["total"]),
                "ssim": None if row["ssim_photo_luma"] is None else f"{row['ssim_photo_luma']:.2f}",
            }
        )
    worth = photo_worth(settings, result)
    return {
        "name": name,
        "size": f"{result['width']} × {result['height']} px",
        "worth": worth,
        "pictures": pictures,
        "curve": photo_figure(result, f"photo{place}"),
    }


def _embedded(path):
    """A picture as a data URI with a JPEG, and its size in px."""
    rgb = images.load_picture(path).rgb
    height, width, _ = rgb.shape
    scale = min(1, _LONGEST / max(height, width))
    if scale < 1:
        height, width = (max(1, round(side * scale)) for side in (height, width))
        rgb = images.resize(rgb, height, width)
    data = io.BytesIO()
    # 4:4:4, as the stylised pictures have sharp coloured edges.
    Image.fromarray(rgb).save(data, "JPEG", quality=_QUALITY, subsampling="4:4:4", optimize=True)
    uri = "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode("ascii")
    return {"uri": uri, "width": width, "height": height}
