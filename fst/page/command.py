"""The command `fst page`: starts the web page's server."""

import subprocess
import sys
from pathlib import Path

from fst import packages


def main(program="fst page"):
    """Runs Streamlit on the page, with the options that follow; returns its exit code."""
    packages.need("streamlit", program)
    page = Path(__file__).with_name("app.py")
    return subprocess.call([sys.executable, "-m", "streamlit", "run", str(page), *sys.argv[1:]])
