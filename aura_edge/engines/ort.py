"""onnxruntime, tuned for one window at a time on a device that has other things to do.

One thread that sleeps when there is no work, no arena that keeps memory it does not use, and a refusal to run anywhere else than where it
was asked to: onnxruntime itself falls back to the CPU with a warning at most, and a benchmark of that fall-back is a lie.
"""

from __future__ import annotations

import os
from collections import Counter
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aura_edge.bundle import FP32, Bundle
from aura_edge.engines import EngineInfo, require_windows
from aura_edge.errors import EngineError
from aura_edge.user_cache import user_cache

INPUT, OUTPUT = "imu", "embedding"

PROVIDERS = {
    "cpu": ("CPUExecutionProvider", "onnxruntime"),
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "tensorrt": ("TensorrtExecutionProvider", "onnxruntime-gpu"),
    "openvino": ("OpenVINOExecutionProvider", "onnxruntime-openvino"),
    "coreml": ("CoreMLExecutionProvider", "onnxruntime"),
    "qnn": ("QNNExecutionProvider", "onnxruntime-qnn"),
}
"""What `--provider` takes: onnxruntime's name for it, and the package that brings it."""

DEVICES = {"CPUExecutionProvider": "cpu", "CUDAExecutionProvider": "cuda:0", "TensorrtExecutionProvider": "cuda:0"}


class OrtEngine:
    """One onnxruntime session; made by `open_ort`."""

    def __init__(self, session: Any, info: EngineInfo, *, window_samples: int, dimension: int) -> None:
        self.info = info
        self._session = session
        self._window_samples = window_samples
        self._dimension = dimension

    def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 6, n) float32 in SI units to (B, D) float32 of unit norm. Raises `EngineError` for any other type or shape."""
        if self._session is None:
            raise EngineError("this engine is closed. Open it again with open_engine().")
        require_windows(windows, self._window_samples, batch=self.info.max_batch)
        try:
            (vectors,) = self._session.run([OUTPUT], {INPUT: windows})
        except _errors() as error:
            raise EngineError(
                f"onnxruntime failed on {self.info.device}: {error}. Try another provider or engine."
            ) from error
        if vectors.shape != (len(windows), self._dimension):
            raise EngineError(
                f"the model gave {OUTPUT} of shape {vectors.shape}, expected {(len(windows), self._dimension)}. "
                "Export the bundle again."
            )
        result: NDArray[np.float32] = vectors
        return result

    def close(self) -> None:
        """Free the session; closing twice is fine."""
        self._session = None


def open_ort(bundle: Bundle, *, threads: int = 1, provider: str | None = None, precision: str = FP32) -> OrtEngine:
    """A session on the bundle's model of this `precision`, on the CPU unless `provider` (a key of `PROVIDERS`, or onnxruntime's own name)
    says otherwise.

    Raises `EngineError` where onnxruntime has no such provider, falls back from it, or cannot run the model, and `BundleError` where the
    bundle has no such precision, or the model is not the one that the manifest names.
    """
    if threads < 1:
        raise EngineError(f"{threads} threads; expected 1 or more.")
    ort = import_onnxruntime()
    wanted = _available(ort, provider or "cpu")
    file, _ = bundle.model(precision)
    path, content = bundle.file(file), bundle.read(file)
    try:
        session = ort.InferenceSession(
            content, _options(ort, threads), providers=[wanted], provider_options=[_provider_options(wanted, threads)]
        )
    except _errors() as error:
        raise EngineError(
            f"{path}: onnxruntime {ort.__version__} cannot run it on {wanted}: {error}. Update onnxruntime, or check the bundle "
            "with: aura-edge bundle verify"
        ) from error
    session.disable_fallback()
    provider_in_force = _running(session, wanted)
    _check_interface(session, bundle, precision)
    info = EngineInfo(
        name="ort",
        device=f"{DEVICES.get(wanted, wanted.removesuffix('ExecutionProvider').lower())} ({provider_in_force})",
        precision=precision,
        max_batch=bundle.batch(precision),
        weights=bundle.manifest.files[file].sha256,
        threads=threads,
        note=_note(precision, wanted),
    )
    manifest = bundle.manifest
    return OrtEngine(
        session, info, window_samples=manifest.signal.window_samples, dimension=manifest.text_space.dimension
    )


def import_onnxruntime() -> ModuleType:
    # Its builds report their use unless told not to: by this on Linux, before the import, for they write a device id and look up
    # their server right then; by the call on Windows.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        import onnxruntime

        onnxruntime.disable_telemetry_events()
    except (
        ImportError,
        AttributeError,
    ) as error:  # AttributeError: an empty shell, where one of two packages was removed
        raise EngineError(
            f"onnxruntime cannot be used ({error}). Install exactly one of: onnxruntime (CPU), onnxruntime-gpu (CUDA, TensorRT), "
            "onnxruntime-openvino; after having had two, remove both first."
        ) from error
    module: ModuleType = onnxruntime
    return module


def _available(ort: ModuleType, provider: str) -> str:
    """onnxruntime's name for `provider`, which it was built with."""
    known = {name for name, _ in PROVIDERS.values()}
    wanted = PROVIDERS[provider.lower()][0] if provider.lower() in PROVIDERS else provider
    present = ort.get_available_providers()
    if wanted in present:
        return wanted
    if wanted not in known:
        raise EngineError(f"no execution provider {provider!r}; expected one of {', '.join(PROVIDERS)}.")
    raise EngineError(
        f"this onnxruntime {ort.__version__} has no {wanted}, only {', '.join(present)}. It comes with {_package(wanted)}. Never "
        "install two onnxruntime packages together, they overwrite each other: "
        f"pip uninstall onnxruntime onnxruntime-gpu onnxruntime-openvino && pip install {_package(wanted)}"
    )


