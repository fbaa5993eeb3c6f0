"""The picture as a PNG, drawn in the reader's browser: light, with its title and where it is from.

The server needs no browser for it. A figure is drawn by Plotly, whose script is fetched when the
button is pressed, never before; a table by the browser itself. Neither goes to anybody.
"""

from __future__ import annotations

import html
import json
import re
import textwrap
from typing import TYPE_CHECKING, Any, Final

import streamlit as st
from plotly.utils import PlotlyJSONEncoder

from pages.components import palette, tables, text
from pages.server import plotly_js

if TYPE_CHECKING:
    from collections.abc import Mapping

    import plotly.graph_objects as go

    from data_access.export import About

WIDTH_PX: Final = 1_000
SCALE: Final = 2  # sharp on paper and on dense screens
LINE_CHARS: Final = 125
TABLE_ROWS_MAX: Final = 50  # of a table's picture: what a page of paper holds
TABLE_COLUMNS_MAX: Final = 12
_TITLE_PX: Final = 34
_LINE_PX: Final = 17
_TICKS_PX: Final = 46  # dates take two lines
_TOP_AXIS_PX: Final = 44  # its labels and its name
_FOOT_PX: Final = 26
_ESCAPED: Final = re.compile(r"\\([\\`*_{}\[\]()#+\-.!|<>~$:&@^=])")
_ICON: Final = re.compile(r":material/[a-z_]+:\s*")
_SLOT: Final = re.compile(r"#0000\d\d\b")  # by itself, or in the markup of a label
_INK: Final = "#1B242D"
_FONT: Final = "Source Sans, Source Sans Pro, Helvetica, Arial, sans-serif"
# a file of a figure is drawn without the page's own fonts: Plotly has to measure what will be there
_FIGURE_FONT: Final = "Helvetica, Arial, sans-serif"


def button(picture: Mapping[str, Any], stem: str, *, key: str) -> None:
    """Offer a picture, as `of` made it, as a PNG."""
    _component()(
        data={
            **picture,
            "name": f"{stem}.png",
            "width": WIDTH_PX,
            "scale": SCALE,
            "script": plotly_js.ADDRESS,
        },
        key=f"export-{key}-png",
        width="content",
        height="content",
    )


def of(
    drawn: go.Figure | tables.Table, about: About, subtitle: str, timezone: str
) -> dict[str, Any]:
    """Return what the browser draws a figure or a table from.

    Parameters
    ----------
    subtitle : under the picture's title, as markdown.
    timezone : of a table's times.
    """
    if isinstance(drawn, tables.Table):
        return {"table": as_table(drawn, about, subtitle, timezone)}
    return {"figure": as_picture(drawn, about, subtitle)}


def as_table(table: tables.Table, about: About, subtitle: str, timezone: str) -> dict[str, Any]:
    """Return a table in words, with title, subtitle, source, and where it is cut."""
    columns = tables.written(table, timezone=timezone, most=TABLE_ROWS_MAX)
    shown = columns[:TABLE_COLUMNS_MAX]
    cut = []
    if table.frame.height > TABLE_ROWS_MAX:
        cut.append(f"{TABLE_ROWS_MAX} of {table.frame.height:,} rows")
    if len(columns) > len(shown):
        cut.append(f"{len(shown)} of {len(columns):,} columns")
    said = textwrap.wrap(_plain(subtitle), LINE_CHARS)
    return {
        "title": about.title,
        "lines": [*said, *([f"The first {' and '.join(cut)}."] if cut else [])],
        "source": _source(about),
        "columns": [
            {"heading": text.plain(one.heading), "cells": one.cells, "isRight": one.is_right}
            for one in shown
        ],
        "font": _FONT,
        "colours": {
            "ink": _INK,
            "quiet": palette.LIGHT_TEXT,
            "line": palette.LIGHT[palette.GRID],
            "bar": palette.LIGHT[palette.HARM],
        },
    }


def _source(about: About) -> str:
    """Return the line at a picture's foot."""
    return f"Betascope · {text.plain(_plain(about.words), most=LINE_CHARS)}"


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
        "font": {"family": _FIGURE_FONT, "color": _INK, "size": 13},
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
            "text": html.escape(_source(about)),
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
  font: inherit; font-size: 0.875rem;
  color: var(--st-text-color); background: var(--st-background-color);
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

async function chart({ layout, data }, width, scale, script) {
  const place = document.createElement("div");
  place.style.cssText = "position:absolute;left:-9999px;top:0;width:" + width + "px";
  try {
    const Plotly = await plotly(script);
    document.body.appendChild(place);
    await Plotly.newPlot(place, data, layout, { staticPlot: true, showSendToCloud: false });
    const size = { width: layout.width, height: layout.height, scale };
    const url = await Plotly.toImage(place, { format: "png", ...size });
    Plotly.purge(place);
    return url;
  } finally {
    place.remove();
  }
}

