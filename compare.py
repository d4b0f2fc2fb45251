#!/usr/bin/env python3
"""Compares a trained style with the optimiser of Gatys et al.: `fst compare`."""

from fst import errors
from fst.comparison.command import main

if __name__ == "__main__":
    errors.run(main)
