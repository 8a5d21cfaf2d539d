"""The OpenVINO engine: computes in the precision that was asked for and says so, takes any number of windows, and reports nothing home."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import msgspec
import numpy as np
import pytest

from aura_edge import bundle as bundles
from aura_edge import testing
from aura_edge.bundle import Bundle, Variant
from aura_edge.commands.stream import DEMO_BUNDLE, demo_file
from aura_edge.cpu import read_cpu
from aura_edge.engines import open_engine
from aura_edge.engines.openvino import open_openvino
from aura_edge.engines.proof import prove
from aura_edge.errors import BundleError, EngineError, ParityError

needs_openvino = pytest.mark.skipif(
    find_spec("openvino") is None, reason="OpenVINO is not installed; it comes with aura-edge[openvino]"
)
needs_bf16 = pytest.mark.skipif(
    not {"avx512_bf16", "amx_bf16"} & set(read_cpu().flags), reason="this CPU does not compute in bfloat16"
)
WINDOWS = np.stack([testing.motion(label, seed=3) for label in testing.TINY_LABELS])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return testing.tiny_bundle(tmp_path_factory.mktemp("openvino") / "tiny.aura")


@pytest.fixture(scope="module")
def demo() -> Bundle:
    return bundles.load(demo_file(DEMO_BUNDLE))


@needs_openvino
def test_it_says_what_runs(tiny: Bundle) -> None:
    """The info names the arithmetic that the compiled model reports, the digest of the weights and the threads."""
    info = open_openvino(tiny).info
    assert (info.name, info.precision, info.max_batch, info.threads) == ("openvino", "fp32", None, 1)
    assert info.weights == tiny.model_digest
    assert info.device.startswith("cpu (OpenVINO 2")
    assert info.device.endswith(", float32)")


@needs_openvino
def test_any_batch_gives_the_vectors_of_the_model(tiny: Bundle) -> None:
    """One window and several give what the model computes, and a vector is the caller's own: the next call does not change it."""
    engine = open_openvino(tiny)
    first = engine.embed(WINDOWS[:1])
    kept = first.copy()
    engine.embed(WINDOWS[1:2])
    assert np.array_equal(first, kept)
    for batch in (1, 2, 3, 1):
        found = engine.embed(WINDOWS[:batch])
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, testing.FakeEngine().embed(WINDOWS[:batch]), atol=1e-5)


@needs_openvino
def test_views_and_read_only_windows_are_fine(tiny: Bundle) -> None:
    """A window cut out of a larger array, or one that may not be written to, is as good as any, and stays as it was."""
    wide = np.concatenate([WINDOWS, WINDOWS], axis=2)[:1]
    locked = WINDOWS[:1].copy()
    locked.flags.writeable = False
    engine = open_openvino(tiny)
    np.testing.assert_array_equal(engine.embed(wide[:, :, :1000]), engine.embed(locked))
    np.testing.assert_array_equal(locked, WINDOWS[:1])


@needs_openvino
def test_float32_is_float32(demo: Bundle) -> None:
    """The demo's golden embeddings hold, which they do not in the bfloat16 that OpenVINO would choose by itself."""
    engine = open_openvino(demo)
    assert prove(demo, engine).golden_max_abs < 1e-5
    assert prove(demo, engine, singly=True).golden_max_abs < 1e-5


@needs_openvino
@needs_bf16
def test_bfloat16_is_computed_said_and_held_to_a_cosine(demo: Bundle) -> None:
    """In bf16 the golden embeddings turn a little, more than the bundle accepts of FP32 and less than the proof does."""
    engine = open_engine("openvino", demo, precision="bf16")
    assert (engine.info.precision, engine.info.device.endswith(", bfloat16)")) == ("bf16", True)
    assert 1e-4 < prove(demo, engine).golden_max_abs < 0.01


@needs_openvino
def test_bf16_that_points_elsewhere_is_refused(demo: Bundle) -> None:
    """What calls itself bf16 and computes another thing fails the proof, and so does what computes nothing."""
    engine = open_openvino(demo)
    engine.info = replace(engine.info, precision="bf16")
    prove(demo, engine)
    wrong = testing.FakeEngine()
    wrong.info = replace(wrong.info, precision="bf16")
    for vectors in (np.ones((8, 384), np.float32), np.full((8, 384), np.nan, np.float32)):
        wrong.embed = lambda windows, vectors=vectors: vectors  # type: ignore[method-assign, misc]
        with pytest.raises(ParityError, match="Run this bundle in fp32"):
            prove(demo, wrong)


