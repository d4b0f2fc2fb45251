"""The report of a comparison: statistics by hand, the three files, words that fit the numbers."""

import csv
import json
import re
import statistics
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from fst import files
from fst.comparison import statistics as compare_statistics
from fst.comparison.figures import best_over_fast
from fst.comparison.report import write_report
from fst.comparison.statistics import quantiles, summarise, table
from fst.comparison.words import (
    conditions,
    evaluations_of,
    facts,
    headline,
    limits,
    loss_words,
    number,
    photo_worth,
    times_of,
)
from fst.comparison.words import warnings as warnings_of
from fst.errors import UserError
from fst.words import plural

SETTINGS = {
    "checkpoint": "udnie",
    "style": "udnie.jpg",
    "style_is_the_trained_one": True,
    "size": 32,
    "style_size": 512,
    "budgets": [2, 4],
    "init": "content",
    "also_from": ["noise"],
    "seed": 7,
    "optimizer": "lbfgs",
    "precision": "float32",
    "content_weight": 1.0,
    "style_weight": 5.0,
    "tv_weight": 1.0,
    "content_layers": ["relu4_2"],
    "style_layers": ["relu1_1", "relu2_1"],
    "loss_form": "relative",
    "device": "CPU, 2 cores, x86_64",
    "versions": {"fst": "0.1.0", "tensorflow": "2.21.0"},
}
SHARES = (0.6, 0.08)
FAST, EARLY, LATE = 2.0, 2.1, 1.5  # totals: of the network, and of Gatys at 2 and at 4


def a_result(
    name="cat.png", fast=FAST, gatys=(EARLY, LATE), worth=(3, 4), seconds=0.5, terms=(SHARES,) * 2
):
    """A result.

    Args:
        name: of the photo.
        fast: the network's total.
        gatys: the optimiser's, at both budgets.
        worth: from the photo and from noise.
        seconds: of a pass.
        terms: content and style as shares of the total, of the network and of the optimiser.
    """

    def values(total, shares):
        content, style = shares
        return {"total": total, "content": content * total, "style": style * total, "tv": 0.01}

    likeness = {"ssim_photo_luma": 0.5, "ssim_photo_rgb": 0.4}
    of_fast = {"ssim_fast_luma": 0.3, "ssim_fast_rgb": 0.2}
    budgets = zip(SETTINGS["budgets"], gatys, strict=True)
    noise = [30.0, 9.0, 5.0, fast] if worth[1] else [30.0, 9.0, 5.0, 4.0]
    return {
        "photo": name,
        "height": 24,
        "width": 32,
        "untouched": {"total": 6.0, "content": 0.0, "style": 1.2, "tv": 0.02},
        "fast": {**values(fast, terms[0]), **likeness, "seconds": seconds},
        "gatys": {
            str(budget): {**values(total, terms[1]), **likeness, **of_fast, "seconds": 1.0 * budget}
            for budget, total in budgets
        },
        "starts": {
            "content": {
                "totals": [6.0, gatys[0], fast, gatys[1]],
                "seconds_per_evaluation": 1.0,
                "worth": worth[0],
            },
            "noise": {"totals": noise, "seconds_per_evaluation": 2.0, "worth": worth[1]},
        },
    }


def a_report(folder, results, **settings):
    """A REPORT folder as fst.comparison.measure leaves it."""
    folder.mkdir(exist_ok=True)
    (folder / "settings.json").write_text(json.dumps({**SETTINGS, **settings}))
    for index, result in enumerate(results):
        place = folder / "photos" / f"{index:03d}_photo"
        place.mkdir(parents=True)
        (place / "result.json").write_text(json.dumps(result))
        for shade, name in enumerate(("photo", "fast", "gatys_2", "gatys_4")):
            picture = np.full((24, 32, 3), 10 + 20 * shade + 80 * index % 90, np.uint8)
            Image.fromarray(picture).save(place / f"{name}.png")
    return folder


def test_the_loss_is_told_with_the_weights_of_its_layers():
    assert "5 × style (relu1_1, relu2_1) +" in loss_words(SETTINGS)
    weighed = loss_words({**SETTINGS, "style_layer_weights": [0.5, 2.0]})
    assert "5 × style (relu1_1, relu2_1, weighed 0.5 : 2) +" in weighed


