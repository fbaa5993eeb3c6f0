"""A cell as a notebook that runs: the data access, the filters, the metric's code, chart and prose.

It carries the modules it needs as source, because this package is on no registry: a fresh
environment with the packages its header names is enough. The numbers are computed, never written
in; the last cell says whether they are those that were exported. Nothing is run here.
"""

from data_access.notebook.kinds import KINDS, Kind, to_ipynb, to_marimo
from data_access.notebook.literals import CannotTell, unlinked
from data_access.notebook.story import Part, Query, Story

__all__ = [
    "KINDS",
    "CannotTell",
    "Kind",
    "Part",
    "Query",
    "Story",
    "to_ipynb",
    "to_marimo",
    "unlinked",
]
