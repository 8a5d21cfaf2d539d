"""NVIDIA TensorRT 10.3 to 11, and TensorRT for RTX, behind one door.

An engine is built from the bundle's ONNX graph on the GPU that runs it, the first time; it is kept in the user's cache directory and used again
as long as model, library, GPU and driver stay what they were. Precision is what the graph says: nothing is lowered behind its back.

    library.py     which TensorRT is there, and what it says
    building.py    ONNX to a plan, with a timing cache and progress; `build_plan`
    keeping.py     plans on disk: what they were built from and for, and why one is built again
    running.py     memory, stream, profiles and the CUDA graph
    engine.py      `open_trt`
"""

from __future__ import annotations

from aura_edge.engines.trt.building import Batches, build_plan
from aura_edge.engines.trt.engine import TrtEngine, is_built, open_trt

__all__ = ["Batches", "TrtEngine", "build_plan", "is_built", "open_trt"]
