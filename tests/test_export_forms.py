"""What a bundle holds beside its FP32 graph: other precisions, fixed batches, packed weights, motion capture; and whose checkpoints it takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

pytest.importorskip("torch", reason="exports torch modules; it comes with aura-edge[export]")
pytest.importorskip("onnxscript", reason="torch's exporter needs it; it comes with aura-edge[export]")

import torch
from safetensors.numpy import load as from_safetensors
from safetensors.numpy import save_file
from small_graphs import encoder_of, graph_of
from typer.testing import CliRunner

from aura_edge import bundle, encoders, testing, text
from aura_edge.encoders import checkpoint, mocap_checkpoint
from aura_edge.encoders.checkpoint import Caption, Header
from aura_edge.engines.ort import open_ort
from aura_edge.errors import BundleError, InputError, ParityError, RecipeError
from aura_edge.kernels import packing
from aura_edge_export import bundling, forms, lowering, mocap, parity
from aura_edge_export.commands import export_app
from aura_edge_export.parity import Tolerance, faults, measure
from aura_edge_export.sessions import embed
from aura_edge_export.windows import load_windows
from aura_edge_train import foreign_checkpoints, foreign_names, recipe

WINDOWS = np.stack([testing.motion(label, seed=seed) for label in testing.TINY_LABELS for seed in range(40)])
SHORT = np.ascontiguousarray(WINDOWS[:, :, :200])
SPACE = msgspec.structs.replace(testing.TINY_SPACE, dimension=8)
CAPTIONS = {
    "motions": tuple(Caption(f"T{i}", label, "any", (f"{label} now",)) for i, label in enumerate(testing.TINY_LABELS))
}


@pytest.fixture(autouse=True)
def tiny_tower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(text.TOWERS, testing.TINY_SPACE.tower, "aura_edge.testing:FakeTower")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of the small Transformer, traced once for all tests, with labelled windows."""
    folder = tmp_path / "run"
    encoder = encoder_of("edge")
    spec = encoders.make_spec("transformer", dict(msgspec.to_builtins(encoder.options)))
    signal = bundle.SignalSpec(window_s=1.0)
    header = Header(name="small", encoder=spec, signal=signal, text_space=SPACE, captions=CAPTIONS)
    checkpoint.save(folder, encoder, header)
    captions = np.repeat(np.arange(3), 40)
    save_file({"windows": SHORT, "captions.motions": captions}, folder / "windows.safetensors")
    monkeypatch.setattr(bundling, "to_onnx", lambda *_, **__: graph_of("edge"))
    return folder


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoder that never trained puts all windows side by side, and the file is too small for 30 %: not what is tested here."""
    easy = Tolerance(max_abs=1, cosine_loss=0.1, disagreement=1, accuracy_loss=1)
    monkeypatch.setattr(lowering.to_fp16, "__defaults__", (easy,))
    monkeypatch.setattr(lowering.to_integers, "__defaults__", (easy,))
    monkeypatch.setattr(lowering, "LARGEST_INT8", 1.0)
    monkeypatch.setattr(lowering, "METHODS", ("dynamic", "weights only"))
    monkeypatch.setitem(forms.TOLERANCES, "fp16", easy)
    monkeypatch.setitem(forms.TOLERANCES, "int8", easy)


@pytest.mark.usefixtures("lenient")
def test_all_forms_in_one_bundle(run: Path, tmp_path: Path) -> None:
    """Each precision and its fixed batch is a file that the engine opens and that gives the golden vectors; the manifest says how it was made."""
    made = bundling.export(
        run, tmp_path / "all.aura", precisions=("fp16", "int8"), batch=3, targets=("cuda",), least_windows=100
    )
    opened = bundle.load(made.bundle.path)
    assert opened.precisions == ("fp32", "fp16", "fp16-batch3", "fp32-batch3", "int8", "int8-batch3")
    for precision in opened.precisions:
        engine = open_ort(opened, precision=precision)
        assert bundle.verify(opened, engine.embed, precision).golden_windows == 8
        assert engine.info.precision == precision
        engine.close()
    variants = opened.manifest.variants
    assert (variants["fp16"].file, variants["fp16"].method) == ("encoder.fp16.onnx", "strongly typed")
    assert (variants["int8"].method, variants["int8-batch3"].method) == ("dynamic", "dynamic")
    assert [variants[f"{name}-batch3"].batch for name in ("fp32", "fp16", "int8")] == [3, 3, 3]
    assert variants["fp16"].parity["windows"] == 105
    assert set(variants["fp16"].parity["accuracy"]) == {"motions"}
    tried = opened.manifest.metrics["lower_precision"]
    assert [(one["precision"], one["method"]) for one in tried] == [
        ("fp16", "strongly typed"), ("int8", "dynamic"), ("int8", "weights only"),
    ]  # fmt: skip
    assert made.missing == ()
    assert "lower_precision.1.method | strongly typed" in (opened.path / "MODEL_CARD.md").read_text()


def test_packed_weights_are_those_of_the_kernel(run: Path, tmp_path: Path) -> None:
    """For the target that runs no ONNX, its weights travel in its own order."""
    trained = checkpoint.load(run)
    tensors = {name: tensor.numpy() for name, tensor in trained.encoder.state_dict().items()}
    made = bundling.export(run, tmp_path / "cuda.aura", targets=("cuda",))
    stored = from_safetensors(made.bundle.read(forms.CUDA_WEIGHTS))
    expected = packing.pack(trained.header.encoder, tensors)
    assert stored.keys() == expected.keys()
    assert all(np.array_equal(stored[name], expected[name]) for name in expected)


def test_precision_that_misses_its_gate_is_left_out(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundle is written without it, and the result says what was wrong and which layer is to blame."""
    monkeypatch.setattr(lowering.to_fp16, "__defaults__", (Tolerance(cosine_loss=-1),))
    made = bundling.export(run, tmp_path / "out.aura", precisions=("fp16",), least_windows=100)
    assert made.missing == ("fp16",)
    assert made.bundle.precisions == ("fp32",)
    assert "encoder.fp16.onnx" not in made.bundle.manifest.files
    assert made.attempts[-1].faults
    assert made.attempts[-1].blame


