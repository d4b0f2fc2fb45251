"""Tests of `train.py` with bad input: one line on stderr, exit code 2, and no traceback."""

import http.server
import json
import os
import shlex
import shutil
import signal
import threading

import numpy as np
import pytest
from conftest import ROOT, run, run_here, run_script_here, write_gallery
from PIL import Image
from tiny import command_of, tiny_options

from fst import files
from fst.batch import command as infer
from fst.config import TrainingConfig, infer_command
from fst.console import cli
from fst.errors import UserError
from fst.training import command


@pytest.fixture
def options(photos, style, first_layers, tmp_path):
    return tiny_options(photos, style, first_layers, tmp_path / "out")


@pytest.fixture
def train_here(monkeypatch, capsys):
    """Runs `train.py` with these words in this process; gives a `Result`."""
    before = signal.getsignal(signal.SIGTERM)
    yield lambda *words: run_script_here(ROOT / "train.py", words, monkeypatch, capsys)
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def refused(train_here):
    """Runs the command, which must refuse; gives its one line."""
    return lambda options: refusal(*train_here(*command_of(options)[1:]))


def refusal(code, _, err):
    """The one line of a command that was refused."""
    lines = err.splitlines()
    assert (code, len(lines)) == (2, 1), err
    assert lines[0].startswith("error: ")
    return lines[0]


def complaint(options):
    """Like `refused`, but in this process: TensorFlow takes seconds to start."""
    from fst.training.loop import train

    with pytest.raises(UserError) as error:
        train(cli.parse(TrainingConfig, "train.py", args=command_of(options)[1:]))
    text = error.value.for_command_line()
    assert "\n" not in text
    return text


def parsed(*words):
    """What the command line itself is refused for."""
    with pytest.raises(UserError) as error:
        cli.parse(TrainingConfig, "train.py", args=["style.png", *words])
    text = error.value.for_command_line()
    assert "\n" not in text
    return text


