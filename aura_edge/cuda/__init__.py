"""The NVIDIA GPU behind one small door: memory, streams, events, graphs and kernels, through cuda-python or pycuda.

Below engines and kernels in the direction of imports. Neither package is imported before `open_driver` is asked for it.
"""

from __future__ import annotations

from aura_edge.cuda.driver import DeviceFacts, Driver
from aura_edge.errors import EngineError

DRIVERS = ("cuda-python", "pycuda")
"""What `open_driver` takes; the first is the default."""

__all__ = ["DRIVERS", "DeviceFacts", "Driver", "open_driver"]


def open_driver(which: str | None = None) -> Driver:
    """The first GPU that the driver shows (`CUDA_VISIBLE_DEVICES` chooses), through `which` of `DRIVERS`.

    Raises `EngineError` for a package that is not installed, a driver library that is missing or too old, and a machine without a GPU: each
    says what to do.
    """
    if which not in (None, *DRIVERS):
        raise EngineError(f"no CUDA driver package {which!r}; expected one of {', '.join(DRIVERS)}.")
    if which == "pycuda":
        from aura_edge.cuda.py_cuda import PyCuda

        return PyCuda()
    from aura_edge.cuda.cuda_python import CudaPython

    return CudaPython()
