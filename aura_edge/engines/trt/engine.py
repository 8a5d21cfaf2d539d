"""The `trt` engine: which model of the bundle, which engine for this GPU, and what really runs."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aura_edge.bundle import FP32, Bundle
from aura_edge.cuda import Driver, open_driver
from aura_edge.engines import EngineInfo, require_windows
from aura_edge.engines.trt import keeping
from aura_edge.engines.trt.building import Batches, build
from aura_edge.engines.trt.keeping import EngineKey
from aura_edge.engines.trt.library import LOG, Library, find_library
from aura_edge.engines.trt.progress import bar
from aura_edge.engines.trt.running import Running
from aura_edge.errors import AuraEdgeError, EngineError
from aura_edge.types import CHANNELS
from aura_edge.user_cache import user_cache

FP16 = "fp16"


class TrtEngine:
    """An engine on one GPU; made by `open_trt`."""

    def __init__(self, running: Running, driver: Driver, info: EngineInfo, *, window_samples: int, owns: bool) -> None:
        self.info = info
        self._running: Running | None = running
        self._driver, self._owns_driver = driver, owns
        self._window_samples = window_samples

    def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 6, n) float32 in SI units to (B, D) float32 of unit norm. Raises `EngineError` for any other type or shape."""
        if self._running is None:
            raise EngineError("this engine is closed. Open it again with open_engine().")
        require_windows(windows, self._window_samples, batch=self.info.max_batch)
        return self._running.embed(windows)

    def close(self) -> None:
        """Free the engine and its memory; closing twice is fine."""
        if self._running is not None:
            self._running.close()
            self._running = None
            if self._owns_driver:
                self._driver.close()


def open_trt(
    bundle: Bundle,
    *,
    precision: str | None = None,
    batches: Batches | None = None,
    library: str | None = None,
    driver: Driver | None = None,
    cache: Path | None = None,
) -> TrtEngine:
    """The bundle's model in this `precision` on the first GPU; None for fp16 where the bundle has it, else fp32.

    The first time an engine is built, which takes seconds to minutes; it is kept in `cache` (the user's cache directory). `library` is
    `tensorrt` or `tensorrt_rtx`, `driver` an open CUDA driver, which stays the caller's. Raises `EngineError` where TensorRT, a driver or a
    GPU is missing, each with its remedy, and where the engine cannot be built; `BundleError` where the bundle has no such precision.
    """
    trt = find_library(library)
    chosen = _choose(bundle, precision)
    file, _ = bundle.model(chosen)
    content = bundle.read(file)
    sizes = batches or Batches()
    opened = driver or open_driver()
    try:
        path = _path(bundle, chosen, sizes, cache)
        running, reason = _run(bundle, content, trt, opened, _key(bundle, trt, opened, chosen, sizes), path, sizes)
    except BaseException:
        if driver is None:
            opened.close()
        raise
    info = EngineInfo(
        name="trt",
        device=f"cuda:0 ({opened.device.name}, {trt.title})",
        precision=chosen,
        max_batch=bundle.batch(chosen),
        weights=bundle.manifest.files[file].sha256,
        note=_note(bundle, precision, chosen, reason, running),
    )
    samples = bundle.manifest.signal.window_samples
    return TrtEngine(running, opened, info, window_samples=samples, owns=driver is None)


def _run(
    bundle: Bundle, content: bytes, trt: Library, driver: Driver, key: EngineKey, path: Path, sizes: Batches
) -> tuple[Running, str]:
    """The engine for `key`, kept or built, and why it had to be built again."""
    # Per library and GPU, for all models: most of a build is timing kernels that other models have as well.
    shared = path.parent / f"{trt.name}-{key.compute_capability}.timings"
    jitted = path.with_suffix(".kernels")
    kept = keeping.read(path, key)
    reason = kept.reason
    if kept.content:
        try:
            return _start(trt, driver, kept.content, key, jitted, bundle), ""
        except EngineError as error:
            reason = f"the engine kept does not run ({error})"
    if reason:
        LOG.warning("building the TensorRT engine again: %s", reason)
    timing_key = _for_any_model(key)
    timings = keeping.read(shared, timing_key).content
    built = build(content, trt, batches=sizes, timings=timings, progress=bar)
    # Run first: what does not is not worth keeping.
    running = _start(trt, driver, built.plan, key, jitted, bundle)
    keeping.write(path, key, built.plan)
    if built.timings and built.timings != timings:
        keeping.write(shared, timing_key, built.timings)
    return running, reason


