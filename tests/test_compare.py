"""The comparison of the fast network with the slow optimiser: what it stores, and resumes."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_photo, run_here, write_gallery
from PIL import Image

from fst import metrics
from fst.comparison import command
from fst.comparison.measure import CompareConfig, Comparison, list_photos
from fst.errors import UserError
from fst.files import ImageError
from fst.media import images
from fst.stylize.stylizer import load

pytestmark = pytest.mark.slow

SIZE = 48
BUDGETS = (2, 5)
CONTENT = ("relu2_1",)


@pytest.fixture(scope="session")
def trained(tmp_path_factory, style):
    """A folder with one untrained style, `plain`, whose card tells a small loss."""
    import keras

    from fst.checkpoint import Checkpoint
    from fst.config import TrainingConfig
    from fst.models.network import build_network

    root = tmp_path_factory.mktemp("trained")
    keras.utils.set_random_seed(5)
    plain = Checkpoint(root / "plain")
    plain.write_weights(build_network(4))
    # Shallow layers, whose graphs are soon built.
    layers = {"content_layers": CONTENT, "style_layers": ("relu1_1", "relu2_1")}
    config = TrainingConfig(str(style), width=4, style_size=40, style_weight=2.0, **layers)
    digest = hashlib.sha256(style.read_bytes()).hexdigest()
    plain.write_card(
        {"format": 1, "name": "plain", "config": config.to_json(), "style": {"sha256": digest}}
    )
    return root


@pytest.fixture
def config(kept_vgg, trained, style, photos, vgg_file, tmp_path):
    """A comparison on two photos; options by name replace its own."""

    def make(**changes):
        options = {
            "checkpoint": "plain",
            "checkpoints": str(trained),
            "photos": tuple(str(photos / f"photo0{n}.jpg") for n in (0, 1)),
            "style": str(style),
            "output": str(tmp_path / "report"),
            "size": SIZE,
            "budgets": BUDGETS,
            "vgg_weights": str(vgg_file),
            **changes,
        }
        return CompareConfig(**options)

    return make


def words_of(config):
    """The command line that gives `config`."""
    words = [config.checkpoint, *config.photos, "--style", config.style, "-o", config.output]
    words += ["--checkpoints", config.checkpoints, "--vgg-weights", config.vgg_weights]
    words += ["--size", config.size, "--budgets", *config.budgets, "--seed", config.seed]
    words += ["--optimizer", config.optimizer, "--init", config.init]
    return [str(word) for word in [*words, "--also-from", *config.also_from]]


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs compare.py in this process: exit code, what it printed, what it complained of."""

    def call(words):
        return run_here(command.main, ["compare.py", *words], monkeypatch, capsys)

    return call


def results(config):
    folder = Path(config.output) / "photos"
    return {path.parent.name: json.loads(path.read_text()) for path in folder.glob("*/result.json")}


