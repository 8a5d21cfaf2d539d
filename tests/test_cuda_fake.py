"""The fake GPU: it does what a driver does, and forgives nothing that a driver would not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cuda_exercise import PTX, exercise
from hypothesis import given
from hypothesis import strategies as st

from aura_edge.cuda.fake import FACTS, FakeDriver
from aura_edge.errors import EngineError


def scale(gpu: FakeDriver, grid: Any, block: Any, address: Any, factor: Any, count: Any) -> None:
    gpu.view(int(address), 4 * int(count)).view(np.float32)[:] *= factor


@pytest.mark.parametrize("clusters", [False, True])
def test_it_does_what_the_packages_do(clusters: bool) -> None:
    """The exercise that cuda-python and pycuda pass; and nothing is left."""
    gpu = FakeDriver(replace(FACTS, clusters=clusters), kernels={"scale": scale})
    exercise(gpu)
    assert gpu.leaks == {}


def test_architecture_is_written_as_compilers_do() -> None:
    """From the compute capability."""
    assert FACTS.architecture == "sm_87"


@given(st.lists(st.binary(min_size=1, max_size=64), min_size=1, max_size=8))
def test_memory_keeps_what_is_copied_to_it(contents: list[bytes]) -> None:
    """Whatever the sizes, allocations do not touch each other."""
    gpu = FakeDriver()
    stream = gpu.create_stream()
    hosts = [np.frombuffer(content, np.uint8).copy() for content in contents]
    addresses = [gpu.allocate(len(host)) for host in hosts]
    for address, host in zip(addresses, hosts, strict=True):
        gpu.copy_to_device(address, host, stream)
    backs = [np.zeros_like(host) for host in hosts]
    for address, back in zip(addresses, backs, strict=True):
        gpu.copy_to_host(back, address, stream)
    gpu.synchronize(stream)
    assert [back.tobytes() for back in backs] == contents


def test_nothing_runs_before_it_is_waited_for() -> None:
    """Results that are read too early are not there, and input that is changed too early is what is copied: as on a GPU."""
    gpu = FakeDriver()
    stream, address = gpu.create_stream(), gpu.allocate(4)
    host, back = np.zeros(4, np.uint8), np.zeros(4, np.uint8)
    gpu.copy_to_device(address, host, stream)
    host[:] = 9
    gpu.copy_to_host(back, address, stream)
    assert not back.any()
    gpu.synchronize(stream)
    assert np.all(back == 9)
    assert gpu.log == [
        "create_stream",
        "allocate 4",
        "copy_to_device 4",
        "copy_to_host 4",
        "synchronize",
        "run copy_to_device 4",
        "run copy_to_host 4",
    ]


def opened() -> tuple[FakeDriver, int, int]:
    gpu = FakeDriver(kernels={"scale": scale})
    return gpu, gpu.create_stream(), gpu.allocate(16)


def use_after_free() -> None:
    gpu, stream, address = opened()
    gpu.free(address)
    gpu.copy_to_device(address, np.zeros(4, np.uint8), stream)


def free_twice() -> None:
    gpu, _, address = opened()
    gpu.free(address)
    gpu.free(address)


def free_an_inner_address() -> None:
    gpu, _, address = opened()
    gpu.free(address + 8)


def copy_past_the_end() -> None:
    gpu, stream, address = opened()
    gpu.copy_to_host(np.zeros(17, np.uint8), address, stream)


def copy_before_the_start() -> None:
    gpu, stream, address = opened()
    gpu.fill(address - 1, 0, 4, stream)


def free_what_is_queued() -> None:
    gpu, stream, address = opened()
    gpu.fill(address, 0, 16, stream)
    gpu.free(address)


def free_pinned_memory_that_is_queued() -> None:
    gpu, stream, address = opened()
    pinned = gpu.allocate_pinned(16)
    gpu.copy_to_host(pinned, address, stream)
    gpu.free_pinned(pinned)


def destroy_a_busy_stream() -> None:
    gpu, stream, address = opened()
    gpu.fill(address, 0, 16, stream)
    gpu.destroy_stream(stream)


def destroy_a_stream_twice() -> None:
    gpu, stream, _ = opened()
    gpu.destroy_stream(stream)
    gpu.destroy_stream(stream)


def wait_while_capturing() -> None:
    gpu, stream, _ = opened()
    gpu.begin_capture(stream)
    gpu.synchronize(stream)


def capture_twice() -> None:
    gpu, stream, _ = opened()
    gpu.begin_capture(stream)
    gpu.begin_capture(stream)


def capture_memory_that_is_not_pinned() -> None:
    gpu, stream, address = opened()
    gpu.begin_capture(stream)
    gpu.copy_to_device(address, np.zeros(4, np.uint8), stream)


def launch_a_graph_that_is_gone() -> None:
    gpu, stream, _ = opened()
    gpu.begin_capture(stream)
    graph = gpu.end_capture(stream)
    gpu.destroy_graph(graph)
    gpu.launch_graph(graph, stream)


def run_a_graph_whose_memory_is_gone() -> None:
    gpu, stream, address = opened()
    gpu.begin_capture(stream)
    gpu.fill(address, 0, 16, stream)
    graph = gpu.end_capture(stream)
    gpu.free(address)
    gpu.launch_graph(graph, stream)
    gpu.synchronize(stream)


def launch_from_a_module_that_is_gone() -> None:
    gpu, stream, _ = opened()
    module = gpu.load_module(PTX)
    function = gpu.function(module, "scale")
    gpu.unload_module(module)
    gpu.launch(function, (1, 1, 1), (1, 1, 1), (), stream=stream)


def time_an_event_that_was_not_recorded() -> None:
    gpu, _, _ = opened()
    gpu.elapsed_ms(gpu.create_event(), gpu.create_event())


def launch_too_many_threads() -> None:
    gpu, stream, _ = opened()
    gpu.launch(gpu.function(gpu.load_module(PTX), "scale"), (1, 1, 1), (2048, 1, 1), (), stream=stream)


def ask_for_too_much_shared_memory() -> None:
    gpu, _, _ = opened()
    gpu.allow_shared(gpu.function(gpu.load_module(PTX), "scale"), FACTS.shared_bytes + 1)


def load_nothing() -> None:
    FakeDriver().load_module(b"")


def use_it_closed() -> None:
    gpu = FakeDriver()
    gpu.close()
    gpu.allocate(4)


MISTAKES = [mistake for mistake in list(globals().values()) if getattr(mistake, "__module__", "") == __name__]
MISTAKES = [
    mistake for mistake in MISTAKES if mistake.__annotations__ == {"return": "None"} and "test_" not in mistake.__name__
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_mistakes_are_errors(mistake: Any) -> None:
    """What would corrupt memory or fail on a GPU fails here, at once or when it runs."""
    with pytest.raises(EngineError):
        mistake()


def test_the_mistakes_are_all_tried() -> None:
    """The list is found, not kept by hand."""
    assert len(MISTAKES) == 20


def test_leaks_are_counted() -> None:
    """What was not given back, by kind."""
    gpu, stream, _ = opened()
    gpu.allocate_pinned(4)
    gpu.create_event()
    gpu.load_module(PTX)
    gpu.begin_capture(stream)
    gpu.end_capture(stream)
    assert gpu.leaks == {"memory": 1, "pinned": 1, "streams": 1, "graphs": 1, "events": 1, "modules": 1}
