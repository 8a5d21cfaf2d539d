"""A bundle is trusted only whole, unchanged, of a schema that is understood, and proved by its golden vectors."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save as to_safetensors

from aura_edge import bundle, testing
from aura_edge.bundle import Bundle, DecisionSpec, Manifest
from aura_edge.errors import BundleError, ParityError


@pytest.fixture
def tiny(tmp_path: Path) -> Bundle:
    return testing.tiny_bundle(tmp_path / "tiny.aura")


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Rewrite the manifest as a careless or hostile hand would."""
    path = folder / bundle.MANIFEST
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def with_golden(tiny: Bundle, **tensors: np.ndarray) -> Bundle:
    """The same bundle with other golden vectors, its digests in order."""
    files = {name: (tiny.path / name).read_bytes() for name in tiny.manifest.files}
    files[bundle.GOLDEN] = to_safetensors(tensors)
    return bundle.save(tiny.path, tiny.manifest, files)


def embed(windows: np.ndarray) -> np.ndarray:
    return testing.FakeEngine().embed(windows)


def test_bundle_comes_back_as_saved(tiny: Bundle) -> None:
    """What was saved is what is loaded, and verifies."""
    again = bundle.load(tiny.path)
    assert again == tiny
    assert bundle.verify(again, embed).golden_max_abs == 0.0


def test_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    """Two bundles of the same content differ in no byte."""
    one, two = testing.tiny_bundle(tmp_path / "one.aura"), testing.tiny_bundle(tmp_path / "two.aura")
    for name in (*one.manifest.files, bundle.MANIFEST):
        assert (one.path / name).read_bytes() == (two.path / name).read_bytes()


@pytest.mark.parametrize("name", ["encoder.onnx", "golden.safetensors", "prototypes/tiny.safetensors"])
def test_truncated_file_is_named(tiny: Bundle, name: str) -> None:
    """A file that lost its end is found without hashing, and named with the remedy."""
    file = tiny.path / name
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(BundleError, match=rf"{name}: \d+ bytes, the manifest says \d+: truncated or changed. Copy"):
        bundle.load(tiny.path)


@pytest.mark.parametrize("name", ["encoder.onnx", "golden.safetensors", "prototypes/tiny.safetensors"])
def test_tampered_file_is_named(tiny: Bundle, name: str) -> None:
    """One changed bit keeps the size and breaks the digest."""
    file = tiny.path / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(BundleError, match=rf"{name}: sha256 .* changed since it was exported"):
        bundle.verify_files(bundle.load(tiny.path))


def test_missing_file_is_named(tiny: Bundle) -> None:
    """A listed file that is not there is named."""
    (tiny.path / "encoder.onnx").unlink()
    with pytest.raises(BundleError, match=r"encoder.onnx: missing, though the manifest lists it"):
        bundle.load(tiny.path)


def test_directory_in_place_of_a_file_is_missing(tiny: Bundle) -> None:
    """A folder of a file's name is not that file."""
    (tiny.path / "encoder.onnx").unlink()
    (tiny.path / "encoder.onnx").mkdir()
    with pytest.raises(BundleError, match=r"encoder.onnx: missing"):
        bundle.load(tiny.path)


