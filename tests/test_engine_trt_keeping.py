"""Engines kept on disk: used again as long as they fit, built again with the reason said, never loaded unchecked."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_tensorrt
import msgspec
import numpy as np
import pytest

from aura_edge import bundle, testing
from aura_edge.cuda.fake import FACTS, FakeDriver
from aura_edge.engines.trt import Batches, TrtEngine, is_built, keeping, open_trt
from aura_edge.engines.trt.keeping import EngineKey

WINDOWS = np.stack([testing.motion(label, seed=1) for label in testing.TINY_LABELS])
KEY = EngineKey("ab" * 32, "tensorrt", "10.3.0", "Orin", "8.7", 12060, "fp16", ("1x6x1000",))


class Machine:
    """A GPU, a TensorRT, a bundle and a cache directory, each of which may change between two starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tiny = testing.tiny_bundle(folder / "tiny.aura")
        self.facts = FACTS
        self.version, self.rtx = "10.3.0", False

    @contextmanager
    def start(self, **options: Any) -> Iterator[tuple[TrtEngine, Any]]:
        """The engine, and the library with what it was asked to build."""
        gpu = FakeDriver(self.facts)
        module = fake_tensorrt.make(gpu, version=self.version, rtx=self.rtx)
        with pytest.MonkeyPatch.context() as patch:
            for name in ("tensorrt", "tensorrt_rtx"):
                patch.setitem(sys.modules, name, module if name == module.__name__ else None)
            engine = open_trt(self.tiny, driver=gpu, cache=self.folder / "cache", **options)
            assert np.allclose(engine.embed(WINDOWS), testing.FakeEngine().embed(WINDOWS), atol=1e-6)
            yield engine, module
            engine.close()
            assert gpu.leaks == {}

    def built(self, **options: Any) -> tuple[bool, str]:
        """Whether a start builds, and what its note says after what it says of precision."""
        with self.start(**options) as (engine, module):
            return bool(module.builds), engine.info.note.partition("for a faster one")[2].removeprefix("; ")

    @property
    def plan(self) -> Path:
        (found,) = (self.folder / "cache" / "trt").glob("*.plan")
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_second_start_builds_nothing(machine: Machine) -> None:
    """The engine is kept, and no reason is given for using it."""
    assert machine.built() == (True, "")
    assert machine.built() == (False, "")


def test_note_beside_the_plan_says_what_it_is_for(machine: Machine) -> None:
    """JSON, for people and programs: all that the engine depends on, and the digest of the plan."""
    machine.built(batches=Batches(2, 8))
    note = json.loads(machine.plan.with_suffix(".plan.json").read_text())
    assert note["key"] == {
        "onnx_sha256": machine.tiny.model_digest,
        "library": "tensorrt",
        "library_version": "10.3.0",
        "gpu": "Fake GPU",
        "compute_capability": "8.7",
        "driver_version": 12060,
        "precision": "fp32",
        "shapes": ["1x6x1000", "1..2..8x6x1000"],
    }
    assert note["bytes"] == machine.plan.stat().st_size
    assert machine.plan.name.startswith("tiny-fp32-")


def new_gpu(machine: Machine) -> None:
    machine.facts = replace(FACTS, name="Other GPU", compute_capability=(9, 0))


def new_driver(machine: Machine) -> None:
    machine.facts = replace(FACTS, driver_version=13020)


def new_library(machine: Machine) -> None:
    machine.version = "11.2.0"


def other_library(machine: Machine) -> None:
    machine.version, machine.rtx = "1.7.1", True


def new_model(machine: Machine) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx edits the graph; it comes with aura-edge[export]")
    model = onnx.load_from_string(testing.tiny_model())
    model.doc_string = "trained longer"
    files = {name: (machine.tiny.path / name).read_bytes() for name in machine.tiny.manifest.files}
    machine.tiny = bundle.save(
        machine.tiny.path, machine.tiny.manifest, files | {"encoder.onnx": model.SerializeToString()}
    )


def damaged(machine: Machine) -> None:
    content = bytearray(machine.plan.read_bytes())
    content[-1] ^= 1
    machine.plan.write_bytes(content)


def truncated(machine: Machine) -> None:
    machine.plan.write_bytes(machine.plan.read_bytes()[:100])


def scribbled(machine: Machine) -> None:
    machine.plan.with_suffix(".plan.json").write_bytes(b"{\xff")


