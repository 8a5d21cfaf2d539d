"""One door for all sources: URLs, options, and errors that say what to do."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from aura_edge.errors import InputError
from aura_edge.sources import SCHEMES, open_source
from aura_edge.sources.files import open_binary
from aura_edge.sources.presets import PRESETS, choose_format, preset
from aura_edge.sources.recordings import READERS, open_recording


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    """A second of a sensor at rest."""
    path = tmp_path / "walk.npz"
    imu = np.tile(np.array([0, 0, 9.8, 0, 0, 0], np.float32), (100, 1))
    np.savez(path, t_ns=np.arange(100, dtype=np.int64) * 10_000_000, imu=imu, units="m/s2, rad/s")
    return path


def read(url: str | Path, **options: Any) -> int:
    """How many samples come."""
    return sum(len(chunk.t_ns) for chunk in open_source(url, speed="max", **options))


def test_a_path_can_be_named_in_many_ways(walk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without scheme, with slashes, with `~`, as a `Path`."""
    monkeypatch.setenv("HOME", str(walk.parent))
    for url in (walk, str(walk), f"replay:{walk}", f"replay://{walk}", "~/walk.npz", "replay:~/walk.npz"):
        assert read(url) == 100


def test_options_come_in_the_url_or_by_keyword(walk: Path) -> None:
    """A keyword is stronger; None and False say nothing."""
    assert open_source(f"replay:{walk}?units=g,deg/s").info.units == "g, deg/s"
    assert open_source(f"{walk}?units=g,deg/s&rate_hz=90", rate_hz=80).info.rate_hz == 80
    assert open_source(f"{walk}?rate_hz=90", rate_hz=None, preset=None, loop=False).info.rate_hz == 90
    with pytest.raises(InputError, match="option rate_hz=often: expected a number"):
        open_source(f"{walk}?rate_hz=often")
    assert open_source(walk, placement="ankle", rate_hz=99).info.placement == "ankle"


def test_a_question_mark_or_a_colon_in_a_name_is_no_query(walk: Path) -> None:
    """Only `?name=` begins options, and a file whose name looks like a scheme is opened when it exists."""
    odd = walk.rename(walk.with_name("what:is this?.npz"))
    assert read(odd) == 100


