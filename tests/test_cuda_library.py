"""cuda-python, pycuda and ctypes over a driver library made of host memory: what arrives at the C interface is what was meant."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import fake_pycuda
import pytest
from cuda_exercise import exercise

from aura_edge.cuda import open_driver
from aura_edge.cuda.libcuda import LibCuda, _Attribute, _Config
from aura_edge.cuda.py_cuda import PyCuda
from aura_edge.errors import EngineError

TESTS = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stub, compiled."""
    if (compiler := shutil.which("gcc") or shutil.which("cc")) is None:
        pytest.skip("no C compiler to build the stub of libcuda with")
    made = tmp_path_factory.mktemp("libcuda") / "libcuda.so.1"
    options = ["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1"]
    subprocess.run([compiler, *options, "-o", str(made), str(TESTS / "libcuda_stub.c")], check=True)
    return made


@pytest.fixture
def stub(library: Path, monkeypatch: pytest.MonkeyPatch) -> ctypes.CDLL:
    """In this process, with a pycuda on it."""
    loaded = ctypes.CDLL(str(library))
    for name, module in fake_pycuda.make(loaded).items():
        monkeypatch.setitem(sys.modules, name, module)
    return loaded


def program(library: Path, package: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`cuda_exercise` in a process of its own, where the stub is the driver's library."""
    paths = os.pathsep.join([str(TESTS), *filter(None, sys.path)])
    here = os.environ | {"LD_LIBRARY_PATH": str(library.parent), "PYTHONPATH": paths} | environment
    command = [sys.executable, str(TESTS / "cuda_exercise.py"), package]
    return subprocess.run(command, env=here, capture_output=True, text=True, check=False)


def test_cuda_python_calls_the_driver(library: Path) -> None:
    """The real package passes every call on, and errors come back with the driver's name for them."""
    pytest.importorskip("cuda.bindings.driver", reason="cuda-python is not installed; it comes with aura-edge[trt]")
    done = program(library, "cuda-python")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cuda-python ")


def test_pycudas_interface_is_enough(stub: ctypes.CDLL) -> None:
    """Over a module with pycuda's names, the same exercise; and nothing is left when it is closed."""
    driver = PyCuda(stub)
    exercise(driver)
    facts = driver.device
    assert (facts.name, facts.architecture, facts.clusters) == ("Stub GPU", "sm_90", True)
    assert (facts.uuid, facts.memory_bytes, facts.multiprocessors) == (bytes(range(16)).hex(), 1 << 30, 24)
    assert stub.aura_stub_alive() == 1, "the context"
    driver.close()
    driver.close()
    assert driver.name == "pycuda 2026.1"
    assert stub.aura_stub_alive() == 0


def test_pycudas_things_go_before_its_context(stub: ctypes.CDLL) -> None:
    """What was not given back is let go at the end, while there is a context to free it in."""
    driver = PyCuda(stub)
    driver.create_stream()
    driver.create_event()
    assert stub.aura_stub_alive() == 3
    driver.close()
    assert stub.aura_stub_alive() == 0


def test_pycudas_context_stays_in_its_thread(stub: ctypes.CDLL) -> None:
    """Another thread is told so, and not left to an invalid context."""
    driver = PyCuda(stub)
    found: list[EngineError] = []

    def elsewhere() -> None:
        try:
            driver.activate()
        except EngineError as error:
            found.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    driver.activate()
    driver.close()
    assert "belongs to the thread that opened it" in str(found[0])


MISSING = [
    ({"AURA_STUB_DEVICES": "0"}, "the NVIDIA driver shows no GPU. No NVIDIA GPU is visible: check nvidia-smi"),
    ({"AURA_STUB_INIT": "100"}, "No NVIDIA GPU is visible: check nvidia-smi"),
    ({"AURA_STUB_VERSION": "11040"}, "supports CUDA 11.4; expected 12.0 or later. Update the driver"),
]


@pytest.mark.parametrize(("environment", "message"), MISSING, ids=["no GPU", "refused", "old driver"])
def test_each_missing_piece_is_its_own_error_for_pycuda(
    stub: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], message: str
) -> None:
    """No GPU and an old driver are told apart, with the remedy."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(EngineError, match=message.replace(".", r"\.")):
        PyCuda(stub)


@pytest.mark.parametrize(("environment", "message"), MISSING, ids=["no GPU", "refused", "old driver"])
def test_each_missing_piece_is_its_own_error_for_cuda_python(
    library: Path, environment: dict[str, str], message: str
) -> None:
    """The same words."""
    pytest.importorskip("cuda.bindings.driver", reason="cuda-python is not installed; it comes with aura-edge[trt]")
    done = program(library, "cuda-python", **environment)
    assert message in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("package", ["cuda-python", "pycuda"])
def test_without_the_package_it_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, stub: ctypes.CDLL, package: str
) -> None:
    """Each package names itself and the other."""
    for name in ("cuda.bindings.driver", "pycuda.driver"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("aura_edge.cuda.libcuda._load", lambda: stub)
    with pytest.raises(EngineError, match=rf"{package} cannot be used .*pip install"):
        open_driver(package)


def test_without_a_driver_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """No libcuda at all: the driver is missing, or the container was started without it."""
    monkeypatch.setattr("aura_edge.cuda.libcuda.LIBRARIES", ("libcuda-that-is-not-there.so.1",))
    with pytest.raises(EngineError, match=r"\(libcuda\) cannot be loaded: .*Install the NVIDIA driver; in a container"):
        LibCuda()


def test_unknown_package_is_refused() -> None:
    """The two there are get named."""
    with pytest.raises(EngineError, match="no CUDA driver package 'cupy'; expected one of cuda-python, pycuda"):
        open_driver("cupy")


def test_structures_are_as_large_as_the_drivers() -> None:
    """Sizes of CUlaunchAttribute and CUlaunchConfig in cuda.h."""
    assert (ctypes.sizeof(_Attribute), ctypes.sizeof(_Config)) == (72, 56)
