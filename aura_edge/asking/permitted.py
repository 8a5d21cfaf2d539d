"""What a query of a stranger may say: one SELECT, over the diary's views, with functions that compute and nothing else.

The connection is read-only and without access to files or the network, whatever is asked; this is the second lock on that door, and the one that
keeps the database's own tables (settings, paths) from being read. What is allowed is listed; all else is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

VIEWS = ("sessions", "windows", "spells", "hours", "transitions", "happenings")
TABLE_FUNCTIONS = frozenset(["range", "generate_series", "unnest"])
_COMPUTING = """
+ - * / // % ^ ** || ~~ !~~ ~~* !~~* @ abs any_value arg_max arg_min array_agg avg bool_and bool_or ceil ceiling century coalesce
concat concat_ws contains count count_if count_star countif cume_dist date_add date_diff date_part date_sub date_trunc datediff datepart
datesub datetrunc day dayname dayofmonth dayofweek dayofyear decade dense_rank ends_with epoch epoch_ms epoch_ns epoch_us even fdiv first
first_value floor fmod greatest histogram hour ifnull isfinite isnan isodow isoyear lag last last_day last_value lcase lead least left len
length list list_value ln log log10 log2 lower ltrim mad make_date make_time make_timestamp max max_by mean median microsecond millisecond
min min_by minute mod mode month monthname nth_value ntile nullif percent_rank position pow power product quantile quantile_cont
quantile_disc quarter rank regexp_extract regexp_matches replace reverse right round row_number rtrim second sem sign spoken sqrt
starts_with stddev stddev_pop stddev_samp strftime string_agg strip_accents strpos strptime struct_pack substr substring sum time_bucket
to_days to_hours to_milliseconds to_minutes to_months to_seconds to_weeks to_years trim trunc try_strptime ucase unnest upper var_pop
var_samp variance week weekday weekofyear year yearweek
"""
FUNCTIONS = frozenset(_COMPUTING.split())
LONGEST_QUERY = 4000
_REFUSED = {
    "SHOW_REF": "DESCRIBE and SHOW; the views are described already",
    "RECURSIVE_CTE_NODE": "WITH RECURSIVE",
    "VALUE_PARAMETER": "parameters",
}


class NotPermittedError(ValueError):
    """A query that is not run; its text says why, for the one who wrote it."""


def require_permitted(connection: Any, sql: str) -> None:
    """Raise `NotPermittedError` unless `sql` is one SELECT over `VIEWS` with listed functions only. DuckDB's own parser reads it; nothing runs."""
    if len(sql) > LONGEST_QUERY:
        raise NotPermittedError(f"the query has {len(sql)} characters; at most {LONGEST_QUERY} are read.")
    (text,) = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()
    tree = msgspec.json.decode(text)
    if tree["error"]:
        raise NotPermittedError(f"only a SELECT that DuckDB can parse is run: {tree.get('error_message', 'it cannot')}")
    if len(tree["statements"]) != 1:
        raise NotPermittedError(f"{len(tree['statements'])} statements; send one SELECT at a time.")
    nodes = list(_nodes(tree))
    known = {name.lower() for name in VIEWS} | {name.lower() for node in nodes for name in _named(node)}
    for node in nodes:
        kind, function = node.get("type"), node.get("function_name")
        if (
            isinstance(kind, str) and kind in _REFUSED
        ):  # a value has a type too, and some versions write it as an object
            raise NotPermittedError(f"not permitted: {_REFUSED[kind]}.")
        if kind == "BASE_TABLE":
            name = ".".join(filter(None, (node["catalog_name"], node["schema_name"], node["table_name"])))
            if name.lower() not in known:
                raise NotPermittedError(f"there is no view {name!r}; there are {', '.join(VIEWS)}.")
        if kind == "TABLE_FUNCTION":
            called = node["function"].get("function_name")
            if called not in TABLE_FUNCTIONS:
                raise NotPermittedError(f"not permitted: the table function {called}.")
        elif isinstance(function, str) and function.lower() not in FUNCTIONS | TABLE_FUNCTIONS:
            raise NotPermittedError(f"not permitted: the function {function}.")


def _named(node: dict[str, Any]) -> Iterator[str]:
    """Names that WITH gives."""
    for entry in (node.get("cte_map") or {}).get("map", ()):
        yield entry["key"]


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object in a parsed query; an own stack, for queries may be nested deeper than Python's."""
    waiting = [tree]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
