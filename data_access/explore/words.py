"""The functions SQL may use, each with an example that a test runs: the help of the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Function:
    """One function: how it is written, what it gives, and the kind it is listed under."""

    name: str
    example: str
    meaning: str
    kind: str


_GROUPS: Final[dict[str, tuple[tuple[str, str, str], ...]]] = {
    "Counting": (
        ("COUNT", "COUNT(*)", "rows; of a column, those with a value"),
        ("COUNT DISTINCT", "COUNT(DISTINCT user_id_hash)", "different values"),
        ("SUM", "SUM(weight)", "a sum; of weight, how many events the rows stand for"),
        ("AVG", "AVG(duration_ms)", "the mean"),
        ("MIN", "MIN(timestamp)", "the smallest"),
        ("MAX", "MAX(timestamp)", "the largest"),
        ("MEDIAN", "MEDIAN(duration_ms)", "the middle value"),
        ("QUANTILE_CONT", "QUANTILE_CONT(duration_ms, 0.95)", "a percentile, interpolated"),
        ("QUANTILE_DISC", "QUANTILE_DISC(duration_ms, 0.95)", "a percentile that is a value"),
        (
            "PERCENTILE_CONT",
            "PERCENTILE_CONT(0.95) WITHIN GROUP (ORDER BY duration_ms)",
            "the same, as the standard writes it",
        ),
        ("STDDEV", "STDDEV(duration_ms)", "the standard deviation"),
        ("VARIANCE", "VARIANCE(duration_ms)", "the variance"),
        ("CORR", "CORR(duration_ms, weight)", "the correlation of two columns"),
        ("FIRST", "FIRST(channel)", "the first value met"),
        ("LAST", "LAST(channel)", "the last value met"),
        ("COUNT_IF", "COUNT_IF(result <> 'success')", "rows that meet a condition"),
        ("BOOL_AND", "BOOL_AND(is_paid_user)", "whether it is true of all"),
        ("BOOL_OR", "BOOL_OR(is_paid_user)", "whether it is true of any"),
        ("STRING_AGG", "STRING_AGG(channel, ', ' ORDER BY timestamp)", "the texts joined"),
        ("FILTER", "SUM(weight) FILTER (WHERE result = 'success')", "only of rows that meet it"),
    ),
    "Time": (
        ("DATE_TRUNC", "DATE_TRUNC('week', timestamp)", "the start of the hour, day, week, in UTC"),
        ("EXTRACT", "EXTRACT(hour FROM timestamp)", "a part of a time"),
        ("DATE_PART", "DATE_PART('dow', timestamp)", "the same, written as a function"),
        ("YEAR", "YEAR(timestamp)", "the year; also MONTH, DAY, HOUR, MINUTE, SECOND"),
        ("MONTH", "MONTH(timestamp)", "the month, 1 to 12"),
        ("DAY", "DAY(timestamp)", "the day of the month"),
        ("HOUR", "HOUR(timestamp)", "the hour, 0 to 23"),
        ("MINUTE", "MINUTE(timestamp)", "the minute"),
        ("SECOND", "SECOND(timestamp)", "the second"),
        ("DATE", "DATE(timestamp)", "the day, in UTC"),
        ("STRFTIME", "STRFTIME(timestamp, '%Y-%m')", "a time as text"),
        ("STRPTIME", "STRPTIME('2026-01-31', '%Y-%m-%d')", "text as a time"),
        ("INTERVAL", "timestamp - INTERVAL '7 days'", "a length of time to add or take away"),
        ("AT TIME ZONE", "timestamp AT TIME ZONE 'Europe/Berlin'", "the clock of a place"),
        (
            "DATE_DIFF",
            "DATE_DIFF('day', timestamp, NOW())",
            "how many days, weeks, ... begin between two times",
        ),
        ("EPOCH", "EPOCH(timestamp)", "seconds since 1970"),
        ("CURRENT_DATE", "CURRENT_DATE", "today, in the page's timezone"),
        ("NOW", "NOW()", "this moment"),
    ),
    "Text": (
        ("LOWER", "LOWER(event_name)", "in small letters"),
        ("UPPER", "UPPER(event_name)", "in capitals"),
        ("LENGTH", "LENGTH(event_name)", "characters"),
        ("LEFT", "LEFT(release, 3)", "the first characters"),
        ("RIGHT", "RIGHT(release, 3)", "the last characters"),
        ("SUBSTR", "SUBSTR(release, 1, 3)", "characters from a place on"),
        ("TRIM", "TRIM(event_name)", "without spaces around it; also LTRIM, RTRIM"),
        ("LTRIM", "LTRIM(event_name)", "without spaces before it"),
        ("RTRIM", "RTRIM(event_name)", "without spaces after it"),
        ("REPLACE", "REPLACE(event_name, '_', ' ')", "one text for another"),
        ("REVERSE", "REVERSE(event_name)", "backwards"),
        ("INITCAP", "INITCAP(event_name)", "with capital first letters"),
        ("CONCAT", "CONCAT(channel, ' ', result)", "joined; so does ||"),
        ("CONCAT_WS", "CONCAT_WS(' ', channel, result)", "joined with something between"),
        ("STARTS_WITH", "STARTS_WITH(event_name, 'context')", "whether it begins so"),
        ("ENDS_WITH", "ENDS_WITH(event_name, 'called')", "whether it ends so"),
        ("CONTAINS", "CONTAINS(event_name, '_')", "whether a text is in it"),
        ("STRPOS", "STRPOS(event_name, '_')", "where a text begins in it, 0 for nowhere"),
        ("SPLIT_PART", "SPLIT_PART(release, '.', 1)", "a part between separators"),
        ("LIKE", "event_name LIKE 'context%'", "a pattern with % and _; ILIKE in any case"),
        ("REGEXP_LIKE", "REGEXP_LIKE(event_name, '^context')", "a regular expression; also ~"),
    ),
    "Numbers": (
        ("ROUND", "ROUND(duration_ms, 1)", "rounded"),
        ("ABS", "ABS(duration_ms)", "without its sign"),
        ("CEIL", "CEIL(duration_ms)", "rounded up"),
        ("FLOOR", "FLOOR(duration_ms)", "rounded down"),
        ("TRUNC", "TRUNC(duration_ms)", "without its fraction"),
        ("SIGN", "SIGN(duration_ms)", "-1, 0 or 1"),
        ("SQRT", "SQRT(duration_ms)", "the square root"),
        ("CBRT", "CBRT(duration_ms)", "the cube root"),
        ("POW", "POW(duration_ms, 2)", "to a power"),
        ("EXP", "EXP(weight)", "e to a power"),
        ("LN", "LN(duration_ms + 1)", "the natural logarithm"),
        ("LOG2", "LOG2(duration_ms + 1)", "the logarithm to base 2"),
        ("LOG10", "LOG10(duration_ms + 1)", "the logarithm to base 10"),
        ("MOD", "MOD(duration_ms, 10)", "the remainder; also %"),
        ("PI", "PI()", "3.14159..."),
        (
            "CAST",
            "CAST(duration_ms AS BIGINT)",
            "as another type; a fraction is cut off, what cannot be fails",
        ),
        ("TRY_CAST", "TRY_CAST(release AS DOUBLE)", "the same, null where that cannot be"),
    ),
    "Choices": (
        ("CASE", "CASE WHEN is_paid_user THEN 'pays' ELSE 'free' END", "one value or another"),
        ("IF", "IF(is_paid_user, 'pays', 'free')", "the same in short"),
        ("COALESCE", "COALESCE(release, 'unknown')", "the first that is not null; also IFNULL"),
        ("NULLIF", "NULLIF(result, 'success')", "null where the two are equal"),
        ("GREATEST", "GREATEST(duration_ms, weight)", "the largest of several"),
        ("LEAST", "LEAST(duration_ms, weight)", "the smallest of several"),
    ),
    "Beside other rows": (
        ("ROW_NUMBER", "ROW_NUMBER() OVER (PARTITION BY user_id_hash ORDER BY timestamp)", "1, 2"),
        ("RANK", "RANK() OVER (ORDER BY duration_ms)", "its place, with gaps after ties"),
        ("DENSE_RANK", "DENSE_RANK() OVER (ORDER BY duration_ms)", "its place, without gaps"),
        ("NTILE", "NTILE(4) OVER (ORDER BY duration_ms)", "its quarter"),
        ("LAG", "LAG(timestamp) OVER (PARTITION BY user_id_hash ORDER BY timestamp)", "the last"),
        ("LEAD", "LEAD(timestamp) OVER (PARTITION BY user_id_hash ORDER BY timestamp)", "the next"),
        ("FIRST_VALUE", "FIRST_VALUE(channel) OVER (ORDER BY timestamp)", "the first of them"),
        ("LAST_VALUE", "LAST_VALUE(channel) OVER (ORDER BY timestamp)", "the last so far"),
        ("SUM OVER", "SUM(weight) OVER (ORDER BY timestamp)", "a running sum; any count can"),
    ),
}
FUNCTIONS: Final = tuple(
    Function(name, example, meaning, kind)
    for kind, several in _GROUPS.items()
    for name, example, meaning in several
)
# what to write instead of what other systems call so
INSTEAD: Final = {
    **dict.fromkeys(
        ("TO_CHAR", "DATE_FORMAT", "FORMAT_DATE", "FORMAT_TIMESTAMP", "TO_DATE"),
        "Write STRFTIME(timestamp, '%Y-%m').",
    ),
    "DAYNAME": "Write STRFTIME(timestamp, '%A').",
    "MONTHNAME": "Write STRFTIME(timestamp, '%B').",
    **dict.fromkeys(
        ("TIME_BUCKET", "DATE_BIN", "TOSTARTOFDAY", "TOSTARTOFHOUR", "TOSTARTOFWEEK"),
        "Write DATE_TRUNC('hour', timestamp).",
    ),
    **dict.fromkeys(
        ("AGE", "DATE_SUB", "TIMESTAMPDIFF", "TIMESTAMP_DIFF"),
        "Write DATE_DIFF('day', first, last).",
    ),
    **dict.fromkeys(
        ("DATEADD", "DATE_ADD", "TIMESTAMP_ADD", "TO_DAYS", "TO_HOURS", "TO_MINUTES"),
        "Write timestamp + INTERVAL '7 days'.",
    ),
    "LAST_DAY": "Write DATE_TRUNC('month', timestamp) + INTERVAL '1 month' - INTERVAL '1 day'.",
    **dict.fromkeys(
        ("TO_TIMESTAMP", "MAKE_TIMESTAMP", "EPOCH_MS", "FROM_UNIXTIME"),
        "Write TIMESTAMP '2026-05-01 10:00:00', or EPOCH(timestamp) for seconds.",
    ),
    "MAKE_DATE": "Write DATE '2026-05-01'.",
    **dict.fromkeys(("GETDATE", "LOCALTIMESTAMP"), "Write NOW()."),
    **dict.fromkeys(("JSON_VALUE", "JSON_QUERY", "GET_JSON_OBJECT"), "Write metadata ->> 'ide'."),
    **dict.fromkeys(
        ("ARG_MAX", "ARG_MIN", "MAX_BY", "MIN_BY", "ARGMAX", "ARGMIN"),
        "Write QUALIFY ROW_NUMBER() OVER (PARTITION BY ... ORDER BY ...) = 1.",
    ),
    "MODE": "Count each value: GROUP BY it, ORDER BY COUNT(*) DESC, LIMIT 1.",
    **dict.fromkeys(("ARRAY_AGG", "LIST", "GROUP_ARRAY"), "Write STRING_AGG(channel, ', ')."),
    **dict.fromkeys(("UNIQ", "UNIQEXACT"), "Write COUNT(DISTINCT user_id_hash)."),
    **dict.fromkeys(("WIDTH_BUCKET", "HISTOGRAM"), "Write FLOOR(duration_ms / 100) * 100."),
    **dict.fromkeys(
        ("REGEXP_REPLACE", "REGEXP_EXTRACT", "REGEXP_SUBSTR"),
        "REPLACE, SPLIT_PART and REGEXP_LIKE do most of it.",
    ),
    "ISNULL": "Write COALESCE(release, 'unknown'), or release IS NULL.",
    **dict.fromkeys(("RANDOM", "RAND"), "Nothing is left to chance here: ORDER BY event_id."),
}
