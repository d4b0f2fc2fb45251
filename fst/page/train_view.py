"""The page that learns a style from one picture, and lists the styles learnt so far."""

import re
from pathlib import Path

import streamlit as st

from fst import checkpoint, collection
from fst.config import NOTHING, PRESETS, TrainingConfig
from fst.console.progress import span
from fst.media import folders, images
from fst.page import runs, settings, sheet, uploads, weights
from fst.page.words import plain, told
from fst.training import history

_PRESETS = {
    "instant": "a style in a few minutes",
    "draft": "a better one, somewhat slower",
    "standard": "a good one, on a CPU in an hour",
    "fine": "for a GPU",
}


def show(pages):
    """Draws the page.

    Args:
        pages: the `StreamlitPage`s by name, of which `"stylise"` is linked to.
    """
    sheet.lay(800)
    st.title("Learn a style")
    st.write(
        "Give a picture you like. Within a few minutes the machine that serves this page learns "
        "to paint any photo in its style. It continues if you close the page."
    )
    with told():
        trainings = runs.Runs(settings.runs_folder(), settings.styles_folder())
        run = trainings.current()
        running = run is not None and run.running()
        if running:
            st.session_state.followed = run.pid
        # The result comes first only for the visitors who followed the training.
        followed = run is not None and st.session_state.get("followed") == run.pid
        if followed:
            _follow(trainings, pages)
        if not running:
            _begin(trainings, again=followed)
        if not followed:
            _follow(trainings, pages)
        _list()


def _begin(trainings, again):
    if again:
        st.subheader("Another picture")
    file = st.file_uploader("Your picture", type=uploads.TYPES)
    upload = None
    # In a container, or the elements below would move, which closes an open "More".
    with st.container(), told():
        upload = _opened(file)
        if upload is not None:
            st.image(upload.preview, width=240)
    begun = st.button("Learn this style", type="primary", disabled=upload is None)
    with st.expander("More"):
        name, options = _options()
    if not begun:
        return
    with told():
        weights.check_vgg19()
        options = {"content": _owners_photos(), **options, **_width(options["start_from"])}
        trainings.start(name, (upload.name, upload.data), **options)
        st.rerun()


def _opened(file):
    """The `Upload` of a file that was given, opened once; None without one."""
    if file is None:
        st.session_state.pop("picture", None)
        return None
    if st.session_state.get("picture_id") != file.file_id or "picture" not in st.session_state:
        st.session_state.pop("picture", None)
        st.session_state.picture = uploads.open_upload(file.name, file.getvalue())
        st.session_state.picture_id = file.file_id
    return st.session_state.picture


