"""What torch makes of the same work on the same GPU: attention by each of its back ends, and the encoder eager, compiled and in a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from aura_edge.errors import require
from aura_edge_bench.gpu_rows import Row, attempt, summary

BACK_ENDS = ("FLASH_ATTENTION", "EFFICIENT_ATTENTION", "CUDNN_ATTENTION", "MATH")
REPEATS, CALLS = 30, 50
"""Repeats that are kept, each of so many calls in a row: one call is shorter than what times it can tell."""


def time_calls(torch: Any, call: Callable[[], object], *, repeats: int = REPEATS, calls: int = CALLS) -> list[float]:
    """Microseconds of a call on the device, one of each repeat, after a warm-up."""
    for _ in range(calls):
        call()
    torch.cuda.synchronize()
    found = []
    for _ in range(repeats):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        for _ in range(calls):
            call()
        end.record()
        end.synchronize()
        found.append(begin.elapsed_time(end) * 1000 / calls)
    return found


def in_graph(torch: Any, call: Callable[[], object]) -> Callable[[], None]:
    """`call` captured once: what a replay takes has no launches from the host in it."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    replay: Callable[[], None] = graph.replay
    return replay


def attention_rows(batches: tuple[int, ...], tokens: int, heads: int, head: int) -> Iterator[Row]:
    """scaled_dot_product_attention by each back end, FP16, eager and in a graph."""
    for back_end in BACK_ENDS:
        for batch in batches:
            name = f"sdpa {back_end.lower()} B {batch}, N {tokens}, H {heads}, d {head}"
            yield attempt("attention", name, partial(_attention, back_end, batch, tokens, heads, head))


def _attention(back_end: str, batch: int, tokens: int, heads: int, head: int) -> Mapping[str, Any]:
    torch = _torch_with_gpu()
    from torch.nn.attention import SDPBackend, sdpa_kernel

    packed = torch.randn(batch, tokens, 3, heads, head, device="cuda", dtype=torch.float16)
    q, k, v = packed.permute(2, 0, 3, 1, 4).unbind(0)
    attend = torch.nn.functional.scaled_dot_product_attention
    with torch.inference_mode(), sdpa_kernel(getattr(SDPBackend, back_end)):
        eager = time_calls(torch, lambda: attend(q, k, v))
        graph = summary(time_calls(torch, in_graph(torch, lambda: attend(q, k, v))))
    return summary(graph["samples_us"], eager_p50_us=summary(eager)["p50_us"])


def encoder_rows(name: str, module: Any, windows: Any, batches: tuple[int, ...]) -> Iterator[Row]:
    """A torch encoder in FP16: eager, compiled, and each in a graph. `windows` (1, 6, n) float32 are repeated to a batch."""
    for way in ("eager", "eager in a graph", "compiled", "compiled in a graph"):
        for batch in batches:
            yield attempt("encoder", f"torch {way}, {name}, B {batch}", partial(_encoder, module, windows, batch, way))


def _encoder(module: Any, windows: Any, batch: int, way: str) -> Mapping[str, Any]:
    torch = _torch_with_gpu()
    given = torch.from_numpy(windows).repeat(batch, 1, 1).cuda()
    on_gpu = module.cuda().eval()
    run = torch.compile(on_gpu) if way.startswith("compiled") else on_gpu

    def call() -> None:
        with torch.inference_mode(), torch.autocast("cuda", torch.float16):
            run(given)

    call()
    repeats = 10 if batch > 64 else REPEATS
    samples = time_calls(torch, in_graph(torch, call) if way.endswith("graph") else call, repeats=repeats, calls=10)
    found = summary(samples)
    return found | {"windows_per_s": batch * 1e6 / found["p50_us"]}


def peak_rows() -> Iterator[Row]:
    """What this GPU reaches when it does nothing else: a large FP16 product, a large copy. Shares of a peak are shares of these."""
    yield attempt("peak", "matmul 8192, fp16", _matmul)
    yield attempt("peak", "copy of 1 GiB", _copy)


def _matmul() -> Mapping[str, Any]:
    torch, size = _torch_with_gpu(), 8192
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.float16) for _ in range(2))
    out = torch.empty_like(a)
    found = summary(time_calls(torch, lambda: torch.matmul(a, b, out=out), repeats=10, calls=10))
    return found | {"tflop_per_s": 2 * size**3 / found["p50_us"] / 1e6}


def _copy() -> Mapping[str, Any]:
    torch, size = _torch_with_gpu(), 2**30
    source = torch.empty(size, device="cuda", dtype=torch.uint8)
    target = torch.empty_like(source)
    found = summary(time_calls(torch, lambda: target.copy_(source), repeats=10, calls=10))
    return found | {"read_and_written_gb_per_s": 2 * size / found["p50_us"] / 1e3}


def _torch_with_gpu() -> Any:
    torch = require("torch", extra="train")
    if not torch.cuda.is_available():
        raise RuntimeError("torch sees no GPU here; install the torch that fits this driver")
    return torch
