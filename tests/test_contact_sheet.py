"""The contact sheet: every photo in every style, in bands, and through its command."""

from pathlib import Path

import numpy as np
import pytest
from conftest import draw_photo, write_gallery
from forks import run
from PIL import Image

from fst.batch.contact_sheet import contact_sheet, main, style_sheet
from fst.errors import UserError
from fst.media import samples

pytestmark = pytest.mark.slow


def places(sheet, value):
    """Top and left of each picture that is all of one shade."""
    here = (sheet == value).all(axis=2)
    starts = here & ~np.roll(here, 1, 0) & ~np.roll(here, 1, 1)
    return [tuple(place) for place in np.argwhere(starts).tolist()]


def blue(value, height=40, width=60):
    """A picture of a shade that no label has."""
    return np.full((height, width, 3), (value, value, 255), np.uint8)


def lighter(by):
    return lambda photo: photo + np.uint8([by, by, 0])


def test_rows_are_photos_and_columns_are_styles():
    photos = [blue(50), blue(70, 30, 20)]
    sheet = contact_sheet(photos, {"lighter": lighter(100), "darker": lighter(-40 % 256)})
    found = {value: places(sheet, (value, value, 255)) for value in (50, 150, 10, 70, 170)}
    assert all(len(found[value]) == 1 for value in found)
    (photo,), (light,), (dark,) = found[50], found[150], found[10]
    assert photo[0] == light[0] == dark[0]
    assert photo[1] < light[1] < dark[1]
    (second,), (second_light,) = found[70], found[170]
    assert second[0] == second_light[0] > photo[0] + 40
    assert (sheet == (150, 150, 255)).all(axis=2).sum() == 40 * 60
    assert (sheet == (170, 170, 255)).all(axis=2).sum() == 30 * 20


def test_blends_of_the_same_styles_and_a_style_called_photo_all_have_columns():
    names = ("a=0.3,b=0.7", "a=0.7,b=0.3", "photo")
    sheet = contact_sheet([blue(0)], {name: lighter(20 * n + 20) for n, name in enumerate(names)})
    found = [places(sheet, (shade, shade, 255)) for shade in (0, 20, 40, 60)]
    assert [len(where) for where in found] == [1] * 4


def test_many_styles_stand_in_bands_that_each_begin_with_the_photos():
    photos = [blue(0), blue(1)]
    styles = {f"s{index}": lighter(10 * index + 10) for index in range(19)}
    sheet = contact_sheet(photos, styles)
    originals = places(sheet, (0, 0, 255))
    assert len(originals) == 3
    assert len({left for _, left in originals}) == 1
    tops = sorted(top for top, _ in originals)
    found = [places(sheet, (shade, shade, 255)) for shade in range(10, 200, 10)]
    assert [len(where) for where in found] == [1] * 19
    # Seven, seven and five: in order, in line with each other, from left to right.
    bands = [tops.index(top) for ((top, _),) in found]
    assert bands == [0] * 7 + [1] * 7 + [2] * 5
    lefts = [left for ((_, left),) in found]
    assert lefts[:7] == lefts[7:14] == sorted(lefts[:7])
    assert lefts[14:] == lefts[:5]


def test_pictures_are_scaled_down_for_the_sheet_only():
    seen = []

    def stylise(photo):
        seen.append(photo.shape)
        return photo

    sheet = contact_sheet([blue(50, 80, 120)], {"same": stylise}, cell=60)
    assert seen == [(80, 120, 3)]
    assert (sheet == (50, 50, 255)).all(axis=2).sum() == 2 * 40 * 60


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


def test_ten_sample_photos_to_judge_by():
    photos = samples.load(64, more=True)
    assert list(photos)[:5] == list(samples.load(64))
    assert len(photos) == 10
    mean = {name: photo.mean() for name, photo in photos.items()}
    assert mean["hubble_deep_field"] < 40
    assert mean["page"] > 150
    assert all(photo.shape[2] == 3 for photo in photos.values())


def test_photos_to_learn_from_are_large_enough_and_all_have_an_author():
    files = samples.files_to_learn_from()
    assert list(files)[:5] == list(samples.photo_files())
    credited = (Path(samples.__file__).parent / "photos" / "CREDITS.txt").read_text("utf-8")
    own = list(files)[5:]
    assert len(own) == 9
    assert all(name in credited for name in own)
    for path in files.values():
        with Image.open(path) as photo:
            assert min(photo.size) >= 256  # What training scales the short side to by default.


@pytest.mark.parametrize(("options", "cell"), [((), 64), (("--cell", 32), 32)])
def test_command_draws_all_styles_of_a_folder(gallery, tmp_path, options, cell):
    Image.fromarray(draw_photo(1)).save(tmp_path / "photo.png")
    output = tmp_path / "deep" / "sheet.png"
    command = ("-m", "fst.batch.contact_sheet", output, "--checkpoints", gallery, "--size", 64)
    done = run(*command, "--photos", tmp_path / "photo.png", *options)
    assert done.returncode == 0, done.stderr
    assert "1 photo in 5 styles" in done.stdout
    assert str(output) in done.stdout
    width = Image.open(output).width
    assert width >= 6 * cell
    if cell == 64:
        assert width < 7 * 64 + 60


def test_command_draws_thirty_styles(tmp_path):
    write_gallery(tmp_path / "gallery", [f"style_{index}" for index in range(30)])
    Image.fromarray(draw_photo(1, 400, 480)).save(tmp_path / "photo.png")
    output = tmp_path / "sheet.png"
    command = ("-m", "fst.batch.contact_sheet", output, "--checkpoints", tmp_path)
    done = run(*command, "--photos", tmp_path / "photo.png", tmp_path / "photo.png")
    assert done.returncode == 0, done.stderr
    width, height = Image.open(output).size
    assert 9 * 256 < width < 9 * 256 + 80
    assert 8 * 213 < height < 8 * 213 + 4 * 80


@pytest.mark.parametrize("option", ["--size", "--cell"])
def test_a_wrong_size_is_one_line(gallery, tmp_path, option):
    command = ("-m", "fst.batch.contact_sheet", tmp_path / "a.png", "--checkpoints", gallery)
    done = run(*command, option, 9999)
    assert done.returncode == 2
    assert f"error: {option} must be from" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["sheet.txt", "folder.png", "file/sheet.png"])
def test_a_sheet_that_cannot_be_written_is_told_before_any_work(tmp_path, monkeypatch, name):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("sys.argv", ["contact_sheet", str(tmp_path / name)])
    monkeypatch.setattr("fst.collection.find_all", lambda root: pytest.fail("work has begun"))
    with pytest.raises(UserError, match=r"output .*(sheet|folder|file)\.(txt|png)"):
        main()


def test_no_styles_is_one_line(tmp_path):
    (tmp_path / "broken").mkdir()
    done = run("-m", "fst.batch.contact_sheet", tmp_path / "out.png", "--checkpoints", tmp_path)
    assert done.returncode == 2
    assert "there are no trained styles under" in done.stderr
    assert "Traceback" not in done.stderr
