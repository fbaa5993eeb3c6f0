"""The pages there are: their files, addresses and places in the menu. Nothing else lists them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Entry:
    """One page: its file in `pages/`, what the menu calls it, and a Material icon.

    `is_report` says that it answers with numbers of the telemetry; a tool of the notebook does not.
    """

    file: str
    title: str
    icon: str
    is_report: bool = True

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.file.removesuffix(".py")

    @property
    def address(self) -> str:
        """The page's address: the last part of its URL, and the beginning of its own choices."""
        return self.name.replace("_", "-")


EXPLORE: Final = Entry("explore.py", "Explore", "manage_search", is_report=False)
SETTINGS: Final = Entry("settings.py", "Settings", "settings", is_report=False)

# heading in the menu -> pages; the first page of all is the home page
SECTIONS: Final[dict[str, tuple[Entry, ...]]] = {
    "The beta": (
        Entry("overview.py", "Overview", "monitoring"),
        Entry("closed_beta.py", "Closed beta", "lock"),
        Entry("open_beta.py", "Open beta", "lock_open"),
        Entry("tiers.py", "Tiers", "stacks"),
    ),
    "People": (
        Entry("retention.py", "Retention", "group"),
        Entry("funnels.py", "Funnels", "filter_alt"),
        Entry("journeys.py", "Journeys", "route"),
        Entry("users.py", "Users", "person_search"),
    ),
    "Product": (
        Entry("features.py", "Features", "apps"),
        Entry("models.py", "Models and cost", "memory"),
        Entry("extension.py", "Extension", "extension"),
        Entry("experiments.py", "Experiments", "science"),
    ),
    "Health": (
        Entry("errors.py", "Errors", "bug_report"),
        Entry("latency.py", "Latency", "speed"),
        Entry("pipeline.py", "Pipeline", "plumbing"),
    ),
    "Ask": (EXPLORE,),
    "This notebook": (SETTINGS,),
}
PAGES: Final = tuple(entry for entries in SECTIONS.values() for entry in entries)
REPORTS: Final = tuple(entry for entry in PAGES if entry.is_report)
