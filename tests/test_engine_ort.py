"""The onnxruntime engine: says what runs, refuses to run elsewhere, and takes nothing but real windows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from aura_edge import bundle, testing
from aura_edge.bundle import Bundle, Variant
from aura_edge.engines import open_engine, ort
from aura_edge.engines.ort import open_ort
from aura_edge.errors import BundleError, EngineError

WINDOWS = np.stack([testing.motion(label, seed=3) for label in testing.TINY_LABELS])


@pytest.fixture
def tiny(tmp_path: Path) -> Bundle:
    return testing.tiny_bundle(tmp_path / "tiny.aura")


def with_model(tiny: Bundle, model: bytes) -> Bundle:
    files = {name: (tiny.path / name).read_bytes() for name in tiny.manifest.files}
    return bundle.save(tiny.path, tiny.manifest, files | {tiny.manifest.model: model})


def test_it_says_what_runs(tiny: Bundle) -> None:
    """The info names the provider in force, the precision, and the digest of the weights."""
    info = open_ort(tiny, threads=2).info
    assert (info.name, info.device, info.precision) == ("ort", "cpu (CPUExecutionProvider)", "fp32")
    assert (info.max_batch, info.threads, info.weights) == (None, 2, tiny.model_digest)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_any_batch_gives_unit_vectors(tiny: Bundle, batch: int) -> None:
    """Every batch size runs, and a window's vector does not depend on the others."""
    engine = open_ort(tiny)
    vectors = engine.embed(WINDOWS[:batch])
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
    assert np.allclose(vectors, engine.embed(WINDOWS)[:batch], atol=1e-6)
    assert np.allclose(vectors, testing.FakeEngine().embed(WINDOWS[:batch]), atol=1e-6)


@pytest.mark.parametrize(
    "windows",
    [
        WINDOWS.astype(np.float64),
        WINDOWS[0],
        WINDOWS[:, :3],
        WINDOWS[:, :, :999],
        WINDOWS.transpose(0, 2, 1),
        WINDOWS[:0],
    ],
    ids=["float64", "no batch", "three channels", "short", "time first", "empty"],
)
def test_other_windows_are_refused(tiny: Bundle, windows: np.ndarray) -> None:
    """A wrong type or shape says what was found and what is expected."""
    with pytest.raises(EngineError, match=r"expected float32 of shape \(B, 6, 1000\) with B at least 1"):
        open_ort(tiny).embed(windows)


def test_strided_windows_are_fine(tiny: Bundle) -> None:
    """A view into a ring buffer need not be contiguous."""
    padded = np.zeros((3, 6, 2000), np.float32)
    padded[:, :, ::2] = WINDOWS
    engine = open_ort(tiny)
    assert np.array_equal(engine.embed(padded[:, :, ::2]), engine.embed(WINDOWS))


def test_closed_engine_is_closed(tiny: Bundle) -> None:
    """Closing twice is fine, embedding afterwards is not."""
    engine = open_ort(tiny)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="this engine is closed"):
        engine.embed(WINDOWS)


