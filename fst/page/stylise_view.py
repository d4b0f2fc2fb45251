"""The page on which photos are stylised."""

from pathlib import Path

import streamlit as st

from fst import images
from fst.page import companion, slider, studio, uploads
from fst.page.words import plain, told


def show():
    """Draws the page."""
    st.title("Fast style transfer")
    with told():
        upload = _photo()
        style = _style()
        if upload is None or style is None:
            return
        place = st.container()  # The picture stands above the controls that it depends on.
        wanted = _controls()
        with place:
            _preview(upload, style, wanted)
        _download(upload, style, wanted)
        with st.expander("Without training: the slow companion"):
            companion.show(upload)


def _photo():
    """The `Upload` of this visitor, or None."""
    source = st.segmented_control(
        "Photo", ["Upload", "Camera"], default="Upload", label_visibility="collapsed"
    )
    if source == "Camera":
        file = st.camera_input("Take a photo")
    else:
        kinds = sorted(suffix[1:] for suffix in images.EXTENSIONS)
        file = st.file_uploader("Your photo", type=kinds)
    if file is None:
        st.session_state.pop("upload", None)
        return None
    if st.session_state.get("upload_id") != file.file_id or "upload" not in st.session_state:
        st.session_state.pop("upload", None)
        st.session_state.upload = uploads.open_upload(file.name, file.getvalue())
        st.session_state.upload_id = file.file_id
    return st.session_state.upload


def _style():
    """The chosen style's name, or None where there is none."""
    names = studio.names()
    if not names:
        st.info("There are no trained styles yet: train one first.")
        return None
    if st.session_state.get("style") not in names:
        st.session_state.style = names[0]
    st.subheader("Style")
    with st.container(horizontal=True):
        for name in names:
            with st.container(width=150), told():
                _choice(name)
    return st.session_state.style


def _choice(name):
    st.image(studio.thumbnail(name), width="stretch")
    chosen = st.session_state.style == name
    label, kind = plain(name.replace("_", " ")), "primary" if chosen else "secondary"
    if st.button(label, key=f"style {name}", type=kind, width="stretch"):
        st.session_state.style = name
        st.rerun()


def _controls():
    strength = st.slider("Strength", 0.0, 1.0, 1.0, 0.05)
    preserve = st.toggle("Keep the photo's colours")
    scale = st.select_slider(
        "Strokes", [2.0, 1.5, 1.0, 0.75, 0.5], 1.0, format_func=_STROKES.__getitem__
    )
    with st.expander("Finish"):
        saturation = st.slider("Saturation", 0.0, 2.0, 1.0, 0.05)
        contrast = st.slider("Contrast", 0.5, 1.5, 1.0, 0.05)
        sharpen = st.slider("Sharpness", 0.0, 3.0, 1.0, 0.1)
    return studio.Look(strength, preserve, scale, saturation, contrast, sharpen)


_STROKES = {2.0: "finest", 1.5: "finer", 1.0: "as trained", 0.75: "coarser", 0.5: "coarsest"}


def _preview(upload, style, wanted):
    # One stylised preview per visitor: strength, colours and finish do not need the network again.
    key = (upload.digest, style, wanted.scale)
    if st.session_state.get("stylised_key") != key:
        with st.spinner("stylising …"):
            st.session_state.stylised = studio.stylise(style, upload.preview, wanted.scale)
        st.session_state.stylised_key = key
    slider.show(upload.preview, studio.dress(upload.preview, st.session_state.stylised, wanted))


def _download(upload, style, wanted):
    width, height = upload.size
    kind = st.segmented_control("File format", ["JPEG", "PNG"], default="JPEG") or "JPEG"
    key = (upload.digest, style, wanted, kind)
    if st.button(f"Make it at full size ({width} × {height} px)", type="primary"):
        with st.spinner("stylising at full size …"):
            st.session_state.full = studio.full_size(upload, style, wanted, kind)
        st.session_state.full_key = key
    if st.session_state.get("full_key") == key:
        st.download_button(
            f"Download {kind}",
            st.session_state.full,
            f"{Path(upload.name).stem}_{style}.{'jpg' if kind == 'JPEG' else 'png'}",
            f"image/{kind.lower()}",
            on_click="ignore",
        )
        st.caption("The place where the photo was taken, and by whom, is not in the file.")
