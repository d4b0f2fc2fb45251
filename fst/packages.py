"""Packages that a part of the work needs and that may be missing: told before anything slow."""

from importlib.util import find_spec

from fst.errors import UserError

_DISTRIBUTIONS = {"tensorflow_datasets": "tensorflow-datasets", "skimage": "scikit-image"}


def missing(*names):
    """Those of the packages, named as they are imported, that are not installed."""
    return [name for name in names if not _is_installed(name)]


def need(name, what):
    """Raises a UserError unless a package is installed.

    Args:
        name: as it is imported.
        what: what needs it, such as a flag; the error begins with it.
    """
    if missing(name):
        package = _DISTRIBUTIONS.get(name, name)
        raise UserError(f"{what} needs the package {package}: pip install {package}")


def _is_installed(name):
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # From whatever keeps packages from being imported.
        return False
