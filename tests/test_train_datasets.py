"""Data sets and their stores: who is in which split, what windows are called, every sample accounted for, nothing half written."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura_edge.errors import RecipeError
from aura_edge.types import ImuChunk
from aura_edge_train import datasets
from aura_edge_train.datasets import LabelledRecording, sp_sw_har
from aura_edge_train.datasets.made_up import MADE_UP
from aura_edge_train.datasets.store import INDEX, Store, make_store, open_store, read_store

SISFALL_TEST = {"SA19", "SA20", "SA21", "SA22", "SA23", "SE12", "SE13", "SE14", "SE15"}
SISFALL_VALIDATION = {"SA17", "SA18", "SE10", "SE11"}
GROUPS = {
    "walk": "D01 D02",
    "jog": "D03 D04",
    "stairs": "D05 D06",
    "sit/stand": "D07 D08 D09 D10 D11",
    "lie": "D12 D13 D14",
    "bend": "D15 D16",
    "car": "D17",
    "stumble": "D18",
    "jump": "D19",
    "fall": " ".join(f"F{n:02d}" for n in range(1, 16)),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return open_store(MADE_UP, Path(), cache=tmp_path_factory.mktemp("cache"))


def recording(t_ns: Any, labels: Any = None, *, rate_hz: float = 200.0, subject: str = "p01") -> LabelledRecording:
    """One whose acc_x counts its samples."""
    t_ns = np.asarray(t_ns, np.int64)
    samples = np.zeros((len(t_ns), 6), np.float32)
    samples[:, 0] = np.arange(len(t_ns))
    labels = np.zeros(len(t_ns), np.int8) if labels is None else np.asarray(labels, np.int8)
    return LabelledRecording("r", subject, rate_hz, [ImuChunk(t_ns, samples, 0)], t_ns, labels)


def test_unknown_data_set_is_named() -> None:
    """An unknown name is an error that lists those there are."""
    with pytest.raises(RecipeError, match=r"'pamap' is unknown.*made-up.*sisfall, sp-sw-har"):
        datasets.get("pamap")


@pytest.mark.parametrize("name", sorted(datasets.DATA_SETS))
def test_captions_are_whole(name: str) -> None:
    """Keys and labels are unique, and every caption has a group and distinct sentences."""
    captions = datasets.get(name).captions
    assert len({c.key for c in captions}) == len({c.label for c in captions}) == len(captions)
    for caption in captions:
        assert caption.group
        assert len(set(caption.sentences)) == len(caption.sentences) >= 2


def test_splits_are_those_everyone_uses() -> None:
    """Test subjects are those of the published split, and nobody is in two."""
    sisfall, phones = datasets.get("sisfall"), datasets.get("sp-sw-har")
    assert sisfall.test_subjects == SISFALL_TEST
    assert sisfall.validation_subjects == SISFALL_VALIDATION
    assert phones.test_subjects == {f"s{n}" for n in range(19, 24)}
    for each in (sisfall, phones):
        assert not each.test_subjects & each.validation_subjects
        assert {each.split_of(s) for s in each.test_subjects} == {"test"}
    assert sisfall.split_of("SA01") == phones.split_of("s01") == "train"


def test_sisfall_groups_are_those_everyone_uses() -> None:
    """The ten groups hold the codes that the reference counts in them, in the order of the classes."""
    sisfall = datasets.get("sisfall")
    assert [caption.key for caption in sisfall.captions] == list(sisfall.classes)
    found: dict[str, list[str]] = {}
    for caption in sisfall.captions:
        found.setdefault(caption.group, []).append(caption.key)
    assert {group: " ".join(keys) for group, keys in found.items()} == GROUPS


@pytest.mark.parametrize(
    ("shares", "caption"),
    [
        ({"STANDING_UP": 0.11, "WALKING": 0.89}, 0),
        ({"STANDING_UP": 0.1, "WALKING": 0.9}, 2),
        ({"WALKING": 0.8, "SITTING_DOWN": 0.2}, 1),
        ({"STANDING_UP": 0.3, "SITTING_DOWN": 0.7}, 0),
        ({"SEATED": 0.95, "STANDING_UP": 0.05}, 2),
    ],
)
def test_phone_captions_are_composed_of_what_happens(shares: dict[str, float], caption: int) -> None:
    """More than a tenth of standing up decides, then of sitting down; anything else is walking and turning."""
    labels = np.concatenate([np.full(round(v * 1000), sp_sw_har.CLASSES.index(k), np.int8) for k, v in shares.items()])
    padded = np.concatenate([np.full(7, 1, np.int8), labels, np.full(9, 4, np.int8)])
    assert datasets.get("sp-sw-har").caption_of(padded, np.array([7]), 1000).tolist() == [caption]


def test_store_holds_every_recording_on_the_grid(store: Store) -> None:
    """All made-up recordings are there at 200 Hz, one segment each, with all samples used."""
    assert len(store.index.segments) == 36
    assert store.index.samples == {"read": 36 * 1200, "used": 36 * 1200}
    assert store.signals.shape == (sum(s.length for s in store.index.segments), 6)
    assert {s.length for s in store.index.segments} == {2399}  # 1,200 samples at 100 Hz span 11.99 s
    assert store.signals[:, :3].mean(0)[2] == pytest.approx(9.81, abs=0.2)


def test_windows_of_a_split_are_its_subjects_alone(store: Store) -> None:
    """Windows start every half second inside one segment of one of the split's subjects, and are called what they are."""
    starts = store.window_starts("test", 1000)
    assert set(store.subjects_at(starts)) == {"p11", "p12"}
    assert len(starts) == 6 * 14
    inside = [s for s in store.index.segments if s.subject in ("p11", "p12")]
    for start in starts:
        assert any(s.start <= start <= s.start + s.length - 1000 for s in inside)
    windows = store.windows(starts[:2], 1000)
    assert windows.shape == (2, 6, 1000)
    assert np.array_equal(windows[1], store.signals[starts[1] : starts[1] + 1000].T)
    assert np.array_equal(store.captions(starts, 1000), np.repeat([0, 1, 2] * 2, 14))
    assert len(store.window_starts("test", 5000)) == 0


