"""Networks beside the companion optimiser.

`measure` does the work, `statistics` counts, `words` and `figures` present, `report` is the page.
"""
