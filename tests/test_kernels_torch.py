"""The fused kernel as an operator of torch: what torch asks of operators, and what reaches the GPU, on a GPU made of numpy."""

from __future__ import annotations

import ctypes
import shutil
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch; it comes with aura-edge[train] or [export]")

import torch

from aura_edge.cuda import DeviceFacts
from aura_edge.cuda.fake import FACTS, FakeDriver
from aura_edge.errors import EngineError
from aura_edge.kernels import attention, build, reference, torch_op
from aura_edge.kernels.device_attention import DeviceAttention

needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="the emulator is compiled by g++, which is not here"
)

SHAPE = (2, 70, 3, 2, 32)


def packed(dtype: Any, shape: tuple[int, ...] = SHAPE, **options: Any) -> Any:
    torch.manual_seed(5)
    return torch.randn(shape).to(dtype).requires_grad_(options.get("requires_grad", False))


def worst(found: Any, qkv: Any) -> float:
    return float(np.abs(found.detach().double().numpy() - reference.attention(qkv.detach().double().numpy())).max())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_on_a_cpu(dtype: Any) -> None:
    """Any floating type, against float64."""
    qkv = packed(dtype)
    found = torch.ops.aura_edge.fused_attention(qkv)
    assert found.dtype == dtype
    assert found.is_contiguous()
    assert worst(found, qkv) < {torch.float32: 1e-5, torch.float16: 5e-3, torch.bfloat16: 2e-2}[dtype]


@pytest.mark.parametrize("requires_grad", [False, True])
def test_torch_finds_nothing_to_complain_of(requires_grad: bool) -> None:
    """Schema, fake kernel, gradient, and tracing with free sizes."""
    found = torch.library.opcheck(torch_op.fused_attention, (packed(torch.float32, requires_grad=requires_grad),))
    assert set(found.values()) == {"SUCCESS"}


def test_gradients() -> None:
    """Against finite differences in float64, and FP32 in between."""
    qkv = packed(torch.float32, (1, 5, 3, 2, 32), requires_grad=True)
    weights = torch.randn(1, 5, 2, 32)
    (torch.ops.aura_edge.fused_attention(qkv) * weights).sum().backward()
    base, step = qkv.detach().double().numpy(), 1e-6
    for place in [(0, 0, 0, 0, 3), (0, 4, 1, 1, 0), (0, 2, 2, 0, 31)]:
        ahead, behind = base.copy(), base.copy()
        ahead[place] += step
        behind[place] -= step
        slope = ((reference.attention(ahead) - reference.attention(behind)) * weights.numpy()).sum() / (2 * step)
        assert abs(qkv.grad[place].item() - slope) < 1e-4


def test_autocast_chooses_the_type() -> None:
    """On a CPU bfloat16; outside of it what came in."""
    with torch.autocast("cpu"):
        assert torch.ops.aura_edge.fused_attention(packed(torch.float32)).dtype == torch.bfloat16
    assert torch.ops.aura_edge.fused_attention(packed(torch.float32)).dtype == torch.float32


def test_shapes_are_known_without_computing() -> None:
    """For tracing, on a device that is not there."""
    found = torch.ops.aura_edge.fused_attention(torch.empty(SHAPE, device="meta"))
    assert found.shape == (2, 70, 2, 32)


@pytest.mark.parametrize("shape", [(2, 300, 3, 2, 32), (2, 70, 3, 2, 40), (2, 70, 2, 2, 32)])
def test_sizes_without_a_kernel_are_refused(shape: tuple[int, ...]) -> None:
    """On a CPU too: code that runs here runs there."""
    with pytest.raises(EngineError, match="fused attention takes"):
        torch.ops.aura_edge.fused_attention(packed(torch.float32, shape))


