"""Training: the loop, what it reads (photos, style images), and what it leaves behind.

`loop` is where to begin. Workers on several machines run the same loop.
"""
