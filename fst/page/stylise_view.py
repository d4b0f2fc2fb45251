"""The page that stylises photos."""

import re
from pathlib import Path

import streamlit as st

from fst.config import Look
from fst.page import companion, sheet, slider, studio, thumbnails, uploads
from fst.page.words import plain, told
from fst.stylize import look


def show(pages):
    """Draws the page.

    Args:
        pages: the `StreamlitPage`s by name, of which `"train"` is linked to, if there is one.
    """
    sheet.lay(1180)
    st.title("Fast style transfer")
    st.write(
        "Give a photo and choose a style: the photo is repainted in a moment. You can download "
        "the result in the full size of the photo."
    )
    pictures, controls = st.columns([3, 2], gap="medium")
    upload = None
    with pictures, told():
        upload = _photo()
    style, waiting = None, []
    with controls, told():
        style = _style(upload or studio.sample(), waiting)
        if "train" in pages:
            st.page_link(pages["train"], label="Learn a style of your own", icon=":material/add:")
    if upload is not None and style is not None:
        _show_stylised(pictures, controls, upload, style)
    # Last, since each style takes a moment, and the visitor's actions have priority.
    for one, place in waiting:
        with told(place):
            place.image(thumbnails.paint(upload or studio.sample(), one), width="stretch")


def _show_stylised(pictures, controls, upload, style):
    with controls:
        wanted = _controls()
    with pictures, told():
        _preview(upload, style, wanted)
    with controls, told():
        _download(upload, style, wanted)
    with st.expander("Any picture as the style, without training: the slow companion"), told():
        companion.show(upload)


def _photo():
    """The `Upload` of this visitor, or the sample, or None."""
    st.subheader("Photo")
    source = st.segmented_control(
        "From", ["Upload", "Camera"], default="Upload", label_visibility="collapsed"
    )
    if source == "Camera":
        file = st.camera_input("Take a photo", label_visibility="collapsed", resolution="1080p")
    else:
        file = st.file_uploader("Your photo", type=uploads.TYPES, label_visibility="collapsed")
    if file is None:
        st.session_state.pop("upload", None)
        if source == "Camera":
            return None
        st.caption("This is a sample photo to try, until you give your own.")
        return studio.sample()
    if st.session_state.get("upload_id") != file.file_id or "upload" not in st.session_state:
        st.session_state.pop("upload", None)
        st.session_state.upload = uploads.open_upload(file.name, file.getvalue())
        st.session_state.upload_id = file.file_id
    return st.session_state.upload


def _style(upload, waiting):
    """The chosen style or blend, a `Checkpoint`, or None where there is none.

    Args:
        upload: the `Upload` that the styles are shown on.
        waiting: a list to which the styles are added whose thumbnail is still to be painted, each
            with its place on the page.
    """
    found = studio.styles()
    if not found:
        st.info("There are no trained styles yet. Learn one first.")
        return None
    if st.session_state.get("style") not in found:
        st.session_state.style = next(iter(found))
    st.subheader("Style")
    with st.container(key="styles"):
        for name, style in found.items():
            with st.container(), told():
                _choice(name, style, upload, waiting)
    return _blended(st.session_state.style, found)


def _choice(name, style, upload, waiting):
    place = st.empty()
    kept = thumbnails.kept(upload, style)
    place.image(thumbnails.pale(upload) if kept is None else kept, width="stretch")
    if kept is None:
        waiting.append((style, place))
    kind = "primary" if st.session_state.style == name else "secondary"
    if st.button(_words(name), key=f"style {name}", type=kind, width="stretch"):
        st.session_state.style = name
        st.rerun()


def _blended(name, found):
    """The chosen style, a `Checkpoint`, or its blend with another one of its gallery."""
    style, others = found[name], studio.partners(name, found)
    if not others:
        return style
    other = st.selectbox("Blend with", [None, *others], format_func=_label)
    if other is None:
        return style
    share = st.slider(f"Share of {_words(other)}", 0.0, 1.0, 0.5, 0.05)
    return studio.blend(style, found[other], share)


