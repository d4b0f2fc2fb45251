"""The web page: streamlit run app.py."""

import functools

from fst import errors, packages

if packages.missing("streamlit"):
    errors.run(functools.partial(packages.need, "streamlit", "the page"))

import streamlit as st

from fst.page import settings, stylise_view, train_view

st.set_page_config(page_title="Fast style transfer", page_icon="🖌️", layout="centered")
views = {"stylise": ("Stylise", stylise_view.show)}
if settings.training_offered():
    views["train"] = ("Learn a style", train_view.show)
pages = {}  # Each page is told of all, since they lead to one another.
for name, (title, show) in views.items():
    draw = functools.partial(show, pages)
    first = name == "stylise"
    pages[name] = st.Page(draw, title=title, url_path=name, default=first)
st.navigation(list(pages.values()), position="top").run()
