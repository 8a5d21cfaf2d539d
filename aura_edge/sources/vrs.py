"""Project Aria recordings, first and second generation, through `projectaria_tools`.

A stream is chosen by its label, since ids swap sides between generations. Readings are rectified with the factory calibration where there is
one, and stay in the rectified frame of that sensor (`frame="imu"`) or are turned into the frame of the glasses (`frame="device"`), where left
and right agree. Times are those of the device clock.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import InputError, require
from aura_edge.sources.files import as_path
from aura_edge.sources.formats import Block
from aura_edge.sources.timeline import rate_of_head, settle_rate
from aura_edge.sources.vrs_file import Survey, survey
from aura_edge.types import SourceInfo

log = logging.getLogger("aura_edge.sources.vrs")

DEFAULT_STREAM = "imu-right"
BLOCK_ROWS = 1024
FRAMES = ("imu", "device")


class VrsRecording:
    """One IMU stream of a VRS file. A sample that the device marked as invalid is not a number."""

    def __init__(self, path: str | os.PathLike[str], *, stream: str = DEFAULT_STREAM, frame: str = "imu") -> None:
        """`stream` is a label such as `imu-left`. Raises `InputError` when the file or the stream is not there."""
        where = as_path(path)
        if frame not in FRAMES:
            raise InputError(f"frame {frame!r}: expected {' or '.join(FRAMES)}.")
        found = survey(where)
        self._provider = _open(where, found)
        self._stream, others = _choose(where, self._provider, stream, found.data_records)
        self._count = int(self._provider.get_num_data(self._stream))
        notes = [f"stream {stream}" + (f"; there is also {', '.join(others)}" if others else "")]
        calibration = self._provider.get_device_calibration()
        factory = calibration.get_imu_calib(stream) if calibration is not None else None
        if factory is None:
            if frame == "device":
                raise InputError(
                    f"{where}: no calibration of {stream}, so its frame is not known. Leave it as it is: frame=imu."
                )
            notes.append("no factory calibration in the file: read as measured, not rectified")
        self._maps = _maps(factory, frame)
        self.damage = found.damage
        """What is wrong with the file, as one that was cut off; empty where nothing is."""
        if self.damage:
            notes.append(self.damage)
        head = next(self.blocks(), None)
        if head is None:
            raise InputError(f"{where}: stream {stream} has no sample. {found.damage or 'Choose another stream.'}")
        shown_hz = rate_of_head(where, head.t_ns, np.ones(len(head.t_ns), np.bool_), head.samples)
        rate_hz, _ = settle_rate(where, shown_hz, None)
        self.info = SourceInfo(
            name=str(where), rate_hz=rate_hz, units="m/s2, rad/s", placement="glasses", notes=tuple(notes)
        )

    def blocks(self, *, labels: bool = False) -> Iterator[Block]:
        """All samples by index, about a second at a time; there are no labels."""
        (acc_map, acc_offset), (gyro_map, gyro_offset) = self._maps
        read = self._provider.get_imu_data_by_index
        for start in range(0, self._count, BLOCK_ROWS):
            rows = [read(self._stream, index) for index in range(start, min(start + BLOCK_ROWS, self._count))]
            t_ns = np.array([row.capture_timestamp_ns for row in rows], np.int64)
            acc = np.array([row.accel_msec2 for row in rows]) @ acc_map.T + acc_offset
            gyro = np.array([row.gyro_radsec for row in rows]) @ gyro_map.T + gyro_offset
            acc[[not row.accel_valid for row in rows]] = np.nan
            gyro[[not row.gyro_valid for row in rows]] = np.nan
            yield Block(t_ns, np.concatenate([acc, gyro], axis=1).astype(np.float32))


def _open(path: Path, found: Survey) -> Any:
    data_provider = require("projectaria_tools.core.data_provider", extra="vrs")
    try:
        with _library_output():
            provider = data_provider.create_vrs_data_provider(str(path))
    except RuntimeError as error:
        remedy = (
            f"But {found.damage}: copy the recording again" if found.damage else f"Expected one with {DEFAULT_STREAM}"
        )
        raise InputError(
            f"{path}: no IMU that projectaria_tools can read ({error}); its streams are: {_listed(found.data_records)}. {remedy}."
        ) from error
    if provider is None:
        raise InputError(f"{path}: not a VRS file that projectaria_tools can open. Copy the recording again.")
    return provider


def _choose(path: Path, provider: Any, stream: str, streams: dict[str, int]) -> tuple[Any, list[str]]:
    """The id of the stream with that label, and the labels of the other IMU streams.

    The library gives an id for a label whose stream is not in the file, so each is looked at whether it is active.
    """
    labels: dict[str, Any] = {}
    with _library_output():
        for identity in provider.get_all_streams():
            if provider.check_stream_is_active(identity):
                labels[str(provider.get_label_from_stream_id(identity) or identity)] = identity
    imus = sorted(label for label in labels if label.startswith("imu"))
    if not imus:
        raise InputError(f"{path}: it has no IMU; its streams are: {', '.join(sorted(labels)) or _listed(streams)}.")
    if stream not in imus:
        raise InputError(
            f"{path}: no IMU stream {stream!r}. It has: {', '.join(imus)}. Choose one of them: --stream {imus[0]}"
        )
    return labels[stream], [label for label in imus if label != stream]


def _maps(factory: Any, frame: str) -> tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...]:
    """Matrix (3, 3) and offset (3,) that rectify accelerometer and gyroscope: the calibration is affine, and one product is faster than N calls."""
    if factory is None:
        return (np.eye(3), np.zeros(3)), (np.eye(3), np.zeros(3))
    rotation = np.asarray(factory.get_transform_device_imu().to_matrix())[:3, :3] if frame == "device" else np.eye(3)
    maps = []
    for rectify in (factory.raw_to_rectified_accel, factory.raw_to_rectified_gyro):
        offset = np.asarray(rectify(np.zeros(3))).reshape(3)
        matrix = np.stack([np.asarray(rectify(axis)).reshape(3) - offset for axis in np.eye(3)], axis=1)
        maps.append((rotation @ matrix, rotation @ offset))
    return tuple(maps)


def _listed(streams: dict[str, int]) -> str:
    return ", ".join(f"{stream} ({count} records)" for stream, count in sorted(streams.items())) or "none"


@contextlib.contextmanager
def _library_output() -> Iterator[None]:
    """Send what the C++ library writes to the process's standard output and error to our log, at debug level.

    It opens files with a dozen lines, some of them on standard output, where they would stand between the lines of a JSON sink.
    """
    try:
        kept = [(fd, os.dup(fd)) for fd in (1, 2)]
    except OSError:  # a daemon without them
        yield
        return
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.flush()
    with tempfile.TemporaryFile() as caught:
        try:
            for fd, _ in kept:
                os.dup2(caught.fileno(), fd)
            yield
        finally:
            for fd, copy in kept:
                os.dup2(copy, fd)
                os.close(copy)
            caught.seek(0)
            for line in caught.read().decode("utf-8", "replace").splitlines():
                log.debug("%s", line)
