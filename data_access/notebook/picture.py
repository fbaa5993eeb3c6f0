"""A plain chart of a frame, as code: for what has no picture of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from data_access.notebook.literals import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data_access.notebook.story import Part

_LOOK: Final = '{"template": "plotly_white", "height": 420}'
SHOW: Final = "figure"  # replaced by what shows a figure in this kind of notebook
_PART: Final = "_part"


def plain_picture(parts: Sequence[Part], names: Sequence[str]) -> str:
    """Return the code of a plain chart of the first frame: what it counts, along its first key."""
    frame, rows = parts[0].frame, names[0]
    every = [name for name, kind in frame.schema.items() if kind.is_numeric()]
    floats = [name for name in every if frame.schema[name].is_float()]
    numbers = floats or every
    keys = [name for name in frame.columns if name not in numbers]
    head = [f"figure = go.Figure(layout={_LOOK})"]
    if not numbers:
        return "\n".join([*head, SHOW])
    if not keys or frame.height == 1:
        of = ", ".join(map(quoted, numbers))
        first = f"({rows}.select(_names).rows() or [()])[0]"  # where there is a row at all
        body = [f"_names = [{of}]", f"figure.add_bar(x=_names, y={first})"]
        return "\n".join([*head, *body, SHOW])
    over = next((name for name in keys if frame.schema[name].is_temporal()), keys[0])
    groups = [name for name in keys if name != over and not frame.schema[name].is_temporal()]
    kind = "scatter" if frame.schema[over].is_temporal() else "bar"
    values = f"x={_PART}[{quoted(over)}].to_list(), y={_PART}[{quoted(numbers[0])}].to_list()"
    titles = f"xaxis_title={quoted(over)}, yaxis_title={quoted(numbers[0])}"
    head.append(f"figure.update_layout({titles})")
    if groups:
        body = [
            f"_groups = {rows}.group_by([{quoted(groups[0])}], maintain_order=True)",
            f"for (_name,), {_PART} in _groups:",
            f"    figure.add_{kind}({values}, name=str(_name))",
        ]
    else:
        body = [f"{_PART} = {rows}", f"figure.add_{kind}({values})"]
    return "\n".join([*head, *body, SHOW])
