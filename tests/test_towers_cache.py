"""The cache of embeddings: each thing is embedded once, by content, and nothing that is damaged is trusted."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tiny_clip
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

tiny_clip.need_open_clip()

from aura_edge.errors import InputError  # noqa: E402
from aura_edge.manifest import TextSpace  # noqa: E402
from aura_edge.testing import FakeTower  # noqa: E402
from aura_edge_train.towers import cache, mapped  # noqa: E402
from aura_edge_train.towers.cache import CachedTower, video_rows  # noqa: E402

WORDS = [f"a person does thing {number}" for number in range(50)]


class Counting:
    """The fake tower, and what it was asked for."""

    def __init__(self, space: TextSpace = FakeTower.space) -> None:
        self.space = space
        self.asked: list[str] = []

    def embed(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        self.asked += sentences
        return FakeTower().embed(sentences)


class FakeImages:
    """Frames to (their mean level, 1) at unit norm."""

    def __init__(self, digest: str = "one") -> None:
        self.digest, self.size_px = digest, 224
        self.frames = 0

    def stream(self, frames):  # type: ignore[no-untyped-def]
        for frame in frames:
            self.frames += 1
            row = np.array([frame.mean() / 255, 1.0], np.float32)
            yield row / np.linalg.norm(row)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_sentences_are_embedded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeats, a second call and another process's cache cost nothing; rows are the tower's own bits, in order; files hold many."""
    monkeypatch.setattr(cache, "SHARD", 20)
    first = Counting()
    cached = CachedTower(first, tmp_path)
    wanted = [*WORDS, WORDS[3], WORDS[3]]
    assert np.array_equal(cached.embed(wanted), FakeTower().embed(wanted))
    assert sorted(first.asked) == sorted(WORDS)
    assert np.array_equal(cached.embed(WORDS[::-1]), FakeTower().embed(WORDS[::-1]))
    assert len(files(tmp_path)) == 3
    second = Counting()
    again = CachedTower(second, tmp_path)
    assert np.array_equal(again.embed([*WORDS, "new"]), FakeTower().embed([*WORDS, "new"]))
    assert second.asked == ["new"]
    assert again.space == FakeTower.space
    assert again.embed([]).shape == (0, FakeTower.space.dimension)


def test_towers_do_not_share(tmp_path: Path) -> None:
    """The same sentence in another space is another vector."""
    CachedTower(Counting(), tmp_path).embed(WORDS[:2])
    other = Counting(TextSpace("tiny", "0" * 64, FakeTower.space.dimension))
    CachedTower(other, tmp_path).embed(WORDS[:2])
    assert other.asked == WORDS[:2]