const EDGE = 24, GAP = 20, ROW = 28, CELL_MAX = 280, SPARK = 120;

function fitted(pen, words, most) {
  if (pen.measureText(words).width <= most) return words;
  let [fits, fails] = [0, words.length];
  while (fails - fits > 1) {
    const middle = (fits + fails) >> 1;
    const short = words.slice(0, middle).trimEnd() + "…";
    if (pen.measureText(short).width <= most) fits = middle; else fails = middle;
  }
  return words.slice(0, fits).trimEnd() + "…";
}

function bars(pen, values, x, y, width) {
  const most = Math.max(...values, 0);
  const each = width / values.length;
  values.forEach((one, at) => {
    const height = most ? Math.max(0, one) / most * (ROW - 10) : 0;
    pen.fillRect(x + at * each, y + ROW - 5 - height, Math.max(each - 1, 0.5), height);
  });
}

function table(made, least, scale) {
  const { columns, colours } = made;
  const canvas = document.createElement("canvas");
  const pen = canvas.getContext("2d");
  const write = (size, weight = "") => { pen.font = `${weight} ${size}px ${made.font}`; };
  const widths = columns.map(({ heading, cells }) => {
    write(13, "600");
    let widest = pen.measureText(heading).width;
    write(13);
    for (const one of cells) {
      const own = Array.isArray(one) ? SPARK : pen.measureText(one).width;
      widest = Math.max(widest, own);
    }
    return Math.min(Math.ceil(widest), CELL_MAX);
  });
  const whole = widths.reduce((sum, one) => sum + one, GAP * (widths.length - 1)) + 2 * EDGE;
  const width = Math.max(whole, least);
  const spare = (width - whole) / Math.max(widths.length, 1);
  const top = 46 + 17 * made.lines.length + 8;
  const rows = columns.length ? columns[0].cells.length : 0;
  const height = top + ROW * (rows + 1) + 40;
  canvas.width = Math.ceil(width * scale);
  canvas.height = Math.ceil(height * scale);
  pen.scale(scale, scale);
  pen.fillStyle = "#FFFFFF";
  pen.fillRect(0, 0, width, height);
  pen.textBaseline = "middle";
  pen.fillStyle = colours.ink;
  write(18, "700");
  pen.fillText(fitted(pen, made.title, width - 2 * EDGE), EDGE, 26);
  pen.fillStyle = colours.quiet;
  write(13);
  made.lines.forEach((one, at) => {
    pen.fillText(fitted(pen, one, width - 2 * EDGE), EDGE, 52 + 17 * at);
  });
  let left = EDGE;
  columns.forEach(({ heading, cells, isRight }, at) => {
    const own = widths[at] + spare;
    const put = (words, middle) => {
      pen.textAlign = isRight ? "right" : "left";
      pen.fillText(fitted(pen, words, own), isRight ? left + own : left, middle);
    };
    pen.fillStyle = colours.quiet;
    write(13, "600");
    put(heading, top + ROW / 2);
    write(13);
    cells.forEach((one, row) => {
      const y = top + ROW * (row + 1);
      pen.fillStyle = Array.isArray(one) ? colours.bar : colours.ink;
      if (Array.isArray(one)) bars(pen, one, left, y, own); else put(one, y + ROW / 2);
    });
    left += own + GAP;
  });
  pen.fillStyle = colours.line;
  for (let row = 1; row <= rows + 1; row += 1) {
    pen.fillRect(EDGE, top + ROW * row - 0.5, width - 2 * EDGE, 1);
  }
  pen.textAlign = "left";
  pen.fillStyle = colours.quiet;
  write(11);
  pen.fillText(fitted(pen, made.source, width - 2 * EDGE), EDGE, height - 18);
  return canvas.toDataURL("image/png");
}

export default function (component) {
  const { data, parentElement } = component;
  const button = parentElement.querySelector("button");
  const status = parentElement.querySelector("[role=status]");
  const root = location.href.split(/[?#]/)[0].replace(/[^/]*$/, "");

  button.onclick = async () => {
    button.disabled = true;
    status.textContent = "Drawing…";
    try {
      const link = document.createElement("a");
      link.href = data.table
        ? table(data.table, data.width, data.scale)
        : await chart(data.figure, data.width, data.scale, root + data.script);
      link.download = data.name;
      parentElement.appendChild(link);  // a click elsewhere would close what we are in
      link.click();
      link.remove();
      status.textContent = "Saved as " + data.name;
    } catch (error) {
      status.textContent = "The picture could not be drawn in this browser.";
    } finally {
      button.disabled = false;
    }
  };
}
"""


@st.cache_resource(show_spinner=False)
def _component() -> Any:  # noqa: ANN401 - Streamlit's own
    """Register the button, once in a process."""
    return st.components.v2.component("betascope.picture", html=_HTML, css=_CSS, js=_JS)
