"""The firmware on an emulated Cortex-M3, followed by the runtime: nothing is lost, and labels are those of the recording played directly."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import test_firmware_board as board_tests

from aura_edge import bundle as bundles
from aura_edge.commands.stream import DEMO_BUNDLE, demo_file
from aura_edge.engines import open_engine
from aura_edge.pipeline import Pipeline
from aura_edge.prototypes import load_for
from aura_edge.sources import Source, open_source
from aura_edge.sources.duration import FirstSeconds
from aura_edge.testing import ListSink
from aura_edge.types import ImuChunk, Summary

image = board_tests.image
"""The firmware, built once."""


class AtItsOwnPace:
    """A live source whose device runs faster than the clock: nothing is late, so no hop is skipped."""

    def __init__(self, source: Source) -> None:
        self.info = replace(source.info, live=False)
        self._source = source

    def __iter__(self) -> Iterator[ImuChunk]:
        return iter(self._source)

    def report(self) -> object:
        return self._source.report()  # type: ignore[attr-defined]

    def close(self) -> None:
        self._source.close()


def labelled(source: object) -> tuple[Summary, ListSink]:
    model = bundles.load(demo_file(DEMO_BUNDLE))
    sink = ListSink()
    summary = Pipeline(source, open_engine("auto", model), load_for(model), model.manifest, [sink]).run()  # type: ignore[arg-type]
    return summary, sink


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def connected(port: int) -> Source:
    """The board behind a socket, once QEMU listens."""
    deadline_s = time.monotonic() + 30
    while True:
        try:
            return open_source(
                f"serial:socket://127.0.0.1:{port}", wait=True, cancelled=lambda: time.monotonic() > deadline_s
            )
        except KeyboardInterrupt:
            pytest.fail("QEMU never listened")


def follow(image: Path, seconds: float) -> tuple[Summary, ListSink]:
    port = free_port()
    serial = ["-serial", f"tcp:127.0.0.1:{port},server=on,wait=off", *board_tests.FAST]
    with board_tests.qemu(image, *serial):
        return labelled(FirstSeconds(AtItsOwnPace(connected(port)), seconds))  # type: ignore[arg-type]


def played(first: int, count: int, tmp_path: Path) -> ListSink:
    """The same samples from a file: those of the compiled-in motion from number `first` on."""
    make = board_tests.make_motion()
    counts = make.counts_of(board_tests.RECORDING)
    rows = np.arange(first, first + count) % len(counts)
    scale = np.repeat([float(np.float32(f"{number:.9e}")) for number in make.PER_COUNT], 3)
    samples = (counts[rows] * scale).astype(np.float32)
    np.savez(tmp_path / "motion.npz", t_ns=np.arange(count) * 5_000_000, imu=samples, units="m/s2, rad/s")
    return labelled(open_source(f"replay:{tmp_path / 'motion.npz'}", speed="max"))[1]


def check(summary: Summary, sink: ListSink, seconds: float, tmp_path: Path) -> None:
    count = round(seconds * 200)
    assert summary.samples["read"] == count
    assert summary.lost == 0
    assert summary.samples["read"] == sum(n for reason, n in summary.samples.items() if reason != "read")
    assert {name: n for name, n in summary.device.items() if name.startswith(("discarded", "dropped"))} == {}
    direct = played(0, count, tmp_path)
    assert [item.label for item in sink.predictions] == [item.label for item in direct.predictions]
    assert [item.score for item in sink.predictions] == [item.score for item in direct.predictions]
    origin_ns = sink.predictions[0].t0_ns
    assert [item.t0_ns - origin_ns for item in sink.predictions] == [item.t0_ns for item in direct.predictions]


def test_board_becomes_the_labels_of_its_recording(image: Path, tmp_path: Path) -> None:
    """Half a minute: every sample, every label, every probability."""
    summary, sink = follow(image, 30)
    assert len(sink.predictions) >= 49
    check(summary, sink, 30, tmp_path)


@pytest.mark.slow
def test_ten_minutes_of_the_board(image: Path, tmp_path: Path) -> None:
    """120,000 samples, none unexplained; labels equal to those of the recording played directly."""
    summary, sink = follow(image, 600)
    assert len(sink.predictions) > 1180
    check(summary, sink, 600, tmp_path)
