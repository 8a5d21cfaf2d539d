"""Exporting means comparing: a bundle is written only when it computes what was trained, on real windows, and the same bytes each time."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

from aura_edge import bundle, prototypes, testing, text
from aura_edge.bundle import Bundle, SignalSpec
from aura_edge.engines.ort import open_ort
from aura_edge.errors import BundleError, InputError, MissingExtraError, ParityError, TextSpaceError
from aura_edge_bench.encode_latency import encode_latency
from aura_edge_export import bundling, labelling
from aura_edge_export.card import model_card
from aura_edge_export.commands import export_app, prototypes_app
from aura_edge_export.parity import Tolerance, compare
from aura_edge_export.windows import load_windows

torch = pytest.importorskip("torch", reason="exports torch modules; it comes with aura-edge[export]")
pytest.importorskip("onnxscript", reason="torch's exporter needs it; it comes with aura-edge[export]")

WINDOWS = np.stack([testing.motion(label, seed=seed) for label in testing.TINY_LABELS for seed in range(30)])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder as training leaves it, of an encoder that never trained, in the tiny text space."""
    from aura_edge import encoders
    from aura_edge.encoders.checkpoint import Caption, Header, save

    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(7)
    options = {"dimension": testing.TINY_DIMENSION, "width": 16, "depth": 1, "heads": 2}
    spec = encoders.make_spec("transformer", options)
    sentences = {"walking": ("a person is walking", "on foot"), "shaking": ("shaking it",), "spinning": ("spinning",)}
    captions = tuple(Caption(f"T{i}", label, "any", lines) for i, (label, lines) in enumerate(sentences.items()))
    header = Header(
        name="tiny-run",
        encoder=spec,
        text_space=testing.TINY_SPACE,
        captions={"motions": captions, "two": captions[:2]},
        training={"recipe": {"seed": 7}, "data": ["motions | made up"]},
        metrics={"validation": {"accuracy": 0.123456}},
    )
    save(folder, encoders.build(spec), header)
    save_file({"windows": WINDOWS}, folder / "windows.safetensors")
    return folder


@pytest.fixture(autouse=True)
def tiny_tower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(text.TOWERS, testing.TINY_SPACE.tower, "aura_edge.testing:FakeTower")


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> bundling.Exported:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(text.TOWERS, testing.TINY_SPACE.tower, "aura_edge.testing:FakeTower")
        return bundling.export(run, tmp_path_factory.mktemp("out") / "small.aura", description="For tests.")


