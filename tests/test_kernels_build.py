"""Compilers are found, their work is kept by content, and what is missing is said with its remedy."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aura_edge.errors import EngineError
from aura_edge.kernels import build, nvrtc

CPP = '#include "answer.hpp"\nextern "C" int answer() { return ANSWER + PLUS; }\n'
FAKE_NVCC = """#!/bin/sh
[ "$1" = --version ] && { echo "fake nvcc $FAKE_VERSION"; exit 0; }
echo "$@" >> "$CALLS"
case "$*" in *refused*) echo "refused.cu(3): error: no such thing" >&2; exit 2;; esac
while [ $# -gt 0 ]; do [ "$1" = -o ] && echo "code" > "$2"; shift; done
"""
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not here")


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "sources"
    (folder / "emulator").mkdir(parents=True)
    (folder / "emulator" / "answer.cpp").write_text(CPP)
    (folder / "emulator" / "answer.hpp").write_text("#define ANSWER 40\n")
    (folder / "kernel.cu").write_text("// nothing\n")
    return folder


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler that writes down how it was called, as the only one on the path beside the shell's own."""
    nvcc = tmp_path / "bin" / "nvcc"
    nvcc.parent.mkdir()
    nvcc.write_text(FAKE_NVCC)
    nvcc.chmod(0o755)
    monkeypatch.setenv("PATH", f"{nvcc.parent}:/usr/bin:/bin")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("FAKE_VERSION", "1")
    build._version.cache_clear()
    yield tmp_path / "calls"
    build._version.cache_clear()


def count(calls: Path) -> int:
    return len(calls.read_text().splitlines())


@needs_compiler
def test_what_was_compiled_is_kept_until_a_source_or_macro_changes(sources: Path, tmp_path: Path) -> None:
    """A header counts as well; the old result stays what it was."""
    cache = tmp_path / "cache"

    def kept() -> int:
        return len(list(cache.iterdir()))

    assert build.emulated("answer", {"PLUS": 2}, sources=sources, cache=cache).answer() == 42
    assert build.emulated("answer", {"PLUS": 2}, sources=sources, cache=cache).answer() == 42
    assert kept() == 1
    assert build.emulated("answer", {"PLUS": 3}, sources=sources, cache=cache).answer() == 43
    assert kept() == 2
    (sources / "emulator" / "answer.hpp").write_text("#define ANSWER 50\n")
    assert build.emulated("answer", {"PLUS": 2}, sources=sources, cache=cache).answer() == 52
    assert kept() == 3


@needs_compiler
def test_a_warning_of_the_host_compiler_is_an_error(sources: Path, tmp_path: Path) -> None:
    """And says where."""
    (sources / "emulator" / "answer.cpp").write_text('extern "C" int answer(int unused) { return 1; }\n')
    with pytest.raises(EngineError, match=r"refused answer\.cpp: .*unused"):
        build.emulated("answer", {}, sources=sources, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_nvcc_is_called_once_for_each_architecture_and_version(
    sources: Path, tmp_path: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cubin and PTX are two things; another compiler makes them anew."""
    options: dict[str, Any] = {"sources": sources, "cache": tmp_path / "cache"}
    assert build.cubin("kernel", {"A": 1}, 87, **options) == b"code\n"
    assert build.cubin("kernel", {"A": 1}, 87, **options) == b"code\n"
    assert count(calls) == 1
    words = calls.read_text().split()
    assert {"-cubin", "-arch=sm_87", "-DA=1", str(sources / "kernel.cu")} <= set(words)
    assert "-Werror" not in words
    build.cubin("kernel", {"A": 1}, 90, **options)
    build.ptx("kernel", {"A": 1}, 87, **options)
    assert count(calls) == 3
    monkeypatch.setenv("FAKE_VERSION", "2")
    build._version.cache_clear()
    build.cubin("kernel", {"A": 1}, 87, **options)
    assert count(calls) == 4


def test_what_nvcc_refuses(sources: Path, tmp_path: Path, calls: Path) -> None:
    """The compiler's own words, and nothing kept."""
    (sources / "refused.cu").write_text("")
    with pytest.raises(EngineError, match=r"nvcc refused refused\.cu: refused\.cu\(3\): error: no such thing"):
        build.cubin("refused", {}, 87, sources=sources, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written(sources: Path, tmp_path: Path, calls: Path) -> None:
    """Is told by its path."""
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(
        EngineError, match=r"a compiled kernel cannot be kept: .*Free some space, or set XDG_CACHE_HOME"
    ):
        build.cubin("kernel", {}, 87, sources=sources, cache=tmp_path / "cache")


def test_the_cache_lies_where_the_user_keeps_such_things(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below XDG_CACHE_HOME."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert build.cache_folder() == tmp_path / "aura-edge" / "kernels"


def test_without_compilers(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each missing one is named with the way to get it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    monkeypatch.setattr(nvrtc.importlib, "import_module", _missing)
    with pytest.raises(
        EngineError, match=r"neither nvcc nor NVRTC was found.*pip install cuda-python nvidia-cuda-nvrtc"
    ):
        build.cubin("kernel", {}, 87, sources=sources, cache=tmp_path)
    with pytest.raises(EngineError, match="nvcc was not found, and only its report says"):
        build.resources("kernel", {}, 87)
    with pytest.raises(EngineError, match=r"no C\+\+ compiler \(g\+\+\) was found"):
        build.emulated("answer", {}, sources=sources, cache=tmp_path)


def _missing(name: str) -> Any:
    raise ImportError(name)


class FakeNvrtc(SimpleNamespace):
    """NVRTC as cuda-python shows it: a status first, and buffers that are filled in place."""

    status = 0

    def nvrtcVersion(self) -> tuple[int, int, int]:
        return 0, 13, 0

    def nvrtcCreateProgram(self, source: bytes, name: bytes, *rest: Any) -> tuple[int, str]:
        self.source = source
        return 0, name.decode()

    def nvrtcCompileProgram(self, program: str, count: int, options: list[bytes]) -> tuple[int]:
        self.options = [option.decode() for option in options]
        assert count == len(options)
        return (self.status,)

    def nvrtcGetProgramLogSize(self, program: str) -> tuple[int, int]:
        return 0, 8

    def nvrtcGetCUBINSize(self, program: str) -> tuple[int, int]:
        return 0, 5

    def nvrtcGetPTXSize(self, program: str) -> tuple[int, int]:
        return 0, 4

    def nvrtcGetProgramLog(self, program: str, into: bytes) -> tuple[int]:
        return self._fill(into, b"no, line")

    def nvrtcGetCUBIN(self, program: str, into: bytes) -> tuple[int]:
        return self._fill(into, b"cubin")

    def nvrtcGetPTX(self, program: str, into: bytes) -> tuple[int]:
        return self._fill(into, b"ptx\0")

    def nvrtcDestroyProgram(self, program: str) -> tuple[int]:
        self.destroyed = program
        return (0,)

    @staticmethod
    def _fill(into: bytes, content: bytes) -> tuple[int]:
        # What the library does too: it writes into the bytes that it was given.
        offset = bytes.__basicsize__ - 1
        ctypes.memmove(id(into) + offset, content, len(content))
        return (0,)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeNvrtc:
    """NVRTC, and no nvcc."""
    fake = FakeNvrtc()
    (tmp_path / "cuda" / "include").mkdir(parents=True)
    (tmp_path / "cuda" / "include" / "cuda_fp16.h").write_text("")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "cuda"))
    monkeypatch.setattr(nvrtc, "_bindings", lambda: fake)
    return fake


def test_nvrtc_takes_the_place_of_nvcc(sources: Path, tmp_path: Path, library: FakeNvrtc) -> None:
    """The same options, the folders of headers, and the program given back."""
    options: dict[str, Any] = {"sources": sources, "cache": tmp_path / "cache"}
    assert build.cubin("kernel", {"A": 1}, 87, **options) == b"cubin"
    assert library.source == b"// nothing\n"
    assert {"-arch=sm_87", "-DA=1", f"-I{sources}", f"-I{tmp_path / 'cuda' / 'include'}"} <= set(library.options)
    assert library.destroyed == "kernel.cu"
    assert build.ptx("kernel", {"A": 1}, 87, **options) == b"ptx\0"


def test_what_nvrtc_refuses(sources: Path, tmp_path: Path, library: FakeNvrtc) -> None:
    """Its log is told, and the program given back all the same."""
    library.status = 6
    with pytest.raises(EngineError, match=r"NVRTC refused kernel\.cu: no, line\."):
        build.cubin("kernel", {}, 87, sources=sources, cache=tmp_path / "cache")
    assert library.destroyed == "kernel.cu"


def test_nvrtc_needs_its_headers(
    sources: Path, tmp_path: Path, library: FakeNvrtc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which its wheel does not bring."""
    monkeypatch.setattr(nvrtc, "_header_folders", lambda: [tmp_path])
    with pytest.raises(EngineError, match=r"cuda_fp16\.h was not found.*pip install nvidia-cuda-runtime"):
        build.cubin("kernel", {}, 87, sources=sources, cache=tmp_path / "cache")


def test_a_library_that_is_not_there(sources: Path, tmp_path: Path, library: FakeNvrtc) -> None:
    """cuda-python finds it on the first call only."""

    def missing() -> Any:
        raise RuntimeError("Failure finding libnvrtc.so\nwhere it was looked for")

    library.nvrtcVersion = missing  # type: ignore[method-assign]
    with pytest.raises(
        EngineError, match=r"found no NVRTC library: Failure finding libnvrtc\.so\. Install the CUDA toolkit"
    ):
        build.cubin("kernel", {}, 87, sources=sources, cache=tmp_path / "cache")