def test_nothing_is_reported_and_nothing_left_in_the_home(tiny: Bundle, tmp_path: Path) -> None:
    """onnxruntime's telemetry is off before it is imported: no device id, no database, nothing in a user's home."""
    program = "import sys; from aura_edge import bundle; from aura_edge.engines import open_engine; open_engine('ort', bundle.load(sys.argv[1]))"
    folder = tmp_path / "home"
    folder.mkdir()
    home = {"HOME": str(folder), "XDG_CACHE_HOME": str(folder), "PATH": os.environ["PATH"]}
    environment = {**home, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    subprocess.run([sys.executable, "-c", program, str(tiny.path)], check=True, env=environment)
    assert list(folder.rglob("*")) == []


def test_absent_provider_names_its_package(tiny: Bundle) -> None:
    """Asking for a provider this onnxruntime lacks says what is there, what brings it, and that two packages never mix."""
    import onnxruntime

    lacking = next(key for key, (name, _) in ort.PROVIDERS.items() if name not in onnxruntime.get_available_providers())
    name, package = ort.PROVIDERS[lacking]
    with pytest.raises(EngineError) as caught:
        open_ort(tiny, provider=lacking)
    message = str(caught.value)
    assert f"has no {name}, only " in message
    assert "CPUExecutionProvider" in message
    assert f"pip install {package}" in message
    assert "Never install two onnxruntime packages together" in message


def test_unknown_provider_lists_those_there_are(tiny: Bundle) -> None:
    """A provider that nobody knows is a spelling mistake."""
    with pytest.raises(EngineError, match="no execution provider 'quda'; expected one of cpu, cuda, tensorrt"):
        open_ort(tiny, provider="quda")


class Session:
    """onnxruntime's session as it looks after a silent fall-back."""

    def __init__(self, providers: list[str], nodes: dict[str, int]) -> None:
        self.get_providers = lambda: providers
        parts = [SimpleNamespace(ep_name=name, get_nodes=lambda n=n: [None] * n) for name, n in nodes.items()]
        self.get_provider_graph_assignment_info = lambda: parts


@pytest.mark.parametrize("module", [None, ModuleType("onnxruntime")], ids=["absent", "empty shell"])
def test_onnxruntime_that_is_not_whole_is_said(
    tiny: Bundle, monkeypatch: pytest.MonkeyPatch, module: ModuleType | None
) -> None:
    """Without onnxruntime, or with what is left when one of two packages was removed, the error says what to install."""
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    with pytest.raises(EngineError, match=r"onnxruntime cannot be used .* Install exactly one of: onnxruntime "):
        open_ort(tiny)


def test_silent_fallback_is_refused() -> None:
    """onnxruntime that quietly took the CPU instead of CUDA is an error that says what was to be installed."""
    with pytest.raises(
        EngineError, match=r"asked onnxruntime for CUDAExecutionProvider, but it runs on CPUExecution.*onnxruntime-gpu"
    ):
        ort._running(Session(["CPUExecutionProvider"], {}), "CUDAExecutionProvider")


def test_provider_that_took_no_node_is_refused() -> None:
    """A provider that is registered and runs nothing is a fall-back as well."""
    session = Session(["CUDAExecutionProvider", "CPUExecutionProvider"], {"CPUExecutionProvider": 9})
    with pytest.raises(EngineError, match="took none of the model's 9 nodes"):
        ort._running(session, "CUDAExecutionProvider")


def test_partial_provider_says_its_share() -> None:
    """A provider that runs part of the graph is named with that part."""
    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    session = Session(providers, {"CPUExecutionProvider": 2, "CUDAExecutionProvider": 40})
    assert ort._running(session, "CUDAExecutionProvider") == "CUDAExecutionProvider, 40 of 42 nodes"


def test_damaged_model_is_an_engine_error(tiny: Bundle) -> None:
    """A file that is no ONNX graph names the file and how to check the bundle."""
    with pytest.raises(EngineError, match=r"encoder.onnx: onnxruntime .* cannot run it .*aura-edge bundle verify"):
        open_ort(with_model(tiny, b"not a graph"))


def test_changed_model_is_not_run(tiny: Bundle) -> None:
    """The digest that an answer carries is that of the model that gave it: another file of the same size is refused."""
    content = bytearray(tiny.model_path.read_bytes())
    content[-1] ^= 1
    tiny.model_path.write_bytes(content)
    with pytest.raises(BundleError, match=r"encoder.onnx: sha256 .* changed since it was exported"):
        open_ort(tiny)


def edited_model(change: Any) -> bytes:
    onnx = pytest.importorskip("onnx", reason="onnx edits the graph; it comes with aura-edge[export]")
    model = onnx.load_from_string(testing.tiny_model())
    change(model.graph)
    return bytes(model.SerializeToString())


def rename_input(graph: Any) -> None:
    graph.input[0].name = "x"
    for node in graph.node:
        node.input[:] = ["x" if name == "imu" else name for name in node.input]


def fix_batch(graph: Any) -> None:
    graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


@pytest.mark.parametrize("change", [rename_input, fix_batch])
def test_graph_of_another_interface_is_refused(tiny: Bundle, change: Any) -> None:
    """A graph with other names, or for one batch size only, is not what the contract says."""
    with pytest.raises(EngineError, match=r"expected input imu float32 \(batch, 6, 1000\) and output embedding"):
        open_ort(with_model(tiny, edited_model(change)))


def test_no_threads_are_refused(tiny: Bundle) -> None:
    """Zero threads, which onnxruntime reads as "all cores", must be meant."""
    with pytest.raises(EngineError, match="0 threads; expected 1 or more"):
        open_ort(tiny, threads=0)


def test_one_thread_starts_no_other(tiny: Bundle) -> None:
    """With one thread the caller computes: nothing spins or waits beside it."""
    if not Path("/proc/self/task").is_dir():
        pytest.skip("counts threads in /proc")
    before = len(list(Path("/proc/self/task").iterdir()))
    engine = open_ort(tiny)
    engine.embed(WINDOWS)
    after = len(list(Path("/proc/self/task").iterdir()))
    assert after == before


@pytest.mark.parametrize("name", ["auto", "ort"])
def test_open_engine_opens_onnxruntime(tiny: Bundle, name: str) -> None:
    """`auto` and `ort` give onnxruntime."""
    assert open_engine(name, tiny).info.name == "ort"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("bogus", {}, "no engine 'bogus'; expected one of auto, ort, openvino, torch"),
        ("torch", {}, "name the run folder with --checkpoint"),
        ("torch-compiled", {}, "the torch-compiled engine runs a checkpoint"),
        ("torch", {"checkpoint": "x", "provider": "cuda"}, "the torch engine takes no execution provider"),
        ("torch", {"checkpoint": "x", "precision": "int8"}, "runs a checkpoint in fp32, found --precision int8"),
    ],
)
def test_open_engine_says_what_is_wrong(tiny: Bundle, name: str, options: dict[str, str], message: str) -> None:
    """An unknown engine lists those there are; torch without a checkpoint says what it needs."""
    with pytest.raises(EngineError, match=message):
        open_engine(name, tiny, **options)


