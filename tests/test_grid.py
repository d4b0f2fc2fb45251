"""Grids of pictures: where they stand, and that labels never cover them or each other."""

import numpy as np
import pytest

from fst.media.grid import GAP, draw_grid

RED, GREEN, BLUE = (200, 30, 30), (30, 160, 30), (30, 30, 200)


def flat(colour, height=60, width=80):
    return np.full((height, width, 3), colour, np.uint8)


def box(sheet, colour):
    """Top, bottom, left, right of what has exactly this colour, and how many pixels that is."""
    rows, columns = np.nonzero((sheet == colour).all(axis=2))
    return rows.min(), rows.max() + 1, columns.min(), columns.max() + 1, len(rows)


def ink(sheet):
    """Where there is a label's grey or black."""
    grey = (np.ptp(sheet, axis=2) == 0) & (sheet[..., 0] < 255)
    return np.argwhere(grey)


def test_without_labels_there_is_no_margin():
    sheet = draw_grid([[flat(RED), flat(GREEN)], [flat(BLUE), flat(RED)]], ["", ""])
    assert sheet.dtype == np.uint8
    assert sheet.shape == (2 * 60 + 3 * GAP, 2 * 80 + 3 * GAP, 3)
    assert box(sheet, GREEN) == (GAP, GAP + 60, 2 * GAP + 80, 2 * GAP + 160, 60 * 80)
    assert box(sheet, BLUE) == (2 * GAP + 60, 2 * GAP + 120, GAP, GAP + 80, 60 * 80)
    assert not len(ink(sheet))


def test_rows_are_as_high_as_the_highest_and_columns_as_wide_as_the_widest():
    rows = [
        [flat(RED, 20, 30), flat(GREEN, 50, 40)],
        [flat(BLUE, 10, 90), flat((1, 2, 3), 12, 10)],
    ]
    sheet = draw_grid(rows, ["", ""])
    assert sheet.shape[:2] == (50 + 12 + 3 * GAP, 90 + 40 + 3 * GAP)
    # The smaller ones stand in the middle of their places.
    assert box(sheet, RED) == (GAP + 15, GAP + 35, GAP + 30, GAP + 60, 600)
    assert box(sheet, GREEN)[:4] == (GAP, GAP + 50, 2 * GAP + 90, 2 * GAP + 130)
    assert box(sheet, BLUE)[:2] == (2 * GAP + 51, 2 * GAP + 61)


def test_an_empty_place_stays_white():
    sheet = draw_grid([[flat(RED), None], [None, flat(BLUE)]], ["", ""])
    assert sheet.shape == (2 * 60 + 3 * GAP, 2 * 80 + 3 * GAP, 3)
    coloured = (sheet < 255).any(axis=2).sum()
    assert coloured == 2 * 60 * 80


def test_floats_are_rounded_and_clipped():
    picture = np.zeros((20, 20, 3), np.float32)
    picture[:10], picture[10:, :10], picture[10:, 10:] = 99.6, -40.0, 300.0
    sheet = draw_grid([[picture]], [""])[GAP : GAP + 20, GAP : GAP + 20]
    assert (sheet[:10] == 100).all()
    assert (sheet[10:, :10] == 0).all()
    assert (sheet[10:, 10:] == 255).all()


LABELS = [
    (["one", "two"], ["left", "right"]),
    (["style_weight 3, preset tensorflow_tutorial", "style_weight 16"], ["", ""]),
    (["", ""], ["content_layers relu3_1+relu4_2, style_weight 4", "content_layers relu4_2"]),
    (["a label of many words that are broken into lines", "gypq"], ["gypq", "a b c d e f g h i j"]),
    (["one", "two"], []),
]


@pytest.mark.parametrize(("row_labels", "column_labels"), LABELS)
@pytest.mark.parametrize("size", [(60, 80), (16, 16), (300, 300)])
def test_labels_stand_beside_the_pictures(row_labels, column_labels, size):
    places = [[RED, GREEN], [BLUE, (9, 99, 199)]]
    rows = [[flat(colour, *size) for colour in row] for row in places]
    sheet = draw_grid(rows, row_labels, column_labels)
    boxes = [[box(sheet, colour) for colour in row] for row in places]
    for row in boxes:
        for top, bottom, left, right, count in row:  # Whole, with nothing drawn over it.
            assert (bottom - top, right - left, count) == (*size, size[0] * size[1])
    found = ink(sheet)
    above = found[:, 0] < min(top for row in boxes for top, *_ in row)
    beside = found[:, 1] < min(left for row in boxes for _, _, left, *_ in row)
    if any(column_labels) and any(row_labels):
        assert (above | beside).all()
        assert above.any()
        assert beside.any()
    else:
        assert (above if any(column_labels) else beside).all()
        assert len(found)
    # Nothing is cut off at the edges.
    height, width = sheet.shape[:2]
    assert (found.min(axis=0) > 0).all()
    assert (found.max(axis=0) < (height - 1, width - 1)).all()


def dark(area):
    return int((area < 128).any(axis=2).sum())


@pytest.mark.parametrize("empty", [False, True])
def test_labels_do_not_run_into_each_other(empty):
    """Beside small pictures, and beside places that stayed empty after Ctrl-C."""
    picture = flat(RED, 16, 16)
    other = None if empty else picture

    def ink_above(row, labels):
        sheet = draw_grid([row], [""], labels)
        return dark(sheet[: box(sheet, RED)[0] - 1])

    def ink_beside(column, labels):
        sheet = draw_grid([[place] for place in column], labels)
        return dark(sheet[:, : box(sheet, RED)[2] - 1])

    for labels, ink_of in (
        (["content_layers", "style_layer_weights", "learning_rate"], ink_above),
        (["a b c", "one two three four five six", "x y"], ink_beside),
    ):
        alone = [ink_of([picture], [label]) for label in labels]
        assert ink_of([picture, other, other], labels) == sum(alone)


def test_labels_are_broken_at_spaces():
    short = draw_grid([[flat(RED)]], ["word"])
    long = draw_grid([[flat(RED)]], ["word " * 12])
    assert long.shape[0] > short.shape[0]
    assert long.shape[1] < short.shape[1] + 120


def test_rows_of_different_length_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        draw_grid([[flat(RED), flat(RED)], [flat(RED)]], ["", ""])
