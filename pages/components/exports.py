"""The files a reader can take away: rows, a notebook that computes them, and the picture.

Small files are made when they are clicked. Large ones are written to disk with a progress bar and
sent from there: Streamlit would keep them in memory (pages/server/files.py).
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import polars as pl
import streamlit as st

from data_access import export, notebook
from pages.components import access, picture_file, text
from pages.server.files import shelf

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

LARGE_ROWS: Final = 100_000  # more is written to disk first
LARGE_EXCEL_ROWS: Final = 20_000  # a sheet is written cell by cell: a second for as many


def files(
    frame: pl.DataFrame,
    about: export.About,
    stem: str,
    *,
    key: str,
    limit: int,
    story: Callable[[], notebook.Story] | None = None,
    picture: Mapping[str, Any] | None = None,
    whole: Callable[[Path], pl.LazyFrame] | None = None,
) -> None:
    """Offer everything there is of some rows.

    Parameters
    ----------
    frame : every row, complete.
    about : what they are; goes into every file.
    stem : the files' name without ending, made of anything: `export.stem_of` cleans it.
    key : tells several of these on one page apart.
    limit : rows of one file: `limits.export_rows` of the settings.
    story : makes what the notebooks tell; None where there is no notebook.
    picture : what `picture_file.of` made; None where there is nothing to see.
    whole : where `frame` is the beginning of an answer alone: writes all of it to a Parquet file
        and returns its rows.
    """
    if not access.may_or_say("export"):
        return
    stem = export.stem_of(stem)
    st.caption(_how_many(frame.height, limit) if whole is None else _MORE.format(limit))
    with st.container(horizontal=True):
        for ending in export.FORMATS:
            large = min(LARGE_ROWS, LARGE_EXCEL_ROWS) if ending == "xlsx" else LARGE_ROWS
            if whole is None and frame.height <= large:
                _rows(frame, about, stem, ending, key=key, limit=limit)
            else:
                _prepared(whole or frame, about, stem, ending, key=key, limit=limit)
        if picture is not None:
            picture_file.button(picture, stem, key=key)
        if whole is None:
            _beside(frame, about, stem, key=key, limit=limit)
    if story is not None:
        _notebooks(story, stem, key=key)


_MORE: Final = "The whole answer, up to {:,} rows: it is asked once more, and written to a file."


def _how_many(rows: int, limit: int) -> str:
    """Say whether the files hold everything, format by format."""
    whole = text.some(rows, "row")
    if rows > limit:
        return (
            f":material/content_cut: The first {limit:,} of {rows:,} rows: `limits.export_rows` in "
            "telemetry.toml says so. Every file says it too."
        )
    if rows > export.EXCEL_ROWS_MAX:
        most = f"{export.EXCEL_ROWS_MAX:,}"
        return f"All {rows:,} rows, with these filters; Excel has room for the first {most} only."
    return f"All {whole}, with these filters."


def _rows(
    frame: pl.DataFrame, about: export.About, stem: str, ending: str, *, key: str, limit: int
) -> None:
    """Offer a file that is made when it is clicked."""
    label, _, mime = export.FORMATS[ending]
    most = export.rows_max_of(ending, limit)
    st.download_button(
        label,
        data=partial(export.to_bytes, frame, ending, about, limit=limit),
        file_name=f"{stem}{_cut(frame.height, most)}.{ending}",
        mime=mime,
        on_click="ignore",
        key=f"export-{key}-{ending}",
    )


def _cut(rows: int, most: int) -> str:
    """Return what the file's own name says about a cut."""
    return f"-first-{most}-rows" if rows > most else ""


def _prepared(
    source: pl.DataFrame | Callable[[Path], pl.LazyFrame],
    about: export.About,
    stem: str,
    ending: str,
    *,
    key: str,
    limit: int,
) -> None:
    """Offer a large file: written to disk first, with a bar, then sent from there."""
    label, _, mime = export.FORMATS[ending]
    with st.container(width="content"):
        if not st.button(
            f"Prepare {label}", key=f"export-{key}-{ending}", icon=":material/hourglass_top:"
        ):
            return
        bar, path = st.progress(0.0, f"Writing {label}"), shelf.place(f"{stem}.{ending}")

        def tick(done: int, total: int) -> None:
            bar.progress(done / max(total, 1), f"{label}: {done:,} of {total:,} rows")

        try:
            spooled = path.with_name("rows.parquet.spool")
            rows = source if isinstance(source, pl.DataFrame) else source(spooled)
            written = export.write(rows, path, ending, about, limit=limit, progress=tick)
            spooled.unlink(missing_ok=True)
        except (ValueError, OSError) as error:  # a question stopped, a sheet too wide, a full disk
            shelf.drop(path)
            bar.empty()
            st.error(text.escaped(error, most=400), icon=":material/block:")
            return
        except BaseException:
            shelf.drop(path)
            raise
        if not written.is_complete:
            path = path.rename(path.with_stem(f"{path.stem}-first-{written.rows}-rows"))
        address = shelf.put(path, mime, now=time.monotonic())
        bar.empty()
        size = path.stat().st_size / 1e6
        st.markdown(
            f":material/download: [Download {label}, {size:,.1f} MB]({_root()}{quote(address)})"
        )
        st.caption(f"{written.said}. It is kept for half an hour.")


def _root() -> str:
    """Return the server's root as this reader sees it, behind whatever proxy."""
    return str(st.context.url or "").partition("?")[0].rpartition("/")[0] + "/"


def _beside(frame: pl.DataFrame, about: export.About, stem: str, *, key: str, limit: int) -> None:
    """Offer what CSV and JSONL have no place for, under the name that tools look for."""
    written = export.Written(min(frame.height, limit), frame.height)
    name = f"{stem}.csv"
    st.download_button(
        "About the rows",
        data=partial(export.sidecar, name, frame.schema, written, about),
        file_name=export.sidecar_name(name),
        mime="application/json",
        on_click="ignore",
        key=f"export-{key}-about",
        type="tertiary",
        help="Row count, filters, period and the data's version. Parquet, Excel and the notebooks "
        "hold it themselves; CSV and JSONL have no place for it.",
    )


def _notebooks(story: Callable[[], notebook.Story], stem: str, *, key: str) -> None:
    st.caption(
        "As a notebook: the data access, the filters, the code that counts, the chart and these "
        "words. It runs by itself, with what its header names."
    )
    with st.container(horizontal=True):
        for name, kind in notebook.KINDS.items():
            st.download_button(
                kind.label,
                data=partial(_made, kind, story),
                file_name=f"{stem}.{kind.ending}",
                mime=kind.mime,
                on_click="ignore",
                key=f"export-{key}-{name}",
                icon=":material/code_blocks:",
            )


def _made(kind: notebook.Kind, story: Callable[[], notebook.Story]) -> bytes:
    return kind.write(story())