def _label(name):
    return "nothing" if name is None else name.replace("_", " ")


def _words(name):
    """A style's name in Markdown, which buttons and sliders take, and lists do not."""
    return plain(_label(name))


def _controls():
    st.subheader("Look")
    strength = st.slider("Strength", 0.0, 1.0, Look.strength, 0.05)
    scale = st.select_slider("Strokes", list(_STROKES), Look.scale, format_func=_STROKES.get)
    preserve = st.toggle("Keep the photo's colours", Look.preserve_color)
    with st.expander("Finish"):
        saturation = st.slider("Saturation", 0.0, 2.0, Look.saturation, 0.05)
        contrast = st.slider("Contrast", 0.5, 1.5, Look.contrast, 0.05)
        sharpen = st.slider("Sharpness", 0.0, 3.0, Look.sharpen, 0.1)
    return Look(
        strength=strength,
        preserve_color=preserve,
        scale=scale,
        saturation=saturation,
        contrast=contrast,
        sharpen=sharpen,
    )


_STROKES = {2.0: "finest", 1.5: "finer", 1.0: "as trained", 0.75: "coarser", 0.5: "coarsest"}


def _preview(upload, style, wanted):
    with st.spinner("stylising …"):
        stylised = studio.preview(upload, style, wanted.scale)
    slider.show(upload.preview, look.dress(upload.preview, stylised, wanted))


def _download(upload, style, wanted):
    st.subheader("Download")
    sides = _sides(upload.size)
    side = st.selectbox("Size", sides, format_func=lambda side: _size_words(upload.size, side))
    if (side or max(upload.size)) > uploads.PREVIEW:
        st.caption(
            "Strokes have a fixed size in pixels: the larger the picture, the finer its strokes."
        )
    kind = st.segmented_control("File format", ["JPEG", "PNG"], default="JPEG") or "JPEG"
    key = (upload.digest, style, wanted, kind, side)
    if st.session_state.get("full_key") != key:
        st.session_state.pop("full", None)  # Tens of megabytes, for each visitor.
    if st.button("Make the picture", type="primary", width="stretch"):
        st.session_state.full = _make(upload, style, wanted, kind, side)
        st.session_state.full_key = key
    if "full" in st.session_state:
        _offer(upload, style, kind)


def _make(upload, style, wanted, kind, side):
    bar = st.progress(0.0, "getting ready …")
    note = st.caption("If you change anything on the page, this stops.")

    def tell(words, share=0.0):
        bar.progress(min(1.0, share), words)

    made = studio.full_size(upload, style, wanted, kind, side, tell)
    bar.empty()
    note.empty()
    return made


def _offer(upload, style, kind):
    data, small = st.session_state.full
    st.download_button(
        f"Download {kind} ({len(data) / 1e6:.1f} MB)",
        data,
        f"{Path(upload.name).stem}_{_for_file(style)}.{'jpg' if kind == 'JPEG' else 'png'}",
        f"image/{kind.lower()}",
        on_click="ignore",
        icon=":material/download:",
        width="stretch",
    )
    st.image(small, caption="The picture in the file, which does not name place or owner.")


def _for_file(style):
    return re.sub(r"[^\w.-]+", "_", style.name)


def _sides(size):
    """The sizes that are offered for the file, as the long side in px; 0 is the photo's own."""
    return [0, *(side for side in (2880, 1440, uploads.PREVIEW) if side < max(size))]


def _size_words(size, side):
    scale = min(1, side / max(size)) if side else 1
    width, height = (max(1, round(length * scale)) for length in size)
    name = {0: "full size", uploads.PREVIEW: "as shown here"}.get(side)
    return f"{width} × {height} px" + (f", {name}" if name else "")
