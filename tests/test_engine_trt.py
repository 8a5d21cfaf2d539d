"""The TensorRT engine over a fake GPU that really keeps memory and a fake TensorRT that really computes: buffers, profiles, graphs, reports."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import fake_tensorrt
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aura_edge import bundle, testing
from aura_edge.bundle import Bundle, Variant
from aura_edge.cuda.fake import FakeDriver
from aura_edge.engines.trt import Batches, TrtEngine, build_plan, open_trt
from aura_edge.engines.trt.library import find_library
from aura_edge.errors import BundleError, EngineError

WINDOWS = np.stack([testing.motion(label, seed=seed) for seed in range(4) for label in testing.TINY_LABELS])
EXPECTED = testing.FakeEngine().embed(WINDOWS)
SURFACES = [("10.3.0", False), ("10.16.1", False), ("11.2.0", False), ("1.7.1.116", True)]

Opener = Callable[..., TrtEngine]


@pytest.fixture
def tiny(tmp_path: Path) -> Bundle:
    return testing.tiny_bundle(tmp_path / "tiny.aura")


@pytest.fixture
def gpu() -> FakeDriver:
    return FakeDriver()


def install(patch: pytest.MonkeyPatch, module: Any) -> Any:
    """Make `module` the only TensorRT there is."""
    for name in ("tensorrt", "tensorrt_rtx"):
        patch.setitem(sys.modules, name, module if name == module.__name__ else None)
    return module


@pytest.fixture(params=SURFACES, ids=["10.3", "10.16", "11", "RTX"])
def tensorrt(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, gpu: FakeDriver) -> Any:
    version, rtx = request.param
    return install(monkeypatch, fake_tensorrt.make(gpu, version=version, rtx=rtx))


@pytest.fixture
def ten(monkeypatch: pytest.MonkeyPatch, gpu: FakeDriver) -> Any:
    return install(monkeypatch, fake_tensorrt.make(gpu))


@pytest.fixture
def opened(tiny: Bundle, gpu: FakeDriver, tmp_path: Path) -> Opener:
    def opener(of: Bundle = tiny, **options: Any) -> TrtEngine:
        return open_trt(of, driver=gpu, cache=tmp_path / "cache", **options)

    return opener


def with_variant(tiny: Bundle, precision: str, content: bytes, batch: int | None = None) -> Bundle:
    """The bundle with another model in it."""
    files = {name: (tiny.path / name).read_bytes() for name in tiny.manifest.files}
    variant = Variant(file=f"encoder.{precision}.onnx", golden_tolerance=1e-3, parity={}, batch=batch)
    manifest = msgspec.structs.replace(tiny.manifest, variants={**tiny.manifest.variants, precision: variant})
    return bundle.save(tiny.path, manifest, files | {variant.file: content})


def edited(change: Callable[[Any], None]) -> bytes:
    onnx = pytest.importorskip("onnx", reason="onnx edits the graph; it comes with aura-edge[export]")
    model = onnx.load_from_string(testing.tiny_model())
    change(model)
    return bytes(model.SerializeToString())


def described(model: Any) -> None:
    model.doc_string = "another"


def fixed_at(batch: int) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        for value in (model.graph.input[0], model.graph.output[0]):
            value.type.tensor_type.shape.dim[0].dim_value = batch

    return change


def test_every_library_computes_the_model(tensorrt: Any, opened: Opener, gpu: FakeDriver) -> None:
    """One window and many give what the model gives, in the order they came, and all memory is given back."""
    engine = opened()
    assert np.allclose(engine.embed(WINDOWS[:1]), EXPECTED[:1], atol=1e-6)
    assert np.allclose(engine.embed(WINDOWS), EXPECTED, atol=1e-6)
    assert np.allclose(engine.embed(WINDOWS[3:4]), EXPECTED[3:4], atol=1e-6)
    engine.close()
    engine.close()
    assert gpu.leaks == {}
    with pytest.raises(EngineError, match="this engine is closed"):
        engine.embed(WINDOWS)


def test_bundle_is_proven_on_it(tensorrt: Any, tiny: Bundle, opened: Opener) -> None:
    """The golden embeddings of a bundle hold through the engine."""
    assert bundle.verify(tiny, opened().embed).golden_windows == 6


def test_it_says_what_runs(tensorrt: Any, tiny: Bundle, opened: Opener) -> None:
    """The info names GPU, library and version, precision and the digest of the model."""
    info = opened().info
    title = "TensorRT-RTX" if tensorrt.__name__ == "tensorrt_rtx" else "TensorRT"
    assert (info.name, info.device) == ("trt", f"cuda:0 (Fake GPU, {title} {tensorrt.__version__})")
    assert (info.precision, info.max_batch, info.weights) == ("fp32", None, tiny.model_digest)
    assert info.note.startswith("the bundle has no fp16 model")


def test_graph_is_built_as_it_is_typed(tensorrt: Any, opened: Opener) -> None:
    """Typing is strong (the fake refuses any other), TF32 is off, and no flag lowers precision."""
    opened()
    (build,) = tensorrt.builds
    assert (build["cleared"], build["set"]) == (["TF32"], [])
    assert build["profiles"] == [[[1, 6, 1000]] * 3, [[1, 6, 1000], [16, 6, 1000], [64, 6, 1000]]]


def test_one_window_is_one_launch(tensorrt: Any, opened: Opener, gpu: FakeDriver) -> None:
    """What is captured once is all that one window costs: a graph launch and a wait; nothing is allocated after opening."""
    engine = opened()
    before = len(gpu.log)
    engine.embed(WINDOWS[:1])
    ran = ["run copy_to_device 24000", "run execute 1 by profile 0", "run copy_to_host 32"]
    assert gpu.log[before:] == ["launch_graph", "synchronize", *ran]


def test_several_windows_use_the_second_profile(tensorrt: Any, opened: Opener, gpu: FakeDriver) -> None:
    """Batches run on the same memory without a graph, and more than the largest are divided; a last single one is launched as a graph."""
    engine = opened(batches=Batches(2, 4))
    before = len(gpu.log)
    assert np.allclose(engine.embed(WINDOWS[:9]), EXPECTED[:9], atol=1e-6)
    ran = [line for line in gpu.log[before:] if line.startswith("run execute")]
    assert ran == ["run execute 4 by profile 1"] * 2 + ["run execute 1 by profile 0"]
    assert not any(line.startswith("allocate") for line in gpu.log[before:])


@settings(max_examples=25)
@given(counts=st.lists(st.integers(1, 12), min_size=1, max_size=5))
def test_any_sequence_of_batches_is_independent(counts: list[int]) -> None:
    """Whatever came before in the same memory, a call gives its own windows' vectors."""
    gpu = FakeDriver()
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as name:
        folder = Path(name)
        install(patch, fake_tensorrt.make(gpu))
        tiny = testing.tiny_bundle(folder / "tiny.aura")
        engine = open_trt(tiny, driver=gpu, cache=folder, batches=Batches(2, 5))
        for count in counts:
            assert np.allclose(engine.embed(WINDOWS[-count:]), EXPECTED[-count:], atol=1e-6)
        engine.close()
    assert gpu.leaks == {}


