"""The sentences of a comparison's report: chosen by the numbers, whichever method they favour.

Each function takes `settings`, what is in `settings.json`, and `found`, what
`fst.comparison.statistics.summarise` returned.
"""

import math

from fst.comparison.statistics import worth_of
from fst.words import plural

STARTS = {
    "noise": "from noise",
    "style": "from the style image",
    "content": "from the photo itself",
}
_OPTIMIZERS = {"lbfgs": "L-BFGS", "adam": "Adam"}


def number(value):
    """A loss or a time in three significant digits; a whole number from 1000 to a million."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if 999.5 <= abs(value) < 1e6:
        return f"{value:.0f}"
    return f"{value:#.3g}".rstrip(".")


def evaluations_of(quantile):
    """`41`, `9.5` or `more than 500`, of one of the `quantiles`; from 10 on whole numbers."""
    value, reached = quantile["value"], quantile["reached"]
    if not reached:
        return f"more than {math.floor(value)}"
    return f"{math.floor(value + 0.5)}" if value >= 10 else f"{value:.1f}".removesuffix(".0")


def times_of(quantile):
    """`31 times` or `more than 31 times`, of one of the `quantiles` of a speed-up."""
    times = f"{_short(quantile['value'])} times"
    return times if quantile["reached"] else f"more than {times}"


def _short(value):
    """Two significant digits: no time is the same twice to more."""
    return f"{float(f'{value:.2g}'):g}" if abs(value) < 1e6 else f"{value:.2g}"


def gap(ratio):
    """`12 % above`, `less than 1 % below` or `level with`: how far one total is from another."""
    if ratio == 1:
        return "level with"
    side = "above" if ratio > 1 else "below"
    percent = abs(ratio - 1) * 100
    return f"less than 1 % {side}" if percent < 1 else f"{percent:.0f} % {side}"


def headline(settings, found):
    """The first words of the page, a list of sentences.

    Args:
        settings: what is in `settings.json`.
        found: what `summarise` returned.
    """
    starts = [start for start in STARTS if start in found["starts"]]
    parts = []
    for start in starts:
        of = found["starts"][start]
        amount = _amount(start, of["worth"]["median"], f" of {optimizer_name(settings)}", not parts)
        note = _spread(of["worth"], of["not_reached"], found["photos"], first=not parts)
        if _is_nothing(start, of["worth"]["median"]):
            note = ""
        parts.append(f"{amount} {STARTS[start]}{note}")
    sentences = [f"One pass of {settings['checkpoint']} is worth {_listed(parts)}."]
    failed, photos = found["fast"]["photos_not_below_untouched"], found["photos"]
    if failed * 2 >= photos:
        whose = f"On {failed} of {photos} photos the" if photos > 1 else "The"
        sentences.append(f"{whose} untouched photo's total is as low as the network's, or lower.")
    return sentences


def _amount(start, worth, of, first):
    """A worth in words; only the `first` of a list says what is counted, and `of` what."""
    if _is_nothing(start, worth):
        return f"no evaluation{of}" if first else "none"
    amount = evaluations_of(worth)
    return plural(amount, "evaluation") + of if first else amount


def _is_nothing(start, worth):
    """Whether the untouched photo, the first that is evaluated from there, is as good already."""
    return start == "content" and worth["reached"] and worth["value"] <= 1


def _spread(worth, missed, photos, first):
    """The words in brackets behind a median, with a space before them, or nothing."""
    if photos == 1:
        return " (on one photo)" if first else ""
    ends = ("min", "max") if photos < 4 else ("lower_quartile", "upper_quartile")
    low, high = (evaluations_of(worth[end]) for end in ends)
    notes = [f"median over {photos} photos"] if first else []
    if low == high and worth[ends[1]]["reached"]:
        notes.append(f"all at {low}" if photos < 4 else f"half of them or more at {low}")
    elif worth[ends[0]]["reached"]:
        between = f"half of them between {low} and {high}"
        notes.append(f"from {low} to {high}" if photos < 4 else between)
    if missed:
        notes.append("reached on none" if missed == photos else f"not reached on {missed}")
    return f" ({'; '.join(notes)})"


def _listed(parts):
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if parts[1:] else parts)


def photo_worth(settings, result):
    """What a pass is worth on one photo, a sentence."""
    parts = []
    for start in STARTS:
        if start not in result["starts"]:
            continue
        evaluations, reached = worth_of(result["starts"][start])
        worth = {"value": evaluations, "reached": reached}
        amount = _amount(start, worth, "", not parts)
        note = ""
        if not reached and evaluations < max(settings["budgets"]):
            note = f" ({optimizer_name(settings)} got no further)"
        parts.append(f"{amount} {STARTS[start]}{note}")
    return f"A pass is worth {_listed(parts)}."


def conditions(settings, found):
    """What was compared, and how: a list of (name, words)."""
    optimizer, most = optimizer_name(settings), max(settings["budgets"])
    others = [STARTS[start] for start in settings["also_from"]]
    followed = f"; {_listed(others)} only until it reached the network's total" if others else ""
    seed = f" The noise has seed {settings['seed']}." if "noise" in found["starts"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in settings["versions"].items())
    trained = settings["style_is_the_trained_one"]
    file = f"{settings['style']}, {'the' if trained else 'not the'} file the network was trained on"
    return [
        ("Photos", f"{found['photos']}, at {settings['size']} px on the long side"),
        ("Style image", f"{file}, at {settings['style_size']} px on the long side"),
        ("Loss", loss_words(settings)),
        (
            "Gatys et al.",
            f"The pixels optimised by {optimizer} for at most {plural(most, 'evaluation')} of that "
            f"loss, {STARTS[settings['init']]}{followed}. The first evaluation looks at the start "
            f"itself.{seed}",
        ),
        ("Device", settings["device"]),
        ("Versions", versions),
    ]


def loss_words(settings):
    """The loss that both methods are measured by."""
    content, style = (", ".join(settings[f"{kind}_layers"]) for kind in ("content", "style"))
    if settings.get("style_layer_weights"):
        style += f", weighed {' : '.join(f'{w:g}' for w in settings['style_layer_weights'])}"
    return (
        f"That of the network's training, in its {settings['loss_form']} form: "
        f"{settings['content_weight']:g} × content ({content}) + "
        f"{settings['style_weight']:g} × style ({style}) + "
        f"{settings['tv_weight']:g} × total variation (tv); convolutions in {settings['precision']}"
    )


def counting(settings):
    """What an evaluation is, and how it differs from an iteration."""
    one = "evaluations of the loss and its gradient"
    if settings["optimizer"] == "lbfgs":
        return f"{one}, not iterations: L-BFGS's line search sometimes needs several for one"
    return f"{one}; each is one step of {optimizer_name(settings)}"


def warnings(settings, found):
    """What a reader must know before any number, a list of sentences."""
    sentences = []
    if not settings["style_is_the_trained_one"]:
        sentences.append(
            f"The style image given is not the one that {settings['checkpoint']} was trained on: "
            "the network is measured against a different goal from that of its training."
        )
    if found["photos"] == 1:
        sentences.append(
            "This is one photo. The numbers of other photos may differ, and nothing here shows by "
            "how much."
        )
    return sentences


def claims(settings, found):
    """What the numbers show: a list of (name, sentences as one text)."""
    made = [
        ("Total loss", total_claim(settings, found)),
        ("Content and style", terms_claim(settings, found)),
        ("The untouched photo", untouched_claim(settings, found)),
        ("Time", time_claim(settings, found)),
        ("Likeness to the photo", photo_likeness_claim(settings, found)),
        ("Likeness of the two", fast_likeness_claim(settings, found)),
    ]
    return [*made, ("What they do not say", limits(settings, found))]


def total_claim(settings, found):
    """Which method has the lower total, at which number of evaluations, and by how much."""
    budgets, photos = settings["budgets"], found["photos"]
    last, start = budgets[-1], STARTS[settings["init"]]
    ratios = {b: found["gatys"][str(b)]["total_over_fast"]["median"] for b in budgets}
    behind = [budget for budget in budgets if ratios[budget] > 1]
    ahead = [budget for budget in budgets if ratios[budget] < 1]

    def standing(budget, side):
        count = found["gatys"][str(budget)][f"photos_{side}"]["total"]
        on = f", and {side} on {count} of {photos} photos" if photos > 1 else ""
        return f"{gap(ratios[budget])} the network's{' in the median' if on else ''}{on}"

    if not ahead:
        none = f"Gatys {start} has a lower total at none of the numbers of evaluations tried"
        ours = f"The fast network has the lower total{_every(budgets)}"
        told = ours if behind == budgets else none
        return f"{told}: after {last} that of Gatys {start} is {standing(last, 'higher')}."
    words = f"After {plural(ahead[0], 'evaluation')} {start} Gatys's total is"
    if ahead == budgets:
        words = f"Gatys {start} has the lower total{_every(budgets)}: after {ahead[0]} it is"
    elif behind:
        words = (
            f"After {plural(behind[-1], 'evaluation')} {start} Gatys's total is "
            f"{standing(behind[-1], 'higher')}. After {ahead[0]} it is"
        )
    words += f" {standing(ahead[0], 'lower')}"
    return words + ("." if ahead[0] == last else f"; after {last} it is {standing(last, 'lower')}.")


def _every(budgets):
    if budgets[1:]:
        return " at every number of evaluations that was tried"
    return " at the one number of evaluations that was tried"


def terms_claim(settings, found):
    """Whether at equal totals the two methods divide them differently among the terms."""
    ratios = {b: found["gatys"][str(b)]["total_over_fast"]["median"] for b in settings["budgets"]}
    budget = min(ratios, key=lambda budget: abs(math.log(ratios[budget])))
    gatys, after = found["gatys"][str(budget)], plural(budget, "evaluation")
    if abs(ratios[budget] - 1) > 0.1:
        return (
            f"At no number of evaluations that was tried are the totals nearly equal (nearest: "
            f"{after}, {gap(ratios[budget])} the network's), so nothing can be said of how "
            "the methods would divide an equal total."
        )
    content, style = (_share(found, gatys, term) for term in ("content", "style"))
    meaning = {
        ("less", "more"): "keeps more of the photo, as VGG19 sees it, and takes less style",
        ("more", "less"): "takes more style, as VGG19 sees it, and keeps less of the photo",
        ("less", "less"): "does better in both, and less well in smoothness (tv)",
        ("more", "more"): "does less well in both, and better in smoothness (tv)",
    }.get((content[0], style[0]))
    told = (
        f"After {after} the totals are nearly equal (Gatys's is {gap(ratios[budget])} the "
        f"network's{_median(found)}). There content makes up {content[1]}, and style {style[1]}."
    )
    return f"{told} For about the same total the network {meaning}." if meaning else told


def _share(found, gatys, term):
    """Whether a term's share in the network's total is less or more, if clearly, and the words.

    Shares, since where two totals are only nearly equal, the higher has most terms higher.
    """
    photos = found["photos"]
    fast, other = (of["shares"][term]["mean"] * 100 for of in (found["fast"], gatys))
    side = "less" if fast < other else "more"
    count = gatys["photos_share_higher" if fast < other else "photos_share_lower"][term]
    words = f"{fast:.0f} % of the network's total and {other:.0f} % of Gatys's"
    if photos > 1:
        words += f" (means; {side} of the network's on {count} of {photos} photos)"
    # What only a small majority of the photos confirms may be chance.
    clear = round(fast) != round(other) and count >= 0.75 * photos
    return side if clear else None, words


def untouched_claim(settings, found):
    """Whether the network's picture is a better minimum than the photo left alone."""
    photos, failed = found["photos"], found["fast"]["photos_not_below_untouched"]
    share = f"{found['fast']['total_over_untouched']['median'] * 100:.0f} %"
    median = " in the median" if photos > 1 else ""
    name = settings["checkpoint"]
    told = f"The total of {name}'s pictures is {share} of the untouched photo's{median}"
    if not failed:
        return told + (", and it is lower on every photo." if photos > 1 else ".")
    where = f" on {failed} of {photos} photos" if photos > 1 else ""
    better = "by this loss, leaving the photo alone is as good or better"
    return f"{told}. It is no lower{where}: {better}."


