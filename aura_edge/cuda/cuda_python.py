"""The GPU through NVIDIA's cuda-python: every call is the driver's own, checked by its return code."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aura_edge.cuda import driver
from aura_edge.cuda.driver import Arguments, DeviceFacts, Grid, no_device, no_library, refused, require_contiguous
from aura_edge.errors import EngineError


class CudaPython:
    """The first visible GPU and its primary context, which TensorRT and torch share."""

    def __init__(self) -> None:
        self._cuda = _package()
        self.name = f"cuda-python {_version()}"
        try:
            self._call("cuInit", 0)
        except RuntimeError as error:  # there is no libcuda, or it is older than the package knows
            raise no_library(error) from error
        found: int = self._call("cuDriverGetVersion")
        driver.require_recent(found)
        if self._call("cuDeviceGetCount") < 1:
            raise no_device()
        self._device = self._call("cuDeviceGet", 0)
        self._context: Any = self._call("cuDevicePrimaryCtxRetain", self._device)
        self._pinned: dict[int, int] = {}
        self.activate()
        self.device = self._facts(found)

    def activate(self) -> None:
        self._call("cuCtxSetCurrent", self._context)

    def allocate(self, size_bytes: int) -> int:
        return int(self._call("cuMemAlloc", size_bytes))

    def free(self, address: int) -> None:
        self._call("cuMemFree", address)

    def allocate_pinned(self, size_bytes: int) -> NDArray[np.uint8]:
        address = int(self._call("cuMemHostAlloc", size_bytes, 0))
        memory = np.ctypeslib.as_array((ctypes.c_uint8 * size_bytes).from_address(address))
        self._pinned[memory.ctypes.data] = address
        return memory

    def free_pinned(self, memory: NDArray[np.uint8]) -> None:
        self._call("cuMemFreeHost", self._pinned.pop(memory.ctypes.data))

    def copy_to_device(self, address: int, host: NDArray[Any], stream: int) -> None:
        require_contiguous(host)
        self._call("cuMemcpyHtoDAsync", address, host.ctypes.data, host.nbytes, stream)

    def copy_to_host(self, host: NDArray[Any], address: int, stream: int) -> None:
        require_contiguous(host)
        self._call("cuMemcpyDtoHAsync", host.ctypes.data, address, host.nbytes, stream)

    def fill(self, address: int, byte: int, size_bytes: int, stream: int) -> None:
        self._call("cuMemsetD8Async", address, byte, size_bytes, stream)

    def create_stream(self) -> int:
        return int(self._call("cuStreamCreate", driver.NON_BLOCKING_STREAM))

    def synchronize(self, stream: int) -> None:
        self._call("cuStreamSynchronize", stream)

    def destroy_stream(self, stream: int) -> None:
        self._call("cuStreamDestroy", stream)

    def create_event(self) -> int:
        return int(self._call("cuEventCreate", 0))

    def record(self, event: int, stream: int) -> None:
        self._call("cuEventRecord", event, stream)

    def elapsed_ms(self, start: int, end: int) -> float:
        self._call("cuEventSynchronize", end)
        return float(self._call("cuEventElapsedTime", start, end))

    def destroy_event(self, event: int) -> None:
        self._call("cuEventDestroy", event)

    def begin_capture(self, stream: int) -> None:
        self._call("cuStreamBeginCapture", stream, self._cuda.CUstreamCaptureMode(driver.THREAD_LOCAL_CAPTURE))

    def end_capture(self, stream: int) -> int:
        graph = self._call("cuStreamEndCapture", stream)
        try:
            return int(self._call("cuGraphInstantiate", graph, 0))
        finally:
            self._call("cuGraphDestroy", graph)

    def launch_graph(self, graph: int, stream: int) -> None:
        self._call("cuGraphLaunch", graph, stream)

    def destroy_graph(self, graph: int) -> None:
        self._call("cuGraphExecDestroy", graph)

    def load_module(self, image: bytes) -> int:
        # PTX is text that must end in a zero; behind a cubin one more byte does no harm.
        return int(self._call("cuModuleLoadData", image + b"\0"))

    def unload_module(self, module: int) -> None:
        self._call("cuModuleUnload", module)

    def function(self, module: int, name: str) -> int:
        return int(self._call("cuModuleGetFunction", module, name.encode()))

    def function_attribute(self, function: int, attribute: int) -> int:
        return int(self._call("cuFuncGetAttribute", self._cuda.CUfunction_attribute(attribute), function))

    def allow_shared(self, function: int, size_bytes: int) -> None:
        attribute = self._cuda.CUfunction_attribute(driver.DYNAMIC_SHARED_BYTES)
        self._call("cuFuncSetAttribute", function, attribute, size_bytes)

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
        packed = Arguments(arguments)
        if cluster == 1:
            self._call("cuLaunchKernel", function, *grid, *block, shared_bytes, stream, packed.address, 0)
            return
        attribute = self._cuda.CUlaunchAttribute()
        attribute.id = self._cuda.CUlaunchAttributeID(driver.CLUSTER_DIMENSION)
        size = attribute.value.clusterDim
        size.x, size.y, size.z = cluster, 1, 1
        config = self._cuda.CUlaunchConfig()
        config.gridDimX, config.gridDimY, config.gridDimZ = grid
        config.blockDimX, config.blockDimY, config.blockDimZ = block
        config.sharedMemBytes, config.hStream = shared_bytes, stream
        config.attrs, config.numAttrs = [attribute], 1
        self._call("cuLaunchKernelEx", config, function, packed.address, 0)

    def close(self) -> None:
        if self._context is not None:
            self._context = None
            self._call("cuDevicePrimaryCtxRelease", self._device)

    def _facts(self, version: int) -> DeviceFacts:
        def attribute(number: int) -> int:
            return int(self._call("cuDeviceGetAttribute", self._cuda.CUdevice_attribute(number), self._device))

        return DeviceFacts(
            name=self._call("cuDeviceGetName", 256, self._device).split(b"\0")[0].decode(),
            compute_capability=(attribute(driver.MAJOR), attribute(driver.MINOR)),
            driver_version=version,
            uuid=bytes(self._call("cuDeviceGetUuid", self._device).bytes).hex(),
            memory_bytes=int(self._call("cuDeviceTotalMem", self._device)),
            multiprocessors=attribute(driver.MULTIPROCESSORS),
            l2_bytes=attribute(driver.L2_BYTES),
            shared_bytes=attribute(driver.SHARED_BYTES),
            clusters=bool(attribute(driver.CLUSTERS)),
        )

    def _call(self, name: str, *arguments: Any) -> Any:
        """What the driver's function gives behind its return code: nothing, or one value."""
        status, *values = getattr(self._cuda, name)(*arguments)
        if int(status):
            raise refused(name, *self._words(status))
        return values[0] if values else None

    def _words(self, status: Any) -> tuple[str, str]:
        words = [words(status)[1] for words in (self._cuda.cuGetErrorName, self._cuda.cuGetErrorString)]
        name, text = (word.decode() if word else f"error {int(status)}" for word in words)
        return name, text


def _package() -> ModuleType:
    try:
        return importlib.import_module("cuda.bindings.driver")
    except ImportError as error:
        raise EngineError(
            f"cuda-python cannot be used ({error}). Install it in the version of your CUDA: pip install 'aura-edge[trt]', or use "
            "pycuda."
        ) from error


def _version() -> str:
    try:
        return version("cuda-bindings")
    except PackageNotFoundError:
        return "unknown"
