"""The container's files: what they name is there, and what can run without Docker runs."""

import fnmatch
import json
import os
import re
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from packaging.requirements import Requirement

ENTRY = ROOT / "container" / "fst.sh"
SHIPPED = [path.parent.name for path in sorted(ROOT.glob("checkpoints/*/style.json"))]
HEALTH = ROOT / "container" / "healthcheck.py"


@pytest.fixture(scope="module")
def dockerfile():
    """The instructions, as pairs of the word and the rest, their lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [tuple(line.split(None, 1)) for line in lines if line.strip()]


def rest_of(dockerfile, word):
    return [rest for found, rest in dockerfile if found == word]


def is_sent(path):
    """Whether .dockerignore lets a file through: the last pattern that matches it decides."""
    sent = True
    parts = Path(path).parts
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        depth = pattern.count("/") + 1
        heads = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        if pattern.startswith("**/"):
            matches = any(fnmatch.fnmatch(part, pattern[3:]) for part in parts)
        else:
            # A star does not cross a slash.
            matches = any(fnmatch.fnmatch(h, pattern) for h in heads if h.count("/") + 1 == depth)
        if matches:
            sent = line.startswith("!")
    return sent


@pytest.mark.parametrize(
    "path",
    [
        "infer.py",
        "train.py",
        "compare.py",
        "requirements.txt",
        "requirements-engines.txt",
        "fst/stylize/stylizer.py",
        "fst/comparison/templates/report.html",
        *(f"checkpoints/{style}/style.json" for style in SHIPPED),
        *(f"checkpoints/{style}/saved_model/saved_model.pb" for style in SHIPPED),
        "container/fst.sh",
        "container/healthcheck.py",
        "data/styles/woodcut.jpg",
    ],
)
def test_what_the_container_runs_is_sent_to_it(path):
    assert (ROOT / path).is_file()
    assert is_sent(path)


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".venv/bin/python",
        ".env",
        "tests/conftest.py",
        "requirements-dev.txt",
        "requirements-notebook.txt",
        "data/photos/private.jpg",
        "fst/stylize/__pycache__/stylizer.pyc",
        "checkpoints/mine/training/state.npz",
        "checkpoints/mine/previews/photo.jpg",
        "checkpoints/gallery/exports/udnie/saved_model/saved_model.pb",
    ],
)
def test_nothing_else_is_sent(path):
    assert not is_sent(path)


def test_every_copied_file_is_there_and_sent(dockerfile):
    sources = [word for rest in rest_of(dockerfile, "COPY") for word in rest.split()[:-1]]
    assert sources
    for source in sources:
        found = ROOT.iterdir() if source == "." else ROOT.glob(source)
        assert any(is_sent(path.relative_to(ROOT)) for path in found), source


@pytest.mark.parametrize("package", ["tensorflow-cpu", "tensorflow", "tensorflow[and-cuda]"])
def test_the_build_argument_replaces_tensorflow_and_nothing_else(dockerfile, package, tmp_path):
    (install,) = [rest for rest in rest_of(dockerfile, "RUN") if "pip install" in rest]
    rename = install.split("&&")[0]
    before = (ROOT / "requirements.txt").read_text()
    (tmp_path / "requirements.txt").write_text(before)
    environment = {**os.environ, "TENSORFLOW": package}
    subprocess.run(["sh", "-ec", rename], cwd=tmp_path, env=environment, check=True)
    pairs = zip(read_requirements(before), read_requirements(tmp_path / "requirements.txt"))  # noqa: B905
    changed = [(str(old), str(new)) for old, new in pairs if str(old) != str(new)]
    assert [new for _, new in changed] == (
        [] if package == "tensorflow" else [f"{package}<2.22,>=2.21"]
    )


def read_requirements(text):
    text = text if isinstance(text, str) else text.read_text()
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    return [Requirement(line) for line in lines if line]


def test_the_image_is_run_by_a_common_user_and_tells_its_health(dockerfile):
    (user,) = rest_of(dockerfile, "USER")
    assert int(user) > 0
    (health,) = rest_of(dockerfile, "HEALTHCHECK")
    *_, script = json.loads(health.partition("CMD")[2])
    assert Path(script).relative_to("/app") == HEALTH.relative_to(ROOT)
    (entry,) = [json.loads(rest) for rest in rest_of(dockerfile, "ENTRYPOINT")]
    links = " ".join(rest_of(dockerfile, "RUN"))
    assert f"ln -s /app/{ENTRY.relative_to(ROOT)} /usr/local/bin/{entry[0]}" in links
    assert os.access(ENTRY, os.X_OK)


def test_compose_serves_the_page(dockerfile):
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    page = compose["services"]["page"]
    assert page["command"] == ["app"]
    assert [port.split(":")[-2:] for port in page["ports"]] == [["8501", "8501"]]
    mounts = dict(volume.split(":")[:2] for volume in page["volumes"])
    named = {"checkpoints": "/app/checkpoints", "runs": "/app/runs", "keras": "/keras"}
    assert mounts == {**named, "./photos": "/photos"}
    assert set(compose["volumes"]) == set(named)
    # What the page writes to outlives the container, and belongs to its user.
    (owned,) = [rest for rest in rest_of(dockerfile, "RUN") if "chown" in rest]
    environment = page["environment"]
    for folder in (environment["FST_PAGE_CHECKPOINTS"], environment["FST_PAGE_RUNS"]):
        assert folder in mounts.values()
        assert Path(folder).name in owned.split("&&")[1].split()
    photos = environment["FST_PAGE_PHOTOS"]
    assert [m.split(":")[2:] for m in page["volumes"] if m.split(":")[1] == photos] == [["ro"]]
    assert (ROOT / page["build"] / "Dockerfile").is_file()


# --- The entry point -----------------------------------------------------------------------------


def enter(*args, link=None, cwd="/"):
    """Runs the entry point with this Python, from another folder, as the container does."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        [link or ENTRY, *map(str, args)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_entry_lists_its_commands():
    assert enter().stdout == enter("help").stdout
    text = enter("--help").stdout
    assert {"infer", "train", "gatys", "app"} <= set(re.findall(r"^[a-z]+", text, re.MULTILINE))
    assert "--server.port=8501" in ENTRY.read_text()


