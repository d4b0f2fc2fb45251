"""The companion optimiser on the page: minutes for one picture, and no training."""

import threading

import streamlit as st

from fst.console.quiet import quiet_tensorflow
from fst.errors import UserError
from fst.media import images
from fst.page import uploads, weights
from fst.page.words import told

_one_at_a_time = threading.Lock()


def show(upload):
    """Draws the companion's controls for a photo, an `Upload`, and its result."""
    st.caption("Any picture can be the style, without training. It takes minutes.")
    file = st.file_uploader("Style picture", type=uploads.TYPES, key="companion")
    size = st.select_slider("Size (long side, px)", [128, 256, 384, 512], 256)
    steps = st.select_slider("Steps", [25, 50, 100, 200], 50)
    if st.button("Begin", disabled=file is None):
        with told():
            weights.check_vgg19()
            style = uploads.open_upload(file.name, file.getvalue())
            st.session_state.companion_result = run(upload.preview, style.preview, size, steps)
            st.session_state.companion_photo = upload.digest
    if st.session_state.get("companion_photo") == upload.digest:
        picture = st.session_state.companion_result
        st.image(picture)
        data = images.encode(picture, "PNG")
        st.download_button("Download PNG", data, "companion.png", "image/png", on_click="ignore")


def run(photo, style, size, steps):
    """Optimises one picture and shows the progress.

    Args:
        photo, style: uint8 `[H, W, 3]`.
        size: long side of the result, px.
        steps: evaluations of the loss.

    Returns:
        uint8 `[H, W, 3]`.

    Raises:
        UserError: another visitor's optimisation is running, or as `fst.gatys.optimize`.
    """
    if not _one_at_a_time.acquire(blocking=False):
        raise UserError("the companion is busy with another picture; try again in a few minutes")
    try:
        quiet_tensorflow()
        from fst.gatys.optimizer import count_steps, optimize  # TensorFlow takes seconds to import.
        from fst.gatys.options import GatysOptions

        options = GatysOptions(size=size, style_size=size, steps=steps)
        scale = size / max(photo.shape[:2])
        height, width = (max(1, round(side * scale)) for side in photo.shape[:2])
        photo = images.resize(photo, height, width)
        total = count_steps((height, width), options)
        bar, place = st.progress(0.0, "getting ready …"), st.empty()

        def on_step(step, best):
            # Where the visitor has gone, Streamlit ends the script here, and the work with it.
            bar.progress(min(1, step.step / total), f"step {step.step} of {total}")
            if step.step % 5 == 0:
                place.image(images.to_levels(best()))

        picture = optimize(photo, style, options, on_step=on_step).picture
        bar.empty()
        place.empty()
        return images.to_levels(picture)
    finally:
        _one_at_a_time.release()
