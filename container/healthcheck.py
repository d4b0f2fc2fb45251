"""Exit 0 if the web page answers, or if the container runs some other command, and 1 if not.

python container/healthcheck.py [URL]
"""

import sys
import urllib.request
from pathlib import Path

URL = "http://127.0.0.1:8501/_stcore/health"


def runs_page():
    """Whether this container was started for the web page."""
    # Under `init: true` the first process is Docker's, followed by the command it started.
    words = Path("/proc/1/cmdline").read_bytes().split(b"\0")
    return b"streamlit" in words or b"app" in words


def answers(url):
    """Whether there is a good answer at `url` within five seconds."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


if __name__ == "__main__":
    urls = sys.argv[1:] or ([URL] if runs_page() else [])
    sys.exit(not all(map(answers, urls)))