def told_by(function, results, **settings):
    """What a function of the words says of these results; of rows a dictionary."""
    settings = {**SETTINGS, **settings}
    told = function(settings, summarise(settings, results))
    return dict(told) if told and isinstance(told[0], tuple) else told


# --- Statistics ----------------------------------------------------------------------------------


def test_statistics_by_hand():
    results = [
        a_result(fast=2.0, gatys=(3.0, 1.0), seconds=0.5),
        a_result(fast=4.0, gatys=(3.0, 2.0), seconds=0.25),
        a_result(fast=5.0, gatys=(6.0, 4.0), seconds=1.0),
    ]
    found = summarise(SETTINGS, results)
    assert found["photos"] == 3
    total = found["fast"]["total"]
    assert (total["count"], total["min"], total["max"], total["median"]) == (3, 2.0, 5.0, 4.0)
    assert total["mean"] == pytest.approx(11 / 3)
    assert total["std"] == pytest.approx(statistics.stdev([2, 4, 5]))
    assert found["fast"]["content"]["mean"] == pytest.approx(0.6 * 11 / 3)
    assert found["untouched"]["style"]["median"] == 1.2
    assert set(found["untouched"]) == {"total", "content", "style", "tv"}
    assert not {"speed_up", "ssim_fast_luma"} & set(found["fast"])
    late = found["gatys"]["4"]
    assert late["speed_up"]["median"] == 8.0  # of 4 s / 0.5 s, 4 / 0.25, 4 / 1
    assert late["speed_up"]["max"] == 16.0
    assert late["total_over_fast"]["median"] == 0.5  # of 1/2, 2/4, 4/5
    assert late["photos_lower"]["total"] == 3
    early = found["gatys"]["2"]
    assert (early["photos_lower"]["total"], early["photos_higher"]["total"]) == (1, 2)
    assert early["ssim_fast_rgb"]["mean"] == pytest.approx(0.2)
    assert found["fast"]["total_over_untouched"]["median"] == pytest.approx(4 / 6)


def test_equal_terms_are_neither_lower_nor_higher():
    late = summarise(SETTINGS, [a_result(gatys=(3.0, FAST))])["gatys"]["4"]
    assert late["photos_lower"]["total"] == late["photos_higher"]["total"] == 0


def test_worth_and_its_time_by_hand():
    worths = [(1, 10), (2, 20), (3, None), (4, 40), (8, 44)]
    results = [a_result(worth=worth, seconds=0.5) for worth in worths]
    found = summarise(SETTINGS, results)["starts"]
    assert list(found) == ["content", "noise"]
    content = {name: of["value"] for name, of in found["content"]["worth"].items()}
    quartiles = {"lower_quartile": 2, "median": 3, "upper_quartile": 4}
    assert content == {"min": 1, "max": 8, **quartiles}
    assert found["content"]["not_reached"] == 0
    assert found["noise"]["not_reached"] == 1
    # 10, 20, 40, 44 and one that is more than 4 though it was given up after 4 evaluations.
    assert found["noise"]["worth"]["median"] == {"value": 40.0, "reached": True}
    assert found["noise"]["worth"]["min"] == {"value": 10.0, "reached": True}
    assert found["noise"]["worth"]["max"] == {"value": 44.0, "reached": False}
    assert found["content"]["speed_up"]["median"] == {"value": 6.0, "reached": True}
    assert found["noise"]["seconds_per_evaluation"]["mean"] == 2.0


@pytest.mark.parametrize(
    ("values", "median", "reached"),
    [
        ([(9, True)], 9, True),
        ([(500, False)], 500, False),
        ([(9, True), (500, False)], 254.5, False),
        ([(9, True), (11, True), (500, False)], 11, True),
        ([(500, False), (9, True), (500, False)], 500, False),
        ([(9, True), (500, False), (11, True), (500, False)], 255.5, False),
        ([(9, True), (10, True), (11, True), (500, False)], 10.5, True),
        ([(300, True), (212, False), (400, True)], 400, True),
        ([(300, True), (212, False), (200, False)], 212, False),
    ],
)
def test_median_where_some_are_known_from_below_only(values, median, reached):
    assert quantiles(values)["median"] == {"value": median, "reached": reached}


def test_statistics_are_plain_json():
    found = summarise(SETTINGS, [a_result(worth=(None, 2)), a_result()])
    assert json.loads(json.dumps(found)) == found


