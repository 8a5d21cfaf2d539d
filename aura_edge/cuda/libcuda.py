"""What pycuda leaves out, asked of the driver's library itself: graphs, launches in clusters, and the modules and functions whose handles
pycuda does not show."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from aura_edge.cuda import driver
from aura_edge.cuda.driver import Arguments, Grid, no_library, refused

LIBRARIES = ("libcuda.so.1", "nvcuda.dll")


class _Attribute(ctypes.Structure):
    """`CUlaunchAttribute`: its value is a union of 64 bytes, of which a cluster uses three numbers."""

    _fields_ = (
        ("id", ctypes.c_uint),
        ("padding", ctypes.c_char * 4),
        ("cluster", ctypes.c_uint * 3),
        ("rest", ctypes.c_char * 52),
    )


class _Config(ctypes.Structure):
    """`CUlaunchConfig`."""

    _fields_ = (
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared_bytes", ctypes.c_uint),
        ("stream", ctypes.c_void_p),
        ("attributes", ctypes.POINTER(_Attribute)),
        ("attribute_count", ctypes.c_uint),
    )


class LibCuda:
    """Calls that need a current context, on whatever context the calling thread has."""

    def __init__(self, library: Any = None) -> None:
        self._library = library or _load()

    def uuid(self, ordinal: int) -> str:
        """32 hexadecimal digits of the device `ordinal`."""
        device, raw = ctypes.c_int(), (ctypes.c_ubyte * 16)()
        self._call("cuDeviceGet", ctypes.byref(device), ordinal)
        self._call("cuDeviceGetUuid", ctypes.byref(raw), device)
        return bytes(raw).hex()

    def begin_capture(self, stream: int) -> None:
        self._call("cuStreamBeginCapture_v2", ctypes.c_void_p(stream), driver.THREAD_LOCAL_CAPTURE)

    def end_capture(self, stream: int) -> int:
        graph, ready = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuStreamEndCapture", ctypes.c_void_p(stream), ctypes.byref(graph))
        try:
            self._call("cuGraphInstantiateWithFlags", ctypes.byref(ready), graph, ctypes.c_ulonglong(0))
        finally:
            self._call("cuGraphDestroy", graph)
        return ready.value or 0

    def launch_graph(self, graph: int, stream: int) -> None:
        self._call("cuGraphLaunch", ctypes.c_void_p(graph), ctypes.c_void_p(stream))

    def destroy_graph(self, graph: int) -> None:
        self._call("cuGraphExecDestroy", ctypes.c_void_p(graph))

    def load_module(self, image: bytes) -> int:
        module = ctypes.c_void_p()
        self._call("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(image))  # which ends in a zero
        return module.value or 0

    def unload_module(self, module: int) -> None:
        self._call("cuModuleUnload", ctypes.c_void_p(module))

    def function(self, module: int, name: str) -> int:
        function = ctypes.c_void_p()
        self._call("cuModuleGetFunction", ctypes.byref(function), ctypes.c_void_p(module), name.encode())
        return function.value or 0

    def function_attribute(self, function: int, attribute: int) -> int:
        value = ctypes.c_int()
        self._call("cuFuncGetAttribute", ctypes.byref(value), attribute, ctypes.c_void_p(function))
        return value.value

    def allow_shared(self, function: int, size_bytes: int) -> None:
        self._call("cuFuncSetAttribute", ctypes.c_void_p(function), driver.DYNAMIC_SHARED_BYTES, size_bytes)

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
        pointers = ctypes.c_void_p(packed.address)
        if cluster == 1:
            where = (*grid, *block, shared_bytes, ctypes.c_void_p(stream))
            self._call("cuLaunchKernel", ctypes.c_void_p(function), *where, pointers, None)
            return
        three = ctypes.c_uint * 3
        attribute = _Attribute(driver.CLUSTER_DIMENSION, b"", three(cluster, 1, 1), b"")
        config = _Config(three(*grid), three(*block), shared_bytes, stream, ctypes.pointer(attribute), 1)
        self._call("cuLaunchKernelEx", ctypes.byref(config), ctypes.c_void_p(function), pointers, None)

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            words = []
            for speak in (self._library.cuGetErrorName, self._library.cuGetErrorString):
                word = ctypes.c_char_p()
                speak(status, ctypes.byref(word))
                words.append(word.value.decode() if word.value else f"error {status}")
            raise refused(name, words[0], words[1])


def _load() -> ctypes.CDLL:
    failure: OSError | None = None
    for name in LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            failure = failure or error
    raise no_library(failure or OSError("no name to look for"))
