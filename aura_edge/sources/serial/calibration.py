"""Counts to SI units in a board's own axes, as its HELLO says."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aura_edge.errors import InputError
from aura_edge_firmware_bridge.messages import ALL_FIELDS, Hello


class Calibration:
    """Counts to SI units in the board's axes, as a HELLO says. Raises `InputError` for a board whose samples cannot be used."""

    def __init__(self, hello: Hello, port: str) -> None:
        name = f"{port} ({hello.sensor or 'sensor'})"
        if hello.fields & ALL_FIELDS != ALL_FIELDS:
            raise InputError(
                f"{name}: sends only {hello.fields & ALL_FIELDS:06b} of the six channels (gyro_z ... acc_x); the models need an accelerometer "
                "and a gyroscope with three axes each. Use a board with both."
            )
        scales = (hello.acc_m_s2_per_count, hello.gyro_rad_s_per_count)
        if not (hello.rate_hz > 0 and min(scales) > 0):
            raise InputError(
                f"{name}: says a rate of {hello.rate_hz:g} Hz and scales of {scales[0]:g} m/s2 and {scales[1]:g} rad/s per count; all must be "
                "above zero. Correct its firmware (the settings behind HELLO)."
            )
        turn = np.zeros((3, 3))
        for row, axis in enumerate(hello.axes):
            turn[row, abs(axis) - 1] = np.sign(axis)
        if np.linalg.det(turn) < 0:
            raise InputError(
                f"{name}: its axis map {hello.axes} is a mirror image; axes must be right-handed. Correct one sign in its firmware."
            )
        self._columns = [abs(axis) - 1 for axis in hello.axes] + [abs(axis) + 2 for axis in hello.axes]
        signs = np.array([*np.sign(hello.axes)] * 2)
        self._scale = np.repeat(np.array(scales), 3) * signs

    def __call__(self, raw: NDArray[np.int16]) -> NDArray[np.float32]:
        """(n, 6) counts to (n, 6) m/s2 and rad/s."""
        return np.asarray(raw[:, self._columns] * self._scale, np.float32)