class TestResult:
    @pytest.fixture(scope="class")
    def compared(self, trained, style, photos, vgg_file, tmp_path_factory):
        config = CompareConfig(
            checkpoint="plain",
            checkpoints=str(trained),
            photos=(str(photos / "photo03.jpg"),),
            style=str(style),
            output=str(tmp_path_factory.mktemp("compared")),
            size=SIZE,
            budgets=(5, 2, 2),
            vgg_weights=str(vgg_file),
        )
        seen = []
        comparison = Comparison(config, lambda step, most, start: seen.append((start, step.step)))
        comparison.compare(config.photos[0])
        (folder,) = (comparison.folder / "photos").iterdir()
        return config, json.loads((folder / "result.json").read_text()), folder, seen

    def test_settings_are_those_of_the_trained_style(self, compared):
        config, *_ = compared
        settings = json.loads((Path(config.output) / "settings.json").read_text())
        assert settings["style_size"] == 40
        assert settings["style_weight"] == 2.0
        assert settings["style_layers"] == ["relu1_1", "relu2_1"]
        assert settings["content_layers"] == list(CONTENT)
        assert settings["budgets"] == [2, 5]
        assert settings["style_is_the_trained_one"] is True
        assert settings["style"] == "stripes.png"
        assert set(settings["versions"]) >= {"fst", "tensorflow", "keras", "scipy"}

    def test_pictures(self, compared, trained):
        config, result, folder, _ = compared
        shape = (result["height"], result["width"], 3)
        assert max(shape) == SIZE
        names = {"photo", "fast", "gatys_2", "gatys_5"}
        found = {path.stem: np.asarray(Image.open(path)) for path in folder.glob("*.png")}
        assert set(found) == names
        assert all(picture.shape == shape for picture in found.values())
        photo = images.load_rgb(config.photos[0], SIZE)
        np.testing.assert_array_equal(found["photo"], np.rint(photo))
        fast = load("plain", str(trained))(photo)
        np.testing.assert_allclose(found["fast"], fast, atol=0.51)

    def test_losses_are_those_of_one_loss(self, compared, style, vgg_file):
        """Computed again from the pictures, by the loss that the card describes."""
        from fst.models.perceptual import PerceptualLoss, load_vgg19

        config, result, folder, _ = compared
        loss = PerceptualLoss(
            load_vgg19(str(vgg_file)),
            [images.load_rgb(style, 40)],
            style_weight=2.0,
            tv_weight=1.0,
            content_layers=CONTENT,
            style_layers=("relu1_1", "relu2_1"),
        )
        photo = images.load_rgb(config.photos[0], SIZE)
        stored = {"fast": result["fast"], "gatys_2": result["gatys"]["2"]}
        for name, terms in {**stored, "photo": result["untouched"]}.items():
            picture = images.load_rgb(folder / f"{name}.png")
            expected = metrics.loss_terms(loss, picture, photo)
            for term in ("total", "content", "style", "tv"):
                # The pictures were rounded when they were saved.
                assert terms[term] == pytest.approx(getattr(expected, term), rel=0.03, abs=2e-3)

    def test_similarities(self, compared):
        config, result, folder, _ = compared
        photo = images.load_rgb(config.photos[0], SIZE)
        fast, slow = (images.load_rgb(folder / f"{name}.png") for name in ("fast", "gatys_5"))
        for key, one, other in (
            ("ssim_photo_luma", photo, slow),
            ("ssim_fast_luma", fast, slow),
        ):
            expected = metrics.ssim_luma(one, other)
            assert result["gatys"]["5"][key] == pytest.approx(expected, abs=0.02)
        assert result["fast"]["ssim_photo_rgb"] == pytest.approx(
            metrics.ssim_rgb(photo, fast), abs=0.02
        )

    def test_more_evaluations_are_better_and_slower(self, compared):
        _, result, *_ = compared
        assert result["gatys"]["5"]["total"] < result["gatys"]["2"]["total"]
        assert result["gatys"]["5"]["seconds"] > result["gatys"]["2"]["seconds"] > 0
        assert result["fast"]["seconds"] > 0

    def test_worth(self, compared):
        """The first evaluation that is as good as the network, from each start."""
        _, result, _, seen = compared
        level = result["fast"]["total"]
        for start in ("content", "noise"):
            curve = result["starts"][start]
            totals = curve["totals"]
            best = np.minimum.accumulate(totals)
            first = next((n for n, total in enumerate(best, start=1) if total <= level), None)
            assert curve["worth"] == first
            assert [step for name, step in seen if name == start] == [*range(1, len(totals) + 1)]
        assert len(result["starts"]["content"]["totals"]) == 5
        # A random network's picture is far from both, and even noise may be as good.
        noise = result["starts"]["noise"]
        assert len(noise["totals"]) == (noise["worth"] or 5)

    def test_the_budgets_hold_the_best_of_the_curve(self, compared):
        _, result, *_ = compared
        best = np.minimum.accumulate(result["starts"]["content"]["totals"])
        for budget in (2, 5):
            total = result["gatys"][str(budget)]["total"]
            assert total == pytest.approx(best[budget - 1], rel=1e-4)