def test_command_fails_where_a_precision_is_missing(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked for was not done: the bundle is there, and the exit code is not 0."""

    def nothing(reference: lowering.Reference) -> lowering.Lowered:
        found = reference.measure(reference.embeddings)
        tried = lowering.Attempt("fp16", "strongly typed", 7, found, ("too far",), "blocks.0.up", {"gru": "overflows"})
        return lowering.Lowered(None, b"", (tried,))

    monkeypatch.setitem(forms.MAKERS, "fp16", nothing)
    monkeypatch.setattr(bundling, "require_windows", lambda *_: None)
    options = [str(run), "-o", str(tmp_path / "out.aura"), "--no-lexicon", "--precision", "fp32, fp16"]
    result = CliRunner().invoke(export_app, options)
    assert isinstance(result.exception, ParityError)
    assert "was written without fp16" in str(result.exception)
    assert "fp16, strongly typed: gru stays in FP32; overflows" in result.output
    assert "fp16, strongly typed: too far; to blame is blocks.0.up" in result.output
    assert bundle.load(tmp_path / "out.aura").precisions == ("fp32",)
    as_json = CliRunner().invoke(export_app, [*options, "--json"])
    said = json.loads(as_json.output)
    assert (said["missing"], said["precisions"], said["tried"][0]["taken"]) == (["fp16"], ["fp32"], False)


@pytest.mark.usefixtures("lenient")
def test_command_writes_what_it_is_asked_for(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Precision, fixed batch and a model repository in one go, told in tables."""
    monkeypatch.setattr(bundling, "require_windows", lambda *_: None)
    options = [str(run), "-o", str(tmp_path / "out.aura"), "--no-lexicon", "--target", "trt", "--batch", "1"]
    result = CliRunner().invoke(export_app, [*options, "--triton", str(tmp_path / "models")])
    assert result.exit_code == 0, result.output
    assert bundle.load(tmp_path / "out.aura").precisions == ("fp32", "fp16", "fp16-batch1", "fp32-batch1")
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["out_fp16", "out_fp32"]
    assert "compared on 105 real windows" in result.output


def test_too_few_windows_are_said_before_anything(run: Path, tmp_path: Path) -> None:
    """Less precision needs a thousand windows to be compared on; FP32 does not."""
    with pytest.raises(ParityError, match=r"105 windows to compare on.*at least 1000"):
        bundling.export(run, tmp_path / "out.aura", precisions=("int8",))
    assert not (tmp_path / "out.aura").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precisions": ("fp8",)}, r"no precision fp8; expected some of fp32, fp16, int8"),
        ({"targets": ("npu",)}, r"no target npu; expected some of ort, openvino, trt, cuda"),
        ({"modalities": ("mocap",)}, r"modalities are mocap; expected imu"),
        ({"modalities": ("imu", "audio")}, r"modalities are imu, audio"),
    ],
)
def test_what_there_is_not_is_refused(run: Path, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    """A wrong name is said with the right ones."""
    with pytest.raises(RecipeError, match=message):
        bundling.export(run, tmp_path / "out.aura", **options)


def test_targets_bring_their_precision() -> None:
    """TensorRT fuses attention in FP16 alone."""
    assert forms.chosen_precisions(("fp32",), ("trt", "ort")) == ("fp32", "fp16")
    assert forms.chosen_precisions(("int8",), ()) == ("fp32", "int8")


def test_fixed_batch_of_another_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The form that takes one window at a time is compared as well."""
    made = forms.Forms()
    content, expected = graph_of("edge"), embed(graph_of("edge"), SHORT)
    sets = {"motions": testing.tiny_prototypes()}
    reference = lowering.Reference(content, None, None, expected, sets)  # type: ignore[arg-type]
    forms.add_fixed_batch(made, content, 2, SHORT, expected, reference)
    assert made.variants["fp32-batch2"].batch == 2
    with pytest.raises(ParityError, match="fp32 with a batch of 2 is not the trained model"):
        forms.add_fixed_batch(made, content, 2, SHORT, -expected, reference)


# --- parity


def test_ranks_and_accuracy_are_measured() -> None:
    """Turned-around scores have a rank correlation of -1, and accuracy counts labelled windows alone."""
    sets = {"tiny": testing.tiny_prototypes()}
    vectors = np.concatenate([testing.tiny_prototypes().embeddings] * 4)
    labels = np.array([0, 1, 2, 0, 0, 0, -1, -1, -1, -1, -1, -1])
    same = measure(vectors, vectors, sets, {"tiny": labels})
    assert (same.rank_correlation["tiny"], same.top1_agreement["tiny"]) == (1.0, 1.0)
    assert same.accuracy["tiny"] == same.accuracy_of_reference["tiny"] == pytest.approx(4 / 6)
    turned = measure(vectors, -vectors, sets, {})
    assert turned.rank_correlation["tiny"] == -1.0
    assert turned.accuracy == {}
    worse = measure(vectors, np.roll(vectors, 1, axis=0), sets, {"tiny": np.tile(np.arange(3), 4)})
    (lost,) = (fault for fault in faults(worse, Tolerance(max_abs=9, cosine_loss=9, disagreement=1)))
    assert lost == "100.00% of the labelled windows are recognised less, accepted 0.50%"


def test_nan_is_a_fault_of_every_kind() -> None:
    """No comparison with it is true."""
    vectors = testing.tiny_prototypes().embeddings
    found = measure(vectors, np.full_like(vectors, np.nan), {"tiny": testing.tiny_prototypes()}, {})
    for tolerance in (parity.FP32, parity.FP16, parity.INT8):
        assert len(faults(found, tolerance)) >= 3


def test_captions_of_windows_are_read(tmp_path: Path) -> None:
    """Numbers, one for each window; anything else is said."""
    save_file({"windows": WINDOWS[:4], "captions.x": np.array([0, 1, -1, 0])}, tmp_path / "w.safetensors")
    assert load_windows(tmp_path / "w.safetensors", bundle.SignalSpec()).captions["x"].tolist() == [0, 1, -1, 0]
    for wrong in (np.zeros(4, np.float32), np.zeros(3, np.int64)):
        save_file({"windows": WINDOWS[:4], "captions.x": wrong}, tmp_path / "w.safetensors")
        with pytest.raises(InputError, match=r"captions.x is .* expected whole numbers \(4,\)"):
            load_windows(tmp_path / "w.safetensors", bundle.SignalSpec())


# --- motion capture, and other people's checkpoints


@pytest.fixture
def with_mocap(run: Path) -> Path:
    """A run that left an encoder of motion capture, as training writes it."""
    torch.manual_seed(1)
    options = {"gru_axis": "channel", "pool": "max", "dimension": 8, "channels": 6, "groups": 2, "window_samples": 20}
    sizes = {"filters": 8, "kernels": [2, 2], "pools": [2, 1], "bins": 7}
    spec = encoders.make_spec("cnn_rnn", options | sizes)
    made_ready = recipe.Mocap(preset="cnn-rnn-mocap")
    mocap_checkpoint.save(
        run,
        encoders.build(spec),
        mocap_checkpoint.Header(
            encoder=spec, joints=("a", "b"), rate_hz=10.0, made_ready=msgspec.to_builtins(made_ready)
        ),
    )
    return run


@pytest.mark.slow
def test_mocap_travels_in_the_bundle(with_mocap: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its graph computes what was trained, and what a window must be made ready with stands beside it."""
    made = bundling.export(with_mocap, tmp_path / "m.aura", modalities=("imu", "mocap"))
    content = made.bundle.read(mocap.MODEL)
    about = json.loads(made.bundle.read(mocap.HEADER))
    assert (about["joints"], about["rate_hz"]) == (["a", "b"], 10.0)
    assert about["made_ready"]["preset"] == "cnn-rnn-mocap"

    encoder, _ = mocap_checkpoint.load(with_mocap)
    poses = mocap.made_up_poses(9, 6, 20, 10.0)
    with torch.inference_mode():
        expected = encoder(torch.from_numpy(poses)).numpy()
    np.testing.assert_allclose(embed(content, poses, name="mocap"), expected, atol=2e-6)


@pytest.mark.slow
def test_wrong_mocap_is_refused(with_mocap: Path, run: Path, tmp_path: Path) -> None:
    """A run without one, a torn one, and a graph that computes something else write nothing."""
    with pytest.raises(ParityError, match="the exported mocap encoder is not the trained one"):
        mocap.export_mocap(with_mocap, tolerance=Tolerance(max_abs=-1))
    weights = with_mocap / mocap_checkpoint.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(BundleError, match="were not written together"):
        mocap.export_mocap(with_mocap)
    with pytest.raises(BundleError, match=r"no mocap encoder that can be read"):
        mocap.export_mocap(tmp_path)


def as_imu2clip(folder: Path) -> Path:
    """Our CNN-RNN under IMU2CLIP's names, in a file such as its code leaves."""
    torch.manual_seed(2)
    options = foreign_names.stack_options("imu") | {
        "dimension": 8,
        "gru_axis": "channel",
        "pool": "max",
        "projection": False,
    }
    encoder = encoders.build(encoders.make_spec("cnn_rnn", options))
    theirs = foreign_names.cnn_rnn_names("net", options)
    state = {f"imu_encoder.{theirs[name]}": tensor for name, tensor in encoder.state_dict().items()}
    torch.save({"state_dict": state}, folder / "imu2clip.ckpt")
    return folder / "imu2clip.ckpt"


def as_aura_mfm(folder: Path) -> Path:
    """The released Transformer under AURA-MFM's names."""
    torch.manual_seed(2)
    options = {"dimension": 8, "width": 192, "depth": 6, "heads": 6}
    encoder = encoders.build(encoders.make_spec("senvt_released", options))
    theirs = foreign_names.senvt_names(6)
    shapes = {"summary_token": (1, 1, -1), "positions": (1, 126, -1)}
    state = {
        f"imu_encoder.{theirs[name]}": tensor.reshape(shapes[name]) if name in shapes else tensor
        for name, tensor in encoder.state_dict().items()
    }
    torch.save(state, folder / "aura.pth")
    return folder / "aura.pth"


@pytest.mark.parametrize(
    ("write", "options"),
    [
        (as_imu2clip, {"family": "imu2clip", "gru_axis": "channel", "pool": "max"}),
        (as_aura_mfm, {"family": "aura-mfm"}),
    ],
)
@pytest.mark.slow
@pytest.mark.usefixtures("lenient")
def test_other_peoples_checkpoints_take_the_same_path(
    write: Callable[[Path], Path], options: dict[str, Any], tmp_path: Path
) -> None:
    """What `aura-edge import` writes is exported, in FP16 too, and computes what the papers' encoder does."""
    run = tmp_path / "run"
    foreign_checkpoints.import_checkpoint(
        write(tmp_path), run, name="x", text_space=SPACE, captions=CAPTIONS, **options
    )
    save_file({"windows": WINDOWS}, run / "windows.safetensors")
    made = bundling.export(run, tmp_path / "x.aura", precisions=("fp16",), least_windows=100)
    assert made.parity.max_abs < 1e-4
    assert made.bundle.precisions == ("fp32", "fp16")
    assert made.bundle.manifest.training["imported"]["family"] == options["family"]
    with torch.inference_mode():
        expected = checkpoint.load(run).encoder(torch.from_numpy(WINDOWS)).numpy()
    found = embed(made.bundle.read("encoder.fp16.onnx"), WINDOWS)
    assert np.sum(found * expected, axis=1).min() > 0.999