@pytest.fixture
def traced(exported: bundling.Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares a test that is not about the graph the seconds of tracing it again."""
    content = exported.bundle.model_path.read_bytes()
    monkeypatch.setattr(bundling, "to_onnx", lambda *_, **__: content)


def test_export_is_proved(exported: bundling.Exported) -> None:
    """The bundle verifies through onnxruntime, and the comparison with torch is in its manifest."""
    made = bundle.load(exported.bundle.path)
    engine = open_ort(made)
    assert bundle.verify(made, engine.embed).golden_windows == 8
    assert engine.info.precision == "fp32"
    parity = made.manifest.metrics["parity"]
    assert parity == msgspec.to_builtins(exported.parity)
    assert parity["windows"] == len(WINDOWS)
    assert parity["cosine_min"] > 1 - 1e-6
    assert parity["max_abs"] < 1e-5
    assert parity["top1_agreement"] == {"motions": 1.0, "two": 1.0}


def test_manifest_carries_what_the_checkpoint_knew(exported: bundling.Exported, run: Path) -> None:
    """Encoder, text space, provenance and metrics come over; the versions that exported it are added."""
    from aura_edge.encoders import checkpoint

    header, manifest = checkpoint.load(run).header, exported.bundle.manifest
    assert (manifest.encoder, manifest.text_space, manifest.signal) == (
        header.encoder,
        header.text_space,
        header.signal,
    )
    assert (manifest.name, manifest.prototypes, manifest.decision) == ("small", "motions", header.decision)
    assert manifest.training["recipe"] == {"seed": 7}
    assert manifest.training["weights_sha256"] == header.weights_sha256
    assert manifest.training["exported_with"]["torch"] == torch.__version__
    assert manifest.metrics["validation"] == {"accuracy": 0.123456}


def test_two_exports_are_byte_identical(exported: bundling.Exported, run: Path, tmp_path: Path) -> None:
    """The same checkpoint gives the same bundle, whatever it is called on disk."""
    again = bundling.export(run, tmp_path / "small.aura", description="For tests.").bundle
    assert again.manifest == exported.bundle.manifest
    for name in (*again.manifest.files, bundle.MANIFEST):
        assert (again.path / name).read_bytes() == (exported.bundle.path / name).read_bytes()


def test_graph_tells_nothing_about_its_maker(exported: bundling.Exported) -> None:
    """No path, source line or stack trace of the exporting machine is in the graph."""
    content = exported.bundle.model_path.read_bytes()
    for trace in (b"stack_trace", b".py", str(Path.cwd()).encode(), b"fx_node"):
        assert trace not in content


def test_graph_takes_any_number_of_windows(exported: bundling.Exported) -> None:
    """The batch is free, and a window's embedding does not depend on its neighbours."""
    engine = open_ort(exported.bundle)
    whole = engine.embed(WINDOWS)
    for count in (1, 2, 7):
        assert np.allclose(engine.embed(WINDOWS[:count]), whole[:count], atol=1e-6)


def test_prototypes_are_the_mean_of_their_sentences(exported: bundling.Exported) -> None:
    """A label of two sentences is their mean, brought to length one."""
    known = prototypes.load_for(exported.bundle)
    vectors = testing.FakeTower().embed(["a person is walking", "on foot"])
    mean = vectors.mean(axis=0)
    assert known.labels == ("walking", "shaking", "spinning")
    assert known.prompts[0] == ("a person is walking", "on foot")
    assert np.allclose(known.embeddings[0], mean / np.linalg.norm(mean), atol=1e-6)


def test_model_card_tells_the_manifest(exported: bundling.Exported) -> None:
    """What people read are the manifest's numbers: labels, provenance, measurements, limits."""
    card = (exported.bundle.path / "MODEL_CARD.md").read_text()
    assert card == model_card(
        exported.bundle.manifest,
        {name: prototypes.load_for(exported.bundle, name) for name in exported.bundle.prototype_sets},
    )
    for part in (
        "# small",
        "For tests.",
        "walking; shaking; spinning",
        "| recipe.seed | 7 |",
        "| validation.accuracy | 0.1235 |",
    ):
        assert part in card
    assert "motions \\| made up" in card
    assert f"| parity.windows | {len(WINDOWS)} |" in card


def test_model_card_stays_readable(exported: bundling.Exported) -> None:
    """Lists of measurements become rows, long ones are cut with a word where the rest is, and confusion matrices stay in the manifest."""
    facts = {"sets": [{"f1": 0.5}, {"f1": 1}], "confusion": [[1, 2], [3, 4]], "subjects": ["S"] * 300, "none": []}
    card = model_card(msgspec.structs.replace(exported.bundle.manifest, metrics=facts, training={}), {})
    for part in (
        "| sets.1.f1 | 0.5 |",
        "| sets.2.f1 | 1 |",
        "S, ... (all of it: manifest.json) |",
        "says nothing about how",
    ):
        assert part in card
    assert "confusion" not in card


def test_bundle_and_checkpoint_are_timed_together(exported: bundling.Exported, run: Path) -> None:
    """The benchmark runs what was exported beside what it was exported from, and both give the golden embeddings."""
    result = encode_latency(exported.bundle, ("ort", "torch"), checkpoint=run, rounds=20)
    ort, eager = result.engines
    assert (ort.unavailable, eager.unavailable) == (None, None)
    assert ort.latency is not None
    assert eager.latency is not None
    assert eager.golden_max_abs is not None
    assert eager.golden_max_abs < 1e-6
    (comparison,) = result.comparisons
    assert (comparison.engine, comparison.against) == ("ort", "torch")
    assert comparison.ratio == pytest.approx(eager.latency.p50_ms / ort.latency.p50_ms)


def test_checkpoint_of_another_bundle_is_not_timed(exported: bundling.Exported, run: Path, tmp_path: Path) -> None:
    """A checkpoint that the bundle was not exported from is in the result with that reason, and without a time."""

    def damage(state: dict[str, Any]) -> None:
        state["projection.bias"] += 1

    other = broken_copy(run, tmp_path / "other", damage)
    ort, eager = encode_latency(exported.bundle, ("ort", "torch"), checkpoint=other, rounds=5).engines
    assert ort.latency is not None
    assert eager.latency is None
    assert "is not the checkpoint that" in str(eager.unavailable)


def broken_copy(run: Path, folder: Path, damage: Callable[[dict[str, Any]], None]) -> Path:
    """The run with other weights, its digests in order."""
    from aura_edge.encoders import checkpoint

    trained = checkpoint.load(run)
    state = {name: tensor.clone() for name, tensor in trained.encoder.state_dict().items()}
    damage(state)
    trained.encoder.load_state_dict(state)
    checkpoint.save(folder, trained.encoder, trained.header)
    shutil.copy(run / "windows.safetensors", folder)
    return folder


def test_encoder_that_gives_nan_is_not_written(run: Path, tmp_path: Path) -> None:
    """NaN equals NaN in no comparison: the gate fails, and there is no bundle."""

    def damage(state: dict[str, Any]) -> None:
        state["projection.bias"][0] = np.nan

    with pytest.raises(ParityError, match=r"largest difference nan.*Nothing was written"):
        bundling.export(broken_copy(run, tmp_path / "nan", damage), tmp_path / "out.aura")
    assert not (tmp_path / "out.aura").exists()


def test_graph_of_another_encoder_is_not_written(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exporter that gets the weights wrong is caught on real windows, and there is no bundle."""
    monkeypatch.setattr(bundling, "to_onnx", lambda *_, **__: testing.tiny_model())
    with pytest.raises(ParityError, match="the exported model is not the trained one, over 90 windows"):
        bundling.export(run, tmp_path / "out.aura")
    assert list(tmp_path.iterdir()) == []


def test_sentences_of_another_tower_are_refused(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tower whose weights changed since training embeds no prototypes."""
    other = msgspec.structs.replace(testing.TINY_SPACE, weights_sha256="f" * 64)
    monkeypatch.setattr(testing.FakeTower, "space", other)
    with pytest.raises(TextSpaceError, match="weights ffffffffffff"):
        bundling.export(run, tmp_path / "out.aura")


@pytest.mark.parametrize(
    ("labels", "message"),
    [([], "data set 'x' of this checkpoint has no captions"), (["a", "a"], "calls two captions the same")],
)
def test_captions_that_make_no_set_are_refused(run: Path, labels: list[str], message: str) -> None:
    """No captions, or two of one label, are errors of the checkpoint: no set is made that lacks some."""
    from aura_edge.encoders import checkpoint

    header = checkpoint.load(run).header
    captions = tuple(checkpoint.Caption(str(i), label, "any", ("x",)) for i, label in enumerate(labels))
    with pytest.raises(BundleError, match=message):
        bundling.require_captions(msgspec.structs.replace(header, captions={"x": captions}))
    with pytest.raises(BundleError, match="has no captions, so nothing could be recognised"):
        bundling.require_captions(msgspec.structs.replace(header, captions={}))


def test_phrases_become_the_lexicon_of_the_bundle(run: Path, tmp_path: Path) -> None:
    """Beside the labels, with what its eight bits cost, and found by those who look a label up."""
    from aura_edge.lexicon import FILE, vocabulary_of

    made = bundling.export(run, tmp_path / "out.aura", phrases=["ironing clothes", "riding a bike"]).bundle
    assert made.manifest.files[FILE].bytes > 0
    assert made.manifest.metrics["lexicon"]["phrases"] == 2
    found = vocabulary_of(made).find(["riding a bike"])
    assert found.prototypes.labels == ("riding a bike",)
    assert FILE not in bundling.export(run, tmp_path / "plain.aura").bundle.manifest.files


def test_unknown_default_set_is_said(run: Path, tmp_path: Path) -> None:
    """Naming a set that the checkpoint has not lists those it has."""
    with pytest.raises(BundleError, match="no prototype set 'none' in this checkpoint; it has: motions, two"):
        bundling.export(run, tmp_path / "out.aura", prototype_set="none")


@pytest.mark.usefixtures("traced")
def test_only_redistributable_windows_travel(run: Path, tmp_path: Path) -> None:
    """Windows that may not be given to others are compared on, and never in the bundle."""
    mask = np.zeros(len(WINDOWS), np.uint8)
    mask[[3, 50]] = 1
    save_file({"windows": WINDOWS, "redistributable": mask}, tmp_path / "w.safetensors")
    made = bundling.export(run, tmp_path / "out.aura", windows=tmp_path / "w.safetensors")
    assert made.parity.windows == len(WINDOWS)
    assert np.array_equal(bundle.load_golden(made.bundle)[0], WINDOWS[[3, 50]])
    save_file({"windows": WINDOWS, "redistributable": mask * 0}, tmp_path / "w.safetensors")
    with pytest.raises(ParityError, match="none of the windows may be given to others"):
        bundling.export(run, tmp_path / "none.aura", windows=tmp_path / "w.safetensors")


@pytest.mark.shared_data
@pytest.mark.usefixtures("traced")
def test_parity_holds_on_a_real_recording(run: Path, tmp_path: Path, shared_data: Path) -> None:
    """Two minutes of a hand-held sensor: torch and onnxruntime agree on every window of it."""
    rows = np.loadtxt(shared_data / "fusion" / "sensor_data.csv", delimiter=",", skiprows=1)
    grid_s = np.arange(rows[0, 0], rows[-1, 0], 1 / 200)
    scale = [9.80665] * 3 + [np.pi / 180] * 3
    # Its columns are time, gyroscope in deg/s, accelerometer in g, magnetometer.
    signal = (
        np.stack([np.interp(grid_s, rows[:, 0], rows[:, c]) for c in (4, 5, 6, 1, 2, 3)]) * np.array(scale)[:, None]
    )
    windows = np.stack([signal[:, at : at + 1000] for at in range(0, signal.shape[1] - 1000, 100)]).astype(np.float32)
    file = write(tmp_path / "real.safetensors", windows=windows)
    parity = bundling.export(run, tmp_path / "out.aura", windows=file).parity
    assert parity.windows == len(windows) > 200
    assert parity.max_abs < 1e-5


UNIT = np.eye(8, dtype=np.float32)
SETS = {"tiny": testing.tiny_prototypes()}


@pytest.mark.parametrize(
    ("reference", "found", "message"),
    [
        (UNIT, UNIT * np.nan, "largest difference nan"),
        (UNIT * np.nan, UNIT * np.nan, "largest difference nan"),
        (np.full_like(UNIT, np.inf), np.full_like(UNIT, np.inf), "largest difference nan"),
        (UNIT, UNIT + np.float32(2e-4), "largest difference 0.0002, accepted 0.0001"),
        (UNIT, UNIT * 1.00009, r"embeddings 9e-05 from unit length, accepted 1e-05"),
        (UNIT * 0, UNIT * 0, "least cosine nan"),
        (UNIT, UNIT[::-1], "of the windows get another label"),
        (UNIT[:0], UNIT[:0], "nothing was compared: 0 windows"),
        (UNIT, UNIT[:7], r"shape \(7, 8\), expected \(8, 8\)"),
    ],
)
def test_comparison_fails_on(reference: np.ndarray, found: np.ndarray, message: str) -> None:
    """NaN, differences, lengths, other labels and nothing at all each fail with their numbers."""
    with pytest.raises(ParityError, match=message):
        compare(reference, found, SETS, Tolerance(norm=1e-5))


def test_comparison_without_labels_fails() -> None:
    """Without prototypes no label was compared."""
    with pytest.raises(ParityError, match="0 prototype sets"):
        compare(UNIT, UNIT, {})


def test_label_agreement_has_a_limit_of_its_own() -> None:
    """Labels that lie close flip under a difference that is accepted: a few may, more may not."""
    known = prototypes.make(["a", "b"], [[], []], UNIT[:2], testing.TINY_SPACE)
    reference = np.repeat(UNIT[:1], 100, axis=0)
    reference[:2, :2] = np.sqrt(0.5)
    found = reference.copy()
    found[:2, 0] -= np.float32(1e-6)
    parity = compare(reference, found, {"two": known}, Tolerance(disagreement=0.02))
    assert parity.top1_agreement == {"two": 0.98}
    with pytest.raises(ParityError, match=r"2.00% of the windows get another label, accepted 0.10%"):
        compare(reference, found, {"two": known})


def write(path: Path, **arrays: np.ndarray) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **arrays)  # type: ignore[arg-type]
    else:
        save_file(arrays, path)
    return path


@pytest.mark.parametrize("name", ["w.npz", "w.safetensors"])
def test_windows_are_read_from(tmp_path: Path, name: str) -> None:
    """Both forms give the same windows."""
    found = load_windows(write(tmp_path / name, windows=WINDOWS[:2]), SignalSpec())
    assert np.array_equal(found.samples, WINDOWS[:2])
    assert found.redistributable.tolist() == [True, True]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"other": WINDOWS}, "has other, expected an array named windows"),
        ({"windows": WINDOWS[0]}, r"shape \(6, 1000\), expected float32 of shape \(N, 6, 1000\)"),
        ({"windows": WINDOWS[:, :, :500]}, r"expected float32 of shape \(N, 6, 1000\)"),
        ({"windows": WINDOWS.astype("f8")}, "windows are float64"),
        ({"windows": WINDOWS * np.nan}, "not finite"),
        ({"windows": WINDOWS, "redistributable": np.ones(3, np.uint8)}, r"redistributable has shape \(3,\)"),
    ],
)
@pytest.mark.parametrize("name", ["w.npz", "w.safetensors"])
def test_windows_that_are_none(tmp_path: Path, name: str, arrays: dict[str, np.ndarray], message: str) -> None:
    """Every way in which windows may be wrong names the file and what is expected."""
    with pytest.raises(InputError, match=message):
        load_windows(write(tmp_path / name, **arrays), SignalSpec())