def test_store_is_found_again_and_remade_for_other_content(tmp_path: Path) -> None:
    """The same files open the same store without being read again; a changed file gives another one."""
    (tmp_path / "data").mkdir()
    source, reads = tmp_path / "data" / "file", []

    def read(folder: Path) -> Iterator[LabelledRecording]:
        reads.append(source.read_text())
        yield recording(np.arange(1200) * 5_000_000)

    data_set = replace(MADE_UP, files=lambda folder: [source], read=read)
    for content in ("one", "one", "two"):
        source.write_text(content)
        open_store(data_set, tmp_path / "data", cache=tmp_path / "cache")
    assert reads == ["one", "two"]
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_digest_is_of_the_content(tmp_path: Path) -> None:
    """Stores of the same signals have the same digest wherever they are; another sample gives another."""
    made = []
    for name, gap in (("a", 0), ("b", 0), ("c", 5_000_000)):
        t_ns = np.arange(1200) * 5_000_000
        t_ns[600:] += gap
        make_store(tmp_path / name, MADE_UP, [recording(t_ns)], rate_hz=200.0)
        made.append(read_store(MADE_UP, tmp_path / name).index.digest)
    assert made[0] == made[1] != made[2]


def test_gaps_end_segments_and_labels_follow_time(tmp_path: Path) -> None:
    """A pause splits a recording; each grid sample is called what the last sample before it was; refused samples are counted."""
    t_ns = np.concatenate([np.arange(1000), np.arange(1500, 2500), [2499]]) * 5_000_000
    labels = np.concatenate([np.repeat([0, 1], 500), np.repeat([2, 0], 500), [0]])
    make_store(tmp_path / "s", MADE_UP, [recording(t_ns, labels)], rate_hz=200.0)
    found = read_store(MADE_UP, tmp_path / "s")
    assert [(s.start, s.length) for s in found.index.segments] == [(0, 1000), (1000, 1000)]
    assert np.array_equal(found.labels, labels[:-1])
    assert np.array_equal(found.signals[:, 0], np.arange(2000))
    assert found.index.samples == {"read": 2001, "used": 2000, "duplicate": 1}