def emulated_gpu(monkeypatch: pytest.MonkeyPatch, facts: DeviceFacts = FACTS) -> FakeDriver:
    """A fake GPU whose kernels are the emulator's."""

    def kernel(head: int) -> Any:
        def run(
            driver: FakeDriver, grid: Any, block: Any, qkv: Any, out: Any, tokens: Any, heads: Any, scale: Any
        ) -> None:
            assert [type(value) for value in (qkv, out, tokens, heads, scale)] == [
                np.uint64,
                np.uint64,
                np.int32,
                np.int32,
                np.float32,
            ]
            shape = (grid[0], int(tokens), 3, int(heads), head)
            assert grid == (shape[0], shape[3], -(-shape[1] // 64))
            assert block == (128, 1, 1)
            assert abs(scale - np.log2(np.e) / np.sqrt(head)) < 1e-6
            bytes_in = 2 * int(np.prod(shape))
            values = driver.view(int(qkv), bytes_in).view(np.float16).reshape(shape)
            found, _ = attention.emulate("attention_fused", values)
            driver.view(int(out), bytes_in // 3)[:] = found.reshape(-1).view(np.uint8)

        return run

    monkeypatch.setattr(build, "cubin", lambda name, defines, architecture, **_: f"{name} for {architecture}".encode())
    return FakeDriver(
        facts, {attention.kernel_name("attention_fused", head): kernel(head) for head in attention.HEAD_SIZES}
    )


@needs_compiler
@pytest.mark.parametrize("head", attention.HEAD_SIZES)
def test_what_is_launched_on_a_gpu(monkeypatch: pytest.MonkeyPatch, head: int) -> None:
    """Grid, block and arguments, on the caller's stream, with the cubin for this GPU: the right numbers come out when the stream has run."""
    driver = emulated_gpu(monkeypatch)
    kernel = DeviceAttention(driver)
    stream, shape = driver.create_stream(), (3, 70, 3, 2, head)
    qkv = packed(torch.float16, shape).numpy()
    addresses = [driver.allocate(qkv.nbytes), driver.allocate(qkv.nbytes // 3)]
    out = np.empty((3, 70, 2, head), np.float16)
    driver.copy_to_device(addresses[0], qkv, stream)
    kernel.launch(addresses[0], addresses[1], shape, stream)
    driver.copy_to_host(out, addresses[1], stream)
    driver.synchronize(stream)
    assert np.abs(out - reference.attention(qkv)).max() < 5e-3
    assert f"load_module {len(b'attention_fused for 87')}" in driver.log
    for address in addresses:
        driver.free(address)
    driver.destroy_stream(stream)
    kernel.close()
    kernel.close()
    assert not driver.leaks


def test_a_gpu_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turing has no cp.async: said before anything is compiled."""
    old = DeviceFacts("Old GPU", (7, 5), 12060, "", 8 << 30, 16, 4 << 20, 64 << 10, False)
    with pytest.raises(EngineError, match=r"Old GPU has compute capability 7\.5; the kernels need 8\.0"):
        DeviceAttention(emulated_gpu(monkeypatch, old))


def test_addresses_that_are_not_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    """cp.async would fault."""
    driver = emulated_gpu(monkeypatch)
    with pytest.raises(EngineError, match="multiples of 16 and 4 bytes"):
        DeviceAttention(driver).launch(0x1008, 0x2000, SHAPE, driver.create_stream())


@needs_compiler
@pytest.mark.parametrize("view", ["whole", "strided", "misaligned"])
def test_tensors_reach_the_kernel_whole(monkeypatch: pytest.MonkeyPatch, view: str) -> None:
    """Views are made contiguous and aligned before the kernel sees them."""
    driver, launched = emulated_gpu(monkeypatch), []
    kernel, stream = DeviceAttention(driver), driver.create_stream()
    launch = kernel.launch

    def lending(qkv: int, out: int, shape: Any, stream: int) -> None:
        count = int(np.prod(shape)) * 2
        for address, size in ((qkv, count), (out, count // 3)):
            driver._memory[address] = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
        launched.append((qkv, tuple(shape)))
        launch(qkv, out, shape, stream)
        driver.synchronize(stream)

    monkeypatch.setattr(kernel, "launch", lending)
    qkv = packed(torch.float16)
    if view == "strided":
        qkv = qkv.transpose(0, 1).contiguous().transpose(0, 1)
    elif view == "misaligned":
        qkv = torch.cat([torch.zeros(1, dtype=torch.float16), qkv.flatten()])[1:].view(SHAPE)
    found = torch_op.on_device(qkv, kernel, stream)
    assert launched[0][0] % 16 == 0
    assert launched[0][1] == SHAPE
    assert worst(found, qkv) < 5e-3


def test_only_half_precision_runs_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """FP32 is refused with the way to get it through, not rounded."""
    driver = emulated_gpu(monkeypatch)
    with pytest.raises(
        EngineError, match=r"float32; on a GPU fused attention takes float16\. Call it under torch\.autocast"
    ):
        torch_op.on_device(packed(torch.float32), DeviceAttention(driver), driver.create_stream())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU that torch can use")
@pytest.mark.parametrize("shape", [(1, 126, 3, 6, 32), (64, 250, 3, 2, 64)])
def test_on_a_gpu(shape: tuple[int, ...]) -> None:
    """The real thing, on torch's current stream."""
    qkv = packed(torch.float16, shape)
    found = torch.ops.aura_edge.fused_attention(qkv.cuda())
    assert worst(found.cpu(), qkv) < 5e-3
