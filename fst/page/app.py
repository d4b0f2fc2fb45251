"""The pages, as Streamlit runs them at every click."""

import functools

import streamlit as st

from fst.page import settings, stylise_view, train_view


def show():
    """Draws the page that a visitor is on."""
    st.set_page_config(page_title="Fast style transfer", page_icon="🖌️", layout="centered")
    views = {"stylise": ("Stylise", stylise_view.show)}
    if settings.training_offered():
        views["train"] = ("Learn a style", train_view.show)
    pages = {}  # Each page is told of all, since they lead to one another.
    for name, (title, draw_view) in views.items():
        draw = functools.partial(draw_view, pages)
        first = name == "stylise"
        pages[name] = st.Page(draw, title=title, url_path=name, default=first)
    st.navigation(list(pages.values()), position="top").run()


if __name__ == "__main__":
    show()
