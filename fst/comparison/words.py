"""A comparison's report in words: rows of facts, and sentences that stay the same.

Whichever method the numbers favour, the rows and the sentences are the same ones. Each function
takes `settings`, what is in `settings.json`, and `found`, what
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
    """A loss, ratio or time in three significant digits; a whole number from 1000 to a million."""
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
    value = quantile["value"]  # In two digits: no time is the same twice to more.
    times = f"{float(f'{value:.2g}'):g} times" if value < 1e6 else f"{value:.2g} times"
    return times if quantile["reached"] else f"more than {times}"


def headline(settings, found):
    """The first words of the page, and what the command prints."""
    worths = {start: of["worth"]["median"] for start, of in found["starts"].items()}
    photos, failed = plural(found["photos"], "photo"), found["fast"]["photos_not_below_untouched"]
    one_pass = f"One pass of {settings['checkpoint']} is worth {_worths(settings, worths)}"
    told = f"{one_pass} (median of {photos})."
    if failed:
        told += f" On {failed} of {photos} the untouched photo's total is as low, or lower."
    return told


def photo_worth(settings, result):
    """What a pass is worth on one photo, a sentence."""
    worths = {start: worth_of(run) for start, run in result["starts"].items()}
    worths = {s: {"value": value, "reached": reached} for s, (value, reached) in worths.items()}
    return f"A pass is worth {_worths(settings, worths)}."


def _worths(settings, worths):
    """`41 evaluations of L-BFGS from noise and 9 from the photo itself`."""
    first, *others = [(evaluations_of(worths[s]), STARTS[s]) for s in STARTS if s in worths]
    told = f"{plural(first[0], 'evaluation')} of {optimizer_name(settings)} {first[1]}"
    return " and ".join([told, *(f"{count} {start}" for count, start in others)])


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


def conditions(settings, found):
    """What was compared, and how: a list of (name, words)."""
    also = " and ".join(STARTS[start] for start in settings["also_from"]) or "none"
    versions = ", ".join(f"{name} {version}" for name, version in settings["versions"].items())
    most = plural(max(settings["budgets"]), "evaluation")
    return [
        ("Photos", f"{found['photos']}, at {settings['size']} px on the long side"),
        ("Style image", f"{settings['style']}, at {settings['style_size']} px on the long side"),
        ("Trained on this file", "yes" if settings["style_is_the_trained_one"] else "no"),
        ("Loss", loss_words(settings)),
        (
            "Gatys et al.",
            f"The pixels optimised by {optimizer_name(settings)} for at most {most} of that loss, "
            f"{STARTS[settings['init']]}.",
        ),
        ("Other starts, only until the network's total is reached", also),
        ("Seed of noise", str(settings["seed"])),
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


def facts(settings, found):
    """What was found, medians over the photos: rows of (name, value)."""
    fast, photos = found["fast"], plural(found["photos"], "photo")
    above, name = fast["photos_not_below_untouched"], settings["checkpoint"]
    worths = [(f"A pass is worth, {STARTS[s]}", _worth(of)) for s, of in found["starts"].items()]
    totals = [
        (f"Total of Gatys, {budget}, over the network's", _beside(found["gatys"][str(budget)]))
        for budget in settings["budgets"]
    ]
    return [
        *((what, f"{told} of {photos}") for what, told in worths + totals),
        (
            f"Total of {name} over the untouched photo's",
            f"{number(fast['total_over_untouched']['median'])}; not lower on {above} of {photos}",
        ),
        *_shares(settings, found),
        ("Time of a pass", f"{number(fast['seconds']['median'])} s"),
    ]


def _worth(of):
    """The row of one start, all but the number of photos."""
    worth = {name: evaluations_of(quantile) for name, quantile in of["worth"].items()}
    return (
        f"{plural(worth['median'], 'evaluation')}, "
        f"{times_of(of['speed_up']['median'])} as long as a pass; quartiles "
        f"{worth['lower_quartile']} to {worth['upper_quartile']}, all {worth['min']} to "
        f"{worth['max']}; not reached on {of['not_reached']}"
    )


def _beside(gatys):
    """The row of one number of evaluations, all but the number of photos."""
    lower, higher = gatys["photos_lower"]["total"], gatys["photos_higher"]["total"]
    ratio = number(gatys["total_over_fast"]["median"])
    return f"{ratio}; lower on {lower} and higher on {higher}"


def _shares(settings, found):
    """The rows of content and style in the totals, where Gatys's is nearest to the network's."""
    ratios = {b: found["gatys"][str(b)]["total_over_fast"]["median"] for b in settings["budgets"]}
    nearest = min(ratios, key=lambda budget: abs(math.log(ratios[budget])))
    gatys, fast = found["gatys"][str(nearest)], found["fast"]
    return [
        (
            f"Share of {term} in the total",
            f"{fast['shares'][term]['mean']:.2f} in the network's and "
            f"{gatys['shares'][term]['mean']:.2f} in that of Gatys, {nearest} (means); the "
            f"network's is higher on {gatys['photos_share_lower'][term]} and lower on "
            f"{gatys['photos_share_higher'][term]} of {plural(found['photos'], 'photo')}",
        )
        for term in ("content", "style")
    ]


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
    """`L-BFGS` or `Adam`."""
    return _OPTIMIZERS.get(settings["optimizer"], settings["optimizer"])