def test_newer_schema_asks_for_an_update(tiny: Bundle) -> None:
    """A bundle of the future says which version reads it, whatever else it contains."""
    edit_manifest(tiny.path, lambda m: m.update(schema=bundle.SCHEMA + 1, something_new=[1]))
    with pytest.raises(BundleError, match=r"manifest.json: schema 3, this version reads 1 to 2. Update aura-edge"):
        bundle.load(tiny.path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(surprise=1), "unknown field `surprise`"),
        (lambda m: m.pop("encoder"), "missing required field `encoder`"),
        (lambda m: m["decision"].update(temperature=0), r"Expected `float` > 0.*temperature"),
        (lambda m: m["signal"].update(rate_hz=-200), r"Expected `float` > 0.*rate_hz"),
        (lambda m: m["signal"].update(acceleration_unit="g"), "Invalid enum value 'g'"),
        (lambda m: m.update(schema="1"), r"Expected `int`, got `str`.*schema"),
        (lambda m: m["signal"].update(channels=["gyro_x", "acc_x"]), "the encoder wants channels gyro_x, acc_x"),
        (lambda m: m.update(model="other.onnx"), "lists no 'other.onnx', only encoder.onnx"),
        (lambda m: m.update(prototypes="other"), "has no label set 'other', only tiny"),
        (lambda m: m.update(prototypes="../../etc/x"), "has no label set '../../etc/x', only tiny"),
    ],
)
def test_manifest_that_makes_no_sense_is_refused(
    tiny: Bundle, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    """Unknown fields, impossible values and references to nothing are errors that name the field."""
    edit_manifest(tiny.path, change)
    with pytest.raises(BundleError, match=message):
        bundle.load(tiny.path)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b", "", ".", "nul\0", "manifest.json"])
def test_path_outside_the_folder_is_refused(tiny: Bundle, name: str) -> None:
    """A manifest that reaches out of its folder is hostile: it is neither loaded nor written."""
    edit_manifest(tiny.path, lambda m: m["files"].update({name: {"sha256": "0" * 64, "bytes": 1}}))
    with pytest.raises(BundleError, match=r"no file inside the bundle. Do not use this bundle"):
        bundle.load(tiny.path)
    with pytest.raises(BundleError, match="no file inside the bundle"):
        bundle.save(tiny.path.with_name("new.aura"), tiny.manifest, {name: b"x"})
    assert [entry.name for entry in tiny.path.parent.iterdir()] == ["tiny.aura"]


def test_what_is_no_bundle_is_said(tmp_path: Path) -> None:
    """A folder without a manifest, a file, and nothing at all are no bundles."""
    (tmp_path / "file").write_text("text")
    for path in (tmp_path, tmp_path / "file", tmp_path / "nowhere"):
        with pytest.raises(BundleError, match=r"no bundle \(no manifest.json in it\)"):
            bundle.load(path)


def test_manifest_that_is_a_folder_is_said(tmp_path: Path) -> None:
    """An unreadable manifest is our error, not the system's."""
    (tmp_path / bundle.MANIFEST).mkdir()
    with pytest.raises(BundleError, match=r"manifest.json: cannot be read"):
        bundle.load(tmp_path)


@given(
    content=st.one_of(
        st.binary(max_size=200),
        st.just(b'{"schema": 1, "name": "\xff"}'),
        st.just(b"\xff" + b'{"schema": 1}'),
        st.just(b'{"schema": 1, "training": ' + b'{"a":' * 50_000),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["schema", "name", "files", "x"]), inner),
        ).map(msgspec.json.encode),
    )
)
def test_any_manifest_loads_or_is_a_bundle_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Whatever the manifest holds, nothing but `BundleError` comes out."""
    folder = tmp_path_factory.mktemp("any")
    (folder / bundle.MANIFEST).write_bytes(content)
    with pytest.raises(BundleError):
        bundle.load(folder)


def test_half_written_save_leaves_nothing(tiny: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up while saving leaves the old bundle whole and no draft."""
    files = {name: (tiny.path / name).read_bytes() for name in tiny.manifest.files}
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name == bundle.GOLDEN:
            raise OSError(28, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    for target in (tiny.path, tiny.path.with_name("new.aura")):
        with pytest.raises(BundleError, match=r"cannot write the bundle: No space left on device. Free some space"):
            bundle.save(target, tiny.manifest, files)
    assert [entry.name for entry in tiny.path.parent.iterdir()] == ["tiny.aura"]
    assert bundle.verify_files(bundle.load(tiny.path)) == 3


def test_failed_swap_brings_the_old_bundle_back(tiny: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the new bundle cannot take the old one's name, the old one has it again."""
    files = {name: (tiny.path / name).read_bytes() for name in tiny.manifest.files}
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.suffix == ".tmp":
            raise OSError(13, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(BundleError, match="Permission denied"):
        bundle.save(tiny.path, tiny.manifest, files)
    assert [entry.name for entry in tiny.path.parent.iterdir()] == ["tiny.aura"]
    assert bundle.load(tiny.path) == tiny


def test_save_replaces_a_bundle_and_nothing_else(tiny: Bundle, tmp_path: Path) -> None:
    """An existing bundle is replaced; a folder that is none is left alone."""
    files = {name: (tiny.path / name).read_bytes() for name in tiny.manifest.files}
    renamed = msgspec.structs.replace(tiny.manifest, name="other")
    assert bundle.save(tiny.path, renamed, files).manifest.name == "other"
    (tmp_path / "mine").mkdir()
    with pytest.raises(BundleError, match="exists and is no bundle"):
        bundle.save(tmp_path / "mine", tiny.manifest, files)
    assert list((tmp_path / "mine").iterdir()) == []


def test_save_works_from_inside_the_bundle(tiny: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """`.` is a place like any other."""
    files = {name: (tiny.path / name).read_bytes() for name in tiny.manifest.files}
    monkeypatch.chdir(tiny.path)
    assert bundle.save(".", tiny.manifest, files).path == tiny.path.resolve()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decision": DecisionSpec(temperature=0.0)}, "would get a manifest that nothing can load"),
        ({"hop_s": float("nan")}, "would get a manifest that nothing can load"),
        ({"model": "absent.onnx"}, "lists no 'absent.onnx'"),
        ({"prototypes": "absent"}, "has no label set 'absent', only tiny"),
    ],
)
def test_save_refuses_what_would_not_load(tiny: Bundle, change: dict[str, Any], message: str) -> None:
    """A bundle that nothing could open is not written at all."""
    files = {name: (tiny.path / name).read_bytes() for name in tiny.manifest.files}
    target = tiny.path.with_name("new.aura")
    with pytest.raises(BundleError, match=message):
        bundle.save(target, msgspec.structs.replace(tiny.manifest, **change), files)
    assert not target.exists()


def test_save_wants_golden_vectors(tiny: Bundle) -> None:
    """A bundle without golden vectors could not be proved on a device."""
    files = {name: (tiny.path / name).read_bytes() for name in tiny.manifest.files if name != bundle.GOLDEN}
    with pytest.raises(BundleError, match=r"lists no 'golden.safetensors'"):
        bundle.save(tiny.path.with_name("new.aura"), tiny.manifest, files)


def test_nan_from_the_engine_fails(tiny: Bundle) -> None:
    """An engine that gives NaN never verifies, although no comparison with NaN is true."""
    with pytest.raises(ParityError, match="differ by nan"):
        bundle.verify(tiny, lambda windows: np.full((len(windows), 8), np.nan, np.float32))


def test_nan_in_the_golden_vectors_fails(tiny: Bundle) -> None:
    """Golden vectors that hold NaN prove nothing, even against themselves."""
    inputs, outputs = bundle.load_golden(tiny)
    outputs[0, 0] = np.nan
    broken = with_golden(tiny, inputs=inputs, embeddings=outputs)
    with pytest.raises(ParityError, match="differ by nan"):
        bundle.verify(broken, lambda _: outputs)


def test_nothing_compared_fails(tiny: Bundle) -> None:
    """No golden windows are no proof, and the engine is not even asked."""
    empty = with_golden(tiny, inputs=np.zeros((0, 6, 1000), np.float32), embeddings=np.zeros((0, 8), np.float32))
    with pytest.raises(ParityError, match="holds no golden windows, so nothing was compared"):
        bundle.verify(empty, embed)


def test_wrong_shape_from_the_engine_fails(tiny: Bundle) -> None:
    """An engine of another model gives another dimension: no broadcasting hides it."""
    with pytest.raises(ParityError, match=r"shape \(6, 1\), expected \(6, 8\)"):
        bundle.verify(tiny, lambda windows: np.zeros((len(windows), 1), np.float32))


def test_difference_beyond_tolerance_fails(tiny: Bundle) -> None:
    """The tolerance is the manifest's; the message carries both numbers."""
    with pytest.raises(ParityError, match=r"differ by 0.0002, accepted is 0.0001"):
        bundle.verify(tiny, lambda windows: embed(windows) + np.float32(2e-4))


def test_golden_without_its_tensors_is_said(tiny: Bundle) -> None:
    """A golden file of other tensors names the one it lacks."""
    with pytest.raises(BundleError, match="has no tensor 'inputs'"):
        bundle.load_golden(with_golden(tiny, other=np.zeros(1, np.float32)))


@pytest.mark.parametrize(
    "change",
    [
        lambda inputs, outputs: (inputs.astype("f8"), outputs),
        lambda inputs, outputs: (inputs, outputs.astype("f2")),
        lambda inputs, outputs: (inputs[0], outputs),
        lambda inputs, outputs: (inputs[1:], outputs),
    ],
)
def test_golden_of_another_form_is_said(tiny: Bundle, change: Callable[..., tuple[np.ndarray, np.ndarray]]) -> None:
    """Golden vectors of another type, rank or number are refused before any engine sees them."""
    inputs, outputs = change(*bundle.load_golden(tiny))
    with pytest.raises(
        BundleError, match=r"golden.safetensors: inputs are .* expected float32 \(N, 6, n\) and \(N, D\)"
    ):
        bundle.verify(with_golden(tiny, inputs=inputs, embeddings=outputs), embed)


EIGHT_BIT = b'{"inputs": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}'


@pytest.mark.parametrize(
    "content", [b"", b"garbage", bytes(64), struct.pack("<Q", len(EIGHT_BIT)) + EIGHT_BIT + bytes(4)]
)
def test_unreadable_tensors_are_a_bundle_error(tmp_path: Path, content: bytes) -> None:
    """Garbage, and types that numpy does not have, are said like any other damage."""
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(BundleError, match="not a readable safetensors file"):
        bundle.read_tensors(path)


def test_manifest_survives_its_own_json() -> None:
    """Every field of a manifest comes back from JSON as it was."""
    manifest = Manifest(
        name="x", encoder=bundle.EncoderSpec("k", {"width": 3}, 7), text_space=testing.TINY_SPACE, prototypes="p"
    )
    assert msgspec.json.decode(msgspec.json.encode(manifest), type=Manifest) == manifest