def test_one_profile_can_serve_all_sizes(ten: Any, opened: Opener, gpu: FakeDriver) -> None:
    """One window is captured in it as well."""
    engine = opened(batches=Batches(2, 4, alone=False))
    for count in (1, 3, 1):
        assert np.allclose(engine.embed(WINDOWS[:count]), EXPECTED[:count], atol=1e-6)
    assert gpu.log.count("launch_graph") == 2
    assert ten.builds[0]["profiles"] == [[[1, 6, 1000], [2, 6, 1000], [4, 6, 1000]]]


def test_results_are_the_callers_own(ten: Any, opened: Opener) -> None:
    """A vector does not change when the next window is embedded."""
    engine = opened()
    first = engine.embed(WINDOWS[:1])
    kept = first.copy()
    engine.embed(WINDOWS[1:2])
    assert np.array_equal(first, kept)


@pytest.mark.parametrize("windows", [WINDOWS.astype(np.float64), WINDOWS[0], WINDOWS[:, :, :999], WINDOWS[:0]])
def test_other_windows_are_refused(ten: Any, opened: Opener, windows: np.ndarray) -> None:
    """A wrong type or shape says what was found and what is expected, as in every engine."""
    with pytest.raises(EngineError, match=r"expected float32 of shape \(B, 6, 1000\) with B at least 1"):
        opened().embed(windows)


def test_fp16_is_preferred_where_there_is_one(ten: Any, tiny: Bundle, opened: Opener) -> None:
    """Without a precision the bundle's fp16 model runs, with one the one asked for; one that is not there is an error."""
    both = with_variant(tiny, "fp16", edited(described))
    info = opened(both).info
    assert (info.precision, info.weights, info.note) == ("fp16", both.manifest.files["encoder.fp16.onnx"].sha256, "")
    assert opened(both, precision="fp32").info.weights == both.model_digest
    with pytest.raises(BundleError, match="has no int8 model"):
        opened(both, precision="int8")