def test_curves_hold_their_last_value_and_end_at_the_level():
    one, other = a_result(), a_result()
    one["starts"]["noise"]["totals"] = [8.0, 10.0, 1.8]
    other["starts"]["noise"]["totals"] = [20.0, 6.0, 7.0, 4.0, 2.0]
    ratios = best_over_fast([one, other], "noise", followed_to_level=True)
    np.testing.assert_allclose(ratios, [[4, 4, 1, 1, 1], [10, 3, 3, 2, 1]])
    ratios = best_over_fast([one, other], "noise", followed_to_level=False)
    np.testing.assert_allclose(ratios[0], [4, 4, 0.9, 0.9, 0.9])


# --- The three files -----------------------------------------------------------------------------


def test_csv_has_a_row_for_each_photo_and_method(tmp_path):
    results = [a_result("a, b.png"), a_result("dog.png", seconds=0.25)]
    write_report(a_report(tmp_path, results))
    with open(tmp_path / "metrics.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert ",".join(rows[0]) == (
        "photo,method,evaluations,total,content,style,tv,ssim_photo_luma,ssim_photo_rgb,"
        "ssim_fast_luma,ssim_fast_rgb,seconds,speed_up"
    )
    assert [row["method"] for row in rows] == ["photo", "fast", "gatys 2", "gatys 4"] * 2
    assert [row["photo"] for row in rows] == ["a, b.png"] * 4 + ["dog.png"] * 4
    photo, fast, early, _ = rows[:4]
    assert float(photo["total"]) == 6
    assert photo["content"] == "0"
    assert photo["seconds"] == photo["ssim_photo_luma"] == photo["evaluations"] == ""
    assert fast["speed_up"] == fast["ssim_fast_luma"] == fast["evaluations"] == ""
    assert float(fast["seconds"]) == 0.5
    assert (early["evaluations"], float(early["speed_up"])) == ("2", 4)
    assert float(rows[7]["speed_up"]) == 16
    assert float(early["ssim_fast_rgb"]) == 0.2


def test_json_keeps_everything(tmp_path):
    results = [a_result(worth=(None, 4))]
    write_report(a_report(tmp_path, results))
    kept = json.loads((tmp_path / "metrics.json").read_text())
    assert kept["settings"] == SETTINGS
    assert kept["summary"] == summarise(SETTINGS, results)
    assert kept["photos"] == [{"id": "000_photo", **results[0]}]


class Page(HTMLParser):
    """Parses a page, and fails where a tag is not closed, or closed by another."""

    VOID = frozenset(("meta", "img", "br", "link", "input", "hr"))

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        assert len(dict(attributes)) == len(attributes), f"{tag}: an attribute twice"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> without a beginning"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def page_of(tmp_path):
    def write(results, **settings):
        report = write_report(a_report(tmp_path / "report", results, **settings))
        return Page(report.page.read_text(encoding="utf-8"))

    return write


def test_the_check_of_pages_finds_what_is_wrong():
    for text in ("<p><b>x</p></b>", "<p>", "</p>", '<p id="a" id="b"></p>'):
        with pytest.raises(AssertionError):
            Page(text)


def test_page_stands_alone(page_of):
    page = page_of([a_result("cat.png"), a_result("dog.png", worth=(None, None))])
    pictures = page.all("img")
    assert len(pictures) == 2 * 4
    assert len({picture["src"] for picture in pictures}) == 8
    for picture in pictures:
        assert picture["src"].startswith("data:image/jpeg;base64,")
        assert picture["alt"]
        assert (picture["width"], picture["height"]) == ("32", "24")
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "srcset", "data", "action", "poster"):
            value = attributes.get(name) or "#"
            assert value.startswith(("#", "data:")), (name, value[:80])
        assert not re.search(r"url\((?!#)", attributes.get("style") or "")
    assert "@import" not in page.text
    assert not re.search(r"url\((?!#)", page.text)


