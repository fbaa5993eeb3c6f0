"""What a frame holds, in a few numbers: to say whether two computations gave the same.

Sums of many floats differ in their last digits from run to run, so numbers are compared with a
tolerance and everything else exactly. A frame of a million rows is a few hundred bytes here.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["differences", "fingerprint"]

TOLERANCE: Final = 1e-9  # relative; a sum of a million floats in another order is off by less
_WEIGHTS: Final = 1_009  # a prime: values that swap their rows change the weighted sum


def fingerprint(frame: pl.DataFrame) -> dict[str, Any]:
    """Return the frame's row count and, per column, its type, gaps and contents in short.

    Returns
    -------
    dict of plain values: "rows", and "columns" as name -> [type, nulls, contents]; the contents of
    numbers are [sum of absolutes, weighted sum], of everything else a digest.
    """
    return {
        "rows": frame.height,
        "columns": {name: _column(frame[name]) for name in frame.columns},
    }


def _column(column: pl.Series) -> list[Any]:
    kind = str(column.dtype)
    if column.dtype.is_numeric():
        return [kind, column.null_count(), _sums(column)]
    digest = hashlib.blake2b(digest_size=8)
    for value in column.to_list():
        digest.update(repr(value).encode("utf-8", "surrogatepass") + b"\x00")
    return [kind, column.null_count(), digest.hexdigest()]


def _sums(column: pl.Series) -> list[float | str]:
    """Return the sum of absolutes and a sum weighted by row; odd values as words."""
    values = column.cast(pl.Float64)
    odd = int((~values.is_finite()).sum())  # null is neither
    finite = values.set(~values.is_finite(), None) if odd else values
    weights = (pl.Series(range(column.len()), dtype=pl.Int64) % _WEIGHTS + 1).cast(pl.Float64)
    total, weighted = finite.abs().sum(), (finite * weights).sum()
    return [float(total), float(weighted), *([f"{odd} not finite"] if odd else [])]


def differences(expected: Mapping[str, Any], frame: pl.DataFrame) -> list[str]:
    """Return in words how a frame differs from a fingerprint; nothing when it does not."""
    found = fingerprint(frame)
    said = []
    if found["rows"] != expected["rows"]:
        said.append(f"{found['rows']:,} rows instead of {expected['rows']:,}")
    before, now = expected["columns"], found["columns"]
    gone, new = [one for one in before if one not in now], [one for one in now if one not in before]
    said += [f"no column {name}" for name in gone] + [f"a new column {name}" for name in new]
    said += [
        f"{name} differs" for name in before if name in now and _differ(before[name], now[name])
    ]
    return said


def _differ(before: list[Any], now: list[Any]) -> bool:
    (kind, nulls, contents), (kind_now, nulls_now, contents_now) = before, now
    if (kind, nulls) != (kind_now, nulls_now):
        return True
    if isinstance(contents, str) or isinstance(contents_now, str):
        return bool(contents != contents_now)
    if len(contents) != len(contents_now) or contents[2:] != contents_now[2:]:
        return True
    scale = max(contents[0], contents_now[0])  # a weighted sum may cancel out; its terms do not
    return not (
        math.isclose(contents[0], contents_now[0], rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        and math.isclose(
            contents[1],
            contents_now[1],
            rel_tol=TOLERANCE,
            abs_tol=TOLERANCE * (1 + scale) * _WEIGHTS,
        )
    )