def test_entry_refuses_what_it_does_not_know():
    done = enter("inferr", "udnie")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "inferr" in done.stderr


@pytest.mark.slow
def test_entry_stylises(photos, tmp_path):
    (tmp_path / "fst").symlink_to(ENTRY)
    photo, output = photos / "photo00.jpg", tmp_path / "out" / "a picture.png"
    done = enter("infer", "udnie", photo, "-o", output, link=tmp_path / "fst", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert output.stat().st_size > 0
    done = enter("infer", "nosuch", photo, "-o", output)
    assert done.returncode == 2
    assert "no trained style 'nosuch'" in done.stderr


def test_every_command_has_its_program():
    text = ENTRY.read_text()
    (scripts,) = re.findall(r"^ *([\w |]+)\) exec python \"\$command\.py\"", text, re.MULTILINE)
    modules = re.findall(r"^ *([\w |]+)\) exec python -m \"?([\w.$]+)", text, re.MULTILINE)
    programs = [ROOT / f"{name.strip()}.py" for name in scripts.split("|")]
    programs += [
        program_of(module.replace("$command", name.strip()))
        for names, module in modules
        for name in names.split("|")
    ]
    assert len(programs) == 6
    assert all("__main__" in program.read_text() for program in programs)


def program_of(module):
    """The file that `python -m MODULE` runs."""
    path = ROOT.joinpath(*module.split("."))
    return path / "__main__.py" if path.is_dir() else path.with_suffix(".py")


def test_the_page_comes_with_what_it_needs():
    requirements = ROOT / "requirements-app.txt"
    names = {r.name for r in read_requirements(requirements)} if requirements.exists() else set()
    assert ("streamlit" in names) == (ROOT / "app.py").exists()
    assert is_sent("app.py")
    assert is_sent(requirements.name)


# --- The health check ----------------------------------------------------------------------------


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/_stcore/health" else 500)
        self.end_headers()

    def log_message(self, *_):
        pass


def is_healthy(*args):
    return subprocess.run([sys.executable, HEALTH, *args], timeout=60, check=False).returncode == 0


def test_health_is_whether_the_page_answers():
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        assert is_healthy(f"{address}/_stcore/health")
        assert not is_healthy(f"{address}/broken")
        server.shutdown()
    with socket.socket() as free:  # Bound and not listening: nobody answers.
        free.bind(("127.0.0.1", 0))
        assert not is_healthy(f"http://127.0.0.1:{free.getsockname()[1]}/_stcore/health")


def test_a_container_without_the_page_is_healthy():
    assert is_healthy()