class TestCommandLine:
    @pytest.mark.parametrize(
        ("words", "named"),
        [
            (["--steps", "0"], "--steps"),
            (["--steps", "x"], "--steps"),
            (["--steps"], "--steps"),
            (["--style-weight", "nan"], "--style-weight"),
            (["--style-weight", "-1"], "--style-weight"),
            (["--learning-rate", "inf"], "--learning-rate"),
            (["--precision", "nonsense"], "--precision"),
            (["--distribute", "nonsense"], "--distribute"),
            (["--preset", "nonsense"], "--preset"),
            (["--style-layers", "relu9_9"], "relu9_9"),
            (["--content-layers"], "--content-layers"),
            (["--no-such-flag", "1"], "--no-such-flag"),
            (["--crop-size", "64", "--photo-size", "40"], "--photo-size"),
            (["--name", "../elsewhere"], "--name"),
            (["--style-weight", "0", "--content-weight", "0"], "--style-weight"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_is_refused(self, words, named):
        assert named in parsed(*words)

    def test_as_a_command(self, options, refused):
        for changes in ({"steps": 0}, {"steps": "x"}, {"no_such_flag": 1}):
            assert next(iter(changes)).replace("_", "-") in refused({**options, **changes})

    def test_without_a_style(self):
        done = run("train.py")
        assert "STYLE" in refusal(done.returncode, done.stdout, done.stderr).upper()

    def test_help_names_every_flag(self, train_here):
        done = train_here("--help")
        assert done.code == 0
        assert all(word in done.out for word in ("--style-weight", "--save-every", "--finish"))


class TestStyle:
    def test_missing_as_a_command(self, options, refused, tmp_path):
        line = refused({**options, "style": "no_such_style.jpg"})
        assert "no_such_style.jpg" in line
        assert not (tmp_path / "out").exists()

    def test_no_image(self, options, tmp_path):
        (tmp_path / "text.jpg").write_text("no image")
        assert "text.jpg" in complaint({**options, "style": str(tmp_path / "text.jpg")})

    @pytest.mark.parametrize("size", [(8, 8), (400, 20)])
    def test_too_small(self, options, tmp_path, size):
        Image.new("RGB", size, "red").save(tmp_path / "small.png")
        text = complaint({**options, "style": str(tmp_path / "small.png")})
        assert f"{size[0]}x{size[1]} px" in text
        assert "32 px" in text

    def test_too_small_once_it_is_scaled(self, options, tmp_path):
        Image.new("RGB", (400, 40), "red").save(tmp_path / "band.png")
        assert "--style-size 64" in complaint({**options, "style": str(tmp_path / "band.png")})


class TestStyleFromTheWeb:
    @pytest.fixture(scope="class")
    def site(self, style):
        """A web server's address."""
        picture = style.read_bytes()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if self.path == "/missing.png":
                    self.send_error(404)
                    return
                self.send_response(200)
                if self.path == "/huge.png":
                    self.send_header("Content-Length", str(files.MAX_BYTES + 1))
                self.end_headers()
                body = b"<!doctype html><p>A page" if self.path == "/page.html" else picture
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        server.server_close()

    @pytest.mark.parametrize(
        ("page", "named"),
        [("missing.png", "404"), ("huge.png", "larger than"), ("page.html", "web page")],
    )
    def test_bad(self, options, site, page, named):
        text = complaint({**options, "style": f"{site}/{page}"})
        assert named in text
        assert page in text

    def test_nobody_there(self, options):
        assert "127.0.0.1" in complaint({**options, "style": "http://127.0.0.1:9/style.png"})

    def test_good_one_gets_as_far_as_the_photos(self, options, site):
        text = complaint({**options, "style": f"{site}/style.png", "content": "no/such/folder"})
        assert "no/such/folder" in text


class TestContent:
    def test_missing_as_a_command(self, options, refused):
        assert "no/such/folder" in refused({**options, "content": "no/such/folder"})

    def test_empty(self, options, tmp_path):
        (tmp_path / "empty").mkdir()
        assert "no photos" in complaint({**options, "content": str(tmp_path / "empty")})

    def test_unknown_data_set(self, options):
        text = complaint({**options, "content": "tfds:no_such_data_set"})
        assert "no_such_data_set" in text

    @pytest.mark.slow
    @pytest.mark.usefixtures("one_block_here", "plain_loss")
    def test_one_photo_in_ten_broken_as_a_command(self, options, photos, tmp_path, train_here):
        some = tmp_path / "some"
        shutil.copytree(photos, some)
        shutil.copy(some / "photo01.jpg", some / "photo12.jpg")
        data = (some / "photo05.jpg").read_bytes()
        (some / "photo05.jpg").write_bytes(data[: len(data) // 3])
        (some / "photo09.jpg").write_text("no photo")
        several = {**options, "style": [options["style"], str(photos / "photo03.jpg")]}
        changes = {"content": str(some), "steps": 8, "name": "both"}
        done = train_here(*command_of({**several, **changes})[1:])
        assert done.code == 0, done.err
        assert "Traceback" not in done.err
        end = done.err.splitlines()[-3:]
        assert end[0] == "skipped 2 photos that could not be read:"
        assert {line.split(":")[0].strip() for line in end[1:]} == {"photo05.jpg", "photo09.jpg"}
        assert f"the 2 styles are in {tmp_path / 'out' / 'both'}; try: " in done.out
        card = json.loads((tmp_path / "out" / "both" / "style.json").read_text())
        assert card["skipped_photos"]["count"] == 2
        assert set(card["skipped_photos"]["named"]) == {"photo05.jpg", "photo09.jpg"}
        # Of several styles the hint names one.
        hint = done.out.partition("; try: ")[2]
        assert "both/stripes PHOTO -o stylised.jpg" in hint


class TestVgg:
    def test_missing_file(self, options):
        text = complaint({**options, "vgg_weights": "no_such_file.h5"})
        assert "no_such_file.h5" in text
        assert "--vgg-weights" in text

    def test_wrong_files(self, options, tmp_path):
        import h5py

        (tmp_path / "text.h5").write_text("no weights")
        with h5py.File(tmp_path / "other.h5", "w") as file:
            file["numbers"] = np.zeros(3)
        for name in ("text.h5", "other.h5"):
            text = complaint({**options, "vgg_weights": str(tmp_path / name)})
            assert name in text
            assert "--vgg-weights" in text

    @pytest.mark.slow
    def test_download_fails_as_a_command(self, options, tmp_path):
        # A proxy that is not there, so that it fails even where there is a network.
        options = {**options, "vgg_weights": "imagenet"}
        cache = tmp_path / "keras"
        nowhere = "http://127.0.0.1:9"
        # What is set may count from the first import on.
        proxies = {"https_proxy": nowhere, "HTTPS_PROXY": nowhere}
        settings = {"KERAS_HOME": str(cache), "FST_VGG19_WEIGHTS": "", **proxies}
        done = run(*command_of(options), env={**os.environ, **settings})
        line = refusal(done.returncode, done.stdout, done.stderr)
        assert "https://storage.googleapis.com" in line
        assert "URL fetch failure" in line
        assert str(cache / "models") in line
        assert "--vgg-weights or FST_VGG19_WEIGHTS" in line
        assert not (tmp_path / "out").exists()


class TestRun:
    def test_unknown_style_to_start_from(self, options, tmp_path):
        text = complaint({**options, "start_from": "no_such_style"})
        assert "no_such_style" in text
        assert not (tmp_path / "out").exists()

    def test_batch_that_cannot_be_shared_out(self, options, monkeypatch):
        import tensorflow as tf

        strategy = tf.distribute.MirroredStrategy
        monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda: _WithReplicas(strategy(), 2))
        text = complaint({**options, "distribute": "mirrored", "batch_size": 3})
        assert "--batch-size 3" in text
        assert "multiple of 2" in text

    def test_output_that_cannot_be_written(self, options, tmp_path):
        (tmp_path / "file").write_text("in the way")
        text = complaint({**options, "output": str(tmp_path / "file")})
        assert "--output" in text


class TestHint:
    @pytest.fixture
    def output(self, tmp_path, monkeypatch):
        """A folder of styles: relative, with a space, and not where infer.py looks by itself."""
        monkeypatch.chdir(ROOT)
        return os.path.relpath(tmp_path / "my styles", ROOT)

    @pytest.fixture
    def follow(self, style, tmp_path, monkeypatch, capsys):
        """Does what a hint says."""
        before = signal.getsignal(signal.SIGTERM)

        def call(hint):
            python, *words = shlex.split(hint)
            assert (python, words[0]) == ("python", "infer.py")
            places = {"PHOTO": style, "stylised.jpg": tmp_path / "out.jpg"}
            words = [places.get(word, word) for word in words]
            stylised = run_here(infer.main, words, monkeypatch, capsys)
            assert (stylised.code, stylised.err) == (0, "")
            assert (tmp_path / "out.jpg").is_file()

        yield call
        signal.signal(signal.SIGTERM, before)

    @pytest.mark.slow
    @pytest.mark.usefixtures("one_block_here", "plain_loss")
    def test_does_what_it_says(self, options, output, train_here, follow):
        # This name is a word of its own in infer.py.
        command = command_of({**options, "output": output, "name": "all", "steps": 1})
        done = train_here(*command[1:])
        assert done.code == 0, done.err
        follow(done.out.partition("; try: ")[2])

    def test_does_so_with_an_ordinary_name(self, styles, output, follow):
        shutil.copytree(styles / "waves", f"{output}/waves")
        follow(infer_command("waves", output))

    @pytest.mark.parametrize("output", ["checkpoints", "checkpoints/", "./checkpoints"])
    def test_is_short_where_infer_looks_by_itself(self, output):
        assert infer_command("mine", output) == "python infer.py mine PHOTO -o stylised.jpg"


class TestAdded:
    """What is said of styles that were added to a gallery."""

    @pytest.fixture
    def told(self, photos, tmp_path, monkeypatch, capsys):
        """Adds two styles, as far as the command sees, to this gallery; gives what is said."""
        (tmp_path / "pictures").mkdir()
        for name in ("fern", "lava"):
            shutil.copy(photos / "photo00.jpg", tmp_path / "pictures" / f"{name}.jpg")
        before = signal.getsignal(signal.SIGTERM)

        def call(gallery):
            about = {"skipped_photos": {"count": 1, "named": {"dark.jpg": "is empty"}}}
            styles = ["moss", *({"name": name, "training": about} for name in ("fern", "lava"))]
            done = write_gallery(gallery, styles, skipped_photos={"count": 0, "named": {}})
            monkeypatch.setattr("fst.training.loop.train", lambda *_, **__: done)
            options = {"name": "two", "output": str(tmp_path), "add_to": str(gallery)}
            assert command.run(TrainingConfig((str(tmp_path / "pictures"),), **options)) == 0
            return capsys.readouterr()

        yield call
        signal.signal(signal.SIGTERM, before)

    def test_their_own_names_and_photos_are_told(self, told, tmp_path):
        out, err = told(tmp_path / "garden")
        assert f"the 2 styles are in {tmp_path / 'garden'}; try: python infer.py fern PHOTO" in out
        assert "dark.jpg: is empty" in err

    def test_the_gallery_is_named_where_the_name_alone_leads_elsewhere(self, told, tmp_path):
        elsewhere = tmp_path / "else where" / "garden"
        assert f"infer.py '{elsewhere}/fern' PHOTO" in told(elsewhere).out
        write_gallery(tmp_path / "meadow", ["fern", "reef"])
        assert f"infer.py {tmp_path / 'garden'}/fern PHOTO" in told(tmp_path / "garden").out


class _WithReplicas:
    """A strategy that says it has another number of devices than it has."""

    def __init__(self, strategy, replicas):
        self._strategy, self.num_replicas_in_sync = strategy, replicas

    def __getattr__(self, name):
        return getattr(self._strategy, name)
