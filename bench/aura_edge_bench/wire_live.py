"""A live board in real time: how long from the last byte of a window on the wire to its JSON line, and what reading the wire costs.

`python -m aura_edge_bench.wire_live` plays the demo recording as a board on a pseudo terminal at 200 Hz, ten samples a message. One run is
followed by `aura-edge stream` in a process of its own (latency), another in this process (CPU time of the reading thread and of the thread that
decodes, resamples and embeds). The resampler's constant delay is given apart: it is no computing.
"""

from __future__ import annotations

import argparse
import os
import select
import subprocess
import sys
import threading
import time
import tty
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgspec
import numpy as np

from aura_edge import bundle as bundles
from aura_edge.commands.stream import DEMO_BUNDLE, DEMO_RECORDING, demo_file
from aura_edge.engines import open_engine
from aura_edge.errors import InputError
from aura_edge.pipeline import Pipeline
from aura_edge.prototypes import load_for
from aura_edge.sources.duration import FirstSeconds
from aura_edge.sources.recordings import read_recording
from aura_edge.sources.serial.live import open_live
from aura_edge.types import NS_PER_S
from aura_edge_bench.machine import Machine, this_machine
from aura_edge_firmware_bridge.codec import encode
from aura_edge_firmware_bridge.messages import Hello, HelloFlag, Samples, Status

SCHEMA = 1
RATE_HZ, PER_MESSAGE = 200, 10
TAIL_S = 1.0
"""A run is ended so long before its board ends."""
ACC_SCALE, GYRO_SCALE = 9.80665 / 2048, 0.00106526


class WireLive(msgspec.Struct, frozen=True, kw_only=True):
    """The result, as JSON gives it."""

    schema: int = SCHEMA
    benchmark: str = "live wire"
    machine: Machine
    rate_hz: int
    samples_per_message: int
    seconds: float
    """Device time of each of the two runs."""
    labels: int
    label_latency_ms: dict[str, float]
    """From writing the message that completes a window to reading its JSON line: p50, p90, p99, max."""
    resampler_delay_ms: float
    """Constant, and not in the latency: how far behind the newest sample a window ends."""
    reader_cpu_percent: float
    """Of one core: the thread that reads the wire."""
    stream_cpu_percent: float
    """Of one core: the thread that decodes, resamples, embeds and decides."""
    unexplained_samples: int
    """Sent less read less lost: zero, or the figures above are of a broken run."""


