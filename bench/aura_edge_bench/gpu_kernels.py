"""The ladder of kernels on a GPU: every rung is built, held against float64, and only then timed, alone in a CUDA graph."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aura_edge.cuda import Driver
from aura_edge.cuda.driver import LOCAL_BYTES, REGISTERS, Grid
from aura_edge.kernels import attention, build, encoder_reference, packing, reference
from aura_edge.kernels.plan import THREADS, Plan, best_plans
from aura_edge.kernels.shape import EncoderShape
from aura_edge_bench.gpu_rows import Row, attempt, checked, summary

TOLERANCE = 5e-3
"""Of FP16 results against float64, for inputs of unit size."""
VECTOR_TOLERANCE = 1e-3
"""Of a component of a unit vector, with the same FP16 weights."""
REPEATS, IN_GRAPH = 30, 20
"""Replays that are kept, each of a graph with so many launches in a row."""
RUNGS: tuple[attention.Rung, ...] = ("attention_naive", "attention_fused")
SHAPES = ((1, 1), (2, 17), (1, 64), (2, 65), (1, 126), (2, 256))
"""Windows and tokens that attention is checked on, with heads of 32 and 64."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A kernel, and what it is launched with."""

    source: str
    defines: Mapping[str, int]
    name: str
    grid: Grid
    threads: int
    inputs: tuple[NDArray[Any], ...]
    output: tuple[tuple[int, ...], type]
    """Shape and type; its address comes behind the first input's."""
    numbers: tuple[np.generic, ...] = ()
    shared_bytes: int = 0


def run(driver: Driver, launch: Launch, *, timed: bool = False) -> tuple[NDArray[Any], dict[str, Any]]:
    """The output of one launch, and what is known: seconds to build, registers, spills, and where `timed` microseconds in a graph."""
    major, minor = driver.device.compute_capability
    begin = time.perf_counter()
    image = build.cubin(launch.source, launch.defines, 10 * major + minor)
    facts: dict[str, Any] = {"build_s": time.perf_counter() - begin}
    driver.activate()  # torch, which takes turns with us, has the same context
    with ExitStack() as stack:
        module = driver.load_module(image)
        stack.callback(driver.unload_module, module)
        function = driver.function(module, launch.name)
        driver.allow_shared(function, launch.shared_bytes)
        facts["registers"] = driver.function_attribute(function, REGISTERS)
        facts["spilled_bytes"] = driver.function_attribute(function, LOCAL_BYTES)
        stream = driver.create_stream()
        stack.callback(driver.destroy_stream, stream)
        result: NDArray[Any] = np.empty(*launch.output)
        target = driver.allocate(result.nbytes)
        stack.callback(driver.free, target)
        addresses = []
        for each in launch.inputs:
            addresses.append(driver.allocate(each.nbytes))
            stack.callback(driver.free, addresses[-1])
            driver.copy_to_device(addresses[-1], np.ascontiguousarray(each), stream)
        arguments = [*(np.uint64(place) for place in (addresses[0], target, *addresses[1:])), *launch.numbers]

        def queue() -> None:
            driver.launch(
                function,
                launch.grid,
                (launch.threads, 1, 1),
                arguments,
                stream=stream,
                shared_bytes=launch.shared_bytes,
            )

        driver.fill(target, 0xFF, result.nbytes, stream)
        queue()
        driver.copy_to_host(result, target, stream)
        driver.synchronize(stream)
        if timed:
            facts |= summary(_in_graph(driver, stream, queue, stack))
    return result, facts


def _in_graph(driver: Driver, stream: int, queue: Callable[[], None], stack: ExitStack) -> list[float]:
    """Microseconds of one launch among many in a graph, one of each replay."""
    driver.begin_capture(stream)
    for _ in range(IN_GRAPH):
        queue()
    graph = driver.end_capture(stream)
    stack.callback(driver.destroy_graph, graph)
    start, end = driver.create_event(), driver.create_event()
    stack.callback(driver.destroy_event, start)
    stack.callback(driver.destroy_event, end)
    driver.launch_graph(graph, stream)
    found = []
    for _ in range(REPEATS):
        driver.record(start, stream)
        driver.launch_graph(graph, stream)
        driver.record(end, stream)
        found.append(driver.elapsed_ms(start, end) * 1000 / IN_GRAPH)
    driver.synchronize(stream)
    return found


def attention_launch(rung: attention.Rung, qkv: NDArray[np.float16]) -> Launch:
    """Rung 1 or 2 on packed (B, N, 3, H, d)."""
    batch, tokens, _, heads, head = qkv.shape
    numbers = (np.int32(tokens), np.int32(heads), np.float32(attention.scale_log2(head)))
    return Launch(
        rung,
        {},
        attention.kernel_name(rung, head),
        attention.grid(rung, qkv.shape),
        attention.THREADS,
        (qkv,),
        ((batch, tokens, heads, head), np.float16),
        numbers,
    )


