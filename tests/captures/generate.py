"""Makes the golden captures: a piece of a real recording, written byte by byte as the makers' firmware writes it. See README.md beside this.

`python tests/captures/generate.py` writes them again; a test holds them against `captures()`.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from functools import reduce
from operator import xor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
RECORDING = HERE.parents[1] / "aura_edge" / "data" / "demo_recording.npz"
FIRST, COUNT = 3000, 156
G, DEGREE = 9.80665, math.pi / 180

Floats = NDArray[np.float64]
Capture = tuple[bytes, Floats]
"""What was sent, and (n, 6) what it says in m/s2 and rad/s."""


def recording() -> tuple[NDArray[np.int64], Floats]:
    """(n,) microseconds from a start of the board 5 s before, and (n, 6) readings."""
    with np.load(RECORDING) as data:
        t_ns, imu = data["t_ns"][FIRST : FIRST + COUNT], data["imu"][FIRST : FIRST + COUNT]
    return (t_ns - t_ns[0]) // 1000 + 5_000_000, imu.astype(np.float64)


def csv_header(t_us: NDArray[np.int64], imu: Floats) -> Capture:
    """A sketch that prints a header and `micros()`; Arduino's `print` gives as many decimals as it is asked for."""
    units = imu / np.array([G] * 3 + [DEGREE] * 3)
    lines = ["time (us),acc_x (g),acc_y (g),acc_z (g),gyro_x (deg/s),gyro_y (deg/s),gyro_z (deg/s)"]
    lines += [",".join([str(t), *(f"{value:.4f}" for value in row)]) for t, row in zip(t_us, units, strict=True)]
    return "".join(line + "\r\n" for line in lines).encode(), np.round(units, 4) * np.array([G] * 3 + [DEGREE] * 3)


def csv_values(t_us: NDArray[np.int64], imu: Floats) -> Capture:
    """As for Edge Impulse's data forwarder: values alone, two decimals, the usual `Serial.print(value)`."""
    units = imu / np.array([1.0] * 3 + [DEGREE] * 3)
    text = "".join("\t".join(f"{value:.2f}" for value in row) + "\r\n" for row in units)
    return text.encode(), np.round(units, 2) * np.array([1.0] * 3 + [DEGREE] * 3)


def motioncal(t_us: NDArray[np.int64], imu: Floats) -> Capture:
    """As Adafruit's calibration sketch: greeting, then `Raw:` and `Uni:` for each sample, now and then the calibration."""
    counts = np.trunc(imu * np.array([8192 / 9.8] * 3 + [16 / DEGREE] * 3)).astype(int)
    field = (21.5, -4.25, 40.0)
    lines = [
        "Adafruit AHRS - IMU Calibration!",
        "Calibration filesys test",
        "No calibration loaded/found... will start with defaults",
    ]
    for number, (row, raw) in enumerate(zip(imu, counts, strict=True)):
        lines.append("Raw:" + ",".join(map(str, [*raw, *(int(10 * value) for value in field)])))
        texts = [f"{v:.2f}" for v in row[:3]] + [f"{v:.4f}" for v in row[3:]] + [f"{v:.2f}" for v in field]
        lines.append("Uni:" + ",".join(texts))
        if number % 100 == 50:
            lines.append("Cal1:" + ",".join(["0.000"] * 9) + ",50.000")
        if number % 100 == 99:
            lines.append("Cal2:" + ",".join(["1.0000", "0.0000", "0.0000"] * 3))
    said = counts * np.array([G / 8192] * 3 + [DEGREE / 16] * 3)
    return "".join(line + "\r\n" for line in lines).encode(), said


def teapot(t_us: NDArray[np.int64], imu: Floats) -> Capture:
    """As the DMP sketch for the MPU-6050: its text, then orientation, here that of the recording's gyroscope from the first tilt on."""
    rate_hz = 1e6 * (len(t_us) - 1) / float(t_us[-1] - t_us[0])
    turn = _upright(imu[0, :3])
    data = b"Initializing DMP...\r\nDMP ready! Waiting for first interrupt...\r\n"
    said, before = [], None
    for number, row in enumerate(imu):
        turn = turn @ _rotation(row[3:] / rate_hz)
        counts = np.trunc(16384 * _quaternion(turn)).astype(int)
        data += b"$\x02" + struct.pack(">4h", *counts) + bytes([0, number % 256]) + b"\r\n"
        now = _matrix(counts / np.linalg.norm(counts))
        if before is not None:
            said.append([*(now.T @ [0.0, 0.0, G]), *(_rotation_vector(before.T @ now) * 100.0)])
        before = now
    return data, np.array(said)


def sensiml_1(t_us: NDArray[np.int64], imu: Floats) -> Capture:
    """As SensiML's sketch for the Nano 33: its description every second until it is told to connect, then counts alone."""
    counts, said = _counts(imu)
    return 3 * _description(None) + counts.astype("<i2").tobytes(), said


def sensiml_2(t_us: NDArray[np.int64], imu: Floats) -> Capture:
    """The same in packets with a number and a check, as SensiML's code for QuickLogic and Silicon Labs boards sends them."""
    counts, said = _counts(imu)
    data = 3 * _description(2)
    for number, packet in enumerate(counts.reshape(-1, 6, 6), 1):
        payload = packet.astype("<i2").tobytes()
        checked = struct.pack("<BBI", 0, 0, number) + payload
        data += struct.pack("<BH", 0xFF, len(checked)) + checked + bytes([reduce(xor, checked)])
    return data, said