def test_page_can_be_read_by_all(page_of):
    page = page_of([a_result("cat.png"), a_result("dog.png")])
    assert page.all("html")[0]["lang"] == "en"
    title = "udnie compared with the optimiser of Gatys et al."
    assert page.text.count(title) == 2  # And heading.
    assert all(header.get("scope") for header in page.all("th"))
    assert "viewport" in {meta.get("name") for meta in page.all("meta")}
    assert "prefers-color-scheme: dark" in page.text
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.tags:
        for name in ("aria-labelledby", "aria-describedby"):
            assert attributes.get(name, ids[0]) in ids
        reference = re.match(r"url\(#(.+)\)", attributes.get("clip-path", ""))
        assert not reference or reference[1] in ids
    assert len(page.all("svg")) == 3
    assert sum(attributes.get("role") == "img" for _, attributes in page.tags) == 3


def test_page_says_what_the_numbers_say(page_of):
    results = [a_result("cat.png"), a_result("dog.png", worth=(None, None))]
    page = page_of(results)
    text = " ".join(page.text.split())
    found = summarise(SETTINGS, results)
    for name, words in facts(SETTINGS, found) + conditions(SETTINGS, found):
        assert name in text
        assert words in text
    for sentence in (headline(SETTINGS, found), limits(SETTINGS, found)):
        assert sentence in text
    for result in results:
        assert photo_worth(SETTINGS, result) in text
    assert "2.00 ± 0.00" in text  # The network's total, twice the same.
    assert "not iterations: L-BFGS's line search sometimes needs several" in text
    assert "not how good a picture is: the untouched photo scores 1" in text
    assert "this device (CPU, 2 cores, x86_64) and this size (32 px) only" in text
    assert "total 1.50, SSIM 0.50" in text


def test_names_are_text_and_not_markup(page_of):
    page = page_of([a_result("<b>&.png")], checkpoint='a"><script>', device="<i>&amp;")
    assert "<b>&.png" in page.text
    assert "<i>&amp;" in page.text
    assert 'One pass of a"><script> is worth' in page.text
    assert "<b>&.png, the photo" in [picture["alt"] for picture in page.all("img")]
    assert len(page.all("b")) == 4  # The pictures' titles.
    assert not page.all("script")
    assert not page.all("i")


def test_name_that_is_no_text(page_of):
    assert "caf?.png" in page_of([a_result("caf\udce9.png")]).text


def test_large_pictures_are_shown_smaller(tmp_path):
    folder = a_report(tmp_path, [a_result()], size=1024)
    place = folder / "photos" / "000_photo"
    Image.new("RGB", (1024, 300)).save(place / "fast.png")
    page = Page(write_report(folder).page.read_text(encoding="utf-8"))
    assert [(p["width"], p["height"]) for p in page.all("img")][1] == ("512", "150")
    assert "shown here at 512 px" in page.text


def test_unfinished_photos_are_left_out(tmp_path):
    folder = a_report(tmp_path, [a_result("cat.png"), a_result("dog.png"), a_result("half.png")])
    (folder / "photos" / "000_photo" / "result.json").unlink()
    (folder / "photos" / "002_photo").rename(folder / "photos" / ".fst-0123456789ab")
    report = write_report(folder)
    assert report.photos == 1
    text = report.page.read_text(encoding="utf-8")
    assert "dog.png" in text
    assert "cat.png" not in text
    assert "half.png" not in text
    assert "cat.png" not in (folder / "metrics.csv").read_text()


def test_report_returns_its_headline(tmp_path):
    report = write_report(a_report(tmp_path, [a_result(worth=(3, None)), a_result(worth=(5, 4))]))
    assert report.page == tmp_path / "report.html"
    assert report.photos == 2
    assert report.worth["content"] == {"value": 4.0, "reached": True}
    assert report.worth["noise"]["reached"] is False
    assert report.seconds == 0.5
    assert report.headline in " ".join(Page(report.page.read_text(encoding="utf-8")).text.split())


def test_written_anew_as_photos_come(tmp_path):
    first = a_report(tmp_path, [a_result("cat.png")])
    write_report(first)
    (tmp_path / "photos" / "000_photo").rename(tmp_path / "photos" / "001_photo")
    a_report(tmp_path, [a_result("ant.png")])
    write_report(tmp_path)
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1::4]] == ["ant.png", "cat.png"]
    assert not list(tmp_path.glob(".fst-*"))


