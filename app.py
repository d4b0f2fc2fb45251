"""The web page: streamlit run app.py."""

import functools

from fst import errors, packages

if packages.missing("streamlit"):
    errors.run(functools.partial(packages.need, "streamlit", "the page"))

from fst.page.app import show

show()
