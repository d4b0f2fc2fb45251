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
  grid-template-columns: repeat(auto-fill, minmax(92px, 1fr)) }}
.st-key-styles > div {{ min-width: 0; width: 100% }}
.st-key-styles .stVerticalBlock {{ gap: 0.375rem }}
.st-key-styles button {{ padding-inline: 0.25rem }}
.st-key-styles button p {{ font-size: 0.875rem; overflow-wrap: anywhere }}
.st-key-styles img {{ width: 100% }}
/* Dozens of styles: a window of their own beside the photo, and on a phone a strip below it. */
@media (min-width: 641px) {{
  .st-key-styles {{ max-height: 28rem; overflow-y: auto; padding: 2px 0.5rem 2px 2px }}
}}
@media (max-width: 640px) {{
  .st-key-styles {{ grid-auto-flow: column; grid-template: auto auto / none;
    grid-auto-columns: 104px; overflow-x: auto; padding: 2px 2px 0.5rem }}
}}
</style>"""


def lay(width):
    """Applies the sheet; `width` is that of what the page holds, in px, on a large screen."""
    st.html(_SHEET.format(width=width, limit=st.get_option("server.maxUploadSize")))
