"""What is shipped for tests: the fakes keep the seams' promises, and the tiny bundle is a real one.

`python tests/test_testing.py` writes the tiny graph anew.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura_edge import bundle, prototypes, testing
from aura_edge.engines.ort import open_ort
from aura_edge.errors import EngineError

TINY_ONNX = Path(testing.__file__).parent / "data" / "tiny.onnx"


def make_tiny_onnx() -> bytes:
    """The graph of `testing.FakeEngine`, spelt out node by node."""
    from onnx import TensorProto, checker, helper, numpy_helper

    constants = {
        "scale": testing.FEATURE_SCALE,
        "projection": testing.PROJECTION,
        "bias": testing.BIAS,
        "time": np.array([2], np.int64),
        "row": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("ReduceMean", ["imu", "time"], ["mean"], keepdims=1),
        helper.make_node("Sub", ["imu", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "centred"], ["squares"]),
        helper.make_node("ReduceMean", ["squares", "time"], ["variance"], keepdims=1),
        helper.make_node("Sqrt", ["variance"], ["deviation"]),
        helper.make_node("Concat", ["mean", "deviation"], ["stacked"], axis=1),
        helper.make_node("Squeeze", ["stacked", "time"], ["raw"]),
        helper.make_node("Mul", ["raw", "scale"], ["features"]),
        helper.make_node("Gemm", ["features", "projection", "bias"], ["vector"]),
        helper.make_node("ReduceL2", ["vector", "row"], ["length"], keepdims=1),
        helper.make_node("Div", ["vector", "length"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("imu", TensorProto.FLOAT, ["batch", 6, 1000])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", testing.TINY_DIMENSION])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8, producer_name="")
    helper.set_model_props(model, {"precision": "fp32"})
    checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def test_tiny_onnx_is_what_its_script_makes() -> None:
    """The binary in the package holds nothing but the graph written out here."""
    pytest.importorskip("onnx", reason="onnx makes the graph; it comes with aura-edge[export]")
    assert TINY_ONNX.read_bytes() == make_tiny_onnx()


def test_tiny_bundle_verifies_through_onnxruntime(tmp_path: Path) -> None:
    """The tiny bundle passes the same proof as any other, through a real engine."""
    tiny = testing.tiny_bundle(tmp_path / "tiny.aura")
    engine = open_ort(tiny)
    proof = bundle.verify(tiny, engine.embed)
    engine.close()
    assert (proof.files, proof.golden_windows) == (3, 6)
    assert proof.golden_max_abs <= 1e-6


@given(
    label=st.sampled_from(testing.TINY_LABELS),
    seed=st.integers(0, 10_000),
    samples=st.integers(200, 1200),
)
def test_fake_engine_names_each_motion(label: str, seed: int, samples: int) -> None:
    """Any of the made-up motions, with any noise and phase, is nearest to its own prototype."""
    vectors = testing.FakeEngine().embed(testing.motion(label, samples=samples, seed=seed)[None])
    known = testing.tiny_prototypes()
    assert known.labels[int(known.scores(vectors).argmax())] == label
    assert np.linalg.norm(vectors) == pytest.approx(1.0, abs=1e-6)


def test_fake_engine_is_deterministic_and_counts() -> None:
    """The same windows give the same bits, and the sizes of the batches are kept."""
    engine = testing.FakeEngine()
    windows = np.stack([testing.motion(label) for label in testing.TINY_LABELS])
    assert np.array_equal(engine.embed(windows), engine.embed(windows))
    assert engine.batches == [3, 3]


def test_fake_engine_refuses_what_is_no_batch() -> None:
    """A window without a batch axis is an error here as it is in a real engine."""
    with pytest.raises(EngineError, match=r"expected \(B, 6, n\)"):
        testing.FakeEngine().embed(testing.motion("walking"))


def test_empty_window_has_an_embedding() -> None:
    """A window of zeros does not become NaN."""
    vectors = testing.FakeEngine().embed(np.zeros((1, 6, 1000), np.float32))
    assert np.isfinite(vectors).all()


def test_list_sink_refuses_to_be_used_after_close() -> None:
    """A pipeline that emits after closing is caught by the fake."""
    sink = testing.ListSink()
    sink.close()
    with pytest.raises(ValueError, match="emit after close"):
        sink.emit(None)  # type: ignore[arg-type]


def test_motion_unknown_is_said() -> None:
    """An unknown motion names those there are."""
    with pytest.raises(ValueError, match="walking, shaking, spinning"):
        testing.motion("flying")


def test_fake_tower_embeds_sentences_alone() -> None:
    """A sentence's vector has length one, and does not depend on the sentences beside it."""
    tower = testing.FakeTower()
    both = tower.embed(["a person is shaking", "cooking pasta"])
    assert np.linalg.norm(both, axis=1) == pytest.approx(1.0, abs=1e-6)
    assert np.array_equal(both[1:], tower.embed(["cooking pasta"]))
    assert not np.allclose(both[1:], tower.embed(["washing up"]), atol=0.1)


def test_tiny_prototypes_load_for_their_bundle(tmp_path: Path) -> None:
    """The bundle's prototypes come back with the digest they were made with."""
    tiny = testing.tiny_bundle(tmp_path / "tiny.aura")
    assert prototypes.load_for(tiny).digest == testing.tiny_prototypes().digest


if __name__ == "__main__":
    TINY_ONNX.parent.mkdir(exist_ok=True)
    TINY_ONNX.write_bytes(make_tiny_onnx())
    print(f"{TINY_ONNX}: {TINY_ONNX.stat().st_size} bytes")
