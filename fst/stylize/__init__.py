"""A trained style at work on a picture: `stylizer` is the function, `engines` compute it.

`forward` arranges the trained weights for speed; `look` and `steady` work on what comes out.
"""
