"""Makes `python -m fst.gatys` work."""

from fst import errors
from fst.gatys.command import main

if __name__ == "__main__":
    errors.run(main)
