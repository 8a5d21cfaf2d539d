"""What the GPU offers to engines and kernels: a protocol of plain numbers, and the errors that every implementation words alike.

Device addresses, streams, events, graphs, modules and functions are the driver's own handles as integers, which is also what TensorRT
takes. Whoever makes one gives it back; nothing is freed behind anyone's back.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import EngineError

OLDEST_DRIVER = 12_000
"""CUDA 12.0, as the driver counts: clusters, and lazily loaded modules."""

MULTIPROCESSORS, L2_BYTES, MAJOR, MINOR, SHARED_BYTES, CLUSTERS = 16, 38, 75, 76, 97, 120
"""Attributes of a device, by cuda.h's number in `CUdevice_attribute`."""
STATIC_SHARED_BYTES, LOCAL_BYTES, REGISTERS, DYNAMIC_SHARED_BYTES, LARGE_CLUSTERS = 1, 3, 4, 8, 14
"""Attributes of a function, by cuda.h's number in `CUfunction_attribute`."""
NON_BLOCKING_STREAM = 1
THREAD_LOCAL_CAPTURE = 1
CLUSTER_DIMENSION = 4
"""Of `CUlaunchAttributeID`."""

Grid = tuple[int, int, int]

REMEDIES = {
    "CUDA_ERROR_NO_DEVICE": "No NVIDIA GPU is visible: check nvidia-smi and CUDA_VISIBLE_DEVICES, and in a container start it with --gpus all.",
    "CUDA_ERROR_OUT_OF_MEMORY": "Close what else uses the GPU (nvidia-smi lists it), or use a smaller batch.",
    "CUDA_ERROR_INSUFFICIENT_DRIVER": "Update the NVIDIA driver.",
    "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH": "The loaded kernel module and libcuda are of different versions: reboot after a driver update.",
    "CUDA_ERROR_NO_BINARY_FOR_GPU": "The kernel was compiled for another GPU: compile it on this one.",
    "CUDA_ERROR_UNSUPPORTED_PTX_VERSION": "The PTX is newer than this driver: compile on this machine, or update the driver.",
    "CUDA_ERROR_INVALID_PTX": "Compile the kernel again; its PTX is damaged.",
    "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES": "The block needs more registers or shared memory than this GPU has.",
    "CUDA_ERROR_ILLEGAL_ADDRESS": "Start the program again: after this error nothing on the GPU can be trusted.",
}
"""By the driver's name of an error: what to do about it."""


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What is known about the GPU."""

    name: str
    compute_capability: tuple[int, int]
    driver_version: int
    """Newest CUDA that the driver supports, as it counts: 12060 for 12.6."""
    uuid: str
    """32 hexadecimal digits; empty where the package does not tell."""
    memory_bytes: int
    multiprocessors: int
    l2_bytes: int
    shared_bytes: int
    """Largest dynamic shared memory of a block, after `allow_shared`."""
    clusters: bool
    """Whether blocks can be launched in clusters."""

    @property
    def architecture(self) -> str:
        """As compilers write it: `sm_87`."""
        return "sm_{}{}".format(*self.compute_capability)


class Driver(Protocol):
    """One GPU. Raises `EngineError` with the driver's name and text of an error, and what to do."""

    name: str
    """The package and its version: `cuda-python 13.5.0`."""
    device: DeviceFacts

    def activate(self) -> None:
        """Make this GPU the calling thread's; whoever calls from more than one thread does this first."""
        ...

    def allocate(self, size_bytes: int) -> int:
        """Address of new device memory, aligned to 256 bytes."""
        ...

    def free(self, address: int) -> None: ...

    def allocate_pinned(self, size_bytes: int) -> NDArray[np.uint8]:
        """Host memory that copies need not stage. No view of it may outlive `free_pinned`."""
        ...

    def free_pinned(self, memory: NDArray[np.uint8]) -> None: ...

    def copy_to_device(self, address: int, host: NDArray[Any], stream: int) -> None:
        """Queue a copy of a whole contiguous array. The array must stay as it is until the stream has come to it."""
        ...

    def copy_to_host(self, host: NDArray[Any], address: int, stream: int) -> None:
        """Queue a copy into a whole contiguous array."""
        ...

    def fill(self, address: int, byte: int, size_bytes: int, stream: int) -> None: ...

    def create_stream(self) -> int:
        """A stream that does not wait for the default one."""
        ...

    def synchronize(self, stream: int) -> None:
        """Wait until all that is queued is done."""
        ...

    def destroy_stream(self, stream: int) -> None: ...

    def create_event(self) -> int: ...

    def record(self, event: int, stream: int) -> None: ...

    def elapsed_ms(self, start: int, end: int) -> float:
        """Waits for `end`; the time between two recorded events, to about half a microsecond."""
        ...

    def destroy_event(self, event: int) -> None: ...

    def begin_capture(self, stream: int) -> None:
        """From here on what is queued is remembered and not run."""
        ...

    def end_capture(self, stream: int) -> int:
        """The graph of what was queued since, ready to be launched."""
        ...

    def launch_graph(self, graph: int, stream: int) -> None: ...

    def destroy_graph(self, graph: int) -> None: ...

    def load_module(self, image: bytes) -> int:
        """A module from a cubin, a fat binary, or PTX, which the driver compiles."""
        ...

    def unload_module(self, module: int) -> None: ...

    def function(self, module: int, name: str) -> int:
        """The kernel `name`, declared `extern "C"`."""
        ...

    def function_attribute(self, function: int, attribute: int) -> int:
        """`REGISTERS`, `LOCAL_BYTES` (spills), `STATIC_SHARED_BYTES`, ..."""
        ...

    def allow_shared(self, function: int, size_bytes: int) -> None:
        """Let launches ask for so much dynamic shared memory; more than 48 KiB must be allowed first."""
        ...

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
        """Queue a kernel. Arguments are numpy scalars of exactly the kernel's types, addresses as `np.uint64`; `cluster` blocks along x share
        their memory, and divide the grid's first number. Kernels that declare `__cluster_dims__` need none here."""
        ...

    def close(self) -> None:
        """Let the GPU go; closing twice is fine."""
        ...