def _options():
    """What is asked for under "More": the name, and options of `TrainingConfig`."""
    default = TrainingConfig
    name = st.text_input("Name of the style", placeholder="the name of the picture's file").strip()
    preset = st.selectbox("Preset", PRESETS, format_func=_preset_words)
    options = {"preset": preset}
    if settings.photos_folder() is None:
        options["content"] = st.text_input(
            "Folder of photos to learn on, on the machine that serves this page",
            placeholder="a few sample photos",
            help="The sample photos are enough for the preset instant.",
        ).strip()
    options["start_from"] = _start()
    options["style_weight"] = st.number_input(
        "Weight of the style",
        0.1,
        100.0,
        default.style_weight[0],
        help="Raise it if there is too little style. Lower it if the photo gets lost.",
    )
    options["style_size"] = st.number_input(
        "Size of the style image (long side, px)",
        64,
        2048,
        default.style_size[0],
        help="Larger makes larger strokes.",
    )
    steps = st.number_input("Steps (0: those of the preset)", 0, 100_000, 0)
    if steps:
        options["steps"] = steps
    # Often enough to show the progress of a short training.
    usual = PRESETS[preset].get("preview_every", default.preview_every)
    options["preview_every"] = min(usual, max(5, (steps or _steps(preset)) // 5))
    return name, options


def _owners_photos():
    """The folder of photos that the page's owner has set; "" for the samples if it is empty."""
    folder = settings.photos_folder()
    return folder if folder and folders.find_images(folder) else ""


def _steps(preset):
    return PRESETS[preset].get("steps", TrainingConfig.steps)


def _preset_words(preset):
    return f"{preset}: {_PRESETS[preset]}, {_steps(preset):,} steps"


def _start():
    """What the training starts from: the name of a gallery or of a style, or `NOTHING`."""
    root = settings.styles_folder()
    usual = collection.roots(collection.ROOT)  # With the shipped ones, wherever the page runs.
    galleries = {name for folder in (root, *usual) for name in runs.galleries(folder)}
    # That of the default first.
    galleries = sorted(galleries, key=lambda name: (name != TrainingConfig.start_from, name))

    def words(choice):
        if choice == NOTHING:
            return "random weights"
        return f"{choice}: its nearest style" if choice in galleries else choice

    return st.selectbox(
        "Start from",
        [*galleries, *collection.names(root), NOTHING],
        format_func=words,
        help="A trained network can already draw, and needs fewer steps.",
    )


def _width(start):
    """The option `width`, which must be that of what is started from."""
    if start == NOTHING:
        return {}
    return {"width": collection.find_start(start, settings.styles_folder()).read_width()}


@st.fragment(run_every=2)
def _follow(trainings, pages):
    """The training that is running, or the last one; drawn again every two seconds."""
    run = trainings.current()
    if run is None:
        return
    with told():
        running = run.running()
        _notice_end(running)
        rows = history.read_history(_checkpoint(run.name).history_path)
        st.subheader(plain(run.name.replace("_", " ")))
        _tell(trainings, run, running, rows, pages)
        _pictures(trainings, run)
        with st.expander("Losses and log"):
            if len(rows) > 1:
                shown = rows[:: max(1, len(rows) // 500)]
                curves = {"step": shown[:, 0], "content": shown[:, 2], "style": shown[:, 3]}
                st.line_chart(curves, x="step", y=["content", "style"], y_label="loss", height=240)
            st.code(trainings.log_tail(run) or "nothing yet", language=None, wrap_lines=True)


def _notice_end(running):
    """Draws the whole page anew once the training has ended: the next picture can be given."""
    before, st.session_state.was_running = st.session_state.get("was_running"), running
    if before and not running:
        st.rerun()


def _tell(trainings, run, running, rows, pages):
    log = trainings.log_tail(run)
    done = int(rows[-1, 0]) if len(rows) else 0
    if running:
        st.progress(min(1.0, done / run.steps), _words(log, rows, run))
        if st.session_state.get("stopping") != run.pid and st.button("Stop"):
            trainings.stop()
            st.session_state.stopping = run.pid
        if st.session_state.get("stopping") == run.pid:
            st.info("It stops after the current step, and can be continued from there.")
    elif trainings.finished(run):
        st.success("Done. The new style is now in the list of styles.")
        if st.button("Stylise a photo with it", type="primary"):
            st.session_state.style = run.name
            st.switch_page(pages["stylise"])
    else:
        last = (log.splitlines() or [""])[-1]
        why = "" if last in ("", "stopped") else f": {plain(last[:300])}"
        st.warning(f"Stopped at step {done} of {run.steps}{why}")
        if st.button("Go on", type="primary"):
            trainings.resume()
            st.rerun()


def _words(log, rows, run):
    """The state of a running training, in words."""
    done = int(rows[-1, 0]) if len(rows) else 0
    if not done:
        nearest = re.search(r"starts from (.+), the nearest style", log)
        since = f"it starts from {plain(nearest[1])}, the nearest style" if nearest else ""
        return f"getting ready … {since}".rstrip()
    if done >= run.steps:
        return "all steps done, writing the style …"
    left = runs.seconds_left(rows, run)
    return f"step {done} of {run.steps}" + (f", about {span(left)} left" if left else "")


def _pictures(trainings, run):
    """The style image, the photos, and the newest stylised photos."""
    picture = trainings.picture(run)
    if picture is not None:
        st.image(_small(str(picture), run.name, run.pid), width=120)
    strips = runs.previews(settings.styles_folder(), run.name)
    if not strips:
        return
    if len(strips) > 1:
        step = int(strips[-1].stem.rpartition("_")[2])
        st.image(str(strips[-1]), caption=f"after step {step}", width="stretch")
    st.image(str(strips[0]), caption="the photos", width="stretch")


@st.cache_data(max_entries=8, show_spinner=False)
def _small(path, name, pid):
    return images.at_most(uploads.open_upload(name, Path(path).read_bytes()).preview, 240)


def _checkpoint(name):
    return checkpoint.Checkpoint(settings.styles_folder() / name)


def _list():
    cards = runs.trained(settings.styles_folder())
    if cards:
        st.subheader("Single styles learnt so far")
    for name, card in cards.items():
        with st.expander(plain(name.replace("_", " "))):
            config = card.get("config", {})
            known = [
                f"{key}: {plain(_listed(config[key]))}"
                for key in ("preset", "steps", "style", "width")
                if key in config
            ]
            st.write(" · ".join(known))
            curves = _checkpoint(name).curves_path
            if curves.is_file():
                st.image(str(curves))
            st.json(card, expanded=False)


def _listed(value):
    return ", ".join(map(str, value)) if isinstance(value, list) else value
