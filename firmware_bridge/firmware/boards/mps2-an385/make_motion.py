"""Writes `motion.c`, the recorded motion that the mps2-an385 board plays: `python make_motion.py RECORDING.npz motion.c`.

Any recording with `t_ns` and `imu` (N, 6) in m/s2 and rad/s will do; it is brought to 200 Hz in straight lines and to the counts of a sensor of
16 g and 2000 degrees/s.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 200
RANGES = np.float32([16 * 9.80665, np.deg2rad(2000)])
"""Full scale, m/s2 and rad/s."""
PER_COUNT = RANGES / np.float32(32768)


def counts_of(recording: Path) -> NDArray[np.int16]:
    """(n, 6) counts of a recording at `RATE_HZ`."""
    with np.load(recording, allow_pickle=False) as arrays:
        t_s = (arrays["t_ns"] - arrays["t_ns"][0]) / 1e9
        imu = arrays["imu"].astype(np.float64)
    at_s = np.arange(int(t_s[-1] * RATE_HZ) + 1) / RATE_HZ
    at_rate = np.stack([np.interp(at_s, t_s, channel) for channel in imu.T], axis=1)
    return np.clip(np.rint(at_rate / np.repeat(PER_COUNT.astype(np.float64), 3)), -32768, 32767).astype(np.int16)


def source_of(counts: NDArray[np.int16]) -> str:
    """`motion.c` with these counts."""
    scale = [np.float32(RATE_HZ), *PER_COUNT, *RANGES]
    rows = ",\n".join("    {" + ", ".join(map(str, row)) + "}" for row in counts.tolist())
    return (
        "/* Written by make_motion.py: do not edit. */\n\n"
        '#include "motion.h"\n\n'
        f"const uint32_t motionSamples = {len(counts)}u;\n\n"
        f"const AuraEdgeScale motionScale = {{{', '.join(f'{number:.9e}f' for number in scale)}}};\n\n"
        f"const int16_t motion[][AURA_EDGE_CHANNELS] = {{\n{rows}\n}};\n"
    )


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(source_of(counts_of(Path(sys.argv[1]))), encoding="ascii")
