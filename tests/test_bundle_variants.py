"""A bundle may hold its model in other precisions: each is a file of it, proved against the same golden vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from aura_edge import bundle, testing
from aura_edge.bundle import Bundle, Variant
from aura_edge.errors import BundleError, ParityError

HALF = Variant("encoder.fp16.onnx", 0.01, {"windows": 1000}, ("stems.1",), "strongly typed", {"stems.1": "overflows"})


def embed(windows: np.ndarray) -> np.ndarray:
    return testing.FakeEngine().embed(windows)


def with_variants(folder: Path, variants: dict[str, Variant]) -> Bundle:
    """A tiny bundle whose variants are all the same graph."""
    tiny = testing.tiny_bundle(folder)
    files = {name: (tiny.path / name).read_bytes() for name in tiny.manifest.files}
    files |= {variant.file: testing.tiny_model() for variant in variants.values()}
    return bundle.save(tiny.path, msgspec.structs.replace(tiny.manifest, variants=variants), files)


def test_variants_come_back_as_saved(tmp_path: Path) -> None:
    """Each precision has its file and its tolerance; fp32 is the model itself."""
    made = with_variants(tmp_path / "v.aura", {"int8": Variant("encoder.int8.onnx", 0.05, {}), "fp16": HALF})
    opened = bundle.load(made.path)
    assert opened == made
    assert opened.precisions == ("fp32", "fp16", "int8")
    assert opened.model() == opened.model("fp32") == ("encoder.onnx", 1e-4)
    assert opened.model("fp16") == ("encoder.fp16.onnx", 0.01)
    assert opened.manifest.variants["fp16"] == HALF
    assert bundle.verify_files(opened) == 5


def test_missing_precision_names_those_there_are(tmp_path: Path) -> None:
    """What was not exported is said with the option that exports it."""
    tiny = testing.tiny_bundle(tmp_path / "tiny.aura")
    assert tiny.precisions == ("fp32",)
    with pytest.raises(BundleError, match=r"has no fp16 model, only fp32.*--precision"):
        tiny.model("fp16")


def test_each_precision_has_its_own_tolerance(tmp_path: Path) -> None:
    """What is too much for FP32 is accepted of FP16, and not more than that."""
    made = with_variants(tmp_path / "v.aura", {"fp16": HALF})
    near, far = (lambda windows: embed(windows) + np.float32(5e-3)), (lambda windows: embed(windows) + np.float32(2e-2))
    assert bundle.verify(made, near, "fp16").golden_max_abs == pytest.approx(5e-3, rel=1e-3)
    with pytest.raises(ParityError, match=r"differ by 0\.005, accepted is 0\.0001"):
        bundle.verify(made, near)
    with pytest.raises(ParityError, match=r"differ by 0\.02, accepted is 0\.01"):
        bundle.verify(made, far, "fp16")


@pytest.mark.parametrize("batch", [1, 4, 6, 50])
def test_fixed_batch_gets_nothing_else(tmp_path: Path, batch: int) -> None:
    """A graph that takes only so many windows is asked for only so many, and what fills the last batch is not compared."""
    variant = Variant("encoder.b.onnx", 1e-4, {}, batch=batch)
    made = with_variants(tmp_path / "v.aura", {"fp32-batch": variant})
    sizes: list[int] = []

    def fixed(windows: np.ndarray) -> np.ndarray:
        sizes.append(len(windows))
        return embed(windows)

    assert bundle.verify(made, fixed, "fp32-batch").golden_windows == 6
    assert sizes == [batch] * -(-6 // batch)
    assert (made.batch(), made.batch("fp32-batch")) == (None, batch)


def test_bundle_of_schema_1_is_read(tmp_path: Path) -> None:
    """A bundle from before variants opens as it is, and is of this schema once it is written again."""
    tiny = testing.tiny_bundle(tmp_path / "tiny.aura")
    path = tiny.path / bundle.MANIFEST
    content = json.loads(path.read_text())
    content["schema"] = 1
    del content["variants"]
    path.write_text(json.dumps(content))
    old = bundle.load(tiny.path)
    assert (old.manifest.schema, old.precisions) == (1, ("fp32",))
    assert bundle.verify(old, embed).golden_max_abs == 0.0
    files = {name: old.read(name) for name in old.manifest.files}
    assert bundle.save(old.path, old.manifest, files).manifest.schema == bundle.SCHEMA


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ({"fp16": {"file": "absent.onnx", "golden_tolerance": 1e-2, "parity": {}}}, "lists no 'absent.onnx'"),
        ({"fp16": {"file": "encoder.onnx", "golden_tolerance": 0, "parity": {}}}, "Expected `float` > 0"),
        ({"fp32": {"file": "encoder.onnx", "golden_tolerance": 1, "parity": {}}}, "lists fp32 among the variants"),
        ({"fp16": {"file": "encoder.onnx", "golden_tolerance": 1e-2, "parity": {}, "batch": 0}}, "Expected `int` >= 1"),
    ],
)
def test_variants_that_make_no_sense_are_refused(tmp_path: Path, variants: dict[str, Any], message: str) -> None:
    """A manifest whose variants are not there, or that renames its own model, is not loaded."""
    tiny = testing.tiny_bundle(tmp_path / "tiny.aura")
    path = tiny.path / bundle.MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"variants": variants}))
    with pytest.raises(BundleError, match=message):
        bundle.load(tiny.path)


def test_variant_without_its_file_is_not_saved(tmp_path: Path) -> None:
    """A bundle that promises a precision it has not is not written."""
    tiny = testing.tiny_bundle(tmp_path / "tiny.aura")
    files = {name: (tiny.path / name).read_bytes() for name in tiny.manifest.files}
    manifest = msgspec.structs.replace(tiny.manifest, variants={"fp16": HALF})
    with pytest.raises(BundleError, match=r"lists no 'encoder.fp16.onnx'"):
        bundle.save(tmp_path / "new.aura", manifest, files)
    assert not (tmp_path / "new.aura").exists()
