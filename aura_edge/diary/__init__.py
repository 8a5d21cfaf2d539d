"""The diary: predictions and events of many runs in one DuckDB file, and what a day amounts to.

`aura_edge.sinks.diary` writes it, `reading` reads it, `screen` and `page` show it; `schema` says what is in it. Device time decides how long
something lasted, host time when it was: `clock` lays the one out on the other.
"""
