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


def export_mcap(recording: str | os.PathLike[str], target: str | os.PathLike[str]) -> int:
    """Write the samples of a recorded run to `target`, beside it first; give their number.

    A message's log time is the host time of its sample, by the fitted clock where there is one. Raises `InputError` for what is no
    recording, `SinkError` for a place that cannot be written, `MissingExtraError` without the extra `mcap`.
    """
    writer_module = require("mcap.writer", extra="mcap")
    recorded = Recorded(recording)
    source = WireSource(RecordedWire(recorded, speed=math.inf), Session(recorded.header))
    draft = Path(f"{os.fspath(target)}.part")
    count = 0
    try:
        with open(draft, "wb") as file:
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
        raise SinkError(
            f"{target}: cannot be written: {error.strerror}. Free some space or choose another place."
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    return count