def test_files_that_hold_no_windows(tmp_path: Path) -> None:
    """A missing file, garbage, and pickled objects are refused; nothing is unpickled."""
    with pytest.raises(InputError, match="no such file"):
        load_windows(tmp_path / "none.safetensors", SignalSpec())
    np.savez(tmp_path / "o.npz", windows=np.array([{}], dtype=object))
    for name in ("g.npz", "g.safetensors"):
        (tmp_path / name).write_bytes(b"garbage")
    for name in ("o.npz", "g.npz", "g.safetensors"):
        with pytest.raises(InputError, match="readable"):
            load_windows(tmp_path / name, SignalSpec())


@pytest.fixture
def tiny(tmp_path: Path) -> Bundle:
    return testing.tiny_bundle(tmp_path / "tiny.aura")


def invoke(app: object, *arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=True)  # type: ignore[arg-type]
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_labels_are_added_in_place(tiny: Bundle) -> None:
    """New labels become a set beside the old one, and the bundle still verifies."""
    code, output = invoke(
        prototypes_app,
        tiny.path,
        "--labels",
        "spinning",
        "--labels",
        "cooking",
        "--template",
        "someone is {}",
        "--set",
        "mine",
    )
    assert code == 0
    assert "someone is cooking" in output
    found = bundle.load(tiny.path)
    assert found.prototype_sets == ("mine", "tiny")
    assert found.manifest.prototypes == "tiny"
    known = prototypes.load_for(found, "mine")
    assert known.prompts == (("someone is spinning",), ("someone is cooking",))
    assert bundle.verify(found, testing.FakeEngine().embed).files == 5
    assert "cooking" in (found.path / "MODEL_CARD.md").read_text()