def ximu3_text(t_us: NDArray[np.int64], imu: Floats) -> Capture:
    """As an x-IMU3 with its binary mode off, other messages between."""
    units = imu[:, [3, 4, 5, 0, 1, 2]] / np.array([DEGREE] * 3 + [G] * 3)
    data = ""
    for number, (t, row) in enumerate(zip(t_us, units, strict=True)):
        data += f"I,{t}," + ",".join(f"{value:.4f}" for value in row) + "\r\n"
        if number % 10 == 0:
            data += f"Q,{t},1.0000,0.0000,0.0000,0.0000\r\n"
        if number % 50 == 0:
            data += f"T,{t},25.1250\r\n" + f"B,{t},55.0000,3.9000,2\r\n"
    return data.encode(), np.round(units, 4)[:, [3, 4, 5, 0, 1, 2]] * np.array([G] * 3 + [DEGREE] * 3)


def ximu3_binary(t_us: NDArray[np.int64], imu: Floats) -> Capture:
    """As an x-IMU3 is set when it is delivered."""
    units = (imu[:, [3, 4, 5, 0, 1, 2]] / np.array([DEGREE] * 3 + [G] * 3)).astype(np.float32)
    data = b'{"ping":{"interface":"USB","deviceName":"x-IMU3","serialNumber":"0123-4567-89AB-CDEF"}}\r\n'
    for number, (t, row) in enumerate(zip(t_us, units, strict=True)):
        data += _stuffed(struct.pack("<BQ6f", 0x80 + ord("I"), t, *row))
        if number % 10 == 0:
            data += _stuffed(struct.pack("<BQ4f", 0x80 + ord("Q"), t, 1, 0, 0, 0))
        if number % 50 == 0:
            data += _stuffed(struct.pack("<BQf", 0x80 + ord("T"), t, 25.125))
    return data, units[:, [3, 4, 5, 0, 1, 2]].astype(np.float64) * np.array([G] * 3 + [DEGREE] * 3)


MAKERS: dict[str, Callable[[NDArray[np.int64], Floats], Capture]] = {
    "csv-header.txt": csv_header,
    "csv-values.txt": csv_values,
    "motioncal.txt": motioncal,
    "teapot.bin": teapot,
    "sensiml-1.bin": sensiml_1,
    "sensiml-2.bin": sensiml_2,
    "ximu3-ascii.txt": ximu3_text,
    "ximu3.bin": ximu3_binary,
}


def captures() -> dict[str, Capture]:
    """All of them, by file name."""
    return {name: make(*recording()) for name, make in MAKERS.items()}


def _counts(imu: Floats) -> tuple[NDArray[np.int16], Floats]:
    """Of an LSM9DS1 at 4 g and 2000 deg/s: 0.122 mg and 70 mdeg/s a count."""
    scale = np.array([0.122e-3 * G] * 3 + [70e-3 * DEGREE] * 3)
    counts = np.clip(np.round(imu / scale), -32768, 32767).astype(np.int16)
    return counts, counts * scale


def _description(version: int | None) -> bytes:
    names = [f"{sensor}{axis}" for sensor in ("Accelerometer", "Gyroscope") for axis in "XYZ"]
    said = {
        "sample_rate": 119,
        "column_location": {name: place for place, name in enumerate(names)},
        "samples_per_packet": 6,
    }
    return json.dumps(said | ({"version": version} if version else {}), separators=(",", ":")).encode() + b"\r\n"


def _stuffed(message: bytes) -> bytes:
    return message.replace(b"\xdb", b"\xdb\xdd").replace(b"\n", b"\xdb\xdc") + b"\n"


def _upright(acceleration: Floats) -> Floats:
    """(3, 3) a turn from the sensor's axes to the world's that has this acceleration point upwards."""
    up = acceleration / np.linalg.norm(acceleration)
    side = np.cross(up, [1.0, 0.0, 0.0] if abs(up[0]) < 0.9 else [0.0, 1.0, 0.0])
    side /= np.linalg.norm(side)
    return np.stack([side, np.cross(up, side), up])


def _rotation(vector: Floats) -> Floats:
    """Rodrigues' formula."""
    angle = float(np.linalg.norm(vector))
    x, y, z = vector / (angle or 1.0)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def _rotation_vector(turn: Floats) -> Floats:
    """The way back."""
    twist = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]) / 2
    sine = float(np.linalg.norm(twist))
    angle = math.atan2(sine, (np.trace(turn) - 1) / 2)
    return twist * (angle / sine if sine else 1.0)


def _quaternion(turn: Floats) -> Floats:
    """(4,) w x y z: the eigenvector that a turn leaves most alone (Bar-Itzhack's matrix)."""
    m = turn
    k = np.array(
        [
            [m[0, 0] - m[1, 1] - m[2, 2], m[1, 0] + m[0, 1], m[2, 0] + m[0, 2], m[2, 1] - m[1, 2]],
            [m[1, 0] + m[0, 1], m[1, 1] - m[0, 0] - m[2, 2], m[2, 1] + m[1, 2], m[0, 2] - m[2, 0]],
            [m[2, 0] + m[0, 2], m[2, 1] + m[1, 2], m[2, 2] - m[0, 0] - m[1, 1], m[1, 0] - m[0, 1]],
            [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], m[0, 0] + m[1, 1] + m[2, 2]],
        ]
    )
    x, y, z, w = np.linalg.eigh(k)[1][:, -1]
    return np.array([w, x, y, z]) * (1 if w >= 0 else -1)


def _matrix(q: Floats) -> Floats:
    w, x, y, z = q
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


if __name__ == "__main__":
    made = captures()
    for name, (data, _) in made.items():
        (HERE / name).write_bytes(data)
    np.savez_compressed(HERE / "expected.npz", **{name: said.astype(np.float32) for name, (_, said) in made.items()})
