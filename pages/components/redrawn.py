"""A picture as source: the code that draws it again from the frames it was drawn from."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import plotly.graph_objects as go

    from data_access.notebook import Part


def code(drawn: go.Figure, parts: Sequence[Part]) -> str:  # noqa: ARG001 - for now
    """Return the code, or nothing."""
    return ""
