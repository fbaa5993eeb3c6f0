"""Says why something is kept or left out, for a person who asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ingest.events import Error, Event, Trace
from ingest.salt import read_salt
from ingest.sampling import from_settings
from ingest.settings import read_settings
from ingest.vocabulary import pseudonym

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def sampling(
    said: Event | Error | Trace | Mapping[str, Any], home: Path, environ: Mapping[str, str]
) -> str:
    """Return in a sentence whether sampling keeps something, and why."""
    record = said.to_record() if isinstance(said, (Event, Error, Trace)) else dict(said)
    if not record.get("user_id_hash") and record.get("user_id"):
        record["user_id_hash"] = pseudonym(str(record["user_id"]), read_salt(home, environ))
    return from_settings(read_settings(home).sampling).explain(record)