def test_labels_from_a_file_may_have_sentences(tiny: Bundle, tmp_path: Path) -> None:
    """A JSON file gives labels with sentences of their own; the set can become the default, in a bundle of its own."""
    (tmp_path / "labels.json").write_text(json.dumps({"going": ["walking", "on foot"], "else": ["cooking"]}))
    code, _ = invoke(
        prototypes_app, tiny.path, "--file", tmp_path / "labels.json", "--default", "-o", tmp_path / "other.aura"
    )
    assert code == 0
    assert bundle.load(tiny.path) == tiny
    known = prototypes.load_for(bundle.load(tmp_path / "other.aura"))
    assert (known.labels, known.prompts[0]) == (("going", "else"), ("walking", "on foot"))


def test_tampered_bundle_gets_no_fresh_digests(tiny: Bundle) -> None:
    """Adding labels to a changed bundle would sign the change: it is refused."""
    content = bytearray(tiny.model_path.read_bytes())
    content[-1] ^= 1
    tiny.model_path.write_bytes(content)
    with pytest.raises(BundleError, match="changed since it was exported"):
        labelling.add_labels(tiny, {"x": ["x"]}, set_name="mine")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b"])
def test_set_names_are_plain(tiny: Bundle, name: str) -> None:
    """A set's name becomes a file's: nothing else than a plain one is taken."""
    with pytest.raises(BundleError, match="expected letters, digits, dots"):
        labelling.add_labels(tiny, {"x": ["x"]}, set_name=name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "no labels: "),
        ("3", "no labels: "),
        ('{"a": "b"}', "no labels: "),
        ('["a", "a"]', "labels repeat: a"),
        ('{"a": []}', "label 'a' has no sentences"),
        ("[]", "expected at least one"),
    ],
)
def test_files_of_labels_that_are_none(tiny: Bundle, tmp_path: Path, content: str, message: str) -> None:
    """Every way in which a file of labels may be wrong has its message."""
    (tmp_path / "l.json").write_text(content)
    with pytest.raises((InputError, BundleError), match=message):
        invoke(prototypes_app, tiny.path, "--file", tmp_path / "l.json")
    assert bundle.load(tiny.path) == tiny


