"""The contact sheet: every photo in every style, in rows, and through its command."""

import numpy as np
import pytest
from conftest import draw_photo, run
from PIL import Image

from fst import samples
from fst.contact_sheet import contact_sheet, style_sheet


def test_rows_are_styles_and_columns_are_photos():
    photos = [np.full((40, 60, 3), 50, np.uint8), np.full((30, 20, 3), 90, np.uint8)]
    sheet = contact_sheet(photos, {"lighter": lambda p: p + 100, "darker": lambda p: p - 40})
    for value, area in ((50, 2400), (90, 600), (150, 2400), (190, 600), (10, 2400)):
        assert (sheet == value).all(axis=2).sum() >= area
    below = sheet[-46:]
    assert (below == 10).all(axis=2).sum() >= 2400
    assert (below == 150).all(axis=2).sum() < 600


@pytest.mark.parametrize(("number", "columns"), [(1, 2), (2, 2), (3, 2), (4, 3), (5, 3), (9, 4)])
def test_sheet_of_one_photo_is_about_square(number, columns):
    photo = np.full((100, 120, 3), (50, 0, 200), np.uint8)  # A colour, which no label has.
    names = ["photo", *(f"style_{index}" for index in range(number - 1))]
    shades = [photo + np.array([10 + 10 * index, 0, 0], np.uint8) for index in range(number)]
    sheet = style_sheet(photo, dict(zip(names, shades, strict=True)))
    places = []
    for picture in (photo, *shades):
        found = np.argwhere((sheet == picture[0, 0]).all(axis=2))
        assert len(found) == 100 * 120
        places.append(tuple(found[0].tolist()))
    assert len({column for _, column in places}) == columns  # The last row in line with the others.
    assert len({row for row, _ in places}) == -(-(number + 1) // columns)
    assert places == sorted(places)


def test_sample_photos_need_no_network():
    photos = samples.load(64)
    assert set(photos) == {"astronaut", "chelsea", "coffee", "rocket", "grace_hopper"}
    assert all(max(photo.shape[:2]) == 64 for photo in photos.values())


def test_command_draws_all_styles_of_a_folder(tmp_path):
    from fst.checkpoint import Checkpoint
    from fst.network import build_network

    for name in ("first", "second"):
        trained = Checkpoint(tmp_path / "styles" / name)
        trained.write_weights(build_network(4))
        trained.write_card({"name": name, "config": {"width": 4}})
    Image.fromarray(draw_photo(1)).save(tmp_path / "photo.png")
    output = tmp_path / "deep" / "sheet.png"
    command = ("-m", "fst.contact_sheet", output, "--checkpoints", tmp_path / "styles")
    done = run(*command, "--photos", tmp_path / "photo.png", "--size", 64)
    assert done.returncode == 0, done.stderr
    assert "1 photos in 2 styles" in done.stdout
    assert str(output) in done.stdout
    height = Image.open(output).height
    assert height > 3 * 53


def test_no_styles_is_one_line(tmp_path):
    (tmp_path / "broken").mkdir()
    done = run("-m", "fst.contact_sheet", tmp_path / "out.png", "--checkpoints", tmp_path)
    assert done.returncode == 2
    assert "there are no trained styles under" in done.stderr
    assert "Traceback" not in done.stderr
