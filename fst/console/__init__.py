"""The terminal: command lines, progress, notes, and silence from the libraries.

Nothing in here imports TensorFlow or Keras before it must: `--help` is to answer at once.
"""
