"""TensorRT's Python interface over a fake GPU: it builds plans that hold the ONNX graph, and runs them with onnxruntime on the fake's memory.

As real ones, it returns False or None where something is wrong and says why to its logger only; refuses plans of another version or GPU; and
cannot be captured in a graph before it has run once. `make` gives the interface of TensorRT 10, of 11, or of TensorRT for RTX, and each lacks
what that one lacks.
"""

from __future__ import annotations

import base64
import enum
import json
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime

from aura_edge.cuda.driver import DeviceFacts
from aura_edge.cuda.fake import FakeDriver


class Severity(enum.IntEnum):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class ILogger:
    Severity = Severity

    def log(self, severity: Severity, message: str) -> None:
        raise NotImplementedError


class IProgressMonitor:
    pass


class DataType(enum.Enum):
    FLOAT, HALF = range(2)


class ProfilingVerbosity(enum.Enum):
    LAYER_NAMES_ONLY, DETAILED = range(2)


class Kernels10(enum.IntEnum):
    FP16, INT8, TF32, STRICT_NANS = range(4)


class Kernels11(enum.IntEnum):
    TF32, STRICT_NANS = range(2)


class Creation10(enum.IntEnum):
    EXPLICIT_BATCH, STRONGLY_TYPED = range(2)


class Creation11(enum.IntEnum):
    STRONGLY_TYPED = 0


class ComputeCapability(enum.IntEnum):
    NONE, CURRENT, SM75, SM80, SM86, SM89, SM120 = range(7)


class Specialization(enum.IntEnum):
    LAZY, EAGER, NONE = range(3)


def make(driver: FakeDriver, *, version: str = "10.3.0", rtx: bool = False) -> Any:
    """A module as `import tensorrt` gives it. Its `builds` lists what was asked of the builder."""
    name = "tensorrt_rtx" if rtx else "tensorrt"
    old = not rtx and version.startswith("10.")
    module: Any = ModuleType(name)
    facts = SimpleNamespace(name=name, version=version, rtx=rtx, driver=driver, module=module)
    module.__version__ = version
    module.builds = []
    module.contexts = []
    module.jit_known = []
    module.fail = ""
    module.capturable = True
    module.ILogger, module.IProgressMonitor, module.DataType = ILogger, IProgressMonitor, DataType
    module.ProfilingVerbosity = ProfilingVerbosity
    module.BuilderFlag = Kernels10 if old else Kernels11
    module.NetworkDefinitionCreationFlag = Creation10 if old else Creation11
    if rtx:
        module.ComputeCapability = ComputeCapability
        module.DynamicShapesKernelSpecializationStrategy = Specialization
    module.Builder = lambda logger: Builder(facts, logger)
    module.OnnxParser = lambda network, logger: OnnxParser(network, logger)
    module.Runtime = lambda logger: Runtime(facts, logger)
    return module


class Network:
    def __init__(self, flags: int) -> None:
        self.flags = flags
        self.content = b""
        self.session: Any = None

    @property
    def num_inputs(self) -> int:
        return len(self.session.get_inputs())

    @property
    def num_outputs(self) -> int:
        return len(self.session.get_outputs())

    def get_input(self, at: int) -> Any:
        return tensor(self.session.get_inputs()[at])

    def get_output(self, at: int) -> Any:
        return tensor(self.session.get_outputs()[at])


def tensor(value: Any) -> Any:
    shape = tuple(size if isinstance(size, int) else -1 for size in value.shape)
    return SimpleNamespace(
        name=value.name, dtype=DataType.FLOAT if value.type == "tensor(float)" else DataType.HALF, shape=shape
    )


class OnnxParser:
    def __init__(self, network: Network, logger: Any) -> None:
        self._network = network
        self._errors: list[str] = []

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, at: int) -> str:
        return self._errors[at]

    def parse(self, content: bytes) -> bool:
        try:
            self._network.session = session_of(content)
        except Exception:  # of any of onnxruntime's kinds
            self._errors.append("In node -1 (parseGraph): INVALID_GRAPH")
            return False
        self._network.content = content
        return True