@settings(max_examples=30)
@given(st.data())
def test_damage_is_found_and_made_good(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Any byte changed, any tail cut off: the file is thrown away and its sentences are embedded again."""
    folder = tmp_path_factory.mktemp("cache")
    expected = CachedTower(Counting(), folder).embed(WORDS)
    (path,) = files(folder)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:place]
    else:
        content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    tower = Counting()
    assert np.array_equal(CachedTower(tower, folder).embed(WORDS), expected)
    # A change of white space in the header is none of what is kept.
    assert len(tower.asked) in (0, len(WORDS))
    untouched = Counting()
    assert np.array_equal(CachedTower(untouched, folder).embed(WORDS), expected)
    assert untouched.asked == []


def test_flipped_values_are_damage(tmp_path: Path) -> None:
    """A bit of an embedding is enough."""
    mapped.write(tmp_path / "x.safetensors", {"embeddings": np.ones((4, 3), np.float32)})
    content = bytearray((tmp_path / "x.safetensors").read_bytes())
    assert mapped.read(tmp_path / "x.safetensors") is not None
    content[-1] ^= 1
    (tmp_path / "x.safetensors").write_bytes(content)
    assert mapped.read(tmp_path / "x.safetensors") is None
    assert files(tmp_path) == []


def test_what_is_read_is_mapped(tmp_path: Path) -> None:
    """Arrays come from the file as they are needed, and cannot be written to; safetensors reads the same."""
    from safetensors.numpy import load_file

    tensors = {
        "embeddings": np.arange(12, dtype=np.float16).reshape(4, 3),
        "sentences": np.arange(8, dtype=np.uint8)[:, None],
    }
    mapped.write(tmp_path / "x.safetensors", tensors)
    found = mapped.read(tmp_path / "x.safetensors")
    assert found is not None
    theirs = load_file(tmp_path / "x.safetensors")
    for name, tensor in tensors.items():
        assert isinstance(found[name], np.memmap)
        assert not found[name].flags.writeable
        assert np.array_equal(found[name], tensor)
        assert np.array_equal(theirs[name], tensor)


def test_two_processes_share_a_folder(tmp_path: Path) -> None:
    """Both embed at the same time, both are right, nothing half-written stays."""
    code = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from aura_edge.testing import FakeTower; from aura_edge_train.towers import cache\n"
        "cache.SHARD = 7\n"
        f"words = {WORDS!r}[int(sys.argv[1]):]\n"
        "rows = cache.CachedTower(FakeTower(), Path(sys.argv[2])).embed(words)\n"
        "sys.exit(not np.array_equal(rows, FakeTower().embed(words)))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(first), str(tmp_path)], env=environment) for first in (0, 5)
    ]
    assert [process.wait() for process in running] == [0, 0]
    tower = Counting()
    CachedTower(tower, tmp_path).embed(WORDS)
    assert tower.asked == []
    assert all(path.suffix == ".safetensors" for path in files(tmp_path))


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """A file where the folder should be is one clear error."""
    (tmp_path / "sentences").write_text("")
    with pytest.raises(InputError, match="embeddings cannot be kept"):
        CachedTower(Counting(), tmp_path).embed(["walking"])


@pytest.fixture
def clip_file(tmp_path: Path) -> Path:
    """A second of grey frames."""
    from test_towers_video import write_video

    return write_video(tmp_path / "grey.mkv", range(0, 250, 10), range(0, 1000, 40))


def test_videos_are_embedded_once(clip_file: Path, tmp_path: Path) -> None:
    """By content: the same bytes under another name are found, other bytes, another rate or another tower are not."""
    tower, home = FakeImages(), tmp_path / "cache"
    rows = video_rows(tower, clip_file, home)  # type: ignore[arg-type]
    assert isinstance(rows, np.memmap)
    assert rows.dtype == np.float16
    assert rows.shape == (10, 2)
    assert tower.frames == 10
    moved = clip_file.rename(tmp_path / "renamed.mkv")
    assert np.array_equal(video_rows(tower, moved, home), rows)  # type: ignore[arg-type]
    assert tower.frames == 10
    assert len(video_rows(tower, moved, home, rate_hz=5)) == 5  # type: ignore[arg-type]
    other = FakeImages("two")
    video_rows(other, moved, home)  # type: ignore[arg-type]
    assert other.frames == 10


def test_a_changed_video_is_seen(clip_file: Path, tmp_path: Path) -> None:
    """The note of what a path held is believed only while size and time of change are the same."""
    from test_towers_video import write_video

    tower, home = FakeImages(), tmp_path / "cache"
    before = np.array(video_rows(tower, clip_file, home))  # type: ignore[arg-type]
    write_video(clip_file, range(250, 0, -10), range(0, 1000, 40))
    os.utime(clip_file, ns=(1, 1))
    assert not np.array_equal(video_rows(tower, clip_file, home), before)  # type: ignore[arg-type]
    assert tower.frames == 20


def test_a_video_is_not_read_again_to_be_recognised(
    clip_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Size and time of change are enough: with gigabytes of video that is what makes the cache fast."""
    tower, home = FakeImages(), tmp_path / "cache"
    video_rows(tower, clip_file, home)  # type: ignore[arg-type]
    monkeypatch.setattr(Path, "open", _refuse_videos(Path.open))
    video_rows(tower, clip_file, home)  # type: ignore[arg-type]
    (note,) = (home / "seen").iterdir()
    note.write_text("{")
    with pytest.raises(AssertionError, match="read again"):
        video_rows(tower, clip_file, home)  # type: ignore[arg-type]


def _refuse_videos(plain):  # type: ignore[no-untyped-def]
    def opened(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        assert self.suffix != ".mkv", "the video is read again"
        return plain(self, *args, **kwargs)

    return opened


def test_damaged_rows_of_a_video_are_made_again(clip_file: Path, tmp_path: Path) -> None:
    """Cut off, they are embedded anew."""
    tower, home = FakeImages(), tmp_path / "cache"
    rows = np.array(video_rows(tower, clip_file, home))  # type: ignore[arg-type]
    (path,) = (home / "videos").iterdir()
    path.write_bytes(path.read_bytes()[:-3])
    assert np.array_equal(video_rows(tower, clip_file, home), rows)  # type: ignore[arg-type]
    assert tower.frames == 20


def test_a_video_that_is_not_there_says_so(tmp_path: Path) -> None:
    """No traceback of the operating system."""
    with pytest.raises(InputError, match=r"none\.mp4: cannot be read"):
        video_rows(FakeImages(), tmp_path / "none.mp4", tmp_path / "cache")  # type: ignore[arg-type]
