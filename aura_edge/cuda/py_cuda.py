"""The GPU through pycuda, which owns context, memory, streams and events; what it leaves out is asked of the driver's library.

Its objects free themselves when nobody holds them, so they are held here by handle until they are given back. pycuda's contexts belong to
the thread that made them: an engine on it is used from one thread.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aura_edge.cuda import driver
from aura_edge.cuda.driver import DeviceFacts, Grid, no_device, refused, require_contiguous
from aura_edge.cuda.libcuda import LibCuda
from aura_edge.errors import EngineError


class PyCuda:
    """The first visible GPU and its primary context, which TensorRT and torch share."""

    def __init__(self, library: Any = None) -> None:
        # Asked first: without libcuda pycuda's own import fails, and says so in a linker's words.
        self._library = LibCuda(library)
        self._cuda = _package()
        self.name = f"pycuda {_version()}"
        self._held: dict[int, Any] = {}
        self._thread = threading.get_ident()
        self._call(self._cuda.init)
        found = int(self._call(self._cuda.get_driver_version))
        driver.require_recent(found)
        if self._call(self._cuda.Device.count) < 1:
            raise no_device()
        device = self._call(self._cuda.Device, 0)
        self._context: Any = self._call(device.retain_primary_context)
        self._call(self._context.push)
        self.device = self._facts(device, found)

    def activate(self) -> None:
        if threading.get_ident() != self._thread:
            raise EngineError(
                "pycuda's context belongs to the thread that opened it, and another one called. Open the engine in the thread that "
                "uses it, or use cuda-python."
            )

    def allocate(self, size_bytes: int) -> int:
        memory = self._call(self._cuda.mem_alloc, size_bytes)
        return self._hold(int(memory), memory)

    def free(self, address: int) -> None:
        self._call(self._held.pop(address).free)

    def allocate_pinned(self, size_bytes: int) -> NDArray[np.uint8]:
        memory: NDArray[np.uint8] = self._call(self._cuda.pagelocked_empty, size_bytes, np.uint8)
        self._hold(memory.ctypes.data, memory)
        return memory

    def free_pinned(self, memory: NDArray[np.uint8]) -> None:
        self._call(self._held.pop(memory.ctypes.data).base.free)

    def copy_to_device(self, address: int, host: NDArray[Any], stream: int) -> None:
        require_contiguous(host)
        self._call(self._cuda.memcpy_htod_async, address, host, self._held[stream])

    def copy_to_host(self, host: NDArray[Any], address: int, stream: int) -> None:
        require_contiguous(host)
        self._call(self._cuda.memcpy_dtoh_async, host, address, self._held[stream])

    def fill(self, address: int, byte: int, size_bytes: int, stream: int) -> None:
        self._call(self._cuda.memset_d8_async, address, byte, size_bytes, self._held[stream])

    def create_stream(self) -> int:
        stream = self._call(self._cuda.Stream, driver.NON_BLOCKING_STREAM)
        return self._hold(int(stream.handle), stream)

    def synchronize(self, stream: int) -> None:
        self._call(self._held[stream].synchronize)

    def destroy_stream(self, stream: int) -> None:
        del self._held[stream]

    def create_event(self) -> int:
        event = self._call(self._cuda.Event)
        return self._hold(id(event), event)  # pycuda shows no handle, and nobody else needs one

    def record(self, event: int, stream: int) -> None:
        self._call(self._held[event].record, self._held[stream])

    def elapsed_ms(self, start: int, end: int) -> float:
        self._call(self._held[end].synchronize)
        return float(self._call(self._held[start].time_till, self._held[end]))

    def destroy_event(self, event: int) -> None:
        del self._held[event]

    def begin_capture(self, stream: int) -> None:
        self._library.begin_capture(stream)

    def end_capture(self, stream: int) -> int:
        return self._library.end_capture(stream)

    def launch_graph(self, graph: int, stream: int) -> None:
        self._library.launch_graph(graph, stream)

    def destroy_graph(self, graph: int) -> None:
        self._library.destroy_graph(graph)

    def load_module(self, image: bytes) -> int:
        return self._library.load_module(image)

    def unload_module(self, module: int) -> None:
        self._library.unload_module(module)

    def function(self, module: int, name: str) -> int:
        return self._library.function(module, name)

    def function_attribute(self, function: int, attribute: int) -> int:
        return self._library.function_attribute(function, attribute)

    def allow_shared(self, function: int, size_bytes: int) -> None:
        self._library.allow_shared(function, size_bytes)

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
        self._library.launch(
            function, grid, block, arguments, stream=stream, shared_bytes=shared_bytes, cluster=cluster
        )

    def close(self) -> None:
        if self._context is not None:
            self._held.clear()
            context, self._context = self._context, None
            # Not left to its destructor, which gives a primary context back as if it were an ordinary one, and complains.
            self._call(context.detach)

    def _hold(self, handle: int, thing: Any) -> int:
        self._held[handle] = thing
        return handle

    def _facts(self, device: Any, version: int) -> DeviceFacts:
        def attribute(number: int) -> int:
            # A number that pycuda's table does not name is no enumerator of it; the conversion takes it all the same.
            return int(self._call(device.get_attribute, self._cuda.device_attribute(number)))

        return DeviceFacts(
            name=str(self._call(device.name)),
            compute_capability=tuple(self._call(device.compute_capability)),
            driver_version=version,
            uuid=self._library.uuid(0),
            memory_bytes=int(self._call(device.total_memory)),
            multiprocessors=attribute(driver.MULTIPROCESSORS),
            l2_bytes=attribute(driver.L2_BYTES),
            shared_bytes=attribute(driver.SHARED_BYTES),
            clusters=bool(attribute(driver.CLUSTERS)),
        )

    def _call(self, function: Any, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except self._cuda.Error as error:
            # pycuda says: cuMemAlloc failed: out of memory
            call, _, text = str(error).partition(" failed: ")
            raise refused(call, _NAMES.get(text, "CUDA error"), text or str(error)) from error


_NAMES = {
    "out of memory": "CUDA_ERROR_OUT_OF_MEMORY",
    "no CUDA-capable device is detected": "CUDA_ERROR_NO_DEVICE",
    "CUDA driver version is insufficient for CUDA runtime version": "CUDA_ERROR_INSUFFICIENT_DRIVER",
    "an illegal memory access was encountered": "CUDA_ERROR_ILLEGAL_ADDRESS",
}
"""By the driver's text of an error, its name: pycuda passes on the first only."""


def _package() -> ModuleType:
    try:
        return importlib.import_module("pycuda.driver")
    except ImportError as error:
        raise EngineError(
            f"pycuda cannot be used ({error}). Install it with: pip install pycuda (it is compiled, and needs the CUDA toolkit's cuda.h), or "
            "use cuda-python."
        ) from error


def _version() -> str:
    return str(importlib.import_module("pycuda").VERSION_TEXT)