class TestCommand:
    def test_interrupted_it_goes_on_with_the_photos_that_are_missing(
        self, config, run, monkeypatch
    ):
        given = config(also_from=())
        whole = Comparison.compare

        def stop_at_two(self, source):
            if source.endswith("photo01.jpg"):
                raise KeyboardInterrupt
            whole(self, source)

        monkeypatch.setattr(Comparison, "compare", stop_at_two)
        code, _, _ = run(words_of(given))
        assert code == 130
        (first,) = results(given)
        kept = Path(given.output) / "photos" / first / "result.json"
        before = kept.stat().st_mtime_ns

        monkeypatch.setattr(Comparison, "compare", whole)
        code, out, err = run(words_of(given))
        assert code == 0, err
        assert len(results(given)) == 2
        assert kept.stat().st_mtime_ns == before
        assert "report.html" in out
        names = {path.name for path in Path(given.output).iterdir()}
        assert names == {"settings.json", "photos", "report.html", "metrics.csv", "metrics.json"}

    def test_ctrl_c_within_a_photo_keeps_nothing_of_it(self, config, monkeypatch):
        calls = []

        def stop(step, most, start):
            calls.append(step)
            if len(calls) == 3:
                raise KeyboardInterrupt

        comparison = Comparison(config(), stop)
        with pytest.raises(KeyboardInterrupt):
            comparison.compare(config().photos[0])
        assert not list(comparison.folder.glob("photos/*"))

    def test_a_bad_photo_is_named_and_the_others_are_compared(self, config, run, tmp_path):
        broken = tmp_path / "broken.jpg"
        broken.write_bytes(b"no picture")
        thin = tmp_path / "thin.png"
        Image.fromarray(draw_photo(1, 200, 20)).save(thin)
        given = config(photos=(str(broken), config().photos[0], str(thin)), also_from=())
        code, _, err = run(words_of(given))
        assert code == 1
        failures = [line for line in err.splitlines() if line.startswith("failed:")]
        assert len(failures) == 2
        assert "broken.jpg" in failures[0]
        assert "thin.png" in failures[1]
        assert "32 px" in failures[1]
        assert [result["photo"] for result in results(given).values()] == ["photo00.jpg"]

    def test_a_full_disk_ends_it_at_once(self, config, run, monkeypatch):
        """It is no photo's fault, and every further photo would cost minutes for nothing."""
        tries = []

        def full(path, *_, **__):
            tries.append(path)
            raise ImageError(f"{path}: cannot be written: No space left on device")

        monkeypatch.setattr("fst.comparison.measure.images.save_picture", full)
        code, _, err = run(words_of(config(also_from=())))
        assert code == 2
        assert len(tries) == 1
        assert "make room and run the same command again" in err
        assert not list(Path(config().output).glob("photos/*"))

    def test_no_photo_at_all(self, config, run, tmp_path):
        broken = tmp_path / "broken.jpg"
        broken.write_bytes(b"no picture")
        code, _, err = run(words_of(config(photos=(str(broken),))))
        assert code == 2
        assert "error: no photo could be compared" in err

    def test_another_picture_than_the_trained_one_is_told(self, config, run, tmp_path):
        other = tmp_path / "other.png"
        Image.fromarray(draw_photo(7)).save(other)
        given = config(style=str(other), photos=config().photos[:1], also_from=())
        code, _, err = run(words_of(given))
        assert code == 0
        assert "note:" in err
        assert "other.png is not the file" in err