@pytest.mark.parametrize("name", ["metrics.csv", "metrics.json", "report.html"])
def test_no_room_is_one_line_with_the_file(tmp_path, monkeypatch, name):
    atomic_path = files.atomic_path

    def full(path):
        if path.name == name:
            raise OSError(28, "No space left on device")
        return atomic_path(path)

    monkeypatch.setattr(files, "atomic_path", full)
    with pytest.raises(UserError) as caught:
        write_report(a_report(tmp_path, [a_result()]))
    assert str(tmp_path / name) in str(caught.value)
    assert "No space left on device" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / name).exists()


def test_nothing_to_report_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"settings\.json: cannot be read"):
        write_report(tmp_path)
    a_report(tmp_path, [])
    with pytest.raises(UserError, match="holds no finished photo"):
        write_report(tmp_path)


@pytest.mark.parametrize("damaged", ["settings.json", "photos/000_photo/result.json"])
def test_damaged_file_is_one_line(tmp_path, damaged):
    folder = a_report(tmp_path, [a_result()])
    (folder / damaged).write_text('{"photo": ')
    with pytest.raises(UserError, match=f"{damaged}: is damaged"):
        write_report(folder)


def test_missing_picture_is_one_line(tmp_path):
    folder = a_report(tmp_path, [a_result()])
    (folder / "photos" / "000_photo" / "gatys_4.png").unlink()
    with pytest.raises(UserError, match=r"gatys_4\.png: no such file"):
        write_report(folder)
    assert not (folder / "report.html").exists()


# --- Words ---------------------------------------------------------------------------------------


def test_small_words():
    assert [plural(n, "photo") for n in (0, 1, 2)] == ["0 photos", "1 photo", "2 photos"]
    assert [number(v) for v in (0, 1.5, 0.01234, 0.996, 999.6, 1344.4, 2.5e9)] == [
        "0", "1.50", "0.0123", "0.996", "1000", "1344", "2.50e+09",
    ]  # fmt: skip
    known, bound = {"reached": True}, {"reached": False}
    assert evaluations_of({"value": 41.0, **known}) == "41"
    assert evaluations_of({"value": 9.5, **known}) == "9.5"
    assert evaluations_of({"value": 52.5, **known}) == "53"
    assert evaluations_of({"value": 254.5, **bound}) == "more than 254"
    assert times_of({"value": 31.4, **known}) == "31 times"
    assert times_of({"value": 1234.0, **bound}) == "more than 1200 times"


MANY = [a_result(worth=worth) for worth in ((7, 30), (8, 35), (9, 41), (12, 52), (20, 60))]
NEVER = a_result(worth=(None, None))
WORSE = a_result(fast=7.0, worth=(1, 2))  # The photo itself is as good already.


@pytest.mark.parametrize(
    ("results", "says"),
    [
        (MANY, "41 evaluations of L-BFGS from noise and 9 from the photo itself (median of 5 ph"),
        ([a_result(worth=(3, 1))], "1 evaluation of L-BFGS from noise and 3 from the photo itself"),
        ([NEVER], "more than 4 evaluations of L-BFGS from noise and more than 4 from the photo"),
        ([a_result(worth=(None, 4))] * 3, "4 evaluations of L-BFGS from noise and more than 4 fr"),
        ([WORSE] * 3 + MANY[:1], "2 evaluations of L-BFGS from noise and 1 from the photo itself"),
    ],
)
def test_headline(results, says):
    told = told_by(headline, results)
    assert told.startswith(f"One pass of udnie is worth {says}")
    assert ("untouched photo's total is as low, or lower" in told) == (WORSE in results)


def test_headline_counts_the_photos_that_are_as_good_untouched():
    assert "On 3 of 4 photos the untouched" in told_by(headline, [WORSE] * 3 + MANY[:1])
    assert "On 1 of 1 photo the untouched" in told_by(headline, [WORSE], also_from=[])


def test_worth_of_one_photo():
    assert photo_worth(SETTINGS, a_result()) == (
        "A pass is worth 4 evaluations of L-BFGS from noise and 3 from the photo itself."
    )
    stuck = a_result(worth=(None, 1))
    stuck["starts"]["content"]["totals"] = [6.0, 5.0, 5.0]
    assert photo_worth(SETTINGS, stuck) == (
        "A pass is worth 1 evaluation of L-BFGS from noise and more than 3 from the photo itself."
    )


