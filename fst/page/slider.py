"""The picture before and after, with a slider between: HTML of its own, nothing from elsewhere."""

import base64
from string import Template

import streamlit as st

from fst import images

_PAGE = Template("""<!doctype html><style>
html, body { margin: 0; overflow: hidden; font: 14px sans-serif }
figure { margin: 0; position: relative; width: fit-content; max-width: 100%; border-radius: 8px;
  overflow: hidden; touch-action: pan-y }
img { display: block; max-width: 100%; height: auto; user-select: none }
#before { position: absolute; inset: 0; width: 100%; height: 100%;
  clip-path: inset(0 calc(100% - var(--at)) 0 0) }
figure { --at: 50% }
i { position: absolute; top: 0; bottom: 0; left: var(--at); width: 3px; margin-left: -1.5px;
  background: #fff; box-shadow: 0 0 4px #000a; pointer-events: none }
i::after { content: "◂ ▸"; position: absolute; top: 50%; left: 50%; width: 36px; height: 36px;
  line-height: 36px; text-align: center; transform: translate(-50%, -50%); border-radius: 50%;
  background: #fff; color: #333; box-shadow: 0 1px 5px #0008; letter-spacing: 1px;
  font-style: normal }
input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0;
  cursor: ew-resize }
figure:focus-within { outline: 3px solid #3b82f6; outline-offset: -3px }
span { position: absolute; bottom: 8px; padding: 2px 8px; border-radius: 6px; background: #000a;
  color: #fff; pointer-events: none }
</style><figure><img id="after" alt="the stylised picture" src="$after">
<img id="before" alt="the photo" src="$before"><i></i>
<span style="left:8px">photo</span><span style="right:8px">stylised</span>
<input type="range" min="0" max="100" value="50" aria-label="share of the photo that is shown">
</figure><script>
const figure = document.querySelector("figure"), range = document.querySelector("input");
range.oninput = () => figure.style.setProperty("--at", range.value + "%");
</script>""")


def html(before, after):
    """The slider as a page of its own.

    Args:
        before, after: uint8 `[H, W, 3]`, of the same size.
    """
    return _PAGE.substitute(before=_inline(before), after=_inline(after))


def show(before, after):
    """Shows the slider."""
    st.iframe(html(before, after), height="content")


def _inline(rgb):
    return "data:image/jpeg;base64," + base64.b64encode(images.encode(rgb, "JPEG")).decode()
