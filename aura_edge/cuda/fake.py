"""A GPU made of numpy, for tests: it keeps memory, runs what is queued when a stream is waited for and not before, and forgives nothing.

Reading results too early gives what was there before, as on a GPU. A copy out of range, memory used after it was freed, a handle given back
twice and a leak are errors; `log` holds the order of operations. Its addresses are no addresses of this process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aura_edge.cuda.driver import Arguments, DeviceFacts, Grid, require_contiguous
from aura_edge.errors import EngineError

Work = Callable[[], None]
Kernel = Callable[..., None]

FACTS = DeviceFacts("Fake GPU", (8, 7), 12060, "00" * 16, 8 << 30, 16, 4 << 20, 163 << 10, False)


class FakeDriver:
    """A driver whose modules hold `kernels`: Python functions of this driver, grid, block and the kernel's arguments."""

    def __init__(self, device: DeviceFacts = FACTS, kernels: Mapping[str, Kernel] | None = None) -> None:
        self.name = "fake"
        self.device = device
        self.log: list[str] = []
        """Every operation in order, as in `copy_to_device 24000`; what a stream has run is prefixed with `run `."""
        self.closed = False
        self._kernels = dict(kernels or {})
        self._memory: dict[int, NDArray[np.uint8]] = {}
        self._pinned: dict[int, NDArray[np.uint8]] = {}
        self._queues: dict[int, list[tuple[str, Work]]] = {}
        self._capturing: dict[int, list[tuple[str, Work]]] = {}
        self._graphs: dict[int, list[tuple[str, Work]]] = {}
        self._events: dict[int, float | None] = {}
        self._modules: dict[int, bytes] = {}
        self._functions: dict[int, tuple[int, str, int]] = {}
        self._clock_ms = 0.0
        self._next_handle, self._next_address = 1, 0x7_0000_0000

    @property
    def leaks(self) -> dict[str, int]:
        """How many of each kind were not given back."""
        kinds: dict[str, dict[int, Any]] = {
            "memory": self._memory,
            "pinned": self._pinned,
            "streams": self._queues,
            "graphs": self._graphs,
            "events": self._events,
            "modules": self._modules,
        }
        return {kind: len(held) for kind, held in kinds.items() if held}

    def view(self, address: int, size_bytes: int) -> NDArray[np.uint8]:
        """The bytes of device memory from `address` on, for a library or kernel that runs on this fake."""
        for start, memory in self._memory.items():
            if start <= address and address + size_bytes <= start + len(memory):
                return memory[address - start : address - start + size_bytes]
        raise EngineError(
            f"CUDA_ERROR_ILLEGAL_ADDRESS: {size_bytes} bytes at {address:#x} are not inside memory that is allocated."
        )

    def capturing(self, stream: int) -> bool:
        """Whether what is queued on this stream goes into a graph."""
        return stream in self._capturing

    def enqueue(self, stream: int, what: str, work: Work) -> None:
        """Queue `work` as a library that runs on this GPU does."""
        self._of(self._queues, stream, "stream")
        self.log.append(what)
        self._capturing.get(stream, self._queues[stream]).append((what, work))

    def activate(self) -> None:
        if self.closed:
            raise EngineError("CUDA_ERROR_DEINITIALIZED: this driver is closed.")

    def allocate(self, size_bytes: int) -> int:
        self.activate()
        if size_bytes < 1 or sum(map(len, self._memory.values())) + size_bytes > self.device.memory_bytes:
            raise EngineError(f"CUDA_ERROR_OUT_OF_MEMORY: {size_bytes} bytes cannot be had.")
        address = self._next_address
        # A hole between any two, so that running over an end is noticed; never the same twice, so that a stale address is.
        self._next_address += -(-size_bytes // 256) * 256 + 256
        self._memory[address] = np.full(size_bytes, 0xCD, np.uint8)
        self.log.append(f"allocate {size_bytes}")
        return address

    def free(self, address: int) -> None:
        self._of(self._memory, address, "memory")
        self._require_idle("memory freed")
        del self._memory[address]
        self.log.append("free")

    def allocate_pinned(self, size_bytes: int) -> NDArray[np.uint8]:
        self.activate()
        memory = np.full(size_bytes, 0xCD, np.uint8)
        self._pinned[memory.ctypes.data] = memory
        self.log.append(f"allocate_pinned {size_bytes}")
        return memory

    def free_pinned(self, memory: NDArray[np.uint8]) -> None:
        self._of(self._pinned, memory.ctypes.data, "pinned memory")
        self._require_idle("pinned memory freed")
        del self._pinned[memory.ctypes.data]
        self.log.append("free_pinned")

    def copy_to_device(self, address: int, host: NDArray[Any], stream: int) -> None:
        source = self._host(host, stream)
        self.view(address, host.nbytes)

        def work() -> None:
            self.view(address, host.nbytes)[:] = source

        self.enqueue(stream, f"copy_to_device {host.nbytes}", work)

    def copy_to_host(self, host: NDArray[Any], address: int, stream: int) -> None:
        target = self._host(host, stream)
        self.view(address, host.nbytes)

        def work() -> None:
            target[:] = self.view(address, host.nbytes)

        self.enqueue(stream, f"copy_to_host {host.nbytes}", work)

    def fill(self, address: int, byte: int, size_bytes: int, stream: int) -> None:
        self.view(address, size_bytes)

        def work() -> None:
            self.view(address, size_bytes)[:] = byte

        self.enqueue(stream, f"fill {size_bytes}", work)

    def create_stream(self) -> int:
        self.activate()
        stream = self._handle()
        self._queues[stream] = []
        self.log.append("create_stream")
        return stream

    def synchronize(self, stream: int) -> None:
        self._of(self._queues, stream, "stream")
        if stream in self._capturing:
            raise EngineError("CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED: a stream that is captured cannot be waited for.")
        self.log.append("synchronize")
        queue, self._queues[stream] = self._queues[stream], []
        for what, work in queue:
            self._clock_ms += 1.0
            self.log.append(f"run {what}")
            work()

    def destroy_stream(self, stream: int) -> None:
        self._of(self._queues, stream, "stream")
        if self._queues[stream] or stream in self._capturing:
            raise EngineError("a stream was destroyed while work was queued on it; synchronize it first.")
        del self._queues[stream]
        self.log.append("destroy_stream")

    def create_event(self) -> int:
        event = self._handle()
        self._events[event] = None
        return event

    def record(self, event: int, stream: int) -> None:
        self._of(self._events, event, "event")

        def work() -> None:
            self._events[event] = self._clock_ms

        self.enqueue(stream, "record", work)

    def elapsed_ms(self, start: int, end: int) -> float:
        for event in (start, end):
            self._of(self._events, event, "event")
        for stream in [stream for stream in self._queues if stream not in self._capturing]:
            self.synchronize(stream)
        times = self._events[start], self._events[end]
        if times[0] is None or times[1] is None:
            raise EngineError("CUDA_ERROR_INVALID_HANDLE: an event that was never recorded has no time.")
        return times[1] - times[0]

    def destroy_event(self, event: int) -> None:
        self._of(self._events, event, "event")
        del self._events[event]

    def begin_capture(self, stream: int) -> None:
        self._of(self._queues, stream, "stream")
        if stream in self._capturing:
            raise EngineError("CUDA_ERROR_ILLEGAL_STATE: this stream is captured already.")
        self.log.append("begin_capture")
        self._capturing[stream] = []

    def end_capture(self, stream: int) -> int:
        graph = self._handle()
        self._graphs[graph] = self._of(self._capturing, stream, "captured stream")
        del self._capturing[stream]
        self.log.append("end_capture")
        return graph

    def launch_graph(self, graph: int, stream: int) -> None:
        self._of(self._graphs, graph, "graph")
        self._of(self._queues, stream, "stream")
        self.log.append("launch_graph")
        self._queues[stream].extend(self._graphs[graph])

    def destroy_graph(self, graph: int) -> None:
        self._of(self._graphs, graph, "graph")
        del self._graphs[graph]
        self.log.append("destroy_graph")

    def load_module(self, image: bytes) -> int:
        self.activate()
        if not image:
            raise EngineError("CUDA_ERROR_INVALID_IMAGE: an empty module.")
        module = self._handle()
        self._modules[module] = image
        self.log.append(f"load_module {len(image)}")
        return module

    def unload_module(self, module: int) -> None:
        self._of(self._modules, module, "module")
        del self._modules[module]
        self.log.append("unload_module")

    def function(self, module: int, name: str) -> int:
        self._of(self._modules, module, "module")
        if name not in self._kernels:
            raise EngineError(f"CUDA_ERROR_NOT_FOUND: the module has no kernel {name}.")
        function = self._handle()
        self._functions[function] = (module, name, 48 << 10)
        return function

    def function_attribute(self, function: int, attribute: int) -> int:
        self._of(self._functions, function, "function")
        return 0

    def allow_shared(self, function: int, size_bytes: int) -> None:
        module, name, _ = self._of(self._functions, function, "function")
        if size_bytes > self.device.shared_bytes:
            raise EngineError(
                f"CUDA_ERROR_INVALID_VALUE: {size_bytes} bytes of shared memory, this GPU has {self.device.shared_bytes}."
            )
        self._functions[function] = (module, name, size_bytes)

    def launch(
        self,
        function: int,
        grid: Grid,
        block: Grid,
        arguments: Sequence[np.generic],
        *,
        stream: int,
        shared_bytes: int = 0,
        cluster: int = 1,
    ) -> None:
        module, name, allowed = self._of(self._functions, function, "function")
        self._of(self._modules, module, "module")
        Arguments(arguments)
        if shared_bytes > allowed or min(*grid, *block) < 1 or np.prod(block) > 1024:
            raise EngineError(
                f"CUDA_ERROR_INVALID_VALUE: grid {grid}, block {block}, {shared_bytes} bytes of shared memory where {allowed} are allowed."
            )
        if cluster > 1 and not (self.device.clusters and cluster <= 8 and grid[0] % cluster == 0):
            raise EngineError(f"CUDA_ERROR_INVALID_CLUSTER_SIZE: {cluster} blocks of {grid[0]} on this GPU.")
        values = tuple(arguments)
        self.enqueue(stream, f"launch {name}", lambda: self._kernels[name](self, grid, block, *values))

    def close(self) -> None:
        self.closed = True

    def _host(self, host: NDArray[Any], stream: int) -> NDArray[np.uint8]:
        """The bytes of a host array. Memory that is not pinned may be copied, and not in a graph: a launch may come after its end."""
        require_contiguous(host)
        start = host.ctypes.data
        pinned = any(first <= start and start + host.nbytes <= first + len(m) for first, m in self._pinned.items())
        if stream in self._capturing and not pinned:
            raise EngineError("a graph captured a copy of memory that is not pinned.")
        return host.reshape(-1).view(np.uint8)

    def _of(self, held: dict[int, Any], handle: int, kind: str) -> Any:
        if handle not in held:
            raise EngineError(f"CUDA_ERROR_INVALID_HANDLE: no {kind} {handle:#x}: never made, or given back already.")
        return held[handle]

    def _require_idle(self, what: str) -> None:
        if any(self._queues.values()):
            raise EngineError(f"{what} while work is queued; synchronize the stream first.")

    def _handle(self) -> int:
        self._next_handle += 1
        return self._next_handle