def _running(session: Any, wanted: str) -> str:
    """The provider in force, with its share of the graph where it does not run all of it; an error where it runs none."""
    providers = session.get_providers()
    if providers[0] != wanted:
        raise EngineError(
            f"asked onnxruntime for {wanted}, but it runs on {', '.join(providers)}: the libraries that {wanted} needs were not found. "
            f"Install what {_package(wanted)} asks for, or say --provider cpu."
        )
    if not hasattr(session, "get_provider_graph_assignment_info"):  # onnxruntime before 1.24
        return wanted
    nodes = Counter({wanted: 0})
    for part in session.get_provider_graph_assignment_info():
        nodes[part.ep_name] += len(part.get_nodes())
    if nodes[wanted] == 0:
        raise EngineError(
            f"asked onnxruntime for {wanted}, and it took none of the model's {nodes.total()} nodes: all run on "
            f"{', '.join(name for name in nodes if name != wanted)}. Say --provider cpu, or export the model for {wanted}."
        )
    return wanted if nodes[wanted] == nodes.total() else f"{wanted}, {nodes[wanted]} of {nodes.total()} nodes"


def _package(wanted: str) -> str:
    return next((package for name, package in PROVIDERS.values() if name == wanted), "onnxruntime")


def _options(ort: ModuleType, threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # A spinning thread shortens a call by microseconds and costs a core between calls: windows come twice a second.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3  # errors; they arrive as exceptions as well
    return options


def _provider_options(wanted: str, threads: int) -> dict[str, str]:
    if wanted == "OpenVINOExecutionProvider":
        # Left to itself it computes in bfloat16 where the CPU can, and the golden vectors no longer hold.
        return {"device_type": "CPU", "precision": "FP32", "num_of_threads": str(threads)}
    if wanted == "CUDAExecutionProvider":
        # Left to itself it multiplies float32 in TensorFloat-32, with 10 bits, where the GPU can.
        return {"use_tf32": "0"}
    if wanted == "TensorrtExecutionProvider":
        # Building takes up to minutes, at every start if it is not kept; what is kept is named after library and GPU.
        kept = str(user_cache() / "onnxruntime-tensorrt")
        return {"trt_engine_cache_enable": "1", "trt_timing_cache_enable": "1", "trt_engine_cache_path": kept}
    return {}


def _check_interface(session: Any, bundle: Bundle, precision: str) -> None:
    """The graph must take and give what the bundle's contract says, for any number of windows, or the one that the manifest names."""
    samples, dimension = bundle.manifest.signal.window_samples, bundle.manifest.text_space.dimension
    batch = bundle.batch(precision)
    found = [(x.name, x.type, list(x.shape)) for x in (*session.get_inputs(), *session.get_outputs())]
    expected = [(INPUT, "tensor(float)", [6, samples]), (OUTPUT, "tensor(float)", [dimension])]
    fits = len(found) == 2 and all(
        (name, kind, shape[1:]) == want and (shape[0] if isinstance(shape[0], int) else None) == batch
        for (name, kind, shape), want in zip(found, expected, strict=True)
    )
    if not fits:
        raise EngineError(
            f"{bundle.file(bundle.model(precision)[0])}: the graph has {found}; expected input {INPUT} float32 "
            f"({batch or 'batch'}, 6, {samples}) and output {OUTPUT} float32 ({batch or 'batch'}, {dimension}). Export the bundle again."
        )


def _note(precision: str, wanted: str) -> str:
    """Where the arithmetic is another than the graph's."""
    if precision.startswith("fp16") and wanted == "CPUExecutionProvider":
        return "onnxruntime computes this FP16 model in FP32 on a CPU: no faster than fp32, and no proof of FP16"
    return ""


def _errors() -> tuple[type[Exception], ...]:
    """What onnxruntime raises: its exceptions have no base of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = (kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception))
    return (*own, RuntimeError, ValueError)
