"""The plugins for TensorRT, as far as they can be judged without TensorRT: against declarations written from its documentation."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from aura_edge.errors import EngineError, MissingExtraError
from aura_edge.kernels import build
from aura_edge.kernels.plugin import decorated

PLUGIN, STUB = build.SOURCES / "plugin", Path(__file__).parent / "tensorrt_stub"
CHECKS = ["-std=c++17", "-Wall", "-Wextra", "-Werror"]
needs_nvcc = pytest.mark.skipif(build.find_nvcc() is None, reason="nvcc is not here")


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not here")
def test_the_library_does_what_tensorrt_asks(tmp_path: Path) -> None:
    """Names, shapes, types, formats, refusals and the launch, called through the interfaces as the documentation has them."""
    program, sources = tmp_path / "call", [str(STUB / "call_plugin.cpp"), str(PLUGIN / "fused_mha_plugin.cpp")]
    run("g++", *CHECKS, f"-I{STUB}", *sources, "-o", str(program))
    run(str(program))


@needs_nvcc
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not here")
def test_cmake_builds_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nvcc, and exporting what TensorRT looks for."""
    monkeypatch.setenv("CUDACXX", str(build.find_nvcc()))
    options = [f"-DTENSORRT_INCLUDE_DIR={STUB}", "-DCMAKE_CUDA_ARCHITECTURES=87"]
    run("cmake", "-S", str(PLUGIN), "-B", str(tmp_path), *options)
    run("cmake", "--build", str(tmp_path))
    content = (tmp_path / "libaura_fused_mha.so").read_bytes()
    assert b"getCreators" in content
    assert b"setLoggerFinder" in content
    assert b"aura_attention_fused_64" in content


class Size:
    """A dimension as TensorRT describes it: known when the engine is built, or not."""

    def __init__(self, value: int | None, *, method: bool) -> None:
        self.is_constant = value is not None
        self.constant_value: Any = (lambda: value) if method else value


class Numbers(list[Any]):
    def __init__(self, count: int) -> None:
        super().__init__([None] * count)


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module with the names of `tensorrt.plugin` that we use; what is registered lands in `registered`."""
    fake, plugin = ModuleType("tensorrt"), ModuleType("tensorrt.plugin")
    registered: dict[str, Any] = {}

    def kept(kind: str) -> Any:
        return lambda name: lambda function: registered.setdefault(f"{kind} {name}", function)

    class TensorDesc(SimpleNamespace):
        pass

    parts = {
        "register": kept("register"),
        "aot_impl": kept("aot_impl"),
        "TensorDesc": TensorDesc,
        "from_shape_expr": lambda shape, dtype: TensorDesc(shape_expr=shape, dtype=dtype, ndim=len(shape)),
        "KernelLaunchParams": SimpleNamespace,
        "cdiv": lambda size, by: ("cdiv", size, by),
        "SymIntExprs": Numbers,
        "SymInt32": lambda size: ("int32", size),
    }
    for name, part in parts.items():
        setattr(plugin, name, part)
    fake.__dict__.update(plugin=plugin, float16="FP16", float32="FP32", __version__="10.9.0", registered=registered)
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    monkeypatch.setitem(sys.modules, "tensorrt.plugin", plugin)
    monkeypatch.setattr(build, "ptx", lambda name, defines, architecture: f"// {name} {architecture}\0".encode())
    decorated.register.cache_clear()
    yield fake
    decorated.register.cache_clear()


def packed(
    tensorrt: Any, head: int | None = 32, tokens: int | None = None, *, method: bool = False, dtype: str = "FP16"
) -> Any:
    sizes = [Size(value, method=method) for value in (None, tokens, 3, 6, head)]
    return tensorrt.plugin.TensorDesc(shape_expr=sizes, ndim=5, dtype=dtype)


@pytest.mark.parametrize("method", [False, True])
def test_the_decorator_plugin(tensorrt: Any, method: bool) -> None:
    """Shape, kernel, grid and numbers, in the order in which the kernel takes them; sizes of the batch are left to TensorRT."""
    decorated.register(87)
    decorated.register(87)
    assert set(tensorrt.registered) == {"register aura::FusedMHA", "aot_impl aura::FusedMHA"}
    describe, launch = tensorrt.registered["register aura::FusedMHA"], tensorrt.registered["aot_impl aura::FusedMHA"]
    assert describe.__annotations__ == {"qkv": tensorrt.plugin.TensorDesc, "return": tensorrt.plugin.TensorDesc}
    qkv = packed(tensorrt, method=method)
    size = qkv.shape_expr
    assert describe(qkv).shape_expr == (size[0], size[1], size[3], size[4])
    assert describe(qkv).dtype == "FP16"
    name, ptx, grid, numbers = launch(qkv, (describe(qkv),), 0)
    assert (name, ptx) == ("aura_fused_mha_32", "// attention_plugin 87")
    assert (grid.grid_x, grid.grid_y, grid.grid_z, grid.block_x, grid.shared_mem) == (
        size[0],
        size[3],
        ("cdiv", size[1], 64),
        128,
        0,
    )
    assert numbers == [("int32", size[1]), ("int32", size[3])]


def test_what_the_decorator_plugin_refuses(tensorrt: Any) -> None:
    """FP32, other heads, heads that are not known, too many tokens, and a GPU that is too old."""
    decorated.register(87)
    describe, launch = tensorrt.registered["register aura::FusedMHA"], tensorrt.registered["aot_impl aura::FusedMHA"]
    with pytest.raises(EngineError, match="was given FP32 with 5 dimensions; expected FP16"):
        describe(packed(tensorrt, dtype="FP32"))
    for head, tokens, message in [
        (48, 126, "heads of 48"),
        (None, 126, "changes from run to run"),
        (32, 257, "up to 256 tokens"),
    ]:
        with pytest.raises(EngineError, match=message):
            launch(packed(tensorrt, head, tokens), (), 0)
    with pytest.raises(EngineError, match="sm_75 cannot run the kernel"):
        decorated.register(75)


def test_an_older_tensorrt_is_told_apart(tensorrt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decorators of 10.6 have no ahead-of-time form; before that there are none; and where TensorRT is missing, the extra is named."""
    monkeypatch.delattr(tensorrt.plugin, "aot_impl")
    with pytest.raises(EngineError, match=r"TensorRT 10\.9\.0 has no ahead-of-time decorator plugins"):
        decorated.register(87)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(MissingExtraError, match=r"aura-edge\[trt\]"):
        decorated.register(87)


@needs_nvcc
def test_the_ptx_has_the_kernels_that_are_named() -> None:
    """With inputs, numbers and outputs in TensorRT's order."""
    text = build.ptx("attention_plugin", {}, 87).decode()
    for head in (32, 64):
        entry = text.split(f".entry aura_fused_mha_{head}(")[1].split(")")[0]
        assert re.findall(r"\.param \.(\w+)", entry) == ["u64", "u32", "u32", "u64"]
