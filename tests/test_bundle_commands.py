"""`aura-edge bundle`: what a person and a program are told about a bundle, and how a failure ends."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from safetensors.numpy import save as to_safetensors
from typer.testing import CliRunner

from aura_edge import bundle, prototypes, testing
from aura_edge.__main__ import main
from aura_edge.bundle import Bundle, Manifest, Variant
from aura_edge.commands.bundle import app


@pytest.fixture
def tiny(tmp_path: Path) -> Bundle:
    return testing.tiny_bundle(tmp_path / "tiny.aura")


def printed(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


def saved(tiny: Bundle, manifest: Manifest, **files: bytes) -> Bundle:
    """The bundle at the same place with another manifest and some other files, its digests in order."""
    now = bundle.load(tiny.path)
    kept = {name: now.read(name) for name in now.manifest.files}
    return bundle.save(tiny.path, manifest, kept | files)


def test_show_tells_what_it_is(tiny: Bundle) -> None:
    """Signal, encoder, text space, labels and files are in the table."""
    text = printed("show", tiny.path)
    for part in (
        "5 s at 200 Hz",
        "m/s2 (with gravity) and rad/s",
        "tiny, 104 parameters",
        "tiny, 8-d",
        "walking; shaking; spinning",
    ):
        assert part in text


def test_show_prints_the_manifest_as_json(tiny: Bundle) -> None:
    """`--json` is the manifest, to the last field."""
    assert msgspec.json.decode(printed("show", tiny.path, "--json"), type=Manifest) == tiny.manifest


def test_show_takes_no_label_for_markup(tiny: Bundle) -> None:
    """A label in brackets is printed, not obeyed."""
    known = prototypes.make(
        ["[red]walking[/red]", ":smile:"], [[], []], np.eye(2, 8, dtype=np.float32), testing.TINY_SPACE
    )
    saved(tiny, tiny.manifest, **{"prototypes/tiny.safetensors": prototypes.to_bytes(known)})
    assert "[red]walking[/red]; :smile:" in printed("show", tiny.path)


def test_show_shortens_what_is_long(tiny: Bundle) -> None:
    """A long fact is cut in the table, and says where the whole of it is."""
    saved(tiny, msgspec.structs.replace(tiny.manifest, training={"subjects": ["SA01"] * 200}))
    assert "(all of it: --json)" in printed("show", tiny.path)


def test_verify_says_what_was_proved(tiny: Bundle) -> None:
    """Files, label sets and golden windows are counted, and the engine that ran is named."""
    text = printed("verify", tiny.path)
    assert "verified" in text
    assert "3 files have the sha256 of the manifest" in text
    assert "1 label sets live in the text space of the encoder: tiny, 8-d" in text
    assert "6 golden windows recomputed by ort on cpu (CPUExecutionProvider)" in text


def test_verify_proves_the_precision_asked_for(tiny: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    """Each has its own tolerance; one that the bundle has not is said with those it has."""
    half = Variant("encoder.fp16.onnx", 0.02, {}, ("gru",), "strongly typed")
    manifest = msgspec.structs.replace(tiny.manifest, variants={"fp16": half})
    saved(tiny, manifest, **{"encoder.fp16.onnx": testing.tiny_model()})
    report = json.loads(printed("verify", tiny.path, "--engine", "ort", "--precision", "fp16", "--json"))
    assert (report["golden"]["tolerance"], report["engine"]["precision"]) == (0.02, "fp16")
    report = json.loads(printed("verify", tiny.path, "--engine", "ort", "--json"))
    assert (report["golden"]["tolerance"], report["engine"]["precision"]) == (1e-4, "fp32")
    assert "in fp16: largest difference" in printed("verify", tiny.path, "--engine", "ort", "--precision", "fp16")
    assert "encoder.fp16.onnx, strongly typed, gru in more precision" in printed("show", tiny.path)
    asked = failed(capsys, "verify", tiny.path, "--engine", "ort", "--precision", "int8")
    assert "has no int8 model, only fp32, fp16" in asked


def test_verify_reports_as_json(tiny: Bundle) -> None:
    """A program gets the same facts."""
    report = json.loads(printed("verify", tiny.path, "--json"))
    assert report["files"] == 3
    assert report["golden"]["windows"] == 6
    assert report["golden"]["max_abs"] <= report["golden"]["tolerance"]
    assert report["engine"]["weights"] == tiny.model_digest
    assert report["prototype_sets"]["tiny"]["digest"] == testing.tiny_prototypes().digest


def failed(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in ("bundle", *arguments)])
    assert ended.value.code == 1
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_verify_fails_with_1_and_the_reason(tiny: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    """A changed file, golden vectors that do not hold, and labels of another tower each end with code 1 and one line."""
    content = tiny.model_path.read_bytes()
    tiny.model_path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "encoder.onnx: sha256" in failed(capsys, "verify", tiny.path)
    tiny.model_path.write_bytes(content)

    inputs, outputs = bundle.load_golden(tiny)
    wrong = to_safetensors({"inputs": inputs, "embeddings": outputs[::-1].copy()})
    saved(tiny, tiny.manifest, **{bundle.GOLDEN: wrong})
    assert "recomputed embeddings differ by" in failed(capsys, "verify", tiny.path)

    space = msgspec.structs.replace(testing.TINY_SPACE, tower="another")
    saved(tiny, msgspec.structs.replace(tiny.manifest, text_space=space))
    assert "aligned with another" in failed(capsys, "verify", tiny.path)


def test_verify_refuses_a_provider_that_is_not_there(tiny: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    """Asking for hardware that is not there never verifies on another."""
    assert "no execution provider 'abacus'" in failed(capsys, "verify", tiny.path, "--provider", "abacus")


def test_show_of_nothing_fails_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is no bundle says so."""
    assert "no bundle" in failed(capsys, "show", tmp_path)