class PtyBoard:
    """Plays frames on a pseudo terminal, each when it is due, and remembers when it wrote them."""

    def __init__(self, seconds: float) -> None:
        self.master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(self.master, False)
        self._slave = slave
        self.path = os.ttyname(slave)
        trial = read_recording(demo_file(DEMO_RECORDING))
        counts = np.rint(trial.samples / np.repeat([ACC_SCALE, GYRO_SCALE], 3)).clip(-32768, 32767).astype(np.int16)
        messages = round(seconds * RATE_HZ / PER_MESSAGE)
        rows = np.arange(messages * PER_MESSAGE) % len(counts)
        flags = HelloFlag.GRAVITY_INCLUDED | HelloFlag.STREAMING
        scales = (ACC_SCALE, GYRO_SCALE, 157.0, 35.0)
        self._hello = encode(Hello("bench", "", "pty", 1, 0, 0, RATE_HZ, 0.0, *scales, flags=flags))
        period_ns = NS_PER_S // RATE_HZ
        self._frames = [
            encode(
                Samples(
                    i * PER_MESSAGE,
                    i * PER_MESSAGE * period_ns // 1000,
                    period_ns,
                    counts[rows[i * PER_MESSAGE : (i + 1) * PER_MESSAGE]],
                )
            )
            for i in range(messages)
        ]
        self.samples = messages * PER_MESSAGE
        self.last_ns = [((i + 1) * PER_MESSAGE - 1) * period_ns for i in range(messages)]
        """Device time of each message's last sample."""
        self.written_s: list[float] = []
        self._thread = threading.Thread(target=self._play, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._thread.join()
        os.close(self.master)
        os.close(self._slave)

    def _play(self) -> None:
        select.select([self.master], [], [], 10.0)  # whoever opened the port asks who is there
        start_s = time.perf_counter()
        for i, frame in enumerate(self._frames):
            due_s = start_s + (i + 1) * PER_MESSAGE / RATE_HZ
            if (left_s := due_s - time.perf_counter()) > 0:
                time.sleep(left_s)
            self.written_s.append(time.perf_counter())
            # A board without a receiving line says hello every second.
            self._send(frame if i % (RATE_HZ // PER_MESSAGE) else b"\0" + self._hello + frame)
        self._send(encode(Status(1, self.last_ns[-1] // 1000, self.samples, self.samples, 0, 0)))

    def _send(self, data: bytes) -> None:
        with suppress(BlockingIOError):  # nobody reads any more
            os.write(self.master, data)


@contextmanager
def playing(seconds: float) -> Iterator[PtyBoard]:
    board = PtyBoard(seconds)
    try:
        yield board
    finally:
        board.close()


def latencies_ms(seconds: float) -> tuple[list[float], float, int]:
    """Latency of each label, the resampler's delay in seconds, and the samples that nobody accounts for."""
    with playing(seconds) as board:
        command = [sys.executable, "-m", "aura_edge", "stream", "--device", board.path, "--sink", "-"]
        process = subprocess.Popen([*command, "--duration", str(seconds - TAIL_S)], stdout=subprocess.PIPE)
        board.start()
        lines: list[tuple[float, dict[str, Any]]] = []
        assert process.stdout is not None
        for text in process.stdout:
            lines.append((time.perf_counter(), msgspec.json.decode(text)))
        process.stdout.close()
        if process.wait() or not lines or lines[-1][1]["type"] != "summary":
            raise InputError(
                f"the stream ended with exit code {process.returncode}. Run {' '.join(command[1:])} to see why."
            )
    summary = lines[-1][1]
    delay_s = float(summary["delay_s"])
    period_ns = NS_PER_S // RATE_HZ
    found = []
    for read_s, line in lines:
        if line["type"] == "prediction":
            # The window's last sample is given once a sample later than it by the delay is there.
            needed_ns = int(line["t1_ns"]) - period_ns + round(delay_s * NS_PER_S)
            message = bisect_right(board.last_ns, needed_ns)
            if message < len(board.written_s):
                found.append((read_s - board.written_s[message]) * 1e3)
    counts = summary["samples"]
    wanted = round((seconds - TAIL_S) * RATE_HZ)
    return found, delay_s, wanted - int(counts["read"]) - int(summary["lost"])


def cpu_percent(seconds: float) -> tuple[float, float]:
    """CPU time of the reading thread and of this one while they follow a board, in percent of a core."""
    model = bundles.load(demo_file(DEMO_BUNDLE))
    with playing(seconds) as board:
        board.start()
        source = open_live(board.path, {})
        reader = next(thread for thread in threading.enumerate() if thread.name == "aura-edge reader")
        clock = time.pthread_getcpuclockid(reader.ident or 0)
        sink = _Spent(clock)
        begin_s, own_s = time.perf_counter(), time.thread_time()
        Pipeline(
            FirstSeconds(source, seconds - TAIL_S), open_engine("auto", model), load_for(model), model.manifest, [sink]
        ).run()
        took_s = time.perf_counter() - begin_s
        return 100 * sink.reader_s / took_s, 100 * (time.thread_time() - own_s) / took_s


class _Spent:
    """Reads the reading thread's clock while that thread is there."""

    def __init__(self, clock: int) -> None:
        self._clock = clock
        self._first_s = time.clock_gettime(clock)
        self.reader_s = 0.0

    def emit(self, item: object) -> None:
        with suppress(OSError):  # where the thread has ended, its last reading stands
            self.reader_s = time.clock_gettime(self._clock) - self._first_s

    def close(self) -> None:
        pass


def wire_live(seconds: float) -> WireLive:
    """Both runs, one after the other."""
    machine = this_machine()
    found, delay_s, unexplained = latencies_ms(seconds)
    reader, stream = cpu_percent(seconds)
    return WireLive(
        machine=machine,
        rate_hz=RATE_HZ,
        samples_per_message=PER_MESSAGE,
        seconds=seconds,
        labels=len(found),
        label_latency_ms={
            "p50": float(np.percentile(found, 50)),
            "p90": float(np.percentile(found, 90)),
            "p99": float(np.percentile(found, 99)),
            "max": float(np.max(found)),
        },
        resampler_delay_ms=delay_s * 1e3,
        reader_cpu_percent=reader,
        stream_cpu_percent=stream,
        unexplained_samples=unexplained,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0)
    result = wire_live(parser.parse_args().seconds)
    print(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())


if __name__ == "__main__":
    main()
