"""A recorded run as MCAP, the container that Foxglove and other robotics tools read: one JSON message a sample, in SI units."""

from __future__ import annotations

import math
import os
from pathlib import Path

import msgspec

from aura_edge.errors import SinkError, require
from aura_edge.sources.serial.recording import Recorded
from aura_edge.sources.serial.session import Session
from aura_edge.sources.serial.source import RecordedWire, WireSource

TOPIC = "/imu"
_LAST_NS = (1 << 64) - 1
"""Of the times that MCAP can say, from 0."""
_VECTOR = {"type": "object", "properties": {axis: {"type": "number"} for axis in "xyz"}}
SCHEMA = {
    "title": "aura_edge.Imu",
    "description": "linear_acceleration in m/s2 with gravity, angular_velocity in rad/s; device_ns is the device's clock",
    "type": "object",
    "properties": {
        "device_ns": {"type": "integer"},
        "linear_acceleration": _VECTOR,
        "angular_velocity": _VECTOR,
    },
}


def export_mcap(recording: str | os.PathLike[str], target: str | os.PathLike[str]) -> tuple[int, tuple[str, ...]]:
    """Write the samples of a recorded run to `target`, which must not be there yet, beside it first; give their number, and
    what a person should be told of the run.

    A message's log time is the host time of its sample, by the fitted clock where there is one, and never
    before that of the sample before it. Raises `InputError` for what is no
    recording, `SinkError` for a place that is taken or cannot be written, `MissingExtraError` without the extra `mcap`.
    """
    if os.path.lexists(target):
        raise _taken(target)
    writer_module = require("mcap.writer", extra="mcap")
    recorded = Recorded(recording)
    source = WireSource(RecordedWire(recorded, speed=math.inf), Session(recorded.header))
    draft = Path(f"{os.fspath(target)}.part")
    count = last_ns = 0
    try:
        file = open(draft, "xb")  # noqa: SIM115 - what is opened here is ours to remove
    except FileExistsError:
        raise _taken(draft) from None
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        with file:
            writer = writer_module.Writer(file)
            writer.start(library="aura-edge")
            schema = writer.register_schema(
                name="aura_edge.Imu", encoding="jsonschema", data=msgspec.json.encode(SCHEMA)
            )
            channel = writer.register_channel(
                topic=TOPIC, message_encoding="json", schema_id=schema, metadata={"source": source.info.name}
            )
            for chunk in source:
                for t_ns, row in zip(chunk.t_ns.tolist(), chunk.samples.tolist(), strict=True):
                    message = {
                        "device_ns": t_ns,
                        "linear_acceleration": dict(zip("xyz", row[:3], strict=True)),
                        "angular_velocity": dict(zip("xyz", row[3:], strict=True)),
                    }
                    host_ns = chunk.host_ns if chunk.clock is None else chunk.clock.host_at(t_ns)
                    # The fit moves a little with what it hears: readers sort by this time, and samples must stay in their order.
                    host_ns = last_ns = min(max(host_ns, last_ns), _LAST_NS)
                    writer.add_message(
                        channel,
                        log_time=host_ns,
                        publish_time=host_ns,
                        sequence=count,
                        data=msgspec.json.encode(message),
                    )
                    count += 1
            writer.finish()
        draft.replace(target)
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        draft.unlink(missing_ok=True)
    return count, source.info.notes


def _taken(path: str | os.PathLike[str]) -> SinkError:
    return SinkError(f"{path}: is there already, and nothing is written over. Name another file, or remove it.")


def _unwritable(path: str | os.PathLike[str], error: OSError) -> SinkError:
    return SinkError(f"{path}: cannot be written: {error.strerror}. Free some space or choose another place.")
