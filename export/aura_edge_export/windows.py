"""The real windows on which an export is compared, and those among them that may travel inside a bundle.

`windows.safetensors` (or .npz): `windows` float32 (N, 6, n) in SI units; where some may not be given to others `redistributable` (N,) of 0
and 1; and where it is known what they show, for each data set `captions.<set>` int64 (N,), the number of each window's caption, -1 for
none. Training writes it beside its checkpoint, from validation subjects.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aura_edge.bundle import SignalSpec, read_tensors
from aura_edge.errors import BundleError, InputError, ParityError

FILE = "windows.safetensors"
CAPTIONS = "captions."
CALIBRATION_EVERY = 8
"""One window of so many is for finding ranges of INT8, and is not compared on."""


@dataclass(frozen=True, slots=True, eq=False)
class RealWindows:
    """Windows as a sensor gave them."""

    samples: NDArray[np.float32]
    """(N, 6, n)."""
    redistributable: NDArray[np.bool_]
    """(N,)."""
    captions: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    """By data set: (N,) number of each window's caption, -1 for none."""

    @property
    def compared(self) -> NDArray[np.bool_]:
        """(N,) those to compare on; all others are for calibration."""
        ours: NDArray[np.bool_] = np.arange(len(self.samples)) % CALIBRATION_EVERY != 0
        return ours

    def split(self) -> tuple[RealWindows, RealWindows]:
        """Those to find ranges with, and those to compare on: none is in both."""
        return self._those(~self.compared), self._those(self.compared)

    def _those(self, chosen: NDArray[np.bool_]) -> RealWindows:
        captions = {name: known[chosen] for name, known in self.captions.items()}
        return RealWindows(self.samples[chosen], self.redistributable[chosen], captions)

    def golden(self, count: int) -> NDArray[np.float32]:
        """At most `count` of the redistributable ones, spread over all of them. Raises `ParityError` where there is none."""
        (allowed,) = np.nonzero(self.redistributable)
        if not len(allowed):
            raise ParityError(
                "none of the windows may be given to others, and a bundle carries golden windows. Give some that may with --windows."
            )
        spread = np.linspace(0, len(allowed) - 1, min(count, len(allowed))).round().astype(int)
        chosen: NDArray[np.float32] = self.samples[allowed[spread]]
        return chosen


def load_windows(path: Path, signal: SignalSpec) -> RealWindows:
    """Read windows from a .safetensors or .npz file.

    Raises `InputError` for a file that holds none, and for windows of another shape or with values that are not finite.
    """
    tensors = _read(path)
    if "windows" not in tensors:
        raise InputError(f"{path}: has {', '.join(sorted(tensors)) or 'nothing'}, expected an array named windows.")
    samples = tensors["windows"]
    shape = (len(signal.channels), signal.window_samples)
    if samples.ndim != 3 or samples.shape[1:] != shape or samples.dtype != np.float32:
        raise InputError(
            f"{path}: windows are {samples.dtype} of shape {samples.shape}, expected float32 of shape (N, {shape[0]}, {shape[1]})."
        )
    if not np.isfinite(samples).all():
        raise InputError(f"{path}: windows hold values that are not finite; leave those windows out.")
    mask = tensors.get("redistributable", np.ones(len(samples), np.uint8))
    if mask.shape != (len(samples),):
        raise InputError(
            f"{path}: redistributable has shape {mask.shape}, expected ({len(samples)},): one for each window."
        )
    captions = {name.removeprefix(CAPTIONS): known for name, known in tensors.items() if name.startswith(CAPTIONS)}
    for name, known in captions.items():
        if known.shape != (len(samples),) or known.dtype.kind not in "iu":
            raise InputError(
                f"{path}: {CAPTIONS}{name} is {known.dtype} of shape {known.shape}, expected whole numbers ({len(samples)},): one for each window."
            )
    return RealWindows(
        samples, mask.astype(np.bool_), {name: known.astype(np.int64) for name, known in captions.items()}
    )


def _read(path: Path) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise InputError(
            f"{path}: no such file. Expected windows as training writes them ({FILE}), or name some with --windows."
        )
    if path.suffix == ".npz":
        try:
            with np.load(path, allow_pickle=False) as archive:
                return dict(archive)
        except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
            raise InputError(f"{path}: not a readable .npz file: {error}.") from error
    try:
        return read_tensors(path)
    except BundleError as error:
        raise InputError(f"{path}: neither .npz nor a readable safetensors file.") from error
