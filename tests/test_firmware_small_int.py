"""The firmware on a processor whose int has 16 bits, in a simulator: it must say what the same C says here."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FIRMWARE = ROOT / "firmware_bridge/firmware"
SOURCES = [
    ROOT / "tests/drivers/small_int.c",
    *sorted(FIRMWARE.glob("core/*.c")),
    *sorted(FIRMWARE.glob("drivers/AuraEdgeSensor*.c")),
]
OPTIONS = [
    "-std=c99",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-pedantic",
    "-DAURA_EDGE_BATCHES=3",
    "-DAURA_EDGE_BATCH_SAMPLES=10",
]
PATIENCE_S = 120


def build(compiler: list[str], out: Path) -> Path:
    includes = [f"-I{FIRMWARE / 'core'}", f"-I{FIRMWARE / 'drivers'}"]
    subprocess.run([*compiler, *OPTIONS, *includes, *map(str, SOURCES), "-o", str(out)], check=True)
    return out


def test_atmega2560_says_what_the_host_says(tmp_path: Path) -> None:
    """Times, the learned interval, losses and every byte on the wire are those of a 32-bit int, through a hole as well."""
    for tool in ("gcc", "avr-gcc", "simavr"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool}: install gcc, gcc-avr, avr-libc and simavr")
    here = subprocess.run([build(["gcc"], tmp_path / "here")], capture_output=True, text=True, check=True).stdout
    image = build(["avr-gcc", "-mmcu=atmega2560", "-Os"], tmp_path / "avr.elf")
    simulated = subprocess.run(
        ["simavr", "-m", "atmega2560", "-f", "16000000", str(image)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True, timeout=PATIENCE_S,
    ).stdout  # fmt: skip
    told = re.findall(r"^\d+(?: \d+){4}(?=\.?$)", re.sub(r"\x1b\[\d*m", "", simulated), re.MULTILINE)
    assert len(told) == 40
    assert told == here.splitlines()


def test_avr_compiles_without_a_warning(tmp_path: Path) -> None:
    """Core and drivers, where an int has 16 bits."""
    if shutil.which("avr-gcc") is None:
        pytest.skip("no avr-gcc: install gcc-avr and avr-libc")
    for source in [*FIRMWARE.glob("core/*.c"), *FIRMWARE.glob("drivers/*.c")]:
        command = ["avr-gcc", "-mmcu=atmega2560", *OPTIONS[:5], "-Os", f"-I{FIRMWARE / 'core'}", "-c", str(source)]
        subprocess.run([*command, "-o", str(tmp_path / "object.o")], check=True)