@pytest.mark.parametrize("batch", [1, 3])
def test_model_of_a_fixed_batch(ten: Any, tiny: Bundle, opened: Opener, gpu: FakeDriver, batch: int) -> None:
    """It has no profile and takes its own number only; for one window it is captured all the same."""
    name = f"fp32-batch{batch}"
    engine = opened(with_variant(tiny, name, edited(fixed_at(batch)), batch), precision=name)
    assert ten.builds[0]["profiles"] == []
    assert engine.info.max_batch == batch
    assert np.allclose(engine.embed(WINDOWS[:batch]), EXPECTED[:batch], atol=1e-6)
    assert ("launch_graph" in gpu.log) == (batch == 1)
    with pytest.raises(EngineError, match=f"for a model that takes {batch} at a time"):
        engine.embed(WINDOWS[:2])
    engine.close()
    assert gpu.leaks == {}


def test_engine_that_cannot_be_captured_runs_and_says_so(ten: Any, opened: Opener, gpu: FakeDriver) -> None:
    """A failed capture is no failure: the note has TensorRT's reason, and nothing leaks."""
    ten.fail = "capture"
    engine = opened()
    assert (
        "no CUDA graph: TensorRT 10.3.0 failed on Fake GPU: operation not permitted when stream is" in engine.info.note
    )
    assert np.allclose(engine.embed(WINDOWS[:1]), EXPECTED[:1], atol=1e-6)
    engine.close()
    assert gpu.leaks == {}


def test_rtx_is_asked_whether_it_can_be_captured(
    monkeypatch: pytest.MonkeyPatch, opened: Opener, gpu: FakeDriver
) -> None:
    """TensorRT-RTX knows itself, and is not captured against its word."""
    module = install(monkeypatch, fake_tensorrt.make(gpu, version="1.7.1", rtx=True))
    module.capturable = False
    engine = opened()
    assert engine.info.note.endswith("no CUDA graph: TensorRT-RTX 1.7.1 says that it cannot be captured")
    assert "begin_capture" not in gpu.log
    assert np.allclose(engine.embed(WINDOWS[:1]), EXPECTED[:1], atol=1e-6)


def test_rtx_keeps_what_it_compiled(monkeypatch: pytest.MonkeyPatch, opened: Opener, gpu: FakeDriver) -> None:
    """The second start is given the kernels that the first has compiled."""
    module = install(monkeypatch, fake_tensorrt.make(gpu, version="1.7.1", rtx=True))
    opened()
    assert module.jit_known == []
    opened()
    assert module.jit_known == [b"compiled"]


@pytest.mark.parametrize(
    ("fail", "message"),
    [
        ("build", "cannot build an engine of this graph: Could not find any implementation for node 7"),
        ("context", "has no room for the engine: Requested amount of GPU memory"),
        ("execute", r"failed on Fake GPU: Cuda Runtime \(an illegal memory access"),
    ],
)
def test_failures_are_told_in_its_own_words(
    tensorrt: Any, opened: Opener, gpu: FakeDriver, tmp_path: Path, fail: str, message: str
) -> None:
    """TensorRT returns nothing and logs why: that is the error. What does not run is not kept, and memory is given back."""
    tensorrt.fail = fail
    with pytest.raises(EngineError, match=message):
        opened()
    assert gpu.leaks == {}
    assert not list((tmp_path / "cache").rglob("*.plan"))


def test_graph_it_cannot_read(ten: Any, tiny: Bundle, opened: Opener) -> None:
    """The parser's reasons are in the error."""
    with pytest.raises(EngineError, match=r"cannot read this ONNX graph: In node -1 .parseGraph.: INVALID_GRAPH"):
        opened(with_variant(tiny, "fp16", b"not a graph"))


def test_graph_that_is_not_a_bundles(ten: Any, tiny: Bundle, opened: Opener) -> None:
    """Other inputs and outputs than the contract's are refused before anything is built."""

    def rename(model: Any) -> None:
        model.graph.input[0].name = "x"
        for node in model.graph.node:
            node.input[:] = ["x" if name == "imu" else name for name in node.input]

    with pytest.raises(EngineError, match=r"the graph has x DataType.FLOAT.*expected input imu and output embedding"):
        opened(with_variant(tiny, "fp16", edited(rename)))
    assert ten.builds == []


def test_without_tensorrt_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, opened: Opener) -> None:
    """Neither library there: both are named, with the way to install them."""
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        EngineError, match=r"TensorRT cannot be used \(tensorrt: .*tensorrt_rtx: .*JetPack 6 .*pip install"
    ):
        opened()


