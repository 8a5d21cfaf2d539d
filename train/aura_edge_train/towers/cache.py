"""What frozen towers have embedded, kept on disk by content, so that training runs no tower twice.

    <folder>/sentences/<space>/<content>.safetensors   `embeddings` float32 (n, D), `sentences` uint8 (n, 32): sha256 of each text
    <folder>/videos/<key>.safetensors                  `embeddings` float16 (N, D), one row per 1 / rate

Keys are sha256 of the tower's digest and of what was embedded: a renamed video is found again, a changed one is not. Two processes may
share a folder, and at worst embed the same twice. A damaged file is thrown away and made again (`mapped.py`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from aura_edge.errors import InputError
from aura_edge.text import TextTower
from aura_edge.whole_files import replace_file
from aura_edge_train.towers import mapped
from aura_edge_train.towers.image import ImageTower
from aura_edge_train.towers.video import RATE_HZ, embed_video

SHARD = 4096
"""Sentences in a file at most: what an interrupted run loses, and how many files there are."""
CHUNK_BYTES = 1 << 20


class CachedTower:
    """A text tower that embeds each sentence once; its rows are the bits of the tower's own."""

    def __init__(self, tower: TextTower, folder: Path, *, console: Console | None = None) -> None:
        self.space = tower.space
        self._tower = tower
        self._console = console or Console(quiet=True)
        self._folder = folder / "sentences" / hashlib.sha256(msgspec.json.encode(tower.space)).hexdigest()
        self._where: dict[bytes, tuple[NDArray[np.float32], int]] = {}
        for path in sorted(self._folder.glob("*.safetensors")):
            tensors = mapped.read(path)
            if tensors is not None:
                self._add(tensors["embeddings"], tensors["sentences"])

    def embed(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """(N, D), in the order given. Raises what the tower raises."""
        keys = [hashlib.sha256(sentence.encode()).digest() for sentence in sentences]
        missing = {key: text for key, text in zip(keys, sentences, strict=True) if key not in self._where}
        hidden = not self._console.is_terminal
        with Progress(console=self._console, transient=True, disable=hidden or not missing) as bar:
            task = bar.add_task("embedding sentences", total=len(missing))
            rest = list(missing.items())
            for first in range(0, len(rest), SHARD):
                self._embed_shard(dict(rest[first : first + SHARD]), lambda: bar.update(task, advance=1))
        out = np.empty((len(keys), self.space.dimension), np.float32)
        for row, key in enumerate(keys):
            shard, place = self._where[key]
            out[row] = shard[place]
        return out

    def _embed_shard(self, texts: Mapping[bytes, str], advance: Callable[[], None]) -> None:
        rows = []
        for text in texts.values():
            rows.append(self._tower.embed([text])[0])
            advance()
        embeddings = np.stack(rows)
        keys = np.frombuffer(b"".join(texts), np.uint8).reshape(-1, hashlib.sha256().digest_size)
        name = hashlib.sha256(b"".join(sorted(texts))).hexdigest()
        mapped.write(self._folder / f"{name}.safetensors", {"embeddings": embeddings, "sentences": keys})
        self._add(embeddings, keys)

    def _add(self, embeddings: NDArray[np.float32], keys: NDArray[np.uint8]) -> None:
        for place, key in enumerate(keys):
            self._where[key.tobytes()] = (embeddings, place)


def video_rows(
    tower: ImageTower,
    path: Path,
    folder: Path,
    *,
    rate_hz: float = RATE_HZ,
    advance: Callable[[float], None] = lambda seconds: None,
) -> NDArray[np.float16]:
    """The frame embeddings of a video (N, D), mapped into memory; made first where `folder` has none of these very bytes."""
    described = {"tower": tower.digest, "video": _content(path, folder), "rate_hz": rate_hz, "size_px": tower.size_px}
    key = hashlib.sha256(msgspec.json.encode(described, order="sorted")).hexdigest()
    home = folder / "videos" / f"{key}.safetensors"
    found = mapped.read(home)
    if found is None:
        rows = embed_video(tower, path, rate_hz=rate_hz, advance=advance)
        mapped.write(home, {"embeddings": rows.astype(np.float16)})
        found = mapped.read(home)
        if found is None:
            raise InputError(f"{home}: what was written there cannot be read again. Look at the disk.")
    return found["embeddings"]


class _Seen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The sha256 that a file had when it looked like this: gigabytes need not be read again to be recognised."""

    bytes: int
    modified_ns: int
    sha256: str


def _content(path: Path, folder: Path) -> str:
    """sha256 of a video, read again only where size or time of change differ from the last time."""
    note = folder / "seen" / f"{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()}.json"
    try:
        status = path.stat()
        try:
            seen = msgspec.json.decode(note.read_bytes(), type=_Seen)
            if (seen.bytes, seen.modified_ns) == (status.st_size, status.st_mtime_ns):
                return seen.sha256
        except (OSError, msgspec.DecodeError):
            pass
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}. Expected a video file.") from error
    content = msgspec.json.encode(_Seen(status.st_size, status.st_mtime_ns, digest.hexdigest()))
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        replace_file(note, content)
    except OSError as error:
        raise InputError(f"{note}: cannot be written: {error.strerror}. Choose another cache folder.") from error
    return digest.hexdigest()
