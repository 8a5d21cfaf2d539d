"""Plans on disk: each beside a JSON file that says what it was built from and for, and the sha256 of its content.

    <cache>/trt/<bundle>-<precision>-<what>.plan      and `.json` beside it

A plan for another GPU or library version would at best not load, so its facts are compared before TensorRT sees a byte. Files are written
beside and renamed, the JSON last: a pair that a kill has torn apart does not match, and is made again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from aura_edge.engines.trt.library import LOG
from aura_edge.whole_files import replace_file


class EngineKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an engine depends on; any difference means another engine."""

    onnx_sha256: str
    library: str
    """`tensorrt`, `tensorrt_rtx`."""
    library_version: str
    gpu: str
    compute_capability: str
    """`8.7`."""
    driver_version: int
    """As the driver counts: 12060."""
    precision: str
    shapes: tuple[str, ...]
    """Of the profiles: `1x6x1000`, `1..16..64x6x1000`."""


WORDS = {
    "onnx_sha256": "model",
    "library": "library",
    "library_version": "library version",
    "gpu": "GPU",
    "compute_capability": "compute capability",
    "driver_version": "driver",
    "precision": "precision",
    "shapes": "batch sizes",
}
"""How a difference is told."""
FOREIGN = ("library", "library_version", "gpu", "compute_capability")
"""What makes a plan another machine's, or another library's, and not only an old one."""


class _Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The JSON file."""

    key: EngineKey
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Kept:
    """What there was: the content, or why it cannot be used. Both are empty where nothing was."""

    content: bytes = b""
    reason: str = ""


def read(path: Path, key: EngineKey) -> Kept:
    """The content of `path` if it was made for `key` and is whole; else the reason why not, for people."""
    try:
        raw = path.with_suffix(path.suffix + ".json").read_bytes()
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return Kept()
    except OSError as error:
        return Kept(reason=f"the engine kept at {path} cannot be read ({error.strerror})")
    try:
        note = msgspec.json.decode(raw, type=_Note)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Kept(reason=f"the engine kept at {path} has a note that cannot be read ({error})")
    if differences := _differences(note.key, key):
        return Kept(reason=differences)
    if len(content) != note.bytes or hashlib.sha256(content).hexdigest() != note.sha256:
        return Kept(reason=f"the engine kept at {path} is damaged: its sha256 is not the one noted")
    return Kept(content)


def write(path: Path, key: EngineKey, content: bytes) -> None:
    """Keep `content`; where that cannot be, say so in the log and go on, since it is there in memory."""
    note = msgspec.json.format(msgspec.json.encode(_Note(key, hashlib.sha256(content).hexdigest(), len(content))))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content)
        replace_file(path.with_suffix(path.suffix + ".json"), note + b"\n")
    except OSError as error:
        LOG.warning("%s: the engine cannot be kept: %s. It will be built again next time.", path, error.strerror)


def _differences(old: EngineKey, new: EngineKey) -> str:
    """All that differs, in one sentence: whose the kept engine is, then what is here."""
    pairs = [
        (name, getattr(old, name), getattr(new, name)) for name in WORDS if getattr(old, name) != getattr(new, name)
    ]
    if not pairs:
        return ""
    told = ", ".join(f"{WORDS[name]} {_short(then)} instead of {_short(now)}" for name, then, now in pairs)
    foreign = any(name in FOREIGN for name, _, _ in pairs)
    return f"the engine kept was built {'elsewhere' if foreign else 'before'}, with {told}"


def _short(value: object) -> str:
    if isinstance(value, tuple):
        return "+".join(map(str, value))
    text = str(value)
    return text[:12] if len(text) == 64 else text