@needs_openvino
def test_int8_is_the_model_of_the_bundle(tiny: Bundle, tmp_path: Path) -> None:
    """Another precision runs the bundle's own file of it; one that it has not is said."""
    made = with_variant(tiny, tmp_path)
    engine = open_openvino(made, precision="int8")
    assert engine.info.precision == "int8"
    assert engine.info.weights == made.manifest.files["encoder.int8.onnx"].sha256
    assert prove(made, engine).golden_windows == 6
    with pytest.raises(BundleError, match="has no int8 model"):
        open_openvino(tiny, precision="int8")


def with_variant(tiny: Bundle, tmp_path: Path) -> Bundle:
    """The tiny bundle with its own model once more, called int8."""
    files = {name: tiny.read(name) for name in tiny.manifest.files} | {"encoder.int8.onnx": testing.tiny_model()}
    manifest = msgspec.structs.replace(tiny.manifest, variants={"int8": Variant("encoder.int8.onnx", 1e-3, {})})
    return bundles.save(tmp_path / "int8.aura", manifest, files)


@needs_openvino
def test_impossible_requests_are_refused(tiny: Bundle) -> None:
    """No threads, FP16, and a provider are errors that say what is expected."""
    with pytest.raises(EngineError, match="0 threads; expected 1 or more"):
        open_openvino(tiny, threads=0)
    with pytest.raises(EngineError, match="Say --precision fp32, bf16 or int8"):
        open_openvino(tiny, precision="fp16")
    with pytest.raises(EngineError, match="openvino engine takes no execution provider"):
        open_engine("openvino", tiny, provider="cpu")


@needs_openvino
def test_other_windows_are_refused_and_a_closed_engine_is_closed(tiny: Bundle) -> None:
    """A wrong shape says what is expected; closing twice is fine, embedding afterwards is not."""
    engine = open_openvino(tiny)
    with pytest.raises(EngineError, match=r"expected float32 of shape \(B, 6, 1000\)"):
        engine.embed(WINDOWS[:, :, :999])
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="this engine is closed"):
        engine.embed(WINDOWS)


@needs_openvino
def test_model_that_is_none_is_an_engine_error(tiny: Bundle, tmp_path: Path) -> None:
    """A file that is no ONNX graph names the file and how to check the bundle."""
    files = {name: tiny.read(name) for name in tiny.manifest.files}
    broken = bundles.save(tmp_path / "broken.aura", tiny.manifest, files | {"encoder.onnx": b"not a graph"})
    with pytest.raises(EngineError, match=r"encoder\.onnx: OpenVINO .* cannot read it.*aura-edge bundle verify"):
        open_openvino(broken)


@pytest.mark.parametrize("module", [None, ModuleType("openvino")], ids=["absent", "empty shell"])
def test_openvino_that_is_not_whole_is_said(
    tiny: Bundle, monkeypatch: pytest.MonkeyPatch, module: ModuleType | None
) -> None:
    """Without OpenVINO the error says what to install."""
    monkeypatch.setitem(sys.modules, "openvino", module)
    with pytest.raises(EngineError, match=r"OpenVINO cannot be used .* pip install 'aura-edge\[openvino\]'"):
        open_engine("openvino", tiny)


@needs_openvino
def test_nothing_is_reported_and_nothing_left_in_the_home(tiny: Bundle, tmp_path: Path) -> None:
    """OpenVINO's telemetry is never imported: no client id in the home, no event; what it compiles is kept only where that is asked."""
    program = (
        "import sys; from aura_edge import bundle; from aura_edge.engines.openvino import open_openvino\n"
        "open_openvino(bundle.load(sys.argv[1]), keep_compiled=len(sys.argv) > 2)\n"
        "assert sys.modules.get('openvino_telemetry') is None"
    )
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    subprocess.run([sys.executable, "-c", program, str(tiny.path)], check=True, env=environment)
    assert list(home.rglob("*")) == []
    subprocess.run([sys.executable, "-c", program, str(tiny.path), "keep"], check=True, env=environment)
    assert list(home.glob(".cache/aura-edge/openvino/*"))
