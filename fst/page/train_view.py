"""The page on which styles are trained, and those that there are."""

from typing import get_args

import streamlit as st

from fst import checkpoint, history
from fst.config import Preset
from fst.page import runs, settings, weights
from fst.page.words import plain, told


def show():
    """Draws the page."""
    st.title("Train a style")
    with told():
        trainings = runs.Runs(settings.runs_folder(), settings.styles_folder())
        _follow(trainings)
        run = trainings.current()
        if run is None or not run.running():
            _begin(trainings)
        _list()


def _begin(trainings):
    styles = checkpoint.names(settings.styles_folder())
    with st.form("training"):
        file = st.file_uploader("Style picture", type=["jpg", "jpeg", "png", "webp"])
        name = st.text_input("Name of the style", placeholder="my_style")
        content = st.text_input(
            "Folder of photos, on the machine that serves this page", "data/photos"
        )
        preset = st.selectbox("Preset", get_args(Preset))
        steps = st.number_input("Steps (0: as the preset says)", 0, 100_000, 0)
        start = st.selectbox("Start from", ["random weights", *styles], index=min(1, len(styles)))
        begun = st.form_submit_button("Train", type="primary")
    if not begun:
        return
    with told():
        if file is None:
            st.error("Give a style picture first.")
            return
        weights.check_vgg19()
        options = {"steps": int(steps)} if steps else {}
        if start != "random weights":
            options["start_from"] = start
        picture = (file.name, file.getvalue())
        trainings.start(name.strip(), picture, content=content, preset=preset, **options)
        st.rerun()


@st.fragment(run_every=3)
def _follow(trainings):
    """The training that goes on, or that was the last to; drawn again every three seconds."""
    run = trainings.current()
    if run is None:
        return
    with told():
        running = run.running()
        _notice_end(running)
        rows = history.read_history(_checkpoint(run).history_path)
        done = int(rows[-1, 0]) if len(rows) else 0
        st.subheader(plain(run.name.replace("_", " ")))
        _tell(trainings, run, running, done)
        if strips := runs.previews(settings.styles_folder(), run.name):
            st.image(str(strips[-1]), caption=plain(strips[-1].stem.replace("_", " ")))
        if len(rows) > 1:
            shown = rows[:: max(1, len(rows) // 500)]
            curves = {"step": shown[:, 0], "content": shown[:, 2], "style": shown[:, 3]}
            st.line_chart(curves, x="step", y=["content", "style"], y_label="loss", height=240)
        with st.expander("Log"):
            st.code(trainings.log_tail(run) or "nothing yet", language=None)


def _notice_end(running):
    """Draws the whole page anew once the training has ended: the form is offered again."""
    before, st.session_state.was_running = st.session_state.get("was_running"), running
    if before and not running:
        st.rerun()


def _tell(trainings, run, running, done):
    if running:
        st.progress(min(1.0, done / run.steps), f"step {done} of {run.steps}")
        if st.button("Stop"):
            trainings.stop()
            st.info("It stops after the step that is under way, and can go on from there.")
    elif trainings.finished(run):
        st.success("Trained. It is among the styles now.")
    else:
        last = (trainings.log_tail(run).splitlines() or ["stopped"])[-1]
        st.warning(f"Stopped at step {done} of {run.steps}: {plain(last[:300])}")
        if st.button("Go on"):
            trainings.resume()
            st.rerun()


def _checkpoint(run):
    return checkpoint.Checkpoint(settings.styles_folder() / run.name)


def _list():
    st.subheader("Trained styles")
    for name, card in runs.trained(settings.styles_folder()).items():
        with st.expander(plain(name.replace("_", " "))):
            config = card.get("config", {})
            known = {
                key: config[key] for key in ("preset", "steps", "style", "width") if key in config
            }
            st.write(" · ".join(f"{key}: {plain(value)}" for key, value in known.items()))
            curves = checkpoint.Checkpoint(settings.styles_folder() / name).curves_path
            if curves.is_file():
                st.image(str(curves))
            st.json(card, expanded=False)
