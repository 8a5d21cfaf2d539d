"""The one door to open_clip: any of its models, with the weights of one of its tags or of a local file; nothing is fetched unasked.

CLIP: Radford et al. 2021, arXiv:2103.00020; open_clip: Ilharco et al. 2021, and the scaling study of Cherti et al. 2022, arXiv:2212.07143.
Both towers of a model are opened here: the text tower by `clip_text.py`, the image tower by training.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from aura_edge.errors import InputError, MissingExtraError, RecipeError, require

if TYPE_CHECKING:
    from torch import nn

FAMILY = "open_clip"
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""What a hub repository calls its weights, where the tag does not say: first what is preferred."""
PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")

OPERATORS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
"""Operators of torchvision's own library that its Python half asks for when it is imported; no CLIP model uses them."""
_declared: list[Any] = []
"""The declarations end with the object that made them."""


@dataclass(frozen=True, slots=True)
class ClipName:
    """`open_clip:MODEL` or `open_clip:MODEL:SOURCE`."""

    model: str
    source: str | None
    """A pretrained tag of open_clip, or the path of a file of weights; None for the one tag that the local hub cache has."""

    @property
    def space(self) -> str:
        """What a `TextSpace` is called: without the source, which the digest of the weights stands for."""
        return f"{FAMILY}:{self.model}"


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A model with its weights, on the CPU, in float32, for inference."""

    name: ClipName
    model: Any
    """`encode_text`, `encode_image`, and the two towers as `text` and `visual`."""
    tokenizer: Any
    preprocessing: dict[str, Any] | None
    """How images are brought to the model; None for local weights of a model whose tags differ in it."""


def parse(name: str) -> ClipName:
    """Raises `RecipeError` for a name of another form."""
    family, *rest = name.split(":", 2)
    if family != FAMILY or not rest or not all(rest):
        raise RecipeError(
            f"tower {name!r}: expected open_clip:MODEL:SOURCE, as in open_clip:ViT-B-32:laion2b_s34b_b79k or "
            "open_clip:ViT-B-32:weights.safetensors."
        )
    return ClipName(rest[0].replace("/", "-"), rest[1] if len(rest) > 1 else None)


def load(name: str, *, download: bool = False) -> Clip:
    """The model `name` with its weights.

    A file does not say whether it was trained with QuickGELU (OpenAI's own weights were): name the model that has it where it was, as in
    `ViT-B-32-quickgelu`. Raises `RecipeError` for a model or a tag that open_clip does not know and for weights that are not on this
    machine (unless `download` lets them be fetched), `InputError` for a file that does not hold the weights of this model.
    """
    wanted = parse(name)
    clip = import_open_clip()
    config = clip.get_model_config(wanted.model)
    if config is None:
        raise RecipeError(
            f"{name}: open_clip has no model {wanted.model!r}; it has {', '.join(clip.list_models()[:12])} and others "
            "(python -c 'import open_clip; print(open_clip.list_models())')."
        )
    foreign = [key for key in ("hf_model_name", "hf_tokenizer_name") if config["text_cfg"].get(key)]
    if foreign and not download:
        raise RecipeError(
            f"{name}: the text tower of {wanted.model} takes its {' and '.join(foreign)} from a hub, through transformers. Open it with "
            "download=True, or choose a model whose tokenizer is inside open_clip, such as ViT-B-32."
        )
    tags: dict[str, dict[str, Any]] = {
        tag: clip.get_pretrained_cfg(wanted.model, tag) for tag in clip.list_pretrained_tags_by_model(wanted.model)
    }
    path, tag = _weights(wanted, tags, download=download)
    if tag is not None and bool(tags[tag].get("quick_gelu")) != bool(config.get("quick_gelu")):
        other = wanted.model.removesuffix("-quickgelu") + ("" if config.get("quick_gelu") else "-quickgelu")
        raise RecipeError(
            f"{name}: the weights {tag} were not trained with the activation of {wanted.model}. Name the model {other}."
        )
    known = [tags[tag]] if tag is not None else list(tags.values())
    possible = [{key: entry[key] for key in PREPROCESSING if key in entry} for entry in known]
    preprocessing = None if any(each != possible[0] for each in possible) else (possible or [{}])[0]
    try:
        # Both towers as modules of their own, whatever the file calls their parts; a path that is absolute is never taken for a tag.
        model = clip.create_model(
            wanted.model,
            pretrained=str(path.absolute()),
            force_custom_text=True,
            force_preprocess_cfg=preprocessing,
            weights_only=True,
        )
        tokenizer = clip.get_tokenizer(wanted.model)
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"{name}: needs {error.name}. Install it with: pip install {error.name}") from error
    except Exception as error:
        raise InputError(
            f"{path}: not the weights of {wanted.model} ({error}). Expected a state dict of that model as .safetensors, or as .pt that "
            "loads without running code."
        ) from error
    return Clip(ClipName(wanted.model, tag or str(path)), model.eval().requires_grad_(False), tokenizer, preprocessing)


def weights_digest(module: nn.Module) -> str:
    """sha256 over names, shapes and float32 values of all weights: the same from whichever file they came."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def import_open_clip() -> ModuleType:
    """Import open_clip, also beside a torchvision whose own library does not fit this torch (PyPI's beside a CPU-only torch, Jetson)."""
    torch = require("torch", extra="train")
    try:
        require("torchvision", extra="train")
    except RuntimeError as error:
        missing = [name for name in OPERATORS if not hasattr(torch.ops.torchvision, name)]
        if "torchvision::" not in str(error) or not missing:
            raise
        declarations = torch.library.Library("torchvision", "DEF")
        for name in missing:
            declarations.define(OPERATORS[name])
        _declared.append(declarations)
    return require("open_clip", extra="train")


def _weights(wanted: ClipName, tags: dict[str, dict[str, Any]], *, download: bool) -> tuple[Path, str | None]:
    """File and tag (None for a local file) of the weights."""
    here = {tag: path for tag, entry in tags.items() if (path := _in_hub_cache(entry["hf_hub"])) is not None}
    source = wanted.source
    if source is None:
        if len(here) != 1:
            raise RecipeError(
                f"{wanted.space}: the local hub cache has weights for {len(here)} of its tags ({', '.join(here) or 'none'}); say which: "
                f"{wanted.space}:TAG or {wanted.space}:FILE."
            )
        return next((path, tag) for tag, path in here.items())
    if source in here:
        return here[source], source
    if source in tags:
        if download:
            return _fetch(wanted, tags[source]), source
        command = f'from aura_edge.text import open_tower; open_tower("{wanted.space}:{source}", download=True)'
        raise RecipeError(
            f"{wanted.space}:{source}: these weights ({tags[source]['hf_hub'].strip('/')}) are not in the local hub cache, and nothing is "
            f"fetched unasked. Fetch them once: python -c '{command}'; or name a file: {wanted.space}:FILE."
        )
    path = Path(source).expanduser()
    if not path.is_file():
        raise RecipeError(
            f"{wanted.space}:{source}: neither a file nor a pretrained tag of {wanted.model}; its tags: {', '.join(tags) or 'none'}."
        )
    if path.suffix not in SUFFIXES:
        raise RecipeError(f"{path}: expected weights as {', '.join(SUFFIXES)}.")
    return path, None


def _in_hub_cache(where: str) -> Path | None:
    """The file of a tag's weights, if it was fetched before; asks no network. `where` is `owner/name/` or `owner/name/file`."""
    hub = require("huggingface_hub", extra="train")
    repository, _, file = where.rpartition("/")
    # open_clip itself prefers the safetensors twin of a file.
    names = (str(Path(file).with_suffix(".safetensors")), file) if file else HUB_FILES
    for name in names:
        found = hub.try_to_load_from_cache(repository, name)
        if isinstance(found, str):
            return Path(found)
    return None


def _fetch(wanted: ClipName, entry: dict[str, Any]) -> Path:
    try:
        return Path(import_open_clip().download_pretrained(entry))
    except Exception as error:
        raise InputError(
            f"{wanted.space}:{wanted.source}: could not be fetched from {entry['hf_hub']} ({error}). Look at the network, or name a file: "
            f"{wanted.space}:FILE."
        ) from error