class TestMistakes:
    @pytest.mark.parametrize(
        ("changes", "part"),
        [
            ({"size": 100}, "another size (48, not 100)"),
            ({"budgets": (3,)}, "another budgets"),
            ({"seed": 9}, "another seed"),
            ({"optimizer": "adam"}, "another optimizer"),
            ({"init": "noise"}, "another init"),
            ({"precision": "mixed_bfloat16"}, "another precision"),
            ({"vgg_weights": "embedded"}, "another vgg_weights (random.weights.h5, not embedded)"),
        ],
    )
    def test_a_report_with_other_settings_is_left_alone(self, config, changes, part):
        Comparison(config())
        with pytest.raises(UserError) as error:
            Comparison(config(**changes))
        assert part in str(error.value)
        assert "name another folder" in str(error.value)

    def test_auto_precision_is_what_it_comes_to_here(self, config, monkeypatch):
        monkeypatch.setattr("fst.models.precision._has_bfloat16", lambda: False)
        assert Comparison(config(precision="auto")).settings["precision"] == "float32"
        Comparison(config(precision="float32"))

    @pytest.mark.parametrize(
        ("changes", "part"),
        [
            ({"size": 31}, "--size must be from 32"),
            ({"seed": -1}, "--seed"),
            ({"budgets": ()}, "--budgets"),
            ({"budgets": (0, 5)}, "--budgets"),
            ({"style": ""}, "--style is missing"),
            ({"output": ""}, "--output is missing"),
            ({"photos": ()}, "there is no PHOTO"),
        ],
    )
    def test_options_out_of_range(self, config, changes, part):
        with pytest.raises(UserError) as error:
            config(**changes)
        assert part in error.value.for_command_line()

    def test_files_that_are_not_there(self, config, run):
        for changes, part in (
            ({"checkpoint": "nothing"}, "no trained style 'nothing'"),
            ({"style": "nothing.png"}, "nothing.png: no such file"),
            ({"photos": ("nothing.jpg",)}, "nothing.jpg: no such file"),
            ({"vgg_weights": "nothing.h5"}, "--vgg-weights"),
        ):
            code, _, err = run(words_of(config(**changes)))
            assert code == 2
            assert part in err
            assert len(err.strip().splitlines()) == 1
        assert not Path(config().output).exists()  # Where the right options would be refused.

    def test_a_report_of_before_is_gone_on_with(self, config):
        folder = Comparison(config()).folder
        settings = json.loads((folder / "settings.json").read_text())
        del settings["vgg_weights"], settings["style_layer_weights"]
        (folder / "settings.json").write_text(json.dumps(settings))
        Comparison(config())

    def test_two_at_once_in_one_folder_are_refused(self, config, run):
        first = Comparison(config())
        begun = first.folder / "photos" / ".fst-begun"
        begun.mkdir(parents=True)
        code, _, err = run(words_of(config()))
        assert (code, len(err.strip().splitlines())) == (2, 1)
        assert "another comparison is being made there" in err
        assert begun.exists()
        first.close()
        Comparison(config())
        assert not begun.exists()  # A killed one's.

    @pytest.fixture
    def another(self, trained, tmp_path):
        """Makes a style whose card tells another loss; returns the options that name it."""

        def make(**changes):
            folder = tmp_path / "styles" / "another"
            shutil.copytree(trained / "plain", folder)
            card = json.loads((folder / "style.json").read_text())
            card["config"] |= changes
            card["config"] = {k: v for k, v in card["config"].items() if v is not None}
            (folder / "style.json").write_text(json.dumps(card))
            return {"checkpoint": "another", "checkpoints": str(tmp_path / "styles")}

        return make

    def test_weights_of_style_layers_are_those_of_the_card(self, config, another):
        comparison = Comparison(config(**another(style_layer_weights=[1.0, 3.0])))
        assert comparison.settings["style_layer_weights"] == [1.0, 3.0]
        assert comparison._options.style_layer_weights == (1.0, 3.0)

    def test_a_style_of_deeper_layers_needs_deeper_weights(self, config, another):
        # A card of before: it has no weights of layers.
        options = another(style_layers=["relu1_1", "relu5_1"], style_layer_weights=None)
        with pytest.raises(UserError) as error:
            Comparison(config(**options, vgg_weights="embedded"))
        line = error.value.for_command_line()
        assert line.startswith(
            "the loss of another: relu5_1 lies deeper than --vgg-weights embedded"
        )
        assert "use --vgg-weights imagenet or a file" in line
        assert Comparison(config(**options)).settings["style_layers"] == ["relu1_1", "relu5_1"]

    def test_a_card_without_its_loss(self, config, trained, tmp_path):
        (tmp_path / "poor").mkdir()
        for name in ("network.weights.h5", "style.json"):
            (tmp_path / "poor" / name).write_bytes((trained / "plain" / name).read_bytes())
        card = json.loads((tmp_path / "poor" / "style.json").read_text())
        del card["config"]["style_weight"]
        (tmp_path / "poor" / "style.json").write_text(json.dumps(card))
        with pytest.raises(UserError, match="does not tell the loss"):
            Comparison(config(checkpoint="poor", checkpoints=str(tmp_path)))

    def test_a_blend_has_no_picture_to_compare_with(self, config, gallery):
        changes = {"checkpoint": "dusk=1,reef=1", "checkpoints": str(gallery)}
        with pytest.raises(UserError, match="dusk=1,reef=1: is a blend"):
            Comparison(config(**changes))

    def test_no_room_to_write(self, config, tmp_path):
        (tmp_path / "file").write_text("not a folder")
        with pytest.raises(UserError, match="cannot be written"):
            Comparison(config(output=str(tmp_path / "file" / "report")))


