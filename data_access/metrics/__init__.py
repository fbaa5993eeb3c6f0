"""Every number the pages show: pure functions from lazy frames to lazy frames."""

from data_access.metrics.activity import activity, hourly, movers, sessions_by_period
from data_access.metrics.beta import activation, context_lifecycle, testers
from data_access.metrics.errors import (
    error_groups,
    error_occurrences,
    errors_by_period,
    errors_by_release,
)
from data_access.metrics.findings import error_shifts, shifts
from data_access.metrics.kpis import kpis
from data_access.metrics.latency import (
    apdex,
    latency,
    latency_distribution,
    latency_heatmap,
    slowest,
)
from data_access.metrics.registry import METRICS
from data_access.metrics.releases import releases
from data_access.metrics.tiers import compare_rates, tier_moves, tiers

__all__ = [
    "METRICS",
    "activation",
    "activity",
    "apdex",
    "compare_rates",
    "context_lifecycle",
    "error_groups",
    "error_occurrences",
    "error_shifts",
    "errors_by_period",
    "errors_by_release",
    "hourly",
    "kpis",
    "latency",
    "latency_distribution",
    "latency_heatmap",
    "movers",
    "releases",
    "sessions_by_period",
    "shifts",
    "slowest",
    "testers",
    "tier_moves",
    "tiers",
]
