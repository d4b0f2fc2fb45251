#!/usr/bin/env python3
"""Trains a network that turns any photo into the style of one picture: `fst train`."""

from fst import errors
from fst.training.command import main

if __name__ == "__main__":
    errors.run(main)
