"""A text tower as ONNX: new labels on a device that has onnxruntime and tokenizers, and neither torch nor open_clip.

    tower.json        `Header`: which text space this is, and the digests of the other two
    tower.onnx        `tokens` int64 (1, n) to `unit_vector` float32 (1, D), unit norm
    tokenizer.json    sentences to tokens, with what is cut off and filled up, as the package tokenizers reads it

`aura-edge export RUN --text FOLDER` writes it; its name is then `onnx:FOLDER`. Its space is that of the tower it was made from: the two
agree to rounding, and prototypes of either may be compared with the same encoder.
"""

from __future__ import annotations

import hashlib
import html
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import InputError, RecipeError, require
from aura_edge.manifest import TextSpace

FAMILY = "onnx"
HEADER, MODEL, TOKENIZER = "tower.json", "tower.onnx", "tokenizer.json"
INPUT, OUTPUT = "tokens", "unit_vector"
SCHEMA = 1


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`tower.json`."""

    schema: int = SCHEMA
    space: TextSpace
    unescape_html: bool = False
    """Whether `&amp;` and the like are read as what they stand for, as CLIP's tokenizer does."""
    golden: dict[str, tuple[float, ...]] = {}
    """Sentences and the vectors they must give, recomputed whenever the tower is opened."""
    golden_tolerance: float = 1e-4
    files: dict[str, str]
    """sha256 of the other files."""


def open_exported(name: str, *, download: bool = False) -> ExportedTower:
    """The tower `onnx:FOLDER`. Raises `RecipeError` where there is none, `InputError` for one that is damaged or gives other vectors here
    than where it was made, and `MissingExtraError` where tokenizers is not installed. There is nothing to download."""
    _, _, place = name.partition(":")
    folder = Path(place).expanduser()
    header = _read_header(folder)
    contents = {file: _read(folder / file, header.files.get(file, "")) for file in (MODEL, TOKENIZER)}
    tower = ExportedTower(folder, header, contents[MODEL], contents[TOKENIZER])
    tower.prove()
    return tower


class ExportedTower:
    """Embeds sentences one by one, as the tower does that it was made from."""

    def __init__(self, folder: Path, header: Header, model: bytes, tokenizer: bytes) -> None:
        tokenizers = require("tokenizers", extra="text")
        # As in the engine of that name: no report of its use, and none before the import.
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        import onnxruntime

        self.space = header.space
        self._folder, self._header = folder, header
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._tokenizer: Any = tokenizers.Tokenizer.from_str(tokenizer.decode())
            self._session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # neither package has a base class for what it raises
            raise InputError(f"{folder}: not a tower that can be run here ({error}). Export it again.") from error

    def embed(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """(N, D) float32 of unit norm. Raises `InputError` for an empty sentence."""
        for sentence in sentences:
            if not sentence.strip():
                raise InputError("an empty sentence cannot be embedded; give each label at least one word.")
        rows = [self._embed_one(sentence) for sentence in sentences]
        return np.stack(rows) if rows else np.zeros((0, self.space.dimension), np.float32)

    def prove(self) -> None:
        """Recompute the golden vectors. Raises `InputError` where they differ, or where there are none."""
        if not self._header.golden:
            raise InputError(f"{self._folder / HEADER}: holds no golden sentences. Export the tower again.")
        expected = np.array(list(self._header.golden.values()), np.float32)
        found = self.embed(list(self._header.golden))
        # Written so that NaN fails, and a vector of another length.
        if found.shape != expected.shape or not np.max(np.abs(found - expected)) <= self._header.golden_tolerance:
            raise InputError(
                f"{self._folder}: this tower gives other vectors here than where it was made. Update onnxruntime and tokenizers, or export it "
                "again."
            )

    def _embed_one(self, sentence: str) -> NDArray[np.float32]:
        if self._header.unescape_html:
            sentence = html.unescape(html.unescape(sentence))
        tokens = np.array([self._tokenizer.encode(sentence).ids], np.int64)
        row: NDArray[np.float32] = self._session.run([OUTPUT], {INPUT: tokens})[0][0]
        return row


def _read_header(folder: Path) -> Header:
    path = folder / HEADER
    try:
        return msgspec.json.decode(path.read_bytes(), type=Header)
    except OSError as error:
        raise RecipeError(
            f"{folder}: no exported text tower ({path.name}: {error.strerror}). Make one where the tower is: aura-edge export RUN -o NAME.aura "
            "--text FOLDER"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path}: not the header of an exported text tower: {error}. Export it again.") from error


def _read(path: Path, digest: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}. Copy the exported tower again, whole.") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise InputError(f"{path}: changed since it was exported. Copy the exported tower again, or export it again.")
    return content