def time_claim(settings, found):
    """How much longer the optimiser takes: for an equal total, and at two budgets."""
    budgets, main = settings["budgets"], settings["init"]
    seconds = number(found["fast"]["seconds"]["median"])
    sentences = [f"A pass of the fast network takes {seconds} s{_median(found)}."]
    worth = found["starts"][main]["worth"]["median"]
    near = min(budgets, key=lambda budget: abs(budget - worth["value"]))
    shown = [(budgets[-1], "")]
    if near < budgets[-1] and worth["reached"] and not _is_nothing(main, worth):
        shown.insert(0, (near, ", the number tried that is nearest its worth,"))
    speeds = [
        f"{_short(found['gatys'][str(budget)]['speed_up']['median'])} times as long for "
        f"{plural(budget, 'evaluation')}{which}"
        for budget, which in shown
    ]
    sentences.append(f"Gatys {STARTS[main]} takes {_listed(speeds)}.")
    equal = [
        f"{times_of(of['speed_up']['median'])} as long {STARTS[start]}"
        for start, of in found["starts"].items()
        if not _is_nothing(start, of["worth"]["median"])
    ]
    if equal:
        sentences.append(f"To reach the network's own total it takes {_listed(equal)}.")
    sentences.append(
        "Reading files, loading networks and building graphs are left out of both, and so is the "
        "network's training, which is done once for all photos. The times hold for this device "
        f"({settings['device']}) and this size ({settings['size']} px) only."
    )
    return " ".join(sentences)


