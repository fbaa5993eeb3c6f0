"""The server. It opens the doors and holds no logic: pages/frame.py is what everyone sees."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import streamlit as st

from pages import server


@asynccontextmanager
async def warm(_app: st.App) -> AsyncIterator[None]:
    """Import what the first page needs before anyone asks: pandas alone takes 0.8 s."""
    server.refuse_unsafe()
    import pandas as pd  # noqa: F401, PLC0415 - st.dataframe loads it
    import plotly.graph_objects as go  # noqa: F401, PLC0415

    from pages.components import cell  # noqa: F401, PLC0415

    yield


app = st.App(
    "pages/frame.py", lifespan=warm, routes=server.routes(), middleware=server.middleware()
)
server.refuse_unsafe()