def test_worth_has_its_spread_and_its_time():
    assert told_by(facts, MANY)["A pass is worth, from noise"] == (
        "41 evaluations, 160 times as long as a pass; quartiles 35 to 52, all 30 to 60; "
        "not reached on 0 of 5 photos"
    )
    some = told_by(facts, [*MANY[:3], NEVER])["A pass is worth, from noise"]
    assert some.startswith("38 evaluations")
    assert some.endswith("to more than 41; not reached on 1 of 4 photos")
    never = told_by(facts, [NEVER])["A pass is worth, from the photo itself"]
    assert never.startswith("more than 4 evaluations, more than 8 times as long")
    assert never.endswith("not reached on 1 of 1 photo")
    assert told_by(facts, [NEVER])["Time of a pass"] == "0.500 s"


@pytest.mark.parametrize(
    ("totals", "early", "late"),
    [
        ([(2.2, 1.5)] * 3 + [(1.9, 1.4)], "1.10; lower on 1 and higher on 3", "0.750; lower on 4"),
        ([(5.0, 2.5)] * 2, "2.50; lower on 0 and higher on 2", "1.25; lower on 0 and higher on 2"),
        ([(1.8, 1.0)], "0.900; lower on 1 and higher on 0", "0.500; lower on 1 and higher on 0"),
        ([(5.0, FAST)], "2.50; lower on 0 and higher on 1", "1.00; lower on 0 and higher on 0"),
    ],
)
def test_totals_of_both_methods(totals, early, late):
    told = told_by(facts, [a_result(gatys=gatys) for gatys in totals])
    for budget, says in ((2, early), (4, late)):
        row = told[f"Total of Gatys, {budget}, over the network's"]
        assert row.startswith(says)
        assert row.endswith(f" of {plural(len(totals), 'photo')}")


def test_shares_are_those_where_the_totals_are_nearest():
    towards, away = ((0.4, 0.12), (0.6, 0.08)), ((0.61, 0.07), (0.6, 0.08))
    told = told_by(facts, [a_result(terms=towards)] * 3 + [a_result(terms=away)])
    assert told["Share of content in the total"] == (
        "0.45 in the network's and 0.60 in that of Gatys, 2 (means); the network's is higher on 1 "
        "and lower on 3 of 4 photos"
    )
    assert "higher on 3 and lower on 1 of 4" in told["Share of style in the total"]
    told = told_by(facts, [a_result(gatys=(3.0, 1.6))])  # The later one is the nearer.
    assert "0.60 in that of Gatys, 4 (means)" in told["Share of content in the total"]


def test_total_beside_the_untouched_photo():
    row = "Total of udnie over the untouched photo's"
    mixed = told_by(facts, [a_result(), a_result(), a_result(fast=9.0)])
    assert mixed[row] == "0.333; not lower on 1 of 3 photos"
    assert told_by(facts, [a_result(fast=9.0)])[row] == "1.50; not lower on 1 of 1 photo"


def test_warnings_come_first():
    assert told_by(warnings_of, [a_result()] * 2) == []
    assert "This is one photo." in told_by(warnings_of, [a_result()])[0]
    (other,) = told_by(warnings_of, [a_result()] * 2, style_is_the_trained_one=False)
    assert "not the one that udnie was trained on" in other


def test_conditions():
    also = "Other starts, only until the network's total is reached"
    told = told_by(conditions, [a_result()] * 2)
    assert told["Photos"] == "2, at 32 px on the long side"
    assert "1 × content (relu4_2) + 5 × style (relu1_1, relu2_1) + 1 × total" in told["Loss"]
    assert "by L-BFGS for at most 4 evaluations of that loss, from the" in told["Gatys et al."]
    assert (told[also], told["Seed of noise"]) == ("from noise", "7")
    alone = told_by(conditions, [a_result()], also_from=[], optimizer="adam")
    assert "by Adam for at most" in alone["Gatys et al."]
    assert alone[also] == "none"


def test_limits_are_told_whatever_the_numbers():
    for results in ([a_result()], [a_result(fast=9.0)] * 3):
        words = told_by(limits, results)
        assert "A total means nothing under another loss" in words
        assert f"on {plural(len(results), 'photo')}:" in words


def test_table_of_numbers():
    rows = table(SETTINGS, [a_result()])
    assert {tuple(row) for row in rows} == {compare_statistics.COLUMNS}
