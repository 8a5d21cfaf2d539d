"""OpenVINO on a CPU, in the precision that was asked for.

Left to itself it computes in bfloat16 wherever the CPU can, and golden vectors no longer hold: the precision is pinned, and read back from
what was compiled. The graph of one window is compiled with its shape fixed, which makes it about a sixth faster; that of other numbers of
windows when such a number first comes.

    fp32    the bundle's model in float32
    bf16    the same model computed in bfloat16, where the CPU can; not in the bundle's proof, so its golden embeddings are held to a cosine
    int8    the bundle's int8 model; what is not int8 in it runs in float32
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aura_edge.bundle import FP32, Bundle
from aura_edge.engines import BF16, EngineInfo, require_windows
from aura_edge.errors import EngineError
from aura_edge.user_cache import user_cache

DEVICE = "CPU"
HINTS = {"f32": "float32", "bf16": "bfloat16"}
"""What is asked for, and what the compiled model then says."""


class OpenVinoEngine:
    """Compiled models of one graph, by number of windows; made by `open_openvino`."""

    def __init__(self, graph: _Graph, info: EngineInfo, *, window_samples: int) -> None:
        self.info = info
        self._graph: _Graph | None = graph
        self._window_samples = window_samples

    def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 6, n) float32 in SI units to (B, D) float32 of unit norm. Raises `EngineError` for any other type or shape."""
        if self._graph is None:
            raise EngineError("this engine is closed. Open it again with open_engine().")
        require_windows(windows, self._window_samples, batch=self.info.max_batch)
        request = self._graph.request(len(windows))
        try:
            # Its own memory is lent, not copied, in both directions; the caller gets a copy.
            found = request.infer([np.ascontiguousarray(windows)], share_inputs=True, share_outputs=True)[0]
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed on {self.info.device}: {_brief(error)}. Try --engine ort.") from error
        return np.array(found, np.float32)

    def close(self) -> None:
        """Free the compiled models; closing twice is fine."""
        self._graph = None


class _Graph:
    """The graph as read, and what was compiled of it: for one window, and for any other number."""

    def __init__(self, core: Any, model: Any, settings: dict[str, Any], fixed_batch: int | None) -> None:
        self._core, self._model, self._settings, self._fixed = core, model, settings, fixed_batch is not None
        self._requests: dict[bool, Any] = {}
        self.compiled = self._compile(one=True)

    def request(self, batch: int) -> Any:
        one = self._fixed or batch == 1
        if one not in self._requests:
            self._compile(one=one)
        return self._requests[one]

    def _compile(self, *, one: bool) -> Any:
        model = self._model
        if one and not self._fixed:
            model = model.clone()
            shape = model.inputs[0].get_partial_shape()
            shape[0] = 1
            model.reshape(shape)
        try:
            compiled = self._core.compile_model(model, DEVICE, self._settings)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot compile the model: {_brief(error)}. Try --engine ort.") from error
        self._requests[one] = compiled.create_infer_request()
        return compiled


def open_openvino(
    bundle: Bundle, *, threads: int = 1, precision: str = FP32, keep_compiled: bool = False
) -> OpenVinoEngine:
    """The bundle's model in this `precision` (see above), on the CPU. With `keep_compiled`, what OpenVINO compiles is kept in the user's cache
    directory, and is there at the next start.

    Raises `EngineError` where OpenVINO is not installed, cannot compile the model, or computes otherwise than asked, and `BundleError` where
    the bundle has no such precision.
    """
    if threads < 1:
        raise EngineError(f"{threads} threads; expected 1 or more.")
    if precision.startswith("fp16"):
        raise EngineError(
            f"OpenVINO computes {precision} models in other precisions than their graph says. Say --precision fp32, bf16 or int8."
        )
    openvino = import_openvino()
    stored = FP32 if precision == BF16 else precision
    file, _ = bundle.model(stored)
    content = bundle.read(file)
    core = openvino.Core()
    hint = "bf16" if precision == BF16 else "f32"
    if precision == BF16 and "BF16" not in core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES"):
        raise EngineError("this CPU does not compute in bfloat16 (avx512_bf16 or amx_bf16). Say --precision fp32.")
    settings = {
        "INFERENCE_PRECISION_HINT": hint,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": "1",
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,  # the device has other things to do
    }
    if keep_compiled:
        settings["CACHE_DIR"] = str(user_cache() / "openvino")
    try:
        model = core.read_model(model=content)
    except RuntimeError as error:
        raise EngineError(
            f"{bundle.file(file)}: OpenVINO {openvino.__version__} cannot read it: {_brief(error)}. Check the bundle with: aura-edge bundle verify"
        ) from error
    _check_interface(model, bundle, file)
    graph = _Graph(core, model, settings, bundle.batch(stored))
    arithmetic = graph.compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if arithmetic not in (hint, HINTS[hint]):
        raise EngineError(f"asked OpenVINO for {HINTS[hint]}, but it computes in {arithmetic}. Say --engine ort.")
    info = EngineInfo(
        name="openvino",
        device=f"cpu (OpenVINO {openvino.__version__.split('-')[0]}, {HINTS[hint]})",
        precision=precision,
        max_batch=bundle.batch(stored),
        weights=bundle.manifest.files[file].sha256,
        threads=int(graph.compiled.get_property("INFERENCE_NUM_THREADS")),
    )
    return OpenVinoEngine(graph, info, window_samples=bundle.manifest.signal.window_samples)


def import_openvino() -> ModuleType:
    """The package, with nothing of it reporting home. Raises `EngineError` where it is not there or does not load."""
    # At import it sends an event and writes a client id into the home, unless this package of its cannot be imported.
    if "openvino_telemetry" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        openvino = importlib.import_module("openvino")
        if not hasattr(openvino, "Core"):
            raise ImportError("the package is empty")
    except (ImportError, OSError) as error:
        raise EngineError(
            f"OpenVINO cannot be used ({error}). Install it with: pip install 'aura-edge[openvino]'"
        ) from error
    return openvino


def _check_interface(model: Any, bundle: Bundle, file: str) -> None:
    samples, dimension = bundle.manifest.signal.window_samples, bundle.manifest.text_space.dimension
    found = [(port.get_any_name(), port.get_partial_shape().to_string()) for port in (*model.inputs, *model.outputs)]
    fits = (
        len(found) == 2
        and [name for name, _ in found] == ["imu", "embedding"]
        and found[0][1].endswith(f",6,{samples}]")
        and found[1][1].endswith(f",{dimension}]")
    )
    if not fits:
        raise EngineError(
            f"{bundle.file(file)}: the graph has {found}; expected input imu (batch, 6, {samples}) and output embedding (batch, {dimension}). "
            "Export the bundle again."
        )


def _brief(error: Exception) -> str:
    """The last line that says something: before it stands where in its sources it arose."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
