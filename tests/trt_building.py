"""Builds one ONNX file ahead of time for several GPUs and prints the kernels as JSON: a process of its own, for the builder may abort.

python trt_building.py MODEL.onnx 8.0 8.6 ...
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from aura_edge.engines.trt.building import build
from aura_edge.engines.trt.library import find_library

if __name__ == "__main__":
    content, library, made = Path(sys.argv[1]).read_bytes(), find_library("tensorrt_rtx"), {}
    for capability in sys.argv[2:]:
        major, minor = map(int, capability.split("."))
        built = build(content, library, compute_capability=(major, minor), list_kernels=True)
        made[capability] = {"bytes": len(built.plan), "kernels": built.kernels}
    json.dump({"version": library.version, "made": made}, sys.stdout)
