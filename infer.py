#!/usr/bin/env python3
"""Stylises photos and videos with a trained style: `fst infer`."""

from fst import errors
from fst.batch.command import main

if __name__ == "__main__":
    errors.run(main)