@pytest.mark.parametrize("arguments", [[], ["--labels", "a", "--file", "b.json"]])
def test_labels_come_from_one_place(tiny: Bundle, arguments: list[str]) -> None:
    """Neither or both of --labels and --file is wrong usage."""
    assert invoke(prototypes_app, tiny.path, *arguments)[0] == 2


def test_template_needs_a_place(tiny: Bundle) -> None:
    """A template without {} would make all labels one."""
    with pytest.raises(InputError, match="has no place for the label"):
        invoke(prototypes_app, tiny.path, "--labels", "a", "--template", "a person")


@pytest.mark.usefixtures("traced")
def test_export_command_prints_the_comparison(run: Path, tmp_path: Path) -> None:
    """The command writes the bundle, with measurements from a file, and prints what was compared."""
    (tmp_path / "test_subjects.json").write_text('{"accuracy": 0.5}')
    out = tmp_path / "out.aura"
    code, output = invoke(export_app, run, "-o", out, "--metrics", tmp_path / "test_subjects.json", "--json")
    assert code == 0
    assert json.loads(output)["parity"]["windows"] == len(WINDOWS)
    assert bundle.load(out).manifest.metrics["test_subjects"] == {"accuracy": 0.5}


@pytest.mark.usefixtures("traced")
def test_export_command_prints_a_table(run: Path, tmp_path: Path) -> None:
    """A person reads what was compared."""
    code, output = invoke(export_app, run, "-o", tmp_path / "out.aura", "--prototypes", "two")
    assert code == 0
    for part in ("out.aura: written", f"{len(WINDOWS)} ", "same label, set motions", "100.00%"):
        assert part in output
    assert bundle.load(tmp_path / "out.aura").manifest.prototypes == "two"


@pytest.mark.parametrize(("content", "message"), [(None, "cannot be read"), ("{", "not JSON")])
def test_metrics_that_are_none(run: Path, tmp_path: Path, content: str | None, message: str) -> None:
    """A file of measurements that is missing or no JSON stops the export before it begins."""
    if content is not None:
        (tmp_path / "m.json").write_text(content)
    with pytest.raises(InputError, match=message):
        invoke(export_app, run, "-o", tmp_path / "out.aura", "--metrics", tmp_path / "m.json")


@pytest.mark.parametrize("module", ["torch", "onnx", "onnxscript"])
def test_export_without_its_packages_names_the_extra(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    """Where a package is missing, the error says which extra brings it."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"{module} is not installed.*aura-edge\[export\]"):
        bundling.export(run, tmp_path / "out.aura")


def test_commands_import_no_torch() -> None:
    """Importing the commands costs neither torch nor onnxruntime."""
    code = "import sys, aura_edge_export.commands as c; print({'torch', 'onnxruntime', 'onnx'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
