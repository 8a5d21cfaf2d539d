"""A recording as MCAP: nothing that is there is written over, least of all the recording itself."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from aura_edge.errors import SinkError
from aura_edge.sources.serial.happenings import Arrived, Connected
from aura_edge.sources.serial.mcap import export_mcap
from aura_edge.sources.serial.recording import Recorder
from aura_edge_firmware_bridge.codec import encode
from aura_edge_firmware_bridge.messages import Samples


@pytest.mark.parametrize("target", ["own.aurec", "notes.txt", "link.aurec"])
def test_file_that_is_there_is_never_written_over(tmp_path: Path, target: str) -> None:
    """The recording under its own name, under another, and anything else."""
    recording = tmp_path / "own.aurec"
    recording.write_bytes(b"lossless")
    (tmp_path / "notes.txt").write_bytes(b"precious")
    (tmp_path / "link.aurec").symlink_to(recording)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(SinkError, match="is there already"):
        export_mcap(recording, tmp_path / target)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_draft_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """What happens to be called as our draft would be is kept too."""
    pytest.importorskip("mcap.writer", reason="the extra mcap is not installed")
    from test_serial_source import board

    source, _ = board(record=tmp_path / "run.aurec")
    source.close()
    (tmp_path / "run.mcap.part").write_bytes(b"precious")
    with pytest.raises(SinkError, match="is there already"):
        export_mcap(tmp_path / "run.aurec", tmp_path / "run.mcap")
    assert (tmp_path / "run.mcap.part").read_bytes() == b"precious"
    (tmp_path / "run.mcap.part").unlink()
    assert export_mcap(tmp_path / "run.aurec", tmp_path / "run.mcap")[0] > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.aurec", "run.mcap"]


def test_what_cannot_be_read_of_a_recording_is_told(tmp_path: Path) -> None:
    """A damaged recording becomes as much MCAP as can be read, and its note comes with it."""
    pytest.importorskip("mcap.writer", reason="the extra mcap is not installed")
    from test_serial_recording import record

    path = tmp_path / "run.aurec"
    record(path).close()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    count, notes = export_mcap(path, tmp_path / "run.mcap")
    assert 0 < count < 600
    assert "cannot be read" in " ".join(notes)


def test_samples_keep_their_order_however_late_messages_are(tmp_path: Path) -> None:
    """Readers sort by log time; it follows a fit that moves when what comes first had waited, or is late by a chance."""
    reader = pytest.importorskip("mcap.reader", reason="the extra mcap is not installed")
    from test_serial_recording import HEADER, HELLO, S

    rng = random.Random(3)
    recorder = Recorder(tmp_path / "run.aurec", HEADER, host_ns=0)
    happenings = [Connected(0, "board"), Arrived(1, b"\0" + encode(HELLO))]
    late_ns = 0
    for i in range(200):
        delay_s = 0.08 if i < 2 else rng.choice([0, 0, 0.04]) * rng.random()
        late_ns = max(late_ns, (i + 1) * S // 20 + round(delay_s * S))
        happenings.append(Arrived(late_ns, encode(Samples(i * 10, i * 50_000, 5_000_000, np.ones((10, 6), np.int16)))))
    for happening in happenings:
        recorder.append(happening)
        recorder.taken(1, happening.host_ns)
    recorder.close()
    export_mcap(tmp_path / "run.aurec", tmp_path / "run.mcap")
    with (tmp_path / "run.mcap").open("rb") as file:
        found = [json.loads(message.data)["device_ns"] for _, _, message in reader.make_reader(file).iter_messages()]
    assert found == sorted(found)