def with_variants(tiny: Bundle, **batches: int | None) -> Bundle:
    """The tiny bundle, and its model once more under other names of precisions, for these numbers of windows."""
    pytest.importorskip("onnx", reason="onnx edits the graph; it comes with aura-edge[export]")
    files = {name: (tiny.path / name).read_bytes() for name in tiny.manifest.files}
    variants = {}
    for name, batch in batches.items():
        precision = name.replace("_", "-")
        variants[precision] = Variant(f"encoder.{precision}.onnx", 1e-3, {}, batch=batch)

        def fix(graph: Any, batch: int | None = batch) -> None:
            for value in (*graph.input, *graph.output):
                if batch is not None:
                    value.type.tensor_type.shape.dim[0].dim_value = batch

        files[f"encoder.{precision}.onnx"] = edited_model(fix)
    return bundle.save(tiny.path, msgspec.structs.replace(tiny.manifest, variants=variants), files)


def test_providers_keep_float32_and_what_takes_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No provider lowers the precision behind the bundle's back, and TensorRT's engines are kept in the user's cache directory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert ort._provider_options("CPUExecutionProvider", 1) == {}
    assert ort._provider_options("CUDAExecutionProvider", 1) == {"use_tf32": "0"}
    assert ort._provider_options("OpenVINOExecutionProvider", 2)["precision"] == "FP32"
    assert ort._provider_options("TensorrtExecutionProvider", 1)["trt_engine_cache_path"].startswith(str(tmp_path))


def test_precision_is_that_of_the_bundle(tiny: Bundle) -> None:
    """Each precision runs its own file, under its own digest; FP32 where none is named; one that is not there is said."""
    made = with_variants(tiny, int8=None)
    engine = open_engine("ort", made, precision="int8")
    assert (engine.info.precision, engine.info.note) == ("int8", "")
    assert engine.info.weights == made.manifest.files["encoder.int8.onnx"].sha256
    assert open_engine("ort", made).info.precision == "fp32"
    with pytest.raises(BundleError, match="has no fp16 model, only fp32, int8"):
        open_engine("ort", made, precision="fp16")


def test_fp16_on_a_cpu_is_said_to_be_fp32(tiny: Bundle) -> None:
    """onnxruntime computes FP16 in FP32 there: whoever reads the numbers must know."""
    assert (
        "computes this FP16 model in FP32 on a CPU"
        in open_ort(with_variants(tiny, fp16=None), precision="fp16").info.note
    )


def test_model_for_two_windows_takes_two(tiny: Bundle) -> None:
    """A model of a fixed number of windows says so and takes no other; a graph of another number than the manifest says is refused."""
    made = with_variants(tiny, fp32_batch2=2)
    engine = open_ort(made, precision="fp32-batch2")
    assert engine.info.max_batch == 2
    assert np.array_equal(engine.embed(WINDOWS[:2]), open_ort(made).embed(WINDOWS[:2]))
    with pytest.raises(EngineError, match="1 windows for a model that takes 2 at a time"):
        engine.embed(WINDOWS[:1])
    other = msgspec.structs.replace(made.manifest.variants["fp32-batch2"], batch=3)
    manifest = msgspec.structs.replace(made.manifest, variants={"fp32-batch2": other})
    with pytest.raises(EngineError, match=r"expected input imu float32 \(3, 6, 1000\)"):
        open_ort(Bundle(made.path, manifest), precision="fp32-batch2")


def test_engine_stays_small(tmp_path: Path) -> None:
    """A process that opens a bundle and embeds holds far less memory than the stream may: 110 of 160 MB."""
    if not Path("/proc/self/status").is_file():
        pytest.skip("reads memory from /proc")
    code = (
        "import sys, numpy as np; from pathlib import Path; from aura_edge import testing; from aura_edge.engines import open_engine\n"
        "engine = open_engine('ort', testing.tiny_bundle(sys.argv[1]))\n"
        "window = testing.motion('walking')[None]\n"
        "for _ in range(50): engine.embed(window)\n"
        "status = Path('/proc/self/status').read_text()\n"
        "print(status.split('VmHWM:')[1].split()[0])\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "t.aura")], capture_output=True, text=True, check=True
    )
    assert int(run.stdout) / 1024 < 110
