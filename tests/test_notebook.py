"""The notebook: nothing of a run is kept in it, and it runs from start to end."""

import re

import nbformat
import pytest
from conftest import ROOT
from nbclient import NotebookClient

PATH = ROOT / "notebooks" / "fast_style_transfer.ipynb"
SMALL = {"STEPS": 1, "CROP": 32, "GATYS_STEPS": 2, "SIZE": 48}


@pytest.fixture
def notebook():
    found = nbformat.read(PATH, as_version=4)
    nbformat.validate(found)
    return found


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_nothing_of_a_run_is_kept(notebook):
    for cell in code_cells(notebook):
        assert cell.outputs == []
        assert cell.execution_count is None
        assert set(cell.metadata) <= {"tags"}


def test_what_shortens_a_run_are_its_parameters(notebook):
    (parameters,) = [c for c in code_cells(notebook) if "parameters" in c.metadata.get("tags", [])]
    assert set(re.findall(r"FST_NOTEBOOK_(\w+)", parameters.source)) == set(SMALL)


def test_formulas_are_whole(notebook):
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    without_code = re.sub(r"`[^`]*`", "", text)
    assert without_code.count("$") % 2 == 0
    for formula in re.findall(r"\$\$?(.+?)\$\$?", without_code, re.DOTALL):
        assert formula.count("{") == formula.count("}"), formula
        assert formula.count(r"\left") == formula.count(r"\right"), formula


# What `fst.train` does of itself is for other tests to show: here its loss, its optimizer and the
# previews are such as take no time.
PLAIN = """
import keras
from fst.training import callbacks, loop
sys.path.append(str(ROOT / "tests"))
from tiny import PlainLoss
loop.build_loss = lambda *_, **__: PlainLoss()
loop.build_optimizer = lambda *_: keras.optimizers.SGD(1e-3)
callbacks._HEIGHT = 32
"""


@pytest.mark.slow
def test_it_runs_from_start_to_end(notebook, tmp_path, monkeypatch):
    (training,) = (cell for cell in code_cells(notebook) if "fst.train(" in cell.source)
    training.source = PLAIN + training.source
    for name, value in SMALL.items():
        monkeypatch.setenv(f"FST_NOTEBOOK_{name}", str(value))
    monkeypatch.delenv("FST_VGG19_WEIGHTS", raising=False)
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    for name in ("TMPDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))

    place = {"metadata": {"path": str(PATH.parent)}}
    patience = {"timeout": 600, "startup_timeout": 300}
    NotebookClient(notebook, **patience, kernel_name="python3", resources=place).execute()

    for cell in code_cells(notebook):
        drawn = [out for out in cell.outputs if "image/png" in out.get("data", {})]
        # Whatever shows pictures shows them, after the training too, which draws curves of its own.
        wanted = len(re.findall(r"^(?:show|plt\.show)\(", cell.source, re.MULTILINE))
        assert len(drawn) == wanted, cell.source
    printed = "".join(
        out.text for cell in code_cells(notebook) for out in cell.outputs if "text" in out
    )
    assert "step 1/1" in printed
    assert "Warning" not in printed
    assert "grey levels of 255" in printed
