"""What `scripts/gpu` runs, on a fake GPU that runs the kernels on the emulator: rows for all there is, reasons for all there is not, no crash."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from gpu_fakes import HOPPER, fake_cubin, gpu_that_runs
from kernel_cases import preset

from aura_edge import bundle as bundles
from aura_edge import testing
from aura_edge.cuda.fake import FakeDriver
from aura_edge.engines import EngineInfo
from aura_edge.errors import EngineError
from aura_edge.kernels import build, packing
from aura_edge.kernels.shape import shape_of
from aura_edge_bench import gpu_bundles, gpu_engines, gpu_kernels, gpu_programs, gpu_report, gpu_torch, kernel_table
from aura_edge_bench.gpu_rows import Row, attempt, checked, summary
from aura_edge_train import recipe as recipes

needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="the emulator is compiled by g++, which is not here"
)
ROOT = Path(__file__).parents[1]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    """A small encoder in place of AURA's, few repeats, and no bundle of it; nothing is compiled for a GPU that is not there."""
    spec, module, tensors = preset("edge-xs")

    def no_bundle(*_: Any) -> None:
        raise EngineError("no bundle in this test")

    monkeypatch.setattr(build, "cubin", fake_cubin)
    monkeypatch.setattr(gpu_bundles, "random_encoder", lambda name: (spec, module))
    monkeypatch.setattr(gpu_bundles, "random_bundle", no_bundle)
    monkeypatch.setattr(gpu_report, "BATCHES", (1, 3))
    monkeypatch.setattr(gpu_report, "ENGINE_BATCHES", (1,))
    monkeypatch.setattr(gpu_kernels, "SHAPES", ((1, 1), (2, 17)))
    monkeypatch.setattr(gpu_kernels, "REPEATS", 2)
    monkeypatch.setattr(gpu_kernels, "IN_GRAPH", 2)
    return gpu_that_runs(shape_of(spec), packing.pack(spec, tensors), HOPPER)


@needs_compiler
def test_a_whole_run(gpu: FakeDriver, tmp_path: Path) -> None:
    """Every rung is built, checked and timed; what this machine lacks is said; the JSON comes back as what it was written from."""
    file = tmp_path / "new" / "gpu.json"
    assert gpu_report.main([str(file), "--quick", "--rounds", "2"], gpu) == 0
    report = msgspec.json.decode(file.read_bytes(), type=gpu_report.Report)
    assert report.gpu["name"] == "Fake Hopper"
    checks = [row for row in report.rows if row.section == "check"]
    assert len(checks) == 2 * 2 * 2 + 2 * 2
    for row in checks:
        assert row.unavailable is None
        assert row.values["max_abs_error"] <= row.values["tolerance"]
    timed = {row.name: row for row in report.rows if row.samples_us}
    for batch in (1, 3):
        assert timed[f"encoder aura, B {batch}"].values["windows_per_s"] > 0
        assert len(timed[f"attention_fused B {batch}, N 50, H 2, d 32"].samples_us) == 2
    assert timed["encoder aura, B 1"].values["blocks"] == 4
    assert timed["ort cpu, demo, B 1"].values["golden_cosine_min"] > 0.9999
    missing = {row.name: row.unavailable for row in report.rows if row.unavailable}
    assert "torch sees no GPU here" in str(missing["matmul 8192, fp16"])
    assert "sdpa flash_attention B 1, N 50, H 2, d 32" in missing
    assert "has no encoder.cuda.safetensors" in str(missing["cuda, demo"])
    assert missing["a bundle of aura"] == "no bundle in this test"
    assert gpu.closed
    assert gpu.leaks == {}


def cut_off(*_: Any, **__: Any) -> Iterator[Row]:
    yield Row("peak", "copy of 1 GiB", {"p50_us": 700.0})
    raise KeyboardInterrupt