@given(st.lists(st.integers(1, 60), min_size=1, max_size=200))
def test_every_sample_is_accounted_for(tmp_path_factory: pytest.TempPathFactory, steps_ms: list[int]) -> None:
    """Whatever the times: read is used plus refused, segments cover the store, and labels are as many as samples."""
    t_ns = np.concatenate([[0], np.cumsum(steps_ms)]) * 1_000_000
    home = tmp_path_factory.mktemp("store") / "s"
    make_store(home, MADE_UP, [recording(t_ns, np.arange(len(t_ns)) % 3, rate_hz=100.0)], rate_hz=200.0)
    found = read_store(MADE_UP, home)
    counts = dict(found.index.samples)
    assert counts.pop("read") == len(t_ns) == sum(counts.values())
    assert sum(s.length for s in found.index.segments) == len(found.signals) == len(found.labels)


def test_nothing_half_written_remains(tmp_path: Path) -> None:
    """A reader that fails leaves no store behind, and the next try starts afresh."""

    def broken(folder: Path) -> Iterator[LabelledRecording]:
        yield recording(np.arange(1200) * 5_000_000)
        raise RecipeError("the disk went away")

    with pytest.raises(RecipeError, match="went away"):
        open_store(replace(MADE_UP, read=broken), tmp_path, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists() or not list((tmp_path / "cache").iterdir())


def test_two_processes_may_make_one_store(tmp_path: Path) -> None:
    """The second of two that made the same store keeps the first's; what is no store is not overwritten."""
    once = [recording(np.arange(1200) * 5_000_000)]
    for _ in range(2):
        make_store(tmp_path / "s", MADE_UP, once, rate_hz=200.0)
    assert len(read_store(MADE_UP, tmp_path / "s").signals) == 1200
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(RecipeError, match="cannot write the window store"):
        make_store(tmp_path / "mine", MADE_UP, once, rate_hz=200.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "s"]


def test_full_disk_is_said(tmp_path: Path) -> None:
    """A cache that cannot be written to is an error of ours."""
    (tmp_path / "cache").write_text("")
    with pytest.raises(RecipeError, match="cannot write the window store"):
        open_store(MADE_UP, tmp_path, cache=tmp_path / "cache")


@pytest.mark.parametrize("file", [INDEX, "signals.npy", "labels.npy"])
def test_damaged_store_says_what_to_do(tmp_path: Path, file: str) -> None:
    """A truncated file of the cache is named, with the remedy; nothing is unpickled to find out."""
    make_store(tmp_path / "s", MADE_UP, [recording(np.arange(1200) * 5_000_000)], rate_hz=200.0)
    path = tmp_path / "s" / file
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(RecipeError, match=r"damaged.*Delete that folder"):
        read_store(MADE_UP, tmp_path / "s")


@pytest.mark.parametrize("name", ["aria", "ego-exo4d", "ego4d", "sisfall", "sp-sw-har", "utd-mhad"])
def test_missing_recordings_are_named(tmp_path: Path, name: str) -> None:
    """Without its files a data set says what it expected where."""
    with pytest.raises(RecipeError, match=str(tmp_path)):
        open_store(datasets.get(name), tmp_path, cache=tmp_path / "cache")


def archive(path: Path, members: dict[str, str], link: str | None = None) -> None:
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w:xz") as tar:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
        if link:
            info = tarfile.TarInfo(link)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(info)


def rows(label: str = "WALKING") -> str:
    lines = ["x_acc,y_acc,z_acc,x_gyro,y_gyro,z_gyro,timestamp,label"]
    lines += [f"0.1,0.2,9.8,0,0,0.1,{1657533977813 + 10 * n},{label}" for n in range(700)]
    return "\n".join(lines) + "\n"


def test_archive_members_cannot_reach_outside(tmp_path: Path) -> None:
    """Only recordings by the set's own naming are unpacked, under names of ours; paths that climb and links are not followed."""
    path = tmp_path / "data" / "sp-sw-har" / "sp-sw-har.tar.xz"
    members = {
        "DATA/s01/s01_01_sp.csv": rows(),
        "../evil.csv": rows(),
        "DATA/../../s02_01_sp.csv": rows(),
        "../DATA/s04/s04_01_sp.csv": rows(),
        "DATA/README": "x",
    }
    archive(path, members, link="DATA/s03/s03_01_sp.csv")
    found = open_store(datasets.get("sp-sw-har"), tmp_path / "data", cache=tmp_path / "cache")
    assert {s.recording for s in found.index.segments} == {"s01_01_sp"}
    assert not list(tmp_path.rglob("evil.csv"))
    assert found.index.samples["read"] == 700


def test_unknown_label_and_broken_archive_are_said(tmp_path: Path) -> None:
    """A label outside the set's classes, and an archive that is none, are errors of ours."""
    odd, broken = tmp_path / "odd", tmp_path / "broken"
    archive(odd / "sp-sw-har" / "sp-sw-har.tar.xz", {"DATA/s01/s01_01_sp.csv": rows("FLYING")})
    with pytest.raises(RecipeError, match="FLYING"):
        open_store(datasets.get("sp-sw-har"), odd, cache=tmp_path / "cache")
    (broken / "sp-sw-har").mkdir(parents=True)
    (broken / "sp-sw-har" / "sp-sw-har.tar.xz").write_bytes(b"not an archive")
    with pytest.raises(RecipeError, match="cannot be read"):
        open_store(datasets.get("sp-sw-har"), broken, cache=tmp_path / "cache")


def test_index_is_plain_json(store: Store, tmp_path: Path) -> None:
    """Anyone can read what a store holds without this package."""
    make_store(tmp_path / "s", MADE_UP, [recording(np.arange(1200) * 5_000_000)], rate_hz=200.0)
    index = json.loads((tmp_path / "s" / INDEX).read_text())
    assert index["segments"] == [{"recording": "r", "subject": "p01", "start": 0, "length": 1200}]


@pytest.mark.slow
@pytest.mark.shared_data
def test_real_phones_and_watches(shared_data: Path, tmp_path: Path) -> None:
    """The real archive: every sample used, windows of the published evaluation within a few, in the published proportions."""
    found = open_store(datasets.get("sp-sw-har"), shared_data, cache=tmp_path)
    assert found.index.samples["read"] == found.index.samples["used"] == 521766
    assert len({s.subject for s in found.index.segments}) == 23
    starts = found.window_starts("test", 1000)
    assert len(starts) == pytest.approx(1227, abs=5)
    most = np.bincount(found.captions(starts, 1000)).max() / len(starts)
    assert most == pytest.approx(0.552, abs=0.005)


@pytest.mark.slow
@pytest.mark.shared_data
def test_real_sisfall_subject(shared_data: Path, tmp_path: Path) -> None:
    """One real subject: each trial is one segment, all samples used, gravity is 1 g, and the activities are those of the file."""
    pytest.importorskip("pyarrow", reason="the set is in Parquet; it comes with aura-edge[train]")
    (tmp_path / "data" / "sisfall").mkdir(parents=True)
    (tmp_path / "data" / "sisfall" / "SE15.parquet").symlink_to(shared_data / "sisfall" / "SE15.parquet")
    found = open_store(datasets.get("sisfall"), tmp_path / "data", cache=tmp_path / "cache")
    assert found.index.samples["read"] == found.index.samples["used"] == len(found.signals)
    assert {s.subject for s in found.index.segments} == {"SE15"}
    names = [s.recording for s in found.index.segments]
    assert len(set(names)) == len(names)
    walking = next(s for s in found.index.segments if "/D01/" in s.recording)
    rows = found.signals[walking.start : walking.start + walking.length]
    assert np.linalg.norm(rows[:, :3], axis=1).mean() == pytest.approx(9.8, abs=0.5)
    assert found.captions(np.array([walking.start]), 1000).tolist() == [0]