def plan_launch(source: str, plan: Plan, packed: Mapping[str, NDArray[Any]], given: NDArray[Any]) -> Launch:
    """Rung 3 (`attention_block`, on tokens) or 4 (`encoder`, on windows)."""
    places, _ = packing.offsets(packed)
    output = ((len(given), plan.shape.dimension), np.float32) if source == "encoder" else (given.shape, np.float16)
    return Launch(
        source,
        plan.defines(places),
        f"aura_{source}",
        (len(given) * plan.blocks, 1, 1),
        THREADS,
        (given, packing.blob(packed)),
        output,
        (),
        plan.shared_bytes,
    )


def check_rows(
    driver: Driver, name: str, shape: EncoderShape, packed: Mapping[str, NDArray[Any]], windows: NDArray[Any]
) -> Iterator[Row]:
    """Every rung against float64: attention on shapes from one token to 256, the block and the encoder of `shape` in every plan."""
    for rung in RUNGS:
        for head in attention.HEAD_SIZES:
            for batch, tokens in SHAPES:
                label = f"{rung} B {batch}, N {tokens}, d {head}"
                yield attempt("check", label, partial(_check_attention, driver, rung, batch, tokens, head))
    for plan in dict.fromkeys(_plans(driver, shape)):
        label = f"{name}, {plan.blocks} block{'s' * (plan.blocks > 1)} a window"
        yield attempt("check", f"attention_block {label}", partial(_check_block, driver, plan, packed))
        yield attempt("check", f"encoder {label}", partial(_check_encoder, driver, plan, packed, windows))


def time_rows(
    driver: Driver,
    name: str,
    shape: EncoderShape,
    packed: Mapping[str, NDArray[Any]],
    window: NDArray[Any],
    batches: Sequence[int],
) -> Iterator[Row]:
    """Every rung's time in a graph; `window` (1, 6, n) is repeated to a batch. Attention is that of `shape`, with its tokens and heads."""
    sizes = (shape.tokens, 3, shape.heads, shape.head_size)
    for rung in RUNGS:
        for batch in batches:
            label = f"{rung} B {batch}, N {shape.tokens}, H {shape.heads}, d {shape.head_size}"
            yield attempt("attention", label, partial(_time_attention, driver, rung, (batch, *sizes)))
    for source in ("attention_block", "encoder"):
        for batch in batches:
            yield attempt(
                "encoder",
                f"{source} {name}, B {batch}",
                partial(_time_plan, driver, source, shape, packed, window, batch),
            )


def flops(shape: EncoderShape) -> float:
    """Of one window: products of the blocks and of plain patches; what the other stems and the head add is small and left out."""
    n, w = shape.tokens, shape.width
    layer = 2 * n * w * (4 * w + 2 * shape.hidden) + 4 * n * n * w
    return float(shape.depth * layer + (2 * n * w * 6 * shape.patch if shape.plain else 0))


def _time_attention(driver: Driver, rung: attention.Rung, sizes: tuple[int, ...]) -> dict[str, Any]:
    return run(driver, attention_launch(rung, _halves(*sizes)), timed=True)[1]


def _time_plan(
    driver: Driver,
    source: str,
    shape: EncoderShape,
    packed: Mapping[str, NDArray[Any]],
    window: NDArray[Any],
    batch: int,
) -> dict[str, Any]:
    plan = _plans(driver, shape)[int(batch > 1)]
    given = np.repeat(window, batch, axis=0) if source == "encoder" else _halves(batch, shape.tokens, shape.width)
    facts = run(driver, plan_launch(source, plan, packed, given), timed=True)[1] | {"blocks": plan.blocks}
    if source == "encoder":
        rate = batch * 1e6 / facts["p50_us"]
        facts |= {"windows_per_s": rate, "tflop_per_s": rate * flops(shape) / 1e12}
    return facts


def _plans(driver: Driver, shape: EncoderShape) -> tuple[Plan, Plan]:
    return best_plans(shape, shared_bytes=driver.device.shared_bytes, clusters=driver.device.clusters)


def _check_attention(driver: Driver, rung: attention.Rung, batch: int, tokens: int, head: int) -> dict[str, Any]:
    qkv = _halves(batch, tokens, 3, 2, head)
    found, facts = run(driver, attention_launch(rung, qkv))
    return facts | checked(float(np.abs(found - reference.attention(qkv)).max()), TOLERANCE)


def _check_block(driver: Driver, plan: Plan, packed: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    tokens = _halves(2, plan.shape.tokens, plan.shape.width)
    found, facts = run(driver, plan_launch("attention_block", plan, packed, tokens))
    exact = encoder_reference.Reference(plan.shape, packed)
    expected = np.stack([exact.attention_half(0, each.astype(np.float64)) for each in tokens])
    return facts | checked(float(np.abs(found - expected).max()), TOLERANCE)


def _check_encoder(
    driver: Driver, plan: Plan, packed: Mapping[str, NDArray[Any]], windows: NDArray[Any]
) -> dict[str, Any]:
    found, facts = run(driver, plan_launch("encoder", plan, packed, windows))
    expected = encoder_reference.encode(plan.shape, packed, windows)
    return facts | checked(float(np.abs(found - expected).max()), VECTOR_TOLERANCE)


def _halves(*sizes: int) -> NDArray[np.float16]:
    return np.random.default_rng(sizes).standard_normal(sizes).astype(np.float16)
