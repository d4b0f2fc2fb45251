"""Networks beside the companion optimiser.

`measure` does the work, `statistics` counts, `words` and `figures` tell, `report` is the page.
"""
