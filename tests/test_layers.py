"""What may import what: the packages of `fst` in one order, and no circle between modules."""

import ast
import graphlib

import pytest
from conftest import ROOT

# From the bottom up: each imports only from those above it in this list, and within itself.
LAYERS = (
    "errors",
    "words",
    "packages",
    "options",
    "loss_options",
    "config",
    "files",
    "console",
    "media",
    "models",
    "metrics",
    "checkpoint",
    "collection",
    "catalogue",
    "stylize",
    "export",
    "training",
    "callbacks",
    "gatys",
    "batch",
    "comparison",
    "page",
    "__main__",
)


def modules_in(root):
    """All modules under `root`/fst by their dotted names; a package stands for its __init__.py."""
    found = {}
    for path in sorted((root / "fst").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(path, modules):
    """The modules of ours that `path` imports, at its top or within a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports by a relative name"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in modules else node.module for name in names}
    return found & modules.keys()


def graph_of(root):
    modules = modules_in(root)
    return {name: imports_of(path, modules) for name, path in modules.items()}


def layer_of(module):
    """Its place in `LAYERS`; the door `fst` itself, which imports on demand alone, is below all."""
    return LAYERS.index(module.split(".")[1]) if "." in module else -1


def upward(graph):
    """The imports from a layer above, a line each."""
    return [
        f"{module} imports {other}"
        for module, others in graph.items()
        for other in sorted(others)
        if layer_of(other) > layer_of(module)
    ]


def circle_in(graph):
    """The modules of a circle, or None."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return None


def test_every_layer_is_in_the_list():
    layers = {name.split(".")[1] for name in modules_in(ROOT) if "." in name}
    assert layers == set(LAYERS)


def test_imports_go_downwards():
    assert not upward(graph_of(ROOT))


def test_no_circle_between_modules():
    assert circle_in(graph_of(ROOT)) is None


@pytest.mark.parametrize("folder", sorted({p.parent.name for p in ROOT.glob("fst/*/*.py")}))
def test_a_package_imports_nothing_but_the_standard_library(folder):
    tree = ast.parse((ROOT / "fst" / folder / "__init__.py").read_text(encoding="utf-8"))
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert ast.get_docstring(tree)
    assert {ast.unparse(node) for node in imported} <= {"from importlib import import_module"}


def planted(tmp_path, **texts):
    for name, text in texts.items():
        path = tmp_path / "fst" / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return graph_of(tmp_path)


def test_an_import_from_above_is_seen(tmp_path):
    late = "def f():\n    from fst.batch import plan\n"
    graph = planted(tmp_path, media__images=late, batch__plan="from fst.media import images\n")
    assert upward(graph) == ["fst.media.images imports fst.batch.plan"]


def test_a_circle_is_seen(tmp_path):
    late = "def f():\n    from fst.media.a import g\n"
    graph = planted(tmp_path, media__a="import fst.media.b\n", media__b=late)
    assert set(circle_in(graph)) == {"fst.media.a", "fst.media.b"}