def _median(found):
    return " in the median" if found["photos"] > 1 else ""


def photo_likeness_claim(settings, found):
    """What SSIM says of each method's picture and the photo, and what it does not."""
    fast = found["fast"]["ssim_photo_luma"]["mean"]
    return (
        f"Of the photo's structure at the same places (SSIM of brightness) the fast network "
        f"leaves {fast:.2f}, and Gatys {_over_budgets(settings, found, 'ssim_photo_luma')}. "
        "This is how much of the photo is left, not how good a picture is: the untouched photo "
        "scores 1, and a good painting of it low."
    )


def fast_likeness_claim(settings, found):
    """What SSIM says of the two methods' pictures, and what it does not."""
    return (
        "Pixel by pixel (SSIM of brightness) the pictures of the two are alike to "
        f"{_over_budgets(settings, found, 'ssim_fast_luma')}. A low number does not make either "
        "worse: equally good strokes at different places score low."
    )


def _over_budgets(settings, found, column):
    """The mean at the first and the last budget: `0.52 after 20 evaluations and 0.31 after 500`."""
    budgets = settings["budgets"]
    low, high = (found["gatys"][str(b)][column]["mean"] for b in (budgets[0], budgets[-1]))
    words = f"{low:.2f} after {plural(budgets[0], 'evaluation')}"
    words += f" and {high:.2f} after {budgets[-1]}" if budgets[1:] else ""
    return f"{words} (means)" if found["photos"] > 1 else words


def limits(settings, found):
    """What no number of the page can tell."""
    photos = plural(found["photos"], "photo")
    return (
        "No number shows which pictures look better: see them below. A total means nothing under "
        "another loss, other weights, another size or another style image. A lower total is a "
        "better minimum, not always a better picture. All this is one network, "
        f"{settings['checkpoint']}, on {photos}: no other style and no other network was measured."
    )


def optimizer_name(settings):
    return _OPTIMIZERS.get(settings["optimizer"], settings["optimizer"])
