"""An engine at work: everything it needs is made once, and one call copies in, computes and copies out on one stream.

For one window all three are captured in a CUDA graph, which leaves the processor a single launch instead of a hundred. Sizes above 1 use the
second profile, and the same memory.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aura_edge.cuda import Driver
from aura_edge.engines.trt.building import INPUT, OUTPUT
from aura_edge.engines.trt.library import LOG, Library
from aura_edge.errors import EngineError


class Running:
    """A deserialized engine with its memory. Raises `EngineError` where the plan does not load, or not as the bundle's model."""

    def __init__(self, library: Library, driver: Driver, plan: bytes, jit_kernels: bytes = b"") -> None:
        self._library, self._driver = library, driver
        self._owned = ExitStack()
        self.uncaptured = ""
        """Why there is no CUDA graph; empty where there is."""
        with ExitStack() as stack:  # what is made before something fails is given back
            self._load(plan, jit_kernels, stack)
            self._owned = stack.pop_all()

    def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 6, n) to (B, D), at most `largest` at a time."""
        self._driver.activate()
        found = np.empty((len(windows), self.dimension), np.float32)
        for first in range(0, len(windows), self.largest):
            part = windows[first : first + self.largest]
            count = len(part)
            self._host_in[:count] = part
            if count == 1 and self._graph is not None:
                self._driver.launch_graph(self._graph, self._stream)
            else:
                self._queue(count)
            self._driver.synchronize(self._stream)
            found[first : first + count] = self._host_out[:count]
        return found

    def jit_kernels(self) -> bytes:
        """TensorRT-RTX compiles its kernels where they run; these are what it has compiled, to be given to the next start."""
        if self._jit_cache is None:
            return b""
        kept = self._jit_cache.serialize()
        return b"" if kept is None else bytes(memoryview(kept))

    def close(self) -> None:
        """Give everything back, in the opposite order; closing twice is fine."""
        self._owned.close()

    def _load(self, plan: bytes, jit_kernels: bytes, stack: ExitStack) -> None:
        library, driver, trt = self._library, self._driver, self._library.module
        runtime = trt.Runtime(library.logger)
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise EngineError(f"{library.title} cannot load the engine that it built: {library.complaints()}")
        self._runtime, self._engine = runtime, engine
        profiles = engine.num_optimization_profiles
        smallest, _, largest = engine.get_tensor_profile_shape(INPUT, profiles - 1)
        self.smallest, self.largest = int(smallest[0]), int(largest[0])
        self.dimension = int(engine.get_tensor_shape(OUTPUT)[-1])
        size_in, size_out = (self.largest, *map(int, largest[1:])), (self.largest, self.dimension)
        self._stream = driver.create_stream()
        stack.callback(_give_back, driver.destroy_stream, self._stream)
        self._device_in, self._host_in = self._buffers(size_in, stack)
        self._device_out, self._host_out = self._buffers(size_out, stack)
        stack.callback(_give_back, driver.synchronize, self._stream)  # a call that failed may have left copies queued
        stack.callback(self._forget)  # before the memory that its contexts know
        config, self._jit_cache = self._runtime_config(jit_kernels)
        self._contexts = [self._context(profile, config) for profile in range(profiles)]
        self._graph = self._capture(stack)

    def _buffers(self, shape: tuple[int, ...], stack: ExitStack) -> tuple[int, NDArray[np.float32]]:
        """Device memory of float32 values in this shape, and pinned memory beside it."""
        size_bytes = 4 * int(np.prod(shape))
        address = self._driver.allocate(size_bytes)
        stack.callback(_give_back, self._driver.free, address)
        pinned = self._driver.allocate_pinned(size_bytes)
        stack.callback(_give_back, self._driver.free_pinned, pinned)
        pinned[:] = 0  # the graph is tried on it
        return address, pinned.view(np.float32).reshape(shape)

    def _runtime_config(self, jit_kernels: bytes) -> tuple[Any, Any]:
        """TensorRT-RTX alone: compile for the shapes at hand before the first call and not behind it, and keep what was compiled."""
        if not self._library.is_rtx:
            return None, None
        trt = self._library.module
        config = self._engine.create_runtime_config()
        strategies = trt.DynamicShapesKernelSpecializationStrategy
        config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
        cache = config.create_runtime_cache()
        if jit_kernels and not cache.deserialize(jit_kernels):
            LOG.info("kernels that %s compiled before are of no use now: compiled again", self._library.title)
        config.set_runtime_cache(cache)
        return config, cache

    def _context(self, profile: int, config: Any) -> Any:
        context = (
            self._engine.create_execution_context()
            if config is None
            else self._engine.create_execution_context(runtime_config=config)
        )
        if context is None:
            raise EngineError(
                f"{self._library.title} has no room for the engine: {self._library.complaints()}. Close what else uses the GPU."
            )
        given = context.set_optimization_profile_async(profile, self._stream)
        self._driver.synchronize(self._stream)
        given &= context.set_tensor_address(INPUT, self._device_in)
        given &= context.set_tensor_address(OUTPUT, self._device_out)
        if not given:
            raise EngineError(f"{self._library.title} refuses profile {profile}: {self._library.complaints()}")
        return context

    def _queue(self, count: int) -> None:
        """Queue the copy in, the computation and the copy out of the first `count` windows in pinned memory."""
        context = self._contexts[0 if count == 1 else -1]
        self._driver.copy_to_device(self._device_in, self._host_in[:count], self._stream)
        shaped = context.set_input_shape(INPUT, (count, *self._host_in.shape[1:]))
        if not (shaped and context.execute_async_v3(self._stream)):
            raise EngineError(
                f"{self._library.title} failed on {self._driver.device.name}: {self._library.complaints()}. Try --engine ort."
            )
        self._driver.copy_to_host(self._host_out[:count], self._device_out, self._stream)

    def _capture(self, stack: ExitStack) -> int | None:
        """The graph of one call for one window; None where there is none, with the reason in `uncaptured`."""
        if self.smallest > 1:
            self.uncaptured = "the graph takes several windows at a time"
            return None
        # TensorRT allocates and compiles in the first call, which a graph cannot hold.
        self._queue(1)
        self._driver.synchronize(self._stream)
        capturable = getattr(self._contexts[0], "is_stream_capturable", None)
        if capturable is not None and not capturable(self._stream):
            self.uncaptured = f"{self._library.title} says that it cannot be captured"
            return None
        failure: EngineError | None = None
        self._driver.begin_capture(self._stream)
        try:
            self._queue(1)
        except EngineError as error:
            failure = error
        try:
            graph = self._driver.end_capture(self._stream)
        except EngineError as error:
            self.uncaptured = str(failure or error)
            return None
        stack.callback(_give_back, self._driver.destroy_graph, graph)
        if failure is not None:
            self.uncaptured = str(failure)
            return None
        return graph

    def _forget(self) -> None:
        self._contexts, self._graph, self._jit_cache = [], None, None
        self._engine = self._runtime = None


def _give_back(function: Callable[..., None], *arguments: Any) -> None:
    """After an error on the GPU giving back fails as well: what came first is what matters, and the rest must still be tried."""
    try:
        function(*arguments)
    except EngineError as error:
        LOG.info("while closing: %s", error)