def test_what_was_measured_outlives_a_run_that_is_cut_off(
    gpu: FakeDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C in the middle: the rows until then are in the file, and the GPU is let go."""
    monkeypatch.setattr(gpu_report, "rows", cut_off)
    assert gpu_report.main([str(tmp_path / "gpu.json")], gpu) == 130
    report = msgspec.json.decode((tmp_path / "gpu.json").read_bytes(), type=gpu_report.Report)
    assert [row.name for row in report.rows] == ["copy of 1 GiB"]
    assert report.gpu["name"] == "Fake Hopper"
    assert gpu.closed
    assert "what was measured until then is kept" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_to_is_said_before_anything_is_measured(
    gpu: FakeDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Minutes on a GPU are not spent on a result that has nowhere to go."""
    monkeypatch.setattr(gpu_report, "rows", cut_off)
    (tmp_path / "file").write_bytes(b"")
    assert gpu_report.main([str(tmp_path / "file" / "gpu.json")], gpu) == 1
    errors = capsys.readouterr().err
    assert f"{tmp_path / 'file'}: cannot be made: File exists. Name a file elsewhere." in errors
    assert "copy of 1 GiB" not in errors
    assert gpu.closed


@needs_compiler
def test_a_wrong_rung_fails_the_run(gpu: FakeDriver, capsys: pytest.CaptureFixture[str]) -> None:
    """A kernel that computes something else is named and ends the run with 1; the rows behind it are still made."""

    def wrong(driver: FakeDriver, grid: Any, block: Any, windows: np.uint64, vectors: np.uint64, *_: Any) -> None:
        driver.view(int(vectors), 4)[:] = 0

    gpu._kernels["aura_encoder"] = wrong
    assert gpu_report.main(["--checks-only"], gpu) == 1
    errors = capsys.readouterr().err
    assert "check failed: encoder aura, 4 blocks a window: ValueError: differs from float64 by nan" in errors
    assert "check: encoder aura, 1 block a window" in errors


def test_without_a_gpu_one_row_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No driver: a result with the machine's facts, a reason, and exit code 1."""

    def none(which: str | None) -> None:
        raise EngineError("the NVIDIA driver's library (libcuda) cannot be loaded")

    monkeypatch.setattr(gpu_report, "open_driver", none)
    file = tmp_path / "gpu.json"
    assert gpu_report.main([str(file)]) == 1
    report = msgspec.json.decode(file.read_bytes(), type=gpu_report.Report)
    assert [(row.section, row.unavailable) for row in report.rows] == [
        ("device", "the NVIDIA driver's library (libcuda) cannot be loaded")
    ]
    assert report.machine.python


def test_a_row_never_ends_the_run() -> None:
    """Whatever a library raises becomes a reason; values and repeats are kept apart."""

    def explodes() -> dict[str, Any]:
        raise RuntimeError("cuDNN says\n  no")

    assert attempt("s", "n", explodes) == Row("s", "n", unavailable="RuntimeError: cuDNN says no")
    row = attempt("s", "n", lambda: summary([1.0, 2.0, 3.0], kind="x"))
    assert (row.values["p50_us"], row.values["kind"], row.samples_us) == (2.0, "x", (1.0, 2.0, 3.0))
    assert attempt("s", "n", lambda: summary([])).unavailable == "ValueError: nothing was timed"


@pytest.mark.parametrize("error", [float("nan"), 0.2, float("inf")])
def test_a_check_that_cannot_pass(error: float) -> None:
    """NaN is no small difference."""
    with pytest.raises(ValueError, match="differs from float64"):
        checked(error, 0.1)
    assert checked(0.05, 0.1)["max_abs_error"] == 0.05


def test_shares_are_of_the_measured_peak() -> None:
    """Without a peak there is no share; with one it is a plain ratio."""
    encoder = Row("encoder", "encoder aura, B 1024", {"tflop_per_s": 50.0})
    assert list(gpu_report.share_rows([encoder])) == []
    (share,) = gpu_report.share_rows(
        [Row("peak", "matmul", {"tflop_per_s": 200.0}), encoder, Row("encoder", "torch eager", {})]
    )
    assert share.values == {"of_matmul_peak": 0.25}


def test_times_of_torch_are_of_one_call() -> None:
    """Events give milliseconds of all calls between them."""

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None: ...
        def synchronize(self) -> None: ...
        def elapsed_time(self, end: object) -> float:
            return 2.0

    made: list[int] = []
    torch = SimpleNamespace(cuda=SimpleNamespace(Event=Event, synchronize=lambda: None))
    assert gpu_torch.time_calls(torch, lambda: made.append(1), repeats=3, calls=4) == [500.0] * 3
    assert len(made) == 4 + 3 * 4


@pytest.mark.parametrize(("code", "reason"), [(0, None), (66, "ended with 66: ========= ERROR SUMMARY: 1 error")])
def test_compute_sanitizer_is_believed(
    code: int, reason: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each tool is run over the checks; what it found is the row's reason."""
    program = tmp_path / "compute-sanitizer"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\necho "========= ERROR SUMMARY: 1 error"\nexit {code}\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    rows = list(gpu_programs.sanitizer_rows(timeout_s=20))
    assert [row.name for row in rows] == ["memcheck", "racecheck", "synccheck", "initcheck"]
    for row in rows:
        assert (row.unavailable is None) == (reason is None)
        assert reason is None or reason in str(row.unavailable)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert "--tool memcheck --error-exitcode 66" in calls[0]
    assert calls[0].endswith("-m aura_edge_bench.gpu_report --checks-only")


@pytest.mark.slow
def test_a_bundle_drawn_by_chance_is_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It loads, its ONNX gives its golden vectors, and it has the weights that the cuda engine wants."""
    from aura_edge.engines.ort import open_ort

    spec, module, _ = preset("edge-xs", depth=1)
    monkeypatch.setattr(gpu_bundles, "random_encoder", lambda name: (spec, module))
    windows, _ = bundles.load_golden(bundles.load(ROOT / "aura_edge" / "data" / "demo.aura"))
    made = gpu_bundles.random_bundle(tmp_path / "x.aura", "edge-xs", windows[:2])
    assert bundles.verify(made, open_ort(made).embed).golden_windows == 2
    assert "encoder.cuda.safetensors" in made.manifest.files


def test_the_script_is_a_shell_program() -> None:
    """It parses, can be run, and hands its arguments on."""
    script = ROOT / "scripts" / "gpu"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert "aura_edge_bench.gpu_report" in script.read_text("utf-8")


def test_sizes_in_the_table_are_the_presets() -> None:
    """The table of registers is of the encoders that there are."""
    for name, shape in kernel_table.ENCODERS.items():
        assert shape == shape_of(preset(name)[0])


def test_the_committed_table_has_no_spills_and_is_complete() -> None:
    """Every rung on every architecture, no spill, shared memory that each has, and the Markdown is made from it."""
    table = kernel_table.read()
    names = {row.kernel for row in table.rows}
    assert {
        "aura_attention_naive_32",
        "aura_attention_fused_64",
        "encoder (aura, cluster of 8)",
        "encoder (edge, 1 block)",
    } <= names
    for architecture in kernel_table.ARCHITECTURES:
        assert {f"encoder ({name}, 1 block)" for name in kernel_table.ENCODERS} <= {
            row.kernel for row in table.rows if row.architecture == architecture
        }
    for row in table.rows:
        assert row.spilled_bytes == 0
        assert row.registers <= 255
        assert row.shared_bytes <= kernel_table.SHARED_BYTES[row.architecture]
    assert (kernel_table.RESULTS / "resources.md").read_text("utf-8") == kernel_table.markdown(table)


@pytest.mark.skipif(build.find_nvcc() is None, reason="nvcc is not here")
@pytest.mark.parametrize("architecture", [87, 90])
def test_nvcc_agrees_with_the_table(architecture: int) -> None:
    """The demo's encoder, compiled again: no spill, and no more registers than committed (another release of nvcc may differ by a few)."""
    committed = {row.kernel: row for row in kernel_table.read().rows if row.architecture == architecture}
    for name, of, plan in kernel_table.plans():
        if of == architecture and name.startswith("edge,"):
            (found,) = build.resources("encoder", plan.defines({}), architecture).values()
            row = committed[f"encoder ({name})"]
            assert found.spilled_bytes == 0
            assert found.registers <= row.registers + 8
            assert plan.shared_bytes + found.static_shared_bytes == row.shared_bytes


def test_flops_of_the_encoder() -> None:
    """About half a GFLOP for AURA's: what shares of the peak are shares of."""
    aura = kernel_table.AURA
    assert 0.45e9 < gpu_kernels.flops(aura) < 0.6e9
    twice = dataclasses.replace(aura, depth=12)
    assert gpu_kernels.flops(twice) > 1.9 * gpu_kernels.flops(aura)


def test_engines_take_turns_and_those_that_fail_say_why(tmp_path: Path) -> None:
    """Each that runs is called in every round; what runs instead of it, computes something else or does not open is a row with the reason."""
    opened = testing.tiny_bundle(tmp_path / "tiny.aura")
    _, golden = bundles.load_golden(opened)
    calls: list[str] = []
    closed: list[str] = []

    class Running:
        def __init__(self, label: str, name: str, golden: Any) -> None:
            self.info = EngineInfo(name, "somewhere", "fp16", None, "")
            self.label, self._golden = label, golden

        def embed(self, windows: Any) -> Any:
            calls.append(self.label)
            return self._golden[: len(windows)]

        def close(self) -> None:
            closed.append(self.label)

    def opener(name: str, bundle: Any, *, provider: str | None, checkpoint: Any) -> Any:
        label = f"{name} {provider}"
        if name == "trt":
            raise EngineError("TensorRT cannot be used")
        found = -golden if name == "cuda" else golden
        return Running(label, "ort", found)

    rows = {
        row.name: row
        for row in gpu_engines.engine_rows(opened, checkpoint=None, batches=(1, 2), rounds=40, opener=opener)
    }
    assert set(rows) == {
        "trt, tiny",
        "cuda, tiny",
        *(f"ort {provider}, tiny, B {batch}" for provider in ("cuda", "cpu") for batch in (1, 2)),
    }
    assert rows["trt, tiny"].unavailable == "TensorRT cannot be used"
    assert "asked for the engine cuda, ort on somewhere ran" in str(rows["cuda, tiny"].unavailable)
    assert rows["ort cpu, tiny, B 2"].values["golden_cosine_min"] == pytest.approx(1.0)
    assert len(rows["ort cpu, tiny, B 2"].samples_us) == 40
    timed = [label for label in calls if label.startswith("ort")][2:]
    assert all(set(pair) == {"ort cuda", "ort cpu"} for pair in zip(timed[::2], timed[1::2], strict=True))
    assert sorted(closed) == ["cuda None", "ort cpu", "ort cuda"]


@pytest.mark.slow
def test_a_training_run_leaves_its_time_rate_and_curve(tmp_path: Path) -> None:
    """Out of the run's own log; a recipe that does not run is a row that says why."""
    row = gpu_programs.training_row("tiny", tmp_path, tmp_path / "run", timeout_s=200)
    assert row.unavailable is None
    assert row.values["epochs"] == 2
    assert float(row.values["windows_per_s"]) > 0
    assert len(str(row.values["loss_by_epoch"]).split(", ")) == 2
    assert 0 < float(str(row.values["validation_score_by_epoch"]).split(", ")[-1]) <= 1
    wrong = gpu_programs.training_row("nothing", tmp_path, tmp_path / "other", timeout_s=200)
    assert "no recipe" in str(wrong.unavailable)


def test_the_recipe_that_a_gpu_trains_is_shipped() -> None:
    """AURA's size, and epochs to train."""
    recipe = recipes.load(Path(gpu_report.RECIPE))
    assert recipe.encoder.resolved()[1]["depth"] == 6
    assert recipe.schedule[0].epochs > 1