def _start(trt: Library, driver: Driver, plan: bytes, key: EngineKey, jitted: Path, bundle: Bundle) -> Running:
    compiled = keeping.read(jitted, key).content if trt.is_rtx else b""
    running = Running(trt, driver, plan, compiled)
    try:
        dimension = bundle.manifest.text_space.dimension
        if running.dimension != dimension:
            raise EngineError(
                f"the engine gives {running.dimension} numbers a window, the bundle says {dimension}. Export the bundle again."
            )
        now = running.jit_kernels()
        if now and now != compiled:
            keeping.write(jitted, key, now)
    except BaseException:
        running.close()
        raise
    return running


def is_built(bundle: Bundle, precision: str | None = None) -> bool:
    """Whether `open_trt` would find an engine of its own for this model, GPU and library, and not build one; never raises."""
    try:
        chosen, sizes = _choose(bundle, precision), Batches()
        path = _path(bundle, chosen, sizes, None)
        if not path.is_file():  # before anything heavy is imported
            return False
        driver = open_driver()
        try:
            return bool(keeping.read(path, _key(bundle, find_library(), driver, chosen, sizes)).content)
        finally:
            driver.close()
    except (AuraEdgeError, OSError):
        return False


def _choose(bundle: Bundle, precision: str | None) -> str:
    return precision or (FP16 if FP16 in bundle.precisions else FP32)


def _key(bundle: Bundle, trt: Library, driver: Driver, precision: str, sizes: Batches) -> EngineKey:
    device = driver.device
    return EngineKey(
        onnx_sha256=bundle.manifest.files[bundle.model(precision)[0]].sha256,
        library=trt.name,
        library_version=trt.version,
        gpu=device.name,
        compute_capability="{}.{}".format(*device.compute_capability),
        driver_version=device.driver_version,
        precision=precision,
        shapes=_shapes(bundle, precision, sizes),
    )


def _shapes(bundle: Bundle, precision: str, sizes: Batches) -> tuple[str, ...]:
    window, fixed = f"{len(CHANNELS)}x{bundle.manifest.signal.window_samples}", bundle.batch(precision)
    if fixed is not None:
        return (f"{fixed}x{window}",)
    any_size = f"1..{sizes.optimal}..{sizes.largest}x{window}"
    return (f"1x{window}", any_size) if sizes.alone else (any_size,)


def _path(bundle: Bundle, precision: str, sizes: Batches, cache: Path | None) -> Path:
    """One name for each bundle, precision and shapes: another model, GPU or version under it is told, and replaces what was."""
    home = bundle.path.resolve()
    place = hashlib.sha256(f"{home} {' '.join(_shapes(bundle, precision, sizes))}".encode()).hexdigest()
    return (cache or user_cache()) / "trt" / f"{home.stem}-{precision}-{place[:8]}.plan"


def _for_any_model(key: EngineKey) -> EngineKey:
    return EngineKey(
        "",
        key.library,
        key.library_version,
        key.gpu,
        key.compute_capability,
        key.driver_version,
        precision="",
        shapes=(),
    )


def _note(bundle: Bundle, asked: str | None, chosen: str, reason: str, running: Running) -> str:
    said = []
    if asked is None and chosen == FP32:
        said.append("the bundle has no fp16 model: export it with --precision fp32,fp16 for a faster one")
    if reason:
        said.append(f"built again: {reason}")
    if running.uncaptured:
        said.append(f"no CUDA graph: {running.uncaptured}")
    return "; ".join(said)
