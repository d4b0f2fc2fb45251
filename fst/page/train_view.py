"""The page on which styles are trained, and those that there are."""

import re

import streamlit as st

from fst import checkpoint, history
from fst.config import PRESETS, TrainingConfig, name_from
from fst.page import runs, settings, sheet, uploads, weights
from fst.page.words import plain, told


def show(pages):
    """Draws the page.

    Args:
        pages: the `StreamlitPage`s by name, of which `"stylise"` is linked to.
    """
    sheet.lay(800)
    st.title("Train a style")
    st.write(
        "From one picture and a folder of photos a network learns a style. It works on the machine "
        "that serves this page, and goes on when you close it."
    )
    with told():
        trainings = runs.Runs(settings.runs_folder(), settings.styles_folder())
        _follow(trainings, pages)
        run = trainings.current()
        if run is None or not run.running():
            _begin(trainings)
        _list()


_PRESETS = {
    "draft": "a first impression",
    "standard": "a good style, on a CPU",
    "fine": "for a GPU",
}


def _preset_words(preset):
    steps = PRESETS[preset].get("steps", TrainingConfig.steps)
    return f"{preset}: {_PRESETS[preset]}, {steps:,} steps"


def _begin(trainings):
    st.subheader("A new style")
    with st.form("training"):
        file = st.file_uploader("Style picture", type=uploads.TYPES)
        name = st.text_input("Name of the style", placeholder="as the picture's file")
        content = settings.photos_folder() or st.text_input(
            "Folder of photos, on the machine that serves this page", TrainingConfig.content
        )
        preset = st.selectbox("Preset", PRESETS, format_func=_preset_words)
        options = _options()
        begun = st.form_submit_button("Train", type="primary")
    if not begun:
        return
    with told():
        if file is None:
            st.error("Give a style picture first; one that is on its way takes a moment more.")
            return
        weights.check_vgg19()
        name = name.strip() or name_from(file.name)[:60]
        picture = (file.name, file.getvalue())
        if "start_from" in options:
            started = checkpoint.find(options["start_from"], settings.styles_folder())
            options["width"] = started.read_width()
        trainings.start(name, picture, content=content.strip(), preset=preset, **options)
        st.rerun()


def _options():
    """What else the form asks for, as options of `TrainingConfig`."""
    styles = checkpoint.names(settings.styles_folder())
    default = TrainingConfig
    with st.expander("More"):
        steps = st.number_input("Steps (0: as the preset says)", 0, 100_000, 0)
        start = st.selectbox(
            "Start from",
            ["random weights", *styles],
            index=min(1, len(styles)),
            help="A trained style knows how to draw already, and needs fewer steps.",
        )
        style_weight = st.number_input(
            "Weight of the style",
            0.1,
            100.0,
            default.style_weight,
            help="Raise it when there is too little style, lower it when the photo gets lost.",
        )
        style_size = st.number_input(
            "Size of the style picture (long side, px)",
            64,
            2048,
            default.style_size,
            help="Larger makes larger strokes.",
        )
    options = {"style_weight": style_weight, "style_size": int(style_size)}
    # Often enough that a short training shows its way too.
    options["preview_every"] = min(default.preview_every, max(10, int(steps) // 10 or 100))
    if steps:
        options["steps"] = int(steps)
    if start != "random weights":
        options["start_from"] = start
    return options


@st.fragment(run_every=3)
def _follow(trainings, pages):
    """The training that goes on, or that was the last to; drawn again every three seconds."""
    run = trainings.current()
    if run is None:
        return
    with told():
        running = run.running()
        _notice_end(running)
        rows = history.read_history(_checkpoint(run.name).history_path)
        done = int(rows[-1, 0]) if len(rows) else 0
        st.subheader(plain(run.name.replace("_", " ")))
        _tell(trainings, run, running, done, pages)
        _pictures(run)
        if len(rows) > 1:
            shown = rows[:: max(1, len(rows) // 500)]
            curves = {"step": shown[:, 0], "content": shown[:, 2], "style": shown[:, 3]}
            st.line_chart(curves, x="step", y=["content", "style"], y_label="loss", height=240)
        with st.expander("Log"):
            st.code(trainings.log_tail(run) or "nothing yet", language=None, wrap_lines=True)


def _notice_end(running):
    """Draws the whole page anew once the training has ended: the form is offered again."""
    before, st.session_state.was_running = st.session_state.get("was_running"), running
    if before and not running:
        st.rerun()


def _tell(trainings, run, running, done, pages):
    lines = trainings.log_tail(run).splitlines() or [""]
    if running:
        st.progress(min(1.0, done / run.steps), _words(lines[-1], done, run.steps))
        if st.session_state.get("stopping") != run.pid and st.button("Stop"):
            trainings.stop()
            st.session_state.stopping = run.pid
        if st.session_state.get("stopping") == run.pid:
            st.info("It stops after the step that is under way, and can go on from there.")
    elif trainings.finished(run):
        st.success("Trained. It is among the styles now.")
        if st.button("Stylise a photo with it", type="primary"):
            st.session_state.style = run.name
            st.switch_page(pages["stylise"])
    else:
        why = "" if lines[-1] in ("", "stopped") else f": {plain(lines[-1][:300])}"
        st.warning(f"Stopped at step {done} of {run.steps}{why}")
        if st.button("Go on", type="primary"):
            trainings.resume()
            st.rerun()


def _words(line, done, steps):
    """What is going on, from the last line of the log."""
    if done >= steps:
        return plain(line[:100])
    if not done:
        return "getting ready: the first step comes in about a minute"
    # The first step's time is that of the compilation.
    left = re.search(r"step (?!1/)\d+/.* eta ([\d:]+)", line)
    return f"step {done} of {steps}" + (f", about {left[1]} left" if left else "")


def _pictures(run):
    """The photos, and how they look by now."""
    strips = runs.previews(settings.styles_folder(), run.name)
    if not strips:
        return
    st.image(str(strips[0]), width="stretch")
    if len(strips) > 1:
        step = int(strips[-1].stem.rpartition("_")[2])
        st.image(str(strips[-1]), caption=f"the same photos after step {step}", width="stretch")


def _checkpoint(name):
    return checkpoint.Checkpoint(settings.styles_folder() / name)


def _list():
    st.subheader("Trained styles")
    for name, card in runs.trained(settings.styles_folder()).items():
        with st.expander(plain(name.replace("_", " "))):
            config = card.get("config", {})
            known = {
                key: config[key] for key in ("preset", "steps", "style", "width") if key in config
            }
            st.write(" · ".join(f"{key}: {plain(value)}" for key, value in known.items()))
            curves = checkpoint.find(name, settings.styles_folder()).curves_path
            if curves.is_file():
                st.image(str(curves))
            st.json(card, expanded=False)
