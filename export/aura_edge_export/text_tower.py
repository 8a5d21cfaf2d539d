"""A text tower as ONNX, for devices: written, read back, and compared with the tower on sentences before anybody gets it."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from aura_edge.errors import BundleError, ParityError, require
from aura_edge.text import TextTower
from aura_edge.text.clip_text import ClipText
from aura_edge.text.exported import HEADER, INPUT, MODEL, OUTPUT, TOKENIZER, Header, open_exported
from aura_edge.text.minilm import MiniLM
from aura_edge.whole_files import replace_folder
from aura_edge_export.graph import trace
from aura_edge_export.lexicon import read_phrases

GOLDEN = ("a person is walking", "someone climbs the stairs, slowly", "falling backwards while trying to sit up")
LARGEST_DIFFERENCE = 2e-5
"""In any component of any sentence's vector."""


@dataclass(frozen=True, slots=True)
class TowerParity:
    """What was measured."""

    sentences: int
    max_abs: float
    cosine_min: float


def export_tower(tower: TextTower, folder: Path, *, sentences: Sequence[str] = ()) -> TowerParity:
    """Write `tower` to `folder`, comparing on `sentences` (default: a hundred phrases of the lexicon) and `GOLDEN`.

    An exported tower there is replaced. Raises `ParityError` where it gives other vectors than the tower, or for a tower that cannot be
    exported; then nothing is written.
    """
    torch = require("torch", extra="export")
    module, tokens, dynamic, tokenizer, unescapes = _parts(tower, torch)
    model = trace(module, tokens, inputs=[INPUT], outputs=[OUTPUT], dynamic=dynamic)
    contents = {MODEL: model, TOKENIZER: tokenizer.encode()}
    compared = [*GOLDEN, *(sentences or [f"a person is {phrase}" for phrase in read_phrases()[::20]])]
    expected = tower.embed(compared)
    header = Header(
        space=tower.space,
        unescape_html=unescapes,
        golden={sentence: tuple(row.tolist()) for sentence, row in zip(GOLDEN, expected, strict=False)},
        files={name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
    )
    files = {**contents, HEADER: msgspec.json.format(msgspec.json.encode(header), indent=2) + b"\n"}
    target = folder.resolve()
    if target.exists() and not (target / HEADER).is_file():
        raise BundleError(f"{target}: exists and is no exported text tower (no {HEADER}); choose another folder.")
    with tempfile.TemporaryDirectory() as scratch:
        for name, content in files.items():
            (Path(scratch) / name).write_bytes(content)
        found = open_exported(f"onnx:{scratch}").embed(compared)
    parity = TowerParity(
        len(compared), float(np.abs(found - expected).max()), float(np.sum(found * expected, axis=1).min())
    )
    # Written so that NaN fails.
    if not parity.max_abs <= LARGEST_DIFFERENCE:
        worst = compared[int(np.abs(found - expected).max(axis=1).argmax())]
        raise ParityError(
            f"the exported text tower is not {tower.space.tower}: vectors of {parity.sentences} sentences differ by up to {parity.max_abs:.3g}, "
            f"accepted {LARGEST_DIFFERENCE:g}; worst: {worst!r}. Nothing was written. Try another version of torch or tokenizers."
        )
    try:
        replace_folder(target, files)
    except OSError as error:
        raise BundleError(
            f"{target}: cannot be written: {error.strerror}. Choose another place with --text."
        ) from error
    return parity


def _parts(tower: TextTower, torch: Any) -> tuple[Any, Any, Any, str, bool]:
    """Module, example tokens, which of their dimensions are free, tokenizer as JSON, and whether entities of HTML are read."""
    from aura_edge_export.clip_tokens import clip_tokens
    from aura_edge_export.text_modules import Bert, ClipTower

    if isinstance(tower, MiniLM):
        tokens = torch.tensor([tower._tokenizer.encode(GOLDEN[0]).ids])
        free = ({1: torch.export.Dim("tokens", min=2, max=tower._tokenizer.truncation["max_length"])},)
        return Bert(tower._weights), tokens, free, tower._tokenizer.to_str(), False
    if isinstance(tower, ClipText):
        tokenizer = tower._tokenizer
        if (mask := getattr(tower, "_mask", None)) is not None:
            tower._model.text.attn_mask = mask  # embedding cuts it to the sentence at hand
        return ClipTower(tower._model), tokenizer([GOLDEN[0]]), None, clip_tokens(tokenizer), True
    raise ParityError(f"the text tower {tower.space.tower} has no form in ONNX; MiniLM and open_clip's have.")
