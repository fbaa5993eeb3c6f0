"""The picture as a PNG, drawn in the reader's browser: light, with its title and where it is from.

The server needs no browser for it. Plotly's script is fetched when the button is pressed, never
before; the figure goes to nobody.
"""

from __future__ import annotations

import html
import json
import re
import textwrap
from typing import TYPE_CHECKING, Any, Final

import streamlit as st
from plotly.utils import PlotlyJSONEncoder

from pages.components import palette
from pages.server import plotly_js

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from data_access.export import About

WIDTH_PX: Final = 1_000
SCALE: Final = 2  # sharp on paper and on dense screens
LINE_CHARS: Final = 125
_TITLE_PX: Final = 34
_LINE_PX: Final = 17
_TICKS_PX: Final = 46  # dates take two lines
_TOP_AXIS_PX: Final = 44  # its labels and its name
_FOOT_PX: Final = 26
_ESCAPED: Final = re.compile(r"\\([\\`*_{}\[\]()#+\-.!|<>~$:&@^=])")
_ICON: Final = re.compile(r":material/[a-z_]+:\s*")
_SLOT: Final = re.compile(r"#0000\d\d\b")  # by itself, or in the markup of a label
_FONT: Final = "Source Sans, Source Sans Pro, Helvetica, Arial, sans-serif"


def button(drawn: go.Figure, about: About, subtitle: str, stem: str, *, key: str) -> None:
    """Offer the figure as a PNG."""
    _component()(
        data={
            "figure": as_picture(drawn, about, subtitle),
            "name": f"{stem}.png",
            "width": WIDTH_PX,
            "scale": SCALE,
            "script": plotly_js.ADDRESS,
        },
        key=f"export-{key}-png",
        width="content",
        height="content",
    )


def as_picture(drawn: go.Figure, about: About, subtitle: str) -> dict[str, Any]:
    """Return the figure's plain JSON in the light theme, with title, subtitle and source."""
    found: dict[str, Any] = json.loads(json.dumps(drawn.to_dict(), cls=PlotlyJSONEncoder))
    figure: dict[str, Any] = _light(found)
    layout = figure["layout"]
    layout.pop("template", None)
    said = textwrap.wrap(_plain(subtitle), LINE_CHARS)
    above_axis = any(
        isinstance(axis, dict) and axis.get("side") == "top" for axis in layout.values()
    )
    top = _TITLE_PX + _LINE_PX * len(said) + (_TOP_AXIS_PX if above_axis else 0)
    margin = layout.get("margin", {})
    above, below = margin.get("t", 10) + top + 12, max(margin.get("b", 0), _TICKS_PX) + _FOOT_PX
    height = layout.get("height", 360) + top + 12 + _TICKS_PX + _FOOT_PX
    words = "<br>".join(map(html.escape, said))
    layout |= {
        "width": WIDTH_PX,
        "height": height,
        "margin": {
            **margin,
            "t": above,
            "b": below,
            "l": max(margin.get("l", 0), 24),
            "r": max(margin.get("r", 0), 24),
        },
        "paper_bgcolor": "#FFFFFF",
        "plot_bgcolor": "#FFFFFF",
        "font": {"family": _FONT, "color": "#1B242D", "size": 13},
        "colorway": [light for light, _ in palette.COLOURS.values()],
        "title": {
            "text": f"<b>{html.escape(about.title)}</b>",
            "subtitle": {"text": words, "font": {"size": 13, "color": palette.LIGHT_TEXT}},
            "x": 24 / WIDTH_PX,
            "xanchor": "left",
            "y": 1 - 12 / height,
            "yref": "container",
            "yanchor": "top",
            "font": {"size": 18},
        },
    }
    layout.setdefault("annotations", []).append(
        {
            "text": html.escape("Betascope · " + _plain(about.words)[:LINE_CHARS]),
            "xref": "paper",
            "yref": "paper",
            "x": 0,
            "y": 0,
            "yshift": -below + 6,
            "xanchor": "left",
            "yanchor": "bottom",
            "showarrow": False,
            "font": {"size": 11, "color": palette.LIGHT_TEXT},
        }
    )
    for name in [one for one in layout if one.startswith(("xaxis", "yaxis"))]:
        layout[name].setdefault("gridcolor", palette.LIGHT[palette.GRID])
        layout[name].setdefault("zeroline", False)
    return figure


def _light(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return the JSON with the theme's slots as the light theme's colours."""
    if isinstance(value, dict):
        return {name: _light(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_light(one) for one in value]
    if not isinstance(value, str):
        return value
    return _SLOT.sub(lambda found: palette.LIGHT.get(found[0], found[0]), value)


def _plain(markdown: str) -> str:
    """Return words without markdown's marks."""
    return _ESCAPED.sub(r"\1", _ICON.sub("", markdown)).replace("**", "").replace("`", "")


_HTML: Final = """
<button type="button">PNG</button>
<span role="status"></span>
"""

_CSS: Final = """
button {
  font: inherit; color: var(--st-text-color); background: var(--st-background-color);
  border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius, 6px);
  padding: 0.35rem 0.75rem; cursor: pointer; min-height: 2.5rem;
}
button:hover { border-color: var(--st-primary-color); color: var(--st-primary-color); }
button:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 2px; }
button[disabled] { opacity: 0.6; cursor: progress; }
span[role="status"] { margin-left: 0.5rem; font-size: 0.85rem; }
"""

_JS: Final = """
const loaded = {};

function plotly(address) {
  if (!loaded[address]) {
    loaded[address] = new Promise((done, failed) => {
      const before = window.Plotly;
      const script = document.createElement("script");
      script.src = address;
      script.onload = () => { const found = window.Plotly; window.Plotly = before; done(found); };
      script.onerror = () => { delete loaded[address]; failed(new Error("no script")); };
      document.head.appendChild(script);
    });
  }
  return loaded[address];
}

export default function (component) {
  const { data, parentElement } = component;
  const button = parentElement.querySelector("button");
  const status = parentElement.querySelector("[role=status]");
  const root = location.href.split(/[?#]/)[0].replace(/[^/]*$/, "");

  button.onclick = async () => {
    const place = document.createElement("div");
    place.style.cssText = "position:absolute;left:-9999px;top:0;width:" + data.width + "px";
    button.disabled = true;
    status.textContent = "Drawing…";
    try {
      const Plotly = await plotly(root + data.script);
      document.body.appendChild(place);
      const { layout, data: traces } = data.figure;
      await Plotly.newPlot(place, traces, layout, { staticPlot: true, showSendToCloud: false });
      const size = { width: layout.width, height: layout.height, scale: data.scale };
      const url = await Plotly.toImage(place, { format: "png", ...size });
      const link = document.createElement("a");
      link.href = url;
      link.download = data.name;
      parentElement.appendChild(link);  // a click elsewhere would close what we are in
      link.click();
      link.remove();
      Plotly.purge(place);
      status.textContent = "Saved as " + data.name;
    } catch (error) {
      status.textContent = "The picture could not be drawn in this browser.";
    } finally {
      place.remove();
      button.disabled = false;
    }
  };
}
"""


@st.cache_resource(show_spinner=False)
def _component() -> Any:  # noqa: ANN401 - Streamlit's own
    """Register the button, once in a process."""
    return st.components.v2.component("betascope.picture", html=_HTML, css=_CSS, js=_JS)