def unknown_field(machine: Machine) -> None:
    path = machine.plan.with_suffix(".plan.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"more": 1}))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (new_gpu, "was built elsewhere, with GPU Fake GPU instead of Other GPU, compute capability 8.7 instead of 9.0"),
        (new_library, "was built elsewhere, with library version 10.3.0 instead of 11.2.0"),
        (other_library, "was built elsewhere, with library tensorrt instead of tensorrt_rtx, library version"),
        (new_driver, "was built before, with driver 12060 instead of 13020"),
        (new_model, "was built before, with model "),
        (damaged, "is damaged: its sha256 is not the one noted"),
        (truncated, "is damaged: its sha256 is not the one noted"),
        (scribbled, "has a note that cannot be read"),
        (unknown_field, "has a note that cannot be read"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_does_not_fit_is_built_again_with_the_reason(
    machine: Machine, caplog: pytest.LogCaptureFixture, change: Callable[[Machine], None], reason: str
) -> None:
    """The reason is in the info and in the log; the new engine replaces the old one, and is used without one."""
    machine.built()
    change(machine)
    with caplog.at_level(logging.WARNING, "aura_edge.engines.trt"):
        built, note = machine.built()
    assert built
    assert note.startswith("built again: the engine kept")
    assert reason in note
    assert [record.message for record in caplog.records] == [f"building the TensorRT engine again: {note[13:]}"]
    assert machine.built() == (False, "")


def test_nothing_unchecked_reaches_tensorrt(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed plan is never deserialized: only what has been built just now."""
    machine.built()
    damaged(machine)
    seen: list[bytes] = []
    load = fake_tensorrt.Runtime.deserialize_cuda_engine

    def watched(runtime: Any, plan: bytes) -> Any:
        seen.append(plan)
        return load(runtime, plan)

    monkeypatch.setattr(fake_tensorrt.Runtime, "deserialize_cuda_engine", watched)
    content = machine.plan.read_bytes()
    machine.built()
    assert len(seen) == 1
    assert content not in seen


def test_engine_that_no_longer_loads_is_built_again(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorRT may refuse what matches in all that we know: then its words are the reason."""
    machine.built()
    load, refusals = fake_tensorrt.Runtime.deserialize_cuda_engine, [True]

    def once(runtime: Any, plan: bytes) -> Any:
        return load(runtime, b"{" if refusals and refusals.pop() else plan)

    monkeypatch.setattr(fake_tensorrt.Runtime, "deserialize_cuda_engine", once)
    built, note = machine.built()
    assert built
    assert "the engine kept does not run (TensorRT 10.3.0 cannot load the engine that it built: Serialization" in note


def test_sizes_and_bundles_are_kept_apart(machine: Machine, tmp_path: Path) -> None:
    """Other batch sizes, and a bundle of the same name elsewhere, do not push each other out."""
    machine.built()
    assert machine.built(batches=Batches(1, 2)) == (True, "")
    assert machine.built() == (False, "")
    first = machine.tiny
    machine.tiny = testing.tiny_bundle(tmp_path / "elsewhere" / "tiny.aura")
    assert machine.built() == (True, "")
    machine.tiny = first
    assert machine.built() == (False, "")


def test_timings_help_the_next_build(machine: Machine) -> None:
    """The timing cache is shared by all models of a GPU and library version, and by nothing else."""
    with machine.start() as (_, module):
        assert module.builds[0]["timings"] == b""
    with machine.start(batches=Batches(1, 2)) as (_, module):
        assert module.builds[0]["timings"] == b"timed;"
    machine.version = "10.9.0"
    with machine.start() as (_, module):
        assert module.builds[0]["timings"] == b""


def test_whether_it_is_built_is_known_before_it_is_opened(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` takes an engine only where it need not be built: for this model, GPU and library, whole; and asking never raises."""

    def known(precision: str | None = None) -> bool:
        gpu = FakeDriver(machine.facts)
        monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt.make(gpu, version=machine.version))
        monkeypatch.setattr("aura_edge.engines.trt.engine.open_driver", lambda: gpu)
        return is_built(machine.tiny, precision)

    monkeypatch.setattr("aura_edge.engines.trt.engine.user_cache", lambda: machine.folder / "cache")
    assert not known()
    machine.built()
    assert known()
    assert known("fp32")
    assert not known("fp16"), "the bundle has none"
    new_library(machine)
    assert not known()
    machine.version = "10.3.0"
    new_gpu(machine)
    assert not known()
    machine.facts = FACTS
    damaged(machine)
    assert not known()


def test_nothing_half_written_is_left(machine: Machine) -> None:
    """Only whole files under their names, each with its note."""
    machine.built()
    names = sorted(path.name for path in (machine.folder / "cache" / "trt").iterdir())
    assert names == [
        "tensorrt-8.7.timings",
        "tensorrt-8.7.timings.json",
        machine.plan.name,
        f"{machine.plan.name}.json",
    ]


def test_default_place_is_the_users_cache(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below `$XDG_CACHE_HOME`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(machine.folder / "xdg"))
    gpu = FakeDriver()
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt.make(gpu))
    open_trt(machine.tiny, driver=gpu).close()
    assert list((machine.folder / "xdg" / "aura-edge" / "trt").glob("tiny-fp32-*.plan"))


def test_cache_that_cannot_be_written_only_costs_time(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    """A full or forbidden cache directory is said, and the engine runs."""
    (machine.folder / "cache").write_text("in the way")
    with caplog.at_level(logging.WARNING, "aura_edge.engines.trt"):
        assert machine.built() == (True, "")
    assert "the engine cannot be kept" in caplog.records[0].message


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid"), reason="permissions of a file are the system's")
def test_plan_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A folder where the plan should be is no absent plan."""
    path = tmp_path / "x.plan"
    keeping.write(path, KEY, b"plan")
    path.unlink()
    path.mkdir()
    assert "cannot be read (Is a directory)" in keeping.read(path, KEY).reason


@pytest.mark.parametrize("name", keeping.WORDS)
def test_every_fact_counts(tmp_path: Path, name: str) -> None:
    """Any difference in any field of the key is a reason, and is told in words."""
    path = tmp_path / "x.plan"
    keeping.write(path, KEY, b"plan")
    assert keeping.read(path, KEY).content == b"plan"
    other = ("2x6x1000",) if name == "shapes" else 1 if name == "driver_version" else "cd" * 32
    kept = keeping.read(path, msgspec.structs.replace(KEY, **{name: other}))
    assert kept.content == b""
    assert f"{keeping.WORDS[name]} " in kept.reason
    assert ("elsewhere" in kept.reason) == (name in keeping.FOREIGN)


def test_all_facts_have_a_word() -> None:
    """A field that is added must be compared."""
    assert set(keeping.WORDS) == set(EngineKey.__struct_fields__)
