"""The picture before and after, with a slider between: an element of its own in the page."""

import base64

import streamlit as st

from fst.media import images

HTML = """<figure><img id="after" alt="the stylised picture"><img id="before" alt="the photo">
<i></i><span style="left:8px">photo</span><span style="right:8px">stylised</span>
<input type="range" min="0" max="100" value="50" aria-label="share of the photo that is shown">
</figure>"""

CSS = """
figure { --at: 50%; margin: 0; position: relative; cursor: ew-resize; width: fit-content;
  max-width: 100%; border-radius: 8px; overflow: hidden; touch-action: pan-y pinch-zoom;
  direction: ltr; font: 14px var(--st-font) }
img { display: block; max-width: 100%; height: auto; user-select: none }
#before { position: absolute; inset: 0; width: 100%; height: 100%;
  clip-path: inset(0 calc(100% - var(--at)) 0 0) }
i { position: absolute; top: 0; bottom: 0; left: var(--at); width: 3px; margin-left: -1.5px;
  background: #fff; box-shadow: 0 0 4px #000a; pointer-events: none }
i::after { content: "◂ ▸"; position: absolute; top: 50%; left: 50%; width: 36px; height: 36px;
  text-align: center; transform: translate(-50%, -50%); border-radius: 50%;
  background: #fff; color: #333; box-shadow: 0 1px 5px #0008; font: 16px sans-serif;
  line-height: 36px; letter-spacing: 1px }
input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0;
  pointer-events: none }
figure:has(input:focus-visible) { outline: 3px solid var(--st-primary-color); outline-offset: -3px }
span { position: absolute; bottom: 8px; padding: 2px 8px; border-radius: 6px; background: #000a;
  color: #fff; pointer-events: none }
"""

# Called again with each new picture; the knob stays where the visitor has put it.
#
# The input is for the keyboard and for screen readers. Under a finger it would jump at the first
# touch, and a visitor who only scrolls past the picture would move it: so a finger moves the knob
# once it goes sideways, or taps; one that goes up or down the browser takes for scrolling, and
# cancels.
JS = """
export default ({ parentElement, data }) => {
  const find = (what) => parentElement.querySelector(what);
  const figure = find("figure");
  const input = find("input");
  let pressed = null;
  const show = () => figure.style.setProperty("--at", input.value + "%");
  const follow = (event) => {
    const { left, width } = figure.getBoundingClientRect();
    input.value = (100 * (event.clientX - left)) / width;
    show();
  };
  find("#before").src = data.before;
  find("#after").src = data.after;
  input.oninput = show;
  figure.ondragstart = () => false;
  figure.onpointerdown = (event) => {
    if (!event.isPrimary || event.button !== 0 || event.ctrlKey) return;
    pressed = { x: event.clientX, moving: event.pointerType === "mouse" };
    figure.setPointerCapture(event.pointerId);
    if (pressed.moving) follow(event);
  };
  figure.onpointermove = (event) => {
    if (!pressed || !event.isPrimary) return;
    pressed.moving ||= Math.abs(event.clientX - pressed.x) > 6;
    if (pressed.moving) follow(event);
  };
  figure.onpointerup = (event) => {
    if (!pressed || !event.isPrimary) return;
    follow(event);
    input.focus({ preventScroll: true });
  };
  // After a lifted finger too, and where the browser has taken it for scrolling or zooming.
  figure.onlostpointercapture = (event) => {
    if (event.isPrimary) pressed = null;
  };
};
"""

_element = st.components.v2.component("fst.slider", html=HTML, css=CSS, js=JS)


def show(before, after):
    """Shows the slider.

    Args:
        before, after: uint8 `[H, W, 3]`, of the same size.
    """
    _element(data={"before": inline(before), "after": inline(after)}, key="slider")


def inline(rgb):
    """A picture, uint8 `[H, W, 3]`, as an address that holds it."""
    return "data:image/jpeg;base64," + base64.b64encode(images.encode(rgb, "JPEG")).decode()
