"""Files and folders are there whole or not at all, whatever fails on the way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from aura_edge.errors import SinkError
from aura_edge.whole_files import replace_file, replace_folder, write_result


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk fills up half way, what was there stays, and nothing else is left behind."""
    target = tmp_path / "x"
    target.write_bytes(b"old")

    def full(self: Path, content: bytes) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        replace_file(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_writing_a_file_follows_links_and_leaves_devices(tmp_path: Path) -> None:
    """What stands for another file still does so afterwards, and a pipe stays a pipe."""
    real, link, pipe = tmp_path / "real", tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(real)
    replace_file(link, b"first")
    replace_file(link, b"second")
    assert (link.is_symlink(), real.read_bytes()) == (True, b"second")
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    replace_file(pipe, b"through")
    assert (os.read(reader, 100), pipe.is_fifo()) == (b"through", True)
    os.close(reader)


def test_a_result_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    """What a user asked for by name fails with that name, and what can be done."""
    write_result(tmp_path / "result.json", b"{}")
    assert (tmp_path / "result.json").read_bytes() == b"{}"
    missing = tmp_path / "no" / "result.json"
    with pytest.raises(SinkError) as caught:
        write_result(missing, b"{}")
    assert str(caught.value) == f"{missing}: cannot write the result: No such file or directory. Choose another place."


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    """The new one has its own files and none of the old one's; nothing is left beside it."""
    target = tmp_path / "model"
    replace_folder(target, {"a": b"1", "deep/b": b"2"})
    replace_folder(target, {"deep/c": b"3"})
    assert contents(target) == {"deep/c": b"3"}
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("fails_at", ["write", "rename"])
def test_a_folder_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: str
) -> None:
    """Whether the disk is full, or the new folder cannot be put in place."""
    target = tmp_path / "model"
    replace_folder(target, {"a": b"old"})
    write, rename = Path.write_bytes, Path.rename

    def written(self: Path, content: bytes) -> int:
        if fails_at == "write" and self.name == "b":
            raise OSError(28, "No space left on device")
        return write(self, content)

    def renamed(self: Path, to: Any) -> Path:
        if fails_at == "rename" and self.name.endswith(".tmp"):
            raise OSError(13, "Permission denied")
        return rename(self, to)

    monkeypatch.setattr(Path, "write_bytes", written)
    monkeypatch.setattr(Path, "rename", renamed)
    with pytest.raises(OSError, match=r"No space|Permission"):
        replace_folder(target, {"a": b"new", "b": b"new"})
    assert contents(target) == {"a": b"old"}
    assert list(tmp_path.iterdir()) == [target]
