"""The command `fst page`: starts the web page's server."""

import os
import subprocess
import sys
from pathlib import Path

from fst import packages

SETTINGS = {
    "browser.gatherUsageStats": "false",
    "client.showErrorDetails": "none",
    "client.toolbarMode": "minimal",
    "server.maxUploadSize": "50",
    "theme.headingFontSizes": '["2.25rem", "1.75rem", "1.375rem", "1.125rem", "1rem", "1rem"]',
    "theme.light.primaryColor": "#2f4fa8",
    "theme.dark.primaryColor": "#5a76dc",
}
"""Streamlit's options, as the repository's `.streamlit/config.toml` has them: it reads that only
where it lies in the folder that one works in."""


def main(program="fst page"):
    """Runs Streamlit on the page, with the options that follow; returns its exit code."""
    packages.need("streamlit", program)
    page = Path(__file__).with_name("app.py")
    settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
    command = [sys.executable, "-m", "streamlit", "run", str(page), *settings, *sys.argv[1:]]
    if os.name == "posix":
        os.execv(command[0], command)  # So that a signal to this process ends the server.
    return subprocess.call(command)