def test_a_style_of_a_gallery(config, trained, style, tmp_path):
    card = json.loads((trained / "plain" / "style.json").read_text())
    digest = card["style"]["sha256"]
    entries = [{"name": "other", "sha256": "ab"}, {"name": "mine", "sha256": digest}]
    settings = {**card["config"], "style_weight": [5.0, 2.0], "style_size": [40]}
    settings["style_layer_weights"] = [1.0, 3.0, 2.0, 4.0]
    write_gallery(tmp_path / "gallery", entries, config=settings)
    for name, known in (("mine", True), ("gallery/other", False)):
        output = str(tmp_path / f"report_{known}")
        changes = {"checkpoint": name, "checkpoints": str(tmp_path), "output": output}
        comparison = Comparison(config(**changes))
        assert comparison.style_is_the_trained_one is known
        assert comparison.settings["checkpoint"] == name.rpartition("/")[2]
        assert comparison.settings["style_weight"] == (2.0 if known else 5.0)
        assert comparison.settings["style_size"] == 40
        layers = [2.0, 4.0] if known else [1.0, 3.0]
        assert comparison.settings["style_layer_weights"] == layers


def test_a_style_that_was_added_to_a_gallery(config, trained, tmp_path):
    """Its loss is the one that it was learnt with, not the gallery's."""
    settings = json.loads((trained / "plain" / "style.json").read_text())["config"]
    added = {"config": {**settings, "style_weight": [3.0, 7.0], "style_layers": ["relu2_1"]}}
    # The one in the first place has been replaced since.
    placed = {"config": {**added["config"], "tv_weight": 3.0}}
    entries = ["old", {"name": "new", "training": added}, {"name": "newer", "training": added}]
    entries.append({"name": "second", "training": placed, "place": 1})
    write_gallery(tmp_path / "gallery", entries, config={**settings, "style_weight": [5.0]})
    for name, weight, layers in (
        ("old", 5.0, ["relu1_1", "relu2_1"]),
        ("new", 3.0, ["relu2_1"]),
        ("newer", 7.0, ["relu2_1"]),
        ("second", 7.0, ["relu2_1"]),
    ):
        changes = {"checkpoint": name, "checkpoints": str(tmp_path)}
        found = Comparison(config(**changes, output=str(tmp_path / name))).settings
        assert (found["style_weight"], found["style_layers"]) == (weight, layers)


def test_a_report_among_the_photos_is_none_of_them(tmp_path):
    for name in ("a.png", "report/photos/a-1/fast.png", "report2/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw_photo(1)).save(tmp_path / name)
    found = list_photos([str(tmp_path)], without=[tmp_path / "report", tmp_path / "none"])
    assert found == [str(tmp_path / "a.png"), str(tmp_path / "report2" / "b.png")]
    inside = tmp_path / "report" / "photos"
    assert len(list_photos([str(inside)], without=[tmp_path / "report"])) == 1
    assert len(list_photos([str(tmp_path)], without=[tmp_path])) == 3


def test_list_photos(photos, tmp_path):
    found = list_photos([str(photos), str(photos / "photo03.jpg"), "https://x.org/a.jpg"])
    assert len(found) == 13
    assert found[-1] == "https://x.org/a.jpg"
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no photos"):
        list_photos([str(tmp_path / "empty")])
    (tmp_path / "link.jpg").symlink_to(tmp_path / "nowhere.jpg")
    with pytest.raises(UserError, match="is a link to a file that is not there"):
        list_photos([str(tmp_path / "link.jpg")])


def test_files_that_are_no_photos_are_told(photos, tmp_path):
    folder, notes = tmp_path / "in", []
    folder.mkdir()
    shutil.copy(photos / "photo03.jpg", folder / "a.jfif")
    (folder / "notes.txt").write_text("no photo")
    assert list_photos([str(folder)], notes.append) == [str(folder / "a.jfif")]
    assert notes == [f"{folder}: 1 file is no picture, left out: notes.txt"]