class Arguments:
    """Kernel arguments as the driver wants them: an array of pointers to values, alive as long as this."""

    def __init__(self, values: Sequence[np.generic]) -> None:
        for place, value in enumerate(values):
            if not isinstance(value, np.generic):
                raise EngineError(
                    f"kernel argument {place} is a {type(value).__name__}; expected a numpy scalar of the kernel's own type, as in np.int32(3)."
                )
        self._values = [np.array(value) for value in values]
        self._pointers = (ctypes.c_void_p * max(len(values), 1))(*(value.ctypes.data for value in self._values))
        self.address = ctypes.addressof(self._pointers)


def refused(call: str, name: str, text: str) -> EngineError:
    """The error for a driver call that gave the error `name`, with its `text`."""
    remedy = REMEDIES.get(name, "Check the driver with nvidia-smi, and see its log with: dmesg | grep NVRM")
    return EngineError(f"{call} failed: {name} ({text}). {remedy}")


def require_recent(version: int) -> None:
    """Raise `EngineError` where the driver is older than what this needs."""
    if version < OLDEST_DRIVER:
        raise EngineError(
            f"the NVIDIA driver supports CUDA {_dotted(version)}; expected {_dotted(OLDEST_DRIVER)} or later. Update the driver (525 or "
            "later on a PC), or on a Jetson move to JetPack 6."
        )


def no_library(error: BaseException) -> EngineError:
    """The error where libcuda cannot be loaded."""
    return EngineError(
        f"the NVIDIA driver's library (libcuda) cannot be loaded: {str(error).rstrip('.')}. Install the NVIDIA driver; in a container, start it with "
        "--gpus all (on a Jetson --runtime nvidia)."
    )


def no_device() -> EngineError:
    """The error where the driver works and shows no GPU."""
    return EngineError(f"the NVIDIA driver shows no GPU. {REMEDIES['CUDA_ERROR_NO_DEVICE']}")


def require_contiguous(host: NDArray[Any]) -> None:
    """Raise `EngineError` unless a copy can treat the array as a run of bytes."""
    if not host.flags.c_contiguous:
        raise EngineError(f"an array of shape {host.shape} is not contiguous; copy it with np.ascontiguousarray first.")


def _dotted(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"
