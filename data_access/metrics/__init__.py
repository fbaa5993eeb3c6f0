"""Every number the pages show: pure functions from lazy frames to lazy frames."""

from data_access.metrics.active_users import active_users, active_users_hourly
from data_access.metrics.activity import activity, hourly, movers, sessions_by_period
from data_access.metrics.beta import activation, context_lifecycle, testers
from data_access.metrics.by_property import by_property, property_users
from data_access.metrics.churn import churn
from data_access.metrics.concurrency import concurrent_users
from data_access.metrics.costs import costs, credits_by_plan, savings_against_naive
from data_access.metrics.errors import (
    error_groups,
    error_occurrences,
    errors_by_period,
    errors_by_release,
)
from data_access.metrics.experiment_results import experiment_results
from data_access.metrics.experiments import (
    experiment,
    experiment_daily,
    experiment_means,
    experiment_users,
    experiments,
)
from data_access.metrics.extension import (
    code_insertions,
    context_switches,
    extension_activation,
    extension_failures,
    extension_funnel,
    extension_installs,
    extension_sessions,
    interactions,
    session_lengths,
)
from data_access.metrics.feature_value import feature_value
from data_access.metrics.features import (
    co_usage,
    feature_adoption,
    feature_breadth,
    feature_people,
    feature_usage,
    feature_users,
)
from data_access.metrics.findings import error_shifts, shifts
from data_access.metrics.funnel import (
    funnel,
    funnel_by,
    funnel_histogram,
    funnel_trend,
    funnel_users,
)
from data_access.metrics.incidents import incidents
from data_access.metrics.journeys import (
    journey_items,
    journey_map,
    journey_path_users,
    journey_users,
    journeys,
)
from data_access.metrics.kpis import kpis
from data_access.metrics.latency import (
    apdex,
    latency,
    latency_distribution,
    latency_heatmap,
    slowest,
)
from data_access.metrics.lifecycle import lifecycle, lifecycle_users
from data_access.metrics.models import models, observations
from data_access.metrics.paths import path_steps, path_users, paths, transitions
from data_access.metrics.people import error_people, people, trace_people
from data_access.metrics.person import (
    user_errors,
    user_latency,
    user_rows,
    user_sessions,
    user_tiers,
    user_timeline,
    user_tools,
)
from data_access.metrics.registry import METRICS
from data_access.metrics.releases import releases
from data_access.metrics.retention import retention, retention_mean, retention_users
from data_access.metrics.sampling import sampling
from data_access.metrics.sessions import sessions
from data_access.metrics.stickiness import stickiness, stickiness_users
from data_access.metrics.tiers import compare_rates, tier_moves, tiers
from data_access.metrics.tools import (
    branches,
    ontology,
    rag,
    rag_results,
    reference_acceptance,
    token_savings,
    tools,
)
from data_access.metrics.users import people_events, users
from data_access.stats import (
    chances_of_means,
    chances_of_rates,
    compare_arms,
    compare_counts,
    compare_means,
    compare_pairs,
    corrected,
    days_to_go,
    mean_interval,
    people_for_means,
    people_for_rates,
    power_of_means,
    power_of_rates,
    rate_difference,
    rate_interval,
    sample_ratio,
    smallest_effect,
    smallest_lift,
)

__all__ = [
    "METRICS",
    "activation",
    "active_users",
    "active_users_hourly",
    "activity",
    "apdex",
    "branches",
    "by_property",
    "chances_of_means",
    "chances_of_rates",
    "churn",
    "co_usage",
    "code_insertions",
    "compare_arms",
    "compare_counts",
    "compare_means",
    "compare_pairs",
    "compare_rates",
    "concurrent_users",
    "context_lifecycle",
    "context_switches",
    "corrected",
    "costs",
    "credits_by_plan",
    "days_to_go",
    "error_groups",
    "error_occurrences",
    "error_people",
    "error_shifts",
    "errors_by_period",
    "errors_by_release",
    "experiment",
    "experiment_daily",
    "experiment_means",
    "experiment_results",
    "experiment_users",
    "experiments",
    "extension_activation",
    "extension_failures",
    "extension_funnel",
    "extension_installs",
    "extension_sessions",
    "feature_adoption",
    "feature_breadth",
    "feature_people",
    "feature_usage",
    "feature_users",
    "feature_value",
    "funnel",
    "funnel_by",
    "funnel_histogram",
    "funnel_trend",
    "funnel_users",
    "hourly",
    "incidents",
    "interactions",
    "journey_items",
    "journey_map",
    "journey_path_users",
    "journey_users",
    "journeys",
    "kpis",
    "latency",
    "latency_distribution",
    "latency_heatmap",
    "lifecycle",
    "lifecycle_users",
    "mean_interval",
    "models",
    "movers",
    "observations",
    "ontology",
    "path_steps",
    "path_users",
    "paths",
    "people",
    "people_events",
    "people_for_means",
    "people_for_rates",
    "power_of_means",
    "power_of_rates",
    "property_users",
    "rag",
    "rag_results",
    "rate_difference",
    "rate_interval",
    "reference_acceptance",
    "releases",
    "retention",
    "retention_mean",
    "retention_users",
    "sample_ratio",
    "sampling",
    "savings_against_naive",
    "session_lengths",
    "sessions",
    "sessions_by_period",
    "shifts",
    "slowest",
    "smallest_effect",
    "smallest_lift",
    "stickiness",
    "stickiness_users",
    "testers",
    "tier_moves",
    "tiers",
    "token_savings",
    "tools",
    "trace_people",
    "transitions",
    "user_errors",
    "user_latency",
    "user_rows",
    "user_sessions",
    "user_tiers",
    "user_timeline",
    "user_tools",
    "users",
]