def test_a_file_named_like_a_scheme_is_found(walk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path with a colon is a path when the file is there."""
    walk.rename(walk.with_name("lab:walk.npz"))
    monkeypatch.chdir(walk.parent)
    assert read("lab:walk.npz") == 100


def test_an_unknown_scheme_lists_the_schemes() -> None:
    """The error names what was asked and what there is."""
    with pytest.raises(InputError, match=r"unknown scheme 'mqtt'. Known are: .*replay:.*synthetic:.*vrs:"):
        open_source("mqtt://broker/imu")


def test_an_unknown_option_lists_the_options(walk: Path) -> None:
    """Also one that only another kind of source takes."""
    with pytest.raises(InputError, match=r"option 'seconds' means nothing to replay. It takes: .*preset.*speed"):
        open_source(f"replay:{walk}?seconds=3")
    with pytest.raises(
        InputError, match=r"It takes: preset, units, columns, rate_hz, delimiter, placement, speed, loop\.$"
    ):
        open_source(walk, stream="imu-left")
    with pytest.raises(InputError, match="option 'clock' means nothing to replay"):
        open_source(f"replay:{walk}?clock=utc")
    with pytest.raises(InputError, match=r"option 'units' means nothing to synthetic"):
        open_source("synthetic:", units="g,deg/s")


@pytest.mark.parametrize("url", ["replay:", "vrs:", "replay:?speed=max"])
def test_a_scheme_without_a_path_is_refused(url: str) -> None:
    """Where a file is needed."""
    with pytest.raises(InputError, match="names no file"):
        open_source(url)


def test_standard_input_has_a_name() -> None:
    """A dash is no file."""
    with pytest.raises(InputError, match=r"standard input is /dev/stdin here, as in --replay /dev/stdin < FILE"):
        open_source("replay:-")


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    """A recording is read from its beginning more than once, which would lose what a pipe gave before."""
    os.mkfifo(tmp_path / "walk.csv")
    with pytest.raises(InputError, match=r"walk\.csv: a pipe, which cannot be read twice. Write it to a file"):
        open_source(tmp_path / "walk.csv")


def test_a_name_that_no_system_takes(tmp_path: Path) -> None:
    """Too long a name is an input error like any other."""
    with pytest.raises(InputError, match="cannot be read: File name too long"):
        open_source(tmp_path / ("walk" * 100))


@pytest.mark.parametrize("name", ["walk.csv", "walk.npz", "walk.parquet", "walk.vrs", "walk"])
class TestNotAFile:
    """The same errors whatever the kind of recording."""

    def test_missing(self, tmp_path: Path, name: str) -> None:
        """A path that leads nowhere."""
        with pytest.raises(InputError, match=rf"{name}: no such file"):
            open_source(tmp_path / name)

    def test_folder(self, tmp_path: Path, name: str) -> None:
        """A folder instead of a file."""
        (tmp_path / name).mkdir()
        with pytest.raises(InputError, match=rf"{name}: is a folder"):
            open_source(tmp_path / name)

    def test_empty(self, tmp_path: Path, name: str) -> None:
        """A file of no bytes."""
        (tmp_path / name).touch()
        with pytest.raises(InputError, match=rf"{name}: the file is empty"):
            open_source(tmp_path / name)

    def test_no_permission(self, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that its owner keeps closed; root may read all, so the system's refusal is played."""

        def refuse(path: Path, *_: object, **__: object) -> NoReturn:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

        (tmp_path / name).write_text("t,ax,ay,az,gx,gy,gz\n")
        monkeypatch.setattr(Path, "open", refuse)
        with pytest.raises(InputError, match=rf"{name}: no permission to read it") as caught:
            open_source(tmp_path / name)
        assert isinstance(caught.value.__cause__, PermissionError)

    def test_a_failing_disk(self, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Any other refusal of the system is told in its words."""

        def refuse(*_: object, **__: object) -> NoReturn:
            raise OSError(errno.EIO, "Input/output error")

        (tmp_path / name).write_text("t,ax,ay,az,gx,gy,gz\n")
        monkeypatch.setattr(Path, "open", refuse)
        with pytest.raises(InputError, match=rf"{name}: cannot be read: Input/output error"):
            open_source(tmp_path / name)


def test_nothing_stays_open(walk: Path) -> None:
    """An error while opening closes the file; an unclosed one would be a ResourceWarning, which is an error here."""
    walk.write_bytes(b"")
    with pytest.raises(InputError, match="empty"):
        open_binary(walk)


def test_every_preset_makes_a_format() -> None:
    """Its units parse and its reader exists."""
    for name in PRESETS:
        form = preset(name)
        assert form.reader is None or form.reader in READERS
        assert choose_format(name) == form


def test_what_is_said_goes_on_top_of_a_preset() -> None:
    """One word changes one thing."""
    form = choose_format(
        "euroc", units="g, deg/s, ns", columns="acc_x=3", rate_hz=100, placement="drone", delimiter="tab"
    )
    assert (form.units, form.rate_hz, form.placement, form.delimiter) == ("g, deg/s, ns", 100, "drone", "\t")
    assert form.columns == {**PRESETS["euroc"].columns, "acc_x": "3"}


def test_an_unknown_preset_lists_the_presets() -> None:
    """The error says what there is instead."""
    with pytest.raises(InputError, match=r"no preset 'pamap'\. Known are: euroc, fusion, neon, sisfall, sp-sw-har"):
        choose_format("pamap")


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_rate_is_refused(rate_hz: float) -> None:
    """Before anything is divided by it."""
    with pytest.raises(InputError, match="sampling rate"):
        choose_format(rate_hz=rate_hz)


def test_each_kind_of_source_is_imported_when_it_is_asked_for() -> None:
    """`aura_edge.sources` alone imports no reader, and replaying text neither pyarrow nor the Aria tools."""
    code = (
        "import sys, aura_edge.sources as s; assert not any(m.startswith('aura_edge.sources.') for m in sys.modules)\n"
        "s.open_source('synthetic:')\n"
        "assert not {'pyarrow', 'projectaria_tools', 'torch', 'onnxruntime'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_package_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parquet and VRS need packages that the core does not bring; but first of all they need a file."""
    from aura_edge.errors import MissingExtraError

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match="no such file"):
        open_recording(tmp_path / "walk.parquet")
    (tmp_path / "walk.parquet").write_bytes(b"PAR1")
    with pytest.raises(MissingExtraError, match=r"aura-edge\[parquet\]"):
        open_recording(tmp_path / "walk.parquet")


def test_schemes_are_what_the_message_lists() -> None:
    """The table of schemes leads to functions that exist."""
    import importlib

    for target in SCHEMES.values():
        module, _, name = target.partition(":")
        assert callable(getattr(importlib.import_module(module), name))
