"""Where samples come from: one small protocol, and a URL for each kind.

`serial:/dev/ttyUSB0`, `replay:walk.csv`, `vrs:glasses.vrs`, `synthetic:`; hardware-free URLs are equal citizens. A source that reads other
units converts them at its door; one that cannot know them asks, and refuses to guess.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable
from urllib.parse import parse_qsl

from aura_edge.errors import InputError
from aura_edge.types import ImuChunk, SourceInfo


class Source(Protocol):
    """Iterating pulls chunks, and ends when the recording ends or after `close()`."""

    info: SourceInfo

    def __iter__(self) -> Iterator[ImuChunk]: ...

    def close(self) -> None: ...


@runtime_checkable
class LiveSource(Source, Protocol):
    """A source that follows a device, and can say how that goes."""

    def report(self) -> Mapping[str, float]:
        """Counts and measurements so far, by name; a name says its unit."""
        ...


@runtime_checkable
class SpokenTo(Source, Protocol):
    """A source that had to find out what is spoken."""

    @property
    def found(self) -> str:
        """That, in words for people."""
        ...


SCHEMES: Mapping[str, str] = {
    "replay": "aura_edge.sources.opening:replay",
    "serial": "aura_edge.sources.opening:serial",
    "synthetic": "aura_edge.sources.opening:synthetic",
    "vrs": "aura_edge.sources.opening:vrs",
}
"""What makes a source for each scheme: a function of a path and of keyword options. Dotted strings: only the one asked for is imported."""

_INNER = ("form", "clock", "sleep", "cancelled")
"""Options for callers in Python only: no text can say them."""
_URL = re.compile(r"([a-z][a-z0-9+]+):(.*)", re.DOTALL)
_QUERY = re.compile(r"(.*)\?([a-z][a-z0-9_]*=[^?]*)", re.DOTALL)


def open_source(url: str | os.PathLike[str], **options: object) -> Source:
    """Open `replay:PATH`, `vrs:PATH`, `synthetic:?seconds=30&seed=1`, or a bare path, whose ending tells which.

    Options come in the URL, as in `replay:walk.csv?speed=max&units=g,deg/s`, or by keyword, which is stronger; one that is None or False
    is as good as not given. `aura_edge.sources.opening` lists them. Raises `InputError` for a scheme, an option or a file that cannot be
    used, and `UnitsError`.
    """
    text = os.fspath(url)
    scheme, rest = _scheme(text)
    module, _, name = SCHEMES[scheme].partition(":")
    make: Callable[..., Source] = getattr(importlib.import_module(module), name)
    known = [name for name, p in inspect.signature(make).parameters.items() if p.kind is p.KEYWORD_ONLY]
    sayable = [name for name in known if name not in _INNER]
    path, said = _parted(rest, sayable)
    asked = {key: _typed(key, value) for key, value in said.items()}
    given = {key: value for key, value in options.items() if value is not None and value is not False}
    for key in (*asked, *given):
        if key not in (known if key in given else sayable):
            raise InputError(f"{text}: option {key!r} means nothing to {scheme}. It takes: {', '.join(sayable)}.")
    return make(path, **{**asked, **given})


def _scheme(text: str) -> tuple[str, str]:
    """Scheme and rest. A file whose name has a colon is found all the same."""
    if found := _URL.fullmatch(text):
        if found[1] in SCHEMES:
            return found[1], found[2]
        if not os.path.exists(text):
            raise InputError(
                f"{text}: unknown scheme {found[1]!r}. Known are: {', '.join(f'{name}:' for name in SCHEMES)} and a path."
            )
    return ("vrs" if text.partition("?")[0].lower().endswith(".vrs") else "replay"), text


def _parted(rest: str, sayable: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Path and options. A path that is a URL itself, as those of pyserial are, keeps options of which none is ours."""
    path, said = rest, {}
    if found := _QUERY.fullmatch(rest):
        options = dict(parse_qsl(found[2], keep_blank_values=True))
        if "://" not in found[1] or not options.keys().isdisjoint(sayable):
            path, said = found[1], options
    return path.removeprefix("//"), said


def _typed(key: str, text: str) -> object:
    """The value of an option written in a URL."""
    try:
        if key in ("rate_hz", "seconds", "jitter_ms", "loss"):
            return float(text)
        if key in ("seed", "baud"):
            return int(text)
        if key in ("loop", "counter", "wait"):
            return {"1": True, "true": True, "yes": True, "": True, "0": False, "false": False, "no": False}[
                text.lower()
            ]
    except (ValueError, KeyError):
        raise InputError(
            f"option {key}={text}: expected {'1 or 0' if key in ('loop', 'counter', 'wait') else 'a number'}."
        ) from None
    return text
