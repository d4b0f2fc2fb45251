"""The style sheet of the page: what Streamlit's own settings do not reach."""

import streamlit as st

_SHEET = """<style>
.stMainBlockContainer {{ max-width: {width}px; margin-inline: auto; padding-top: 5rem;
  padding-bottom: 4rem }}
/* Why a file was refused: Streamlit shows it under a pointer only, which a phone has not. */
.stFileChip [role=alert] {{ position: static; width: auto; height: auto; clip: auto; margin: 0;
  clip-path: none; white-space: normal; font-size: 0.875rem }}
.stFileChip [role=alert]::after {{ content: " Give a JPEG or PNG, {limit} MB at most." }}
.st-key-styles {{ display: grid; gap: 0.75rem;
  grid-template-columns: repeat(auto-fill, minmax(104px, 1fr)) }}
.st-key-styles > div {{ min-width: 0; width: 100% }}
.st-key-styles .stVerticalBlock {{ gap: 0.375rem }}
.st-key-styles button {{ padding-inline: 0.25rem }}
.st-key-styles button p {{ font-size: 0.875rem; overflow-wrap: anywhere }}
.st-key-styles img {{ width: 100% }}
</style>"""


def lay(width):
    """Applies the sheet; `width` is that of what the page holds, in px, on a large screen."""
    st.html(_SHEET.format(width=width, limit=st.get_option("server.maxUploadSize")))
