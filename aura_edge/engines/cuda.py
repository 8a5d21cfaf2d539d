"""The cuda engine: a whole encoder in one kernel of our own, compiled on this machine for the GPU in it. No TensorRT, no torch.

One window is divided among the blocks of a cluster where the GPU has clusters, and replayed from a CUDA graph; more windows run a block each.
Buffers are made once. It computes in FP16 with sums in FP32, whatever precisions the bundle has: that is the only one it has.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as from_safetensors

from aura_edge.bundle import Bundle
from aura_edge.cuda import Driver, open_driver
from aura_edge.engines import EngineInfo, require_windows
from aura_edge.errors import BundleError, EngineError
from aura_edge.kernels import build, packing
from aura_edge.kernels.plan import THREADS, Plan, best_plans
from aura_edge.kernels.shape import EncoderShape, shape_of
from aura_edge.types import CHANNELS
from aura_edge.user_cache import user_cache

WEIGHTS = "encoder.cuda.safetensors"
"""Packed weights in a bundle: what `aura-edge export --target cuda` adds."""
PRECISION = "fp16"
MAX_BATCH = 256
"""Windows of one launch; more are divided."""
KERNEL = "aura_encoder"


class CudaEngine:
    """One encoder on one GPU; made by `open_cuda`."""

    def __init__(
        self,
        driver: Driver,
        info: EngineInfo,
        shape: EncoderShape,
        packed: Mapping[str, NDArray[Any]],
        compile_plan: Callable[[Plan], bytes],
        *,
        owns: bool,
    ) -> None:
        self.info = info
        self._driver, self._shape = driver, shape
        self._release: list[Callable[[], None]] = [driver.close] if owns else []
        self._open = True
        try:
            self._prepare(packed, compile_plan)
        except BaseException:
            self.close()
            raise

    def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 6, n) float32 in SI units to (B, D) float32 of unit norm. Raises `EngineError` for any other type or shape."""
        if not self._open:
            raise EngineError("this engine is closed. Open it again with open_engine().")
        require_windows(windows, self._shape.window_samples)
        self._driver.activate()
        vectors = np.empty((len(windows), self._shape.dimension), np.float32)
        for first in range(0, len(windows), MAX_BATCH):
            part = windows[first : first + MAX_BATCH]
            self._host_windows[: len(part)] = part
            if len(part) == 1:
                self._driver.launch_graph(self._graph, self._stream)
            else:
                self._queue(self._many, len(part))
            self._driver.synchronize(self._stream)
            vectors[first : first + len(part)] = self._host_vectors[: len(part)]
        return vectors

    def close(self) -> None:
        """Give the GPU's memory back; closing twice is fine."""
        self._open = False
        while self._release:
            self._release.pop()()

    def _prepare(self, packed: Mapping[str, NDArray[Any]], compile_plan: Callable[[Plan], bytes]) -> None:
        """Weights and kernels onto the GPU, buffers, and the graph of one window."""
        driver, shape = self._driver, self._shape
        alone, many = best_plans(shape, shared_bytes=driver.device.shared_bytes, clusters=driver.device.clusters)
        functions = {plan: self._load(plan, compile_plan(plan)) for plan in dict.fromkeys((alone, many))}
        self._many = (many, functions[many])
        self._stream = driver.create_stream()
        self._release.append(lambda: driver.destroy_stream(self._stream))
        buffer = packing.blob(packed)
        self._weights = self._allocate(buffer.nbytes)
        driver.copy_to_device(self._weights, buffer, self._stream)
        samples = MAX_BATCH * len(CHANNELS) * shape.window_samples
        self._windows, self._vectors = self._allocate(samples * 4), self._allocate(MAX_BATCH * shape.dimension * 4)
        self._host_windows = self._pinned(MAX_BATCH, len(CHANNELS), shape.window_samples)
        self._host_vectors = self._pinned(MAX_BATCH, shape.dimension)
        # Once outside of a graph, so that whatever the driver does only once is done.
        self._host_windows[:1] = 0
        self._queue((alone, functions[alone]), 1)
        driver.synchronize(self._stream)
        driver.begin_capture(self._stream)
        self._queue((alone, functions[alone]), 1)
        self._graph = driver.end_capture(self._stream)
        self._release.append(lambda: driver.destroy_graph(self._graph))

    def _queue(self, kernel: tuple[Plan, int], batch: int) -> None:
        """Copy in, run, copy out: of the first `batch` windows."""
        plan, function = kernel
        self._driver.copy_to_device(self._windows, self._host_windows[:batch], self._stream)
        self._driver.launch(
            function,
            (batch * plan.blocks, 1, 1),
            (THREADS, 1, 1),
            [np.uint64(self._windows), np.uint64(self._vectors), np.uint64(self._weights)],
            stream=self._stream,
            shared_bytes=plan.shared_bytes,
        )
        self._driver.copy_to_host(self._host_vectors[:batch], self._vectors, self._stream)

    def _load(self, plan: Plan, image: bytes) -> int:
        module = self._driver.load_module(image)
        self._release.append(lambda: self._driver.unload_module(module))
        function = self._driver.function(module, KERNEL)
        self._driver.allow_shared(function, plan.shared_bytes)
        return function

    def _allocate(self, size_bytes: int) -> int:
        address = self._driver.allocate(size_bytes)
        self._release.append(lambda: self._driver.free(address))
        return address

    def _pinned(self, *shape: int) -> NDArray[np.float32]:
        memory = self._driver.allocate_pinned(int(np.prod(shape)) * 4)
        self._release.append(lambda: self._driver.free_pinned(memory))
        return memory.view(np.float32).reshape(shape)


