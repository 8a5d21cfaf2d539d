"""`pycuda.driver` as far as the seam uses it, over tests/libcuda_stub.c: names, arguments and results as pycuda 2026.1 has them."""

from __future__ import annotations

import ctypes
from types import ModuleType
from typing import Any

import numpy as np


def make(stub: ctypes.CDLL) -> dict[str, Any]:
    """`pycuda` and `pycuda.driver`, to be put among the modules."""
    package: Any = ModuleType("pycuda")
    package.VERSION_TEXT = "2026.1"
    module: Any = ModuleType("pycuda.driver")

    class Error(Exception):
        pass

    def call(name: str, *arguments: Any) -> None:
        if status := getattr(stub, name)(*arguments):
            text = ctypes.c_char_p()
            stub.cuGetErrorString(status, ctypes.byref(text))
            raise Error(f"{name} failed: {(text.value or b'').decode()}")

    def handle(made: str, *arguments: Any) -> int:
        found = ctypes.c_void_p()
        call(made, ctypes.byref(found), *arguments)
        return found.value or 0

    def pointer(value: int) -> ctypes.c_void_p:
        return ctypes.c_void_p(int(value))

    def integer(name: str, *arguments: Any) -> int:
        found = ctypes.c_int()
        call(name, ctypes.byref(found), *arguments)
        return found.value

    class Allocation:
        def __init__(self, size: int, kind: str = "cuMemAlloc_v2", *flags: int) -> None:
            self.address = handle(kind, ctypes.c_size_t(size), *flags)

        def __int__(self) -> int:
            return self.address

        def free(self) -> None:
            call("cuMemFree_v2", pointer(self.address))

    class Stream:
        def __init__(self, flags: int = 0) -> None:
            self.handle = handle("cuStreamCreate", flags)

        def synchronize(self) -> None:
            call("cuStreamSynchronize", pointer(self.handle))

        def __del__(self) -> None:
            stub.cuStreamDestroy_v2(pointer(self.handle))

    class Event:
        def __init__(self, flags: int = 0) -> None:
            self._handle = handle("cuEventCreate", flags)

        def record(self, stream: Stream) -> Event:
            call("cuEventRecord", pointer(self._handle), pointer(stream.handle))
            return self

        def synchronize(self) -> Event:
            call("cuEventSynchronize", pointer(self._handle))
            return self

        def time_till(self, end: Event) -> float:
            found = ctypes.c_float()
            call("cuEventElapsedTime", ctypes.byref(found), pointer(self._handle), pointer(end._handle))
            return found.value

        def __del__(self) -> None:
            stub.cuEventDestroy_v2(pointer(self._handle))

    class Context:
        def __init__(self) -> None:
            self._handle = handle("cuDevicePrimaryCtxRetain", 7)

        def push(self) -> None:
            call("cuCtxSetCurrent", pointer(self._handle))

        def detach(self) -> None:
            call("cuDevicePrimaryCtxRelease_v2", 7)

    class Device:
        def __init__(self, ordinal: int) -> None:
            self._device = integer("cuDeviceGet", ordinal)

        @staticmethod
        def count() -> int:
            return integer("cuDeviceGetCount")

        def name(self) -> str:
            raw = ctypes.create_string_buffer(256)
            call("cuDeviceGetName", raw, 256, self._device)
            return raw.value.decode()

        def compute_capability(self) -> tuple[int, int]:
            return self.get_attribute(75), self.get_attribute(76)

        def total_memory(self) -> int:
            found = ctypes.c_size_t()
            call("cuDeviceTotalMem_v2", ctypes.byref(found), self._device)
            return found.value

        def get_attribute(self, attribute: int) -> int:
            return integer("cuDeviceGetAttribute", attribute, self._device)

        def retain_primary_context(self) -> Context:
            return Context()

    def pagelocked_empty(shape: int, dtype: Any) -> Any:
        assert np.dtype(dtype) == np.uint8
        size = shape
        owner = Allocation(size, "cuMemHostAlloc", 0)

        class Pinned:
            free = staticmethod(owner.free)

            def __init__(self) -> None:
                where = (owner.address, False)
                self.__array_interface__ = {"shape": (size,), "typestr": "|u1", "data": where, "version": 3}

        return np.asarray(Pinned())  # whose base is what owns it, as with pycuda's

    def memcpy_htod_async(dest: int, src: Any, stream: Stream) -> None:
        call(
            "cuMemcpyHtoDAsync_v2",
            pointer(dest),
            pointer(src.ctypes.data),
            ctypes.c_size_t(src.nbytes),
            pointer(stream.handle),
        )

    def memcpy_dtoh_async(dest: Any, src: int, stream: Stream) -> None:
        call(
            "cuMemcpyDtoHAsync_v2",
            pointer(dest.ctypes.data),
            pointer(src),
            ctypes.c_size_t(dest.nbytes),
            pointer(stream.handle),
        )

    def memset_d8_async(dest: int, data: int, size: int, stream: Stream) -> None:
        call("cuMemsetD8Async", pointer(dest), data, ctypes.c_size_t(size), pointer(stream.handle))

    module.Error, module.Device, module.Stream, module.Event = Error, Device, Stream, Event
    module.init = lambda: call("cuInit", 0)
    module.get_driver_version = lambda: integer("cuDriverGetVersion")
    module.device_attribute = int
    module.mem_alloc = Allocation
    module.pagelocked_empty = pagelocked_empty
    module.memcpy_htod_async, module.memcpy_dtoh_async = memcpy_htod_async, memcpy_dtoh_async
    module.memset_d8_async = memset_d8_async
    package.driver = module
    return {"pycuda": package, "pycuda.driver": module}