class Profile:
    def __init__(self) -> None:
        self.shapes: list[list[int]] = []

    def set_shape(self, name: str, least: Any, best: Any, most: Any) -> None:
        assert name == "imu"
        self.shapes = [list(least), list(best), list(most)]


class HostMemory(bytes):
    """Read through the buffer protocol only, as the real one."""


class TimingCache:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def serialize(self) -> HostMemory:
        return HostMemory(self.content)


class Config:
    """Takes no attribute that the real one has not."""

    def __init__(self, facts: Any) -> None:
        known: dict[str, Any] = {"profiling_verbosity": None, "progress_monitor": None}
        self.__dict__["_rtx"] = facts.rtx
        if facts.rtx:
            known["num_compute_capabilities"] = 0
        self.__dict__.update(
            known, asked={"cleared": [], "set": [], "profiles": [], "for": []}, cache=None, _known=known
        )
        if facts.rtx:
            self.__dict__["set_compute_capability"] = lambda kind, at: self.asked["for"].append(kind.name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._known:
            raise AttributeError(f"IBuilderConfig has no {name}")
        self.__dict__[name] = value

    def set_flag(self, flag: Any) -> None:
        self.asked["set"].append(flag.name)

    def clear_flag(self, flag: Any) -> None:
        self.asked["cleared"].append(flag.name)

    def create_timing_cache(self, content: bytes) -> TimingCache:
        assert not self._rtx, "deprecated there"
        return TimingCache(content)

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        self.__dict__["cache"] = cache
        return True

    def get_timing_cache(self) -> TimingCache | None:
        return self.__dict__["cache"]

    def add_optimization_profile(self, profile: Profile) -> int:
        self.asked["profiles"].append(profile.shapes)
        return len(self.asked["profiles"]) - 1


class Builder:
    def __init__(self, facts: Any, logger: Any) -> None:
        self._facts, self._logger = facts, logger

    def create_network(self, flags: int) -> Network:
        typed = 1 << int(self._facts.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        assert flags == typed, "weakly typed"
        return Network(flags)

    def create_builder_config(self) -> Config:
        return Config(self._facts)

    def create_optimization_profile(self) -> Profile:
        return Profile()

    def build_serialized_network(self, network: Network, config: Config) -> HostMemory | None:
        facts, module = self._facts, self._facts.module
        before = config.cache.content if config.cache else b""
        module.builds.append(config.asked | {"timings": before})
        if module.fail == "build":
            self._logger.log(Severity.ERROR, "Could not find any implementation for node 7\n")
            return None
        monitor = config.progress_monitor
        if monitor is not None:
            monitor.phase_start("Building", None, 2)
            monitor.phase_start("Timing", "Building", 1)
            going = monitor.step_complete("Timing", 0)
            monitor.phase_finish("Timing")
            monitor.phase_finish("Building")
            if not going:
                return None
        if config.cache is not None:
            config.cache.content = before + b"timed;"
        self._logger.log(Severity.VERBOSE, "Engine Layer Information:\nName: k_gemm_mha_v2_myl0_1, LayerType: kgen\n")
        device = facts.driver.device
        plan = {
            "made": [facts.name, facts.version, device.name, list(device.compute_capability)],
            "profiles": config.asked["profiles"] or [[list(network.get_input(0).shape)] * 3],
            "onnx": base64.b64encode(network.content).decode(),
        }
        return HostMemory(json.dumps(plan).encode())


class Runtime:
    def __init__(self, facts: Any, logger: Any) -> None:
        self._facts, self._logger = facts, logger

    def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
        device: DeviceFacts = self._facts.driver.device
        here = [self._facts.name, self._facts.version, device.name, list(device.compute_capability)]
        try:
            read = json.loads(plan)
        except ValueError:
            read = {"made": None}
        if read["made"] != here:
            self._logger.log(Severity.ERROR, "Serialization assertion magicTagRead == kMAGIC_TAG failed")
            return None
        return Engine(self._facts, self._logger, read)


class Engine:
    def __init__(self, facts: Any, logger: Any, plan: dict[str, Any]) -> None:
        self._facts, self._logger = facts, logger
        self.profiles = plan["profiles"]
        self.session = session_of(base64.b64decode(plan["onnx"]))
        if facts.rtx:
            self.create_runtime_config = lambda: RuntimeConfig(facts)

    @property
    def num_optimization_profiles(self) -> int:
        return len(self.profiles)

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        assert name == "imu"
        return [tuple(shape) for shape in self.profiles[profile]]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        assert name == "embedding"
        return tensor(self.session.get_outputs()[0]).shape

    def create_execution_context(self, **options: Any) -> Context | None:
        assert set(options) == ({"runtime_config"} if self._facts.rtx else set())
        if self._facts.module.fail == "context":
            self._logger.log(Severity.ERROR, "Requested amount of GPU memory could not be allocated")
            return None
        context = Context(self._facts, self._logger, self)
        self._facts.module.contexts.append(context)
        return context


class RuntimeConfig:
    def __init__(self, facts: Any) -> None:
        self._facts = facts
        self.dynamic_shapes_kernel_specialization_strategy: Any = Specialization.LAZY

    def create_runtime_cache(self) -> RuntimeCache:
        return RuntimeCache(self._facts)

    def set_runtime_cache(self, cache: RuntimeCache) -> bool:
        assert self.dynamic_shapes_kernel_specialization_strategy is Specialization.EAGER
        return True


class RuntimeCache:
    def __init__(self, facts: Any) -> None:
        self._facts = facts

    def deserialize(self, content: bytes) -> bool:
        self._facts.module.jit_known.append(content)
        return content == b"compiled"

    def serialize(self) -> HostMemory:
        return HostMemory(b"compiled")


class Context:
    def __init__(self, facts: Any, logger: Any, engine: Engine) -> None:
        self._facts, self._logger, self._engine = facts, logger, engine
        self._addresses: dict[str, int] = {}
        self._shape: tuple[int, ...] = ()
        self._ran: set[tuple[int, ...]] = set()
        self.profile: int | None = None
        if facts.rtx:
            self.is_stream_capturable = lambda stream: facts.module.capturable

    def set_optimization_profile_async(self, profile: int, stream: int) -> bool:
        self.profile = profile
        self._facts.driver.enqueue(stream, "profile", lambda: None)
        return True

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert self.profile is not None
        least, _, most = self._engine.profiles[self.profile]
        self._shape = tuple(shape)
        fits = all(low <= size <= high for low, size, high in zip(least, shape, most, strict=True))
        return fits or self._complain(f"shape {shape} is not in profile {self.profile}")

    def execute_async_v3(self, stream: int) -> bool:
        driver: FakeDriver = self._facts.driver
        if self._facts.module.fail == "execute":
            return self._complain("Cuda Runtime (an illegal memory access was encountered)")
        if driver.capturing(stream) and (self._shape not in self._ran or self._facts.module.fail == "capture"):
            return self._complain("operation not permitted when stream is capturing")
        self._ran.add(self._shape)
        shape, addresses, session = self._shape, dict(self._addresses), self._engine.session

        def work() -> None:
            windows = driver.view(addresses["imu"], 4 * int(np.prod(shape))).view(np.float32).reshape(shape)
            (found,) = session.run(["embedding"], {"imu": windows})
            driver.view(addresses["embedding"], found.nbytes)[:] = found.reshape(-1).view(np.uint8)

        driver.enqueue(stream, f"execute {shape[0]} by profile {self.profile}", work)
        return True

    def _complain(self, why: str) -> bool:
        self._logger.log(Severity.ERROR, why)
        return False


def session_of(content: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