def open_cuda(
    bundle: Bundle,
    *,
    precision: str | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    driver: Driver | None = None,
) -> CudaEngine:
    """The bundle's encoder as one kernel on the first GPU. The first time on a machine it is compiled, which takes seconds; later it is found.

    The weights are the bundle's own (`WEIGHTS`), or those of the run folder `checkpoint` that it was exported from, which needs torch.
    `precision` is `fp16` or None; `driver` is an open CUDA driver, which stays the caller's. Raises
    `EngineError` for an encoder that the kernel cannot run, and where GPU, driver or compiler are missing.
    """
    if precision not in (None, PRECISION):
        raise EngineError(
            f"the cuda engine computes in {PRECISION}, found --precision {precision}. Leave it out, or use another engine."
        )
    spec = bundle.manifest.encoder
    shape = shape_of(spec)
    if checkpoint is not None:
        packed, digest = _from_checkpoint(bundle, checkpoint)
    else:
        packed, digest = _from_bundle(bundle)
    if shape.window_samples != bundle.manifest.signal.window_samples:
        raise BundleError(
            f"{bundle.path}: the encoder takes {shape.window_samples} samples, the signal has {bundle.manifest.signal.window_samples}. "
            "Export the bundle again."
        )
    places, _ = packing.offsets(packed)
    gpu = driver or open_driver()
    major, minor = gpu.device.compute_capability
    info = EngineInfo("cuda", f"cuda:0 ({gpu.device.name})", PRECISION, None, digest)
    try:
        engine = CudaEngine(
            gpu,
            info,
            shape,
            packed,
            lambda plan: build.cubin("encoder", plan.defines(places), 10 * major + minor),
            owns=driver is None,
        )
    except EngineError as error:
        raise EngineError(f"the cuda engine cannot run {bundle.path.name} here: {error}") from error
    _remember(bundle)
    return engine


def is_built(bundle: Bundle, precision: str | None = None) -> bool:
    """Whether `open_cuda` has compiled this bundle's kernel on this machine before; looks into the cache and never raises."""
    return precision in (None, PRECISION) and WEIGHTS in bundle.manifest.files and _mark(bundle).is_file()


def _mark(bundle: Bundle) -> Path:
    """What says that this bundle was opened here; the compiled kernel itself lies under a name that only its compiler can tell."""
    return user_cache() / "kernels" / f"opened-{bundle.manifest.files[WEIGHTS].sha256[:20]}"


def _remember(bundle: Bundle) -> None:
    if WEIGHTS in bundle.manifest.files:
        with suppress(OSError):  # it only spares `auto` the question
            _mark(bundle).parent.mkdir(parents=True, exist_ok=True)
            _mark(bundle).touch()


def _from_bundle(bundle: Bundle) -> tuple[dict[str, NDArray[Any]], str]:
    if WEIGHTS not in bundle.manifest.files:
        raise EngineError(
            f"{bundle.path}: has no {WEIGHTS}, which the cuda engine runs. Export it again from its checkpoint with --target cuda, or name the "
            "run folder with --checkpoint."
        )
    content = bundle.read(WEIGHTS)
    try:
        return from_safetensors(content), hashlib.sha256(content).hexdigest()
    except SafetensorError as error:
        raise BundleError(
            f"{bundle.path / WEIGHTS}: not a readable safetensors file ({error}). Export the bundle again."
        ) from error


def _from_checkpoint(bundle: Bundle, folder: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], str]:
    from aura_edge.encoders import checkpoint

    trained = checkpoint.load(folder)
    exported = bundle.manifest.training.get("weights_sha256", trained.header.weights_sha256)
    if trained.header.encoder != bundle.manifest.encoder or trained.header.weights_sha256 != exported:
        raise EngineError(
            f"{trained.path}: is not the checkpoint that {bundle.path} was exported from. Name that one, or export this one with --target cuda."
        )
    tensors = {name: tensor.detach().numpy() for name, tensor in trained.encoder.state_dict().items()}
    return packing.pack(trained.header.encoder, tensors), trained.header.weights_sha256
