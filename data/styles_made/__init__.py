"""The pictures that `data/make_styles.py` draws, a file each, and the `sheet` they are drawn on."""
