"""What every CUDA driver package must do alike: run by the tests on fakes, and as a program on a real package over tests/libcuda_stub.c."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from aura_edge.cuda import Driver, driver, open_driver
from aura_edge.errors import EngineError

PTX = b"// ptx"


def exercise(gpu: Driver) -> None:
    """Memory, streams, graphs, events, kernels, errors; everything is given back but the driver itself."""
    gpu.activate()
    stream = gpu.create_stream()
    host, back = (gpu.allocate_pinned(4 * 16).view(np.float32) for _ in range(2))
    address = gpu.allocate(host.nbytes)
    assert address % 256 == 0
    copies(gpu, stream, host, back, address)
    graphs(gpu, stream, host, back, address)
    kernels(gpu, stream, host, back, address)
    events(gpu, stream, address)
    refusals(gpu, stream, host)
    gpu.free(address)
    for pinned in (host, back):
        gpu.free_pinned(pinned.view(np.uint8))
    gpu.destroy_stream(stream)


def copies(gpu: Driver, stream: int, host: Any, back: Any, address: int) -> None:
    host[:] = np.arange(16)
    gpu.copy_to_device(address, host, stream)
    gpu.fill(address, 0, 8, stream)
    gpu.copy_to_host(back, address, stream)
    gpu.synchronize(stream)
    assert np.array_equal(back, [0, 0, *range(2, 16)])
    gpu.copy_to_host(back[4:12], address + 32, stream)
    gpu.synchronize(stream)
    assert np.array_equal(back[4:12], np.arange(8, 16)), "an address inside"


def graphs(gpu: Driver, stream: int, host: Any, back: Any, address: int) -> None:
    gpu.begin_capture(stream)
    gpu.copy_to_device(address, host, stream)
    gpu.copy_to_host(back, address, stream)
    graph = gpu.end_capture(stream)
    host[:], back[:] = 5, -1
    gpu.synchronize(stream)
    assert back[0] == -1, "nothing runs while it is captured"
    for value in (6.0, 7.0):
        host[:] = value
        gpu.launch_graph(graph, stream)
        gpu.synchronize(stream)
        assert np.all(back == value)
    gpu.destroy_graph(graph)


def kernels(gpu: Driver, stream: int, host: Any, back: Any, address: int) -> None:
    module = gpu.load_module(PTX)
    scale = gpu.function(module, "scale")
    gpu.function_attribute(scale, driver.REGISTERS)
    host[:] = np.arange(16)
    gpu.copy_to_device(address, host, stream)
    arguments = (np.uint64(address), np.float32(3), np.int32(16))
    gpu.launch(scale, (1, 1, 1), (32, 1, 1), arguments, stream=stream)
    with pytest.raises(EngineError):
        gpu.launch(scale, (1, 1, 1), (32, 1, 1), arguments, stream=stream, shared_bytes=100 << 10)
    gpu.allow_shared(scale, 100 << 10)
    gpu.launch(scale, (1, 1, 1), (32, 1, 1), arguments, stream=stream, shared_bytes=100 << 10)
    factor = 9
    if gpu.device.clusters:
        gpu.launch(scale, (16, 1, 1), (32, 1, 1), arguments, stream=stream, cluster=8)
        factor = 27
        with pytest.raises(EngineError, match="CUDA_ERROR_INVALID_CLUSTER_SIZE"):
            gpu.launch(scale, (12, 1, 1), (32, 1, 1), arguments, stream=stream, cluster=8)
    gpu.copy_to_host(back, address, stream)
    gpu.synchronize(stream)
    assert np.array_equal(back, factor * np.arange(16))
    with pytest.raises(EngineError, match="kernel argument 1 is a int; expected a numpy scalar"):
        gpu.launch(scale, (1, 1, 1), (32, 1, 1), (arguments[0], 3), stream=stream)  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="CUDA_ERROR_NOT_FOUND"):
        gpu.function(module, "absent")
    gpu.unload_module(module)


def events(gpu: Driver, stream: int, address: int) -> None:
    start, end = gpu.create_event(), gpu.create_event()
    gpu.record(start, stream)
    gpu.fill(address, 1, 64, stream)
    gpu.record(end, stream)
    assert gpu.elapsed_ms(start, end) == 2.0, "both fakes' clocks go on by this"
    gpu.destroy_event(start)
    gpu.destroy_event(end)


def refusals(gpu: Driver, stream: int, host: Any) -> None:
    with pytest.raises(EngineError, match=r"CUDA_ERROR_OUT_OF_MEMORY.*"):
        gpu.allocate(1 << 50)
    with pytest.raises(EngineError, match=r"shape \(8,\) is not contiguous; copy it with np.ascontiguousarray"):
        gpu.copy_to_device(0, host[::2], stream)


if __name__ == "__main__":
    opened = open_driver(sys.argv[1])
    exercise(opened)
    facts = opened.device
    assert (facts.name, facts.architecture, facts.shared_bytes, facts.clusters) == ("Stub GPU", "sm_90", 166912, True)
    assert (facts.driver_version, facts.uuid, facts.memory_bytes) == (13020, bytes(range(16)).hex(), 1 << 30)
    opened.close()
    opened.close()
    print(opened.name)
