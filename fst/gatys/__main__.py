"""The door of `python -m fst.gatys`."""

from fst import errors
from fst.gatys.command import main

if __name__ == "__main__":
    errors.run(main)