@pytest.mark.parametrize(
    ("version", "rtx", "message"),
    [
        ("10.2.9", False, "tensorrt 10.2.9 is too old; expected 10.3"),
        ("8.6.2", False, "too old"),
        ("1.0", True, "too old"),
    ],
)
def test_old_library_is_refused(
    monkeypatch: pytest.MonkeyPatch, opened: Opener, gpu: FakeDriver, version: str, rtx: bool, message: str
) -> None:
    """What it lacks would show as an attribute error later."""
    install(monkeypatch, fake_tensorrt.make(gpu, version=version, rtx=rtx))
    with pytest.raises(EngineError, match=message):
        opened()


def test_an_empty_package_is_not_tensorrt(monkeypatch: pytest.MonkeyPatch, gpu: FakeDriver) -> None:
    """PyPI's `tensorrt` may be a shell without its libraries: the other library is taken, or the error says so."""
    rtx = install(monkeypatch, fake_tensorrt.make(gpu, version="1.7.1", rtx=True))
    monkeypatch.setitem(sys.modules, "tensorrt", ModuleType("tensorrt"))
    assert find_library().module is rtx
    with pytest.raises(EngineError, match=r"TensorRT cannot be used .tensorrt: .*no attribute"):
        find_library("tensorrt")
    with pytest.raises(EngineError, match="no TensorRT called 'trt'; expected one of tensorrt, tensorrt_rtx"):
        find_library("trt")


def test_driver_of_its_own_is_closed_with_it(
    ten: Any, tiny: Bundle, gpu: FakeDriver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without a driver the engine opens one, and lets it go when it is closed or cannot be opened; a given one stays open."""
    monkeypatch.setattr("aura_edge.engines.trt.engine.open_driver", lambda: gpu)
    open_trt(tiny, driver=gpu, cache=tmp_path).close()
    assert not gpu.closed
    open_trt(tiny, cache=tmp_path).close()
    assert gpu.closed
    gpu.closed = False
    ten.fail = "context"
    with pytest.raises(EngineError, match="no room"):
        open_trt(tiny, cache=tmp_path)
    assert gpu.closed


def test_plan_for_triton(ten: Any, opened: Opener) -> None:
    """`build_plan` gives one profile for all sizes, since Triton takes the first only; others where asked for."""
    load = ten.Runtime(find_library().logger).deserialize_cuda_engine
    assert load(build_plan(testing.tiny_model())).profiles == [[[1, 6, 1000], [16, 6, 1000], [64, 6, 1000]]]
    assert len(load(build_plan(testing.tiny_model(), batches=Batches(8, 32))).profiles) == 2
    with pytest.raises(EngineError, match="builds for the GPU of this machine only"):
        build_plan(testing.tiny_model(), compute_capability=(8, 6))
    with pytest.raises(EngineError, match="expected 1 <= optimal <= largest"):
        Batches(8, 4)


def test_plan_for_a_gpu_that_is_elsewhere(monkeypatch: pytest.MonkeyPatch, gpu: FakeDriver) -> None:
    """TensorRT-RTX builds ahead of time for GPUs that it knows, and names those for one that it does not."""
    module = install(monkeypatch, fake_tensorrt.make(gpu, version="1.7.1", rtx=True))
    build_plan(testing.tiny_model(), compute_capability=(8, 9))
    assert module.builds[0]["for"] == ["SM89"]
    with pytest.raises(EngineError, match="cannot build for SM87, only for SM75, SM80, SM86, SM89, SM120"):
        build_plan(testing.tiny_model(), compute_capability=(8, 7))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_only(tensorrt: Any, opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """The builder's phases make a bar where somebody watches."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    opened()
    assert "Building" in screen.getvalue()
    quiet = io.StringIO()
    monkeypatch.setattr(sys, "stderr", quiet)
    opened(batches=Batches(1, 2))
    assert quiet.getvalue() == ""


def test_ctrl_c_ends_a_build(ten: Any, opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's interrupt must not cross the builder's C++: it stops at the next step, then the interrupt is raised."""
    monkeypatch.setattr(sys, "stderr", Terminal())

    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rich.progress.Progress.update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        opened()


def test_what_it_logs_goes_to_pythons_logging(ten: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing of TensorRT's is printed; errors are kept for the exception that follows."""
    library = find_library()
    with caplog.at_level(logging.DEBUG, "aura_edge.engines.trt"):
        library.logger.log(fake_tensorrt.Severity.ERROR, "bad\n")
        library.logger.log(fake_tensorrt.Severity.VERBOSE, "thousands of lines")
    assert [record.message for record in caplog.records] == ["bad\n"]
    assert library.complaints() == "bad"
    assert library.complaints() == "it gave no reason"
