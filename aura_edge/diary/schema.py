"""What a diary holds: four tables that are only ever added to, and views of them for people and for questions.

A row names its run by `session`. `*_ns` are int64: `t0_ns`, `t1_ns`, `from_ns`, `t_ns` of the device's clock, `host_ns` (arrival) and `clock_ns`
(when it was, see `clock.DayClock`) Unix time. `utc_offset_s` is what local time was ahead of UTC then, where the diary was kept, so that an
hour is the same hour wherever it is read. A window's share is `t1_ns - from_ns`: shares tile device time, and seconds per label are their sum.

The views are in seconds and in local time:
    sessions     one row per run
    windows      one row per prediction: its share
    spells       consecutive windows of one label
    hours        seconds of each label in each clock hour
    transitions  one row for each change from a label to the next without a pause
    happenings   starts and ends as the classifier told them
"""

from __future__ import annotations

import re
from typing import Any

SCHEMA = 1
KIND = f"an aura-edge diary of schema {SCHEMA}"

TABLES = f"""
CREATE TABLE about (kind VARCHAR);
CREATE TABLE session (
    session INTEGER, source VARCHAR, model VARCHAR, labels VARCHAR, began_ns BIGINT, utc_offset_s INTEGER, time_zone VARCHAR
);
CREATE TABLE prediction (
    session INTEGER, number INTEGER, from_ns BIGINT, t0_ns BIGINT, t1_ns BIGINT, host_ns BIGINT, host_t1_ns BIGINT, clock_ns BIGINT,
    utc_offset_s INTEGER, label VARCHAR, state VARCHAR, score DOUBLE, top_labels VARCHAR[], top_scores DOUBLE[],
    interpolated DOUBLE, clipped DOUBLE, model VARCHAR, labels VARCHAR
);
CREATE TABLE event (
    session INTEGER, kind VARCHAR, label VARCHAR, state VARCHAR, t_ns BIGINT, host_ns BIGINT, clock_ns BIGINT, utc_offset_s INTEGER,
    score DOUBLE, duration_s DOUBLE
);
CREATE TABLE ending (
    session INTEGER, ended_ns BIGINT, engine VARCHAR, interrupted BOOLEAN, windows_skipped INTEGER, lost BIGINT, notes VARCHAR[]
);
INSERT INTO about VALUES ('{KIND}');
"""

_HOUR_NS = 3_600_000_000_000


def _local(unix_ns: str) -> str:
    """SQL for a local time stamp, to the millisecond."""
    return f"make_timestamp((({unix_ns} + utc_offset_s * 1000000000::BIGINT) // 1000000) * 1000)"


VIEWS = f"""
CREATE VIEW windows AS
    SELECT session, number, label, state, score,
        {_local("clock_ns - (t1_ns - from_ns)")} AS started, {_local("clock_ns")} AS ended, (t1_ns - from_ns) / 1e9 AS seconds
    FROM prediction;

CREATE VIEW spells AS
    WITH marked AS (
        SELECT *, coalesce(from_ns <> lag(t1_ns) OVER run OR label <> lag(label) OVER run OR state <> lag(state) OVER run, true) AS begins
        FROM prediction WINDOW run AS (PARTITION BY session ORDER BY number)
    ), counted AS (
        SELECT *, sum(begins::INTEGER) OVER (PARTITION BY session ORDER BY number) AS spell FROM marked
    )
    SELECT session, spell::INTEGER AS spell, any_value(label) AS label, any_value(state) AS state,
        min_by({_local("clock_ns - (t1_ns - from_ns)")}, number) AS started, max_by({_local("clock_ns")}, number) AS ended,
        sum(t1_ns - from_ns) / 1e9 AS seconds, avg(score) AS score, count(*) AS windows,
        min(from_ns) AS from_ns, max(t1_ns) AS t1_ns
    FROM counted GROUP BY session, spell;

CREATE VIEW hours AS
    WITH share AS (
        SELECT session, label, state, utc_offset_s, clock_ns + utc_offset_s * 1000000000::BIGINT AS b, b - (t1_ns - from_ns) AS a
        FROM prediction
    ), cut AS (
        SELECT *, unnest(range(
            (a - ((a % {_HOUR_NS} + {_HOUR_NS}) % {_HOUR_NS})) // {_HOUR_NS},
            (b - 1 - (((b - 1) % {_HOUR_NS} + {_HOUR_NS}) % {_HOUR_NS})) // {_HOUR_NS} + 1
        )) AS h FROM share
    )
    SELECT make_timestamp(h * {_HOUR_NS // 1000}) AS hour, utc_offset_s, label, any_value(state) AS state,
        sum(least(b, (h + 1) * {_HOUR_NS}) - greatest(a, h * {_HOUR_NS}))::BIGINT AS ns, ns / 1e9 AS seconds
    FROM cut GROUP BY h, utc_offset_s, label;

CREATE VIEW transitions AS
    WITH pair AS (
        SELECT session, started AS changed, label AS to_label, lag(label) OVER run AS from_label, from_ns <> lag(t1_ns) OVER run AS paused
        FROM spells WINDOW run AS (PARTITION BY session ORDER BY spell)
    )
    SELECT session, changed, from_label, to_label FROM pair WHERE NOT paused;

CREATE VIEW happenings AS
    SELECT session, kind, label, state, {_local("clock_ns")} AS happened, score, duration_s FROM event;

CREATE VIEW sessions AS
    SELECT s.session, s.source, s.model, s.labels,
        make_timestamp(((s.began_ns + s.utc_offset_s * 1000000000::BIGINT) // 1000000) * 1000) AS began, s.utc_offset_s, s.time_zone,
        p.started, p.ended, p.seconds, p.windows, p.label_sets, e.session IS NOT NULL AS closed, e.engine, e.interrupted, e.windows_skipped
    FROM session s
    LEFT JOIN (
        SELECT session, min(started) AS started, max(ended) AS ended, sum(ns)::BIGINT / 1e9 AS seconds, count(*) AS windows,
            count(DISTINCT labels) AS label_sets
        FROM (
            SELECT session, t1_ns - from_ns AS ns, labels, {_local("clock_ns - (t1_ns - from_ns)")} AS started, {_local("clock_ns")} AS ended
            FROM prediction
        ) GROUP BY session
    ) p USING (session)
    LEFT JOIN ending e USING (session);
"""


def stated_kind(connection: Any) -> str:
    """What an open DuckDB file says it is: `KIND`, or words for something else."""
    known = connection.execute(
        "SELECT count(*) FROM duckdb_columns() WHERE table_name = 'about' AND column_name = 'kind'"
    )
    row = connection.execute("SELECT kind FROM about").fetchone() if known.fetchone()[0] else None
    return str(row[0]) if row else "a database of something else"


def reason_of(error: Exception) -> str:
    """What DuckDB could not do, in one line, and what to do about it."""
    line = str(error).strip().partition("\n")[0]
    if "lock" in line:
        holder = re.search(r"PID (\d+)", line)
        return f"another process{f' ({holder[1]})' if holder else ''} has it open. Wait until that stream has ended, or end it."
    if "not a valid DuckDB" in line:
        return "it is no DuckDB file. Choose another one."
    return f"{line.rstrip('.')}. Check that the folder is there, may be written and has space."
