"""The web page: streamlit run app.py."""

import streamlit as st

from fst.page import settings, stylise_view, train_view

st.set_page_config(page_title="Fast style transfer", page_icon="🖌️", layout="centered")
pages = [st.Page(stylise_view.show, title="Stylise", url_path="stylise", default=True)]
if settings.training_offered():
    pages.append(st.Page(train_view.show, title="Train", url_path="train"))
st.navigation(pages, position="top").run()
