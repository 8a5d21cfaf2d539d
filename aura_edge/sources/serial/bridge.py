"""A board that speaks our own protocol (`firmware_bridge/PROTOCOL.md`): its calibration, its clock, its count, its restarts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from aura_edge.sources.serial.calibration import Calibration
from aura_edge.sources.serial.clock_fit import ClockFit
from aura_edge.sources.serial.device_clock import LATEST_NS, DeviceClock
from aura_edge.sources.serial.ordering import Numbered, Ordering
from aura_edge.sources.serial.placed import Placed, chunks_of, nothing
from aura_edge.sources.serial.timeline import RateMeter
from aura_edge.types import NS_PER_S, ImuChunk, SourceInfo
from aura_edge_firmware_bridge.codec import Decoder, encode
from aura_edge_firmware_bridge.messages import (
    Acknowledgement,
    Answer,
    Command,
    Config,
    Event,
    EventKind,
    Hello,
    HelloFlag,
    Message,
    Samples,
    Status,
    TimeRequest,
    TimeResponse,
)

SAY_HELLO = b"\0" + encode(Config(0, Command.SAY_HELLO))
"""The zero ends whatever a board may have heard before."""
START = encode(Config(1, Command.START))
STOP = encode(Config(2, Command.STOP))
ASK_AGAIN_NS = 2 * NS_PER_S
"""A board that sends no samples for so long is asked who it is."""
FIRST_EXCHANGES, FIRST_EXCHANGE_NS, EXCHANGE_NS = 10, NS_PER_S // 5, 2 * NS_PER_S
"""The time is asked for ten times within the first two seconds, then every two: the shortest round trip of many says most."""
BACK_SAMPLES = 256
"""A count that is back by more was started anew; a message that is back by less was overtaken on its way."""
WRAP_NS = (1 << 32) * 1000
_HALF = 1 << 31
EVENTS = {
    EventKind.FIFO_OVERFLOW: "fifo_overflows",
    EventKind.SATURATION: "saturation_events",
    EventKind.BUS_ERROR: "bus_errors",
}


def speaks_bridge(messages: Iterable[Message]) -> bool:
    """Whether a board of ours is among those who sent these; what a host sends comes back on some wires."""
    return any(not isinstance(message, Config | TimeRequest) for message in messages)


class Bridge:
    """Follows one board. Its device time goes on over restarts, later by at least a second, and so does its count of samples."""

    def __init__(self, port: str) -> None:
        self.info: SourceInfo | None = None
        self._port = port
        self._decoder = Decoder()
        self._counts: Counter[str] = Counter()
        self._out: list[bytes] = []
        self._runs: list[Numbered[Placed]] = []
        self._ordering: Ordering[Placed] = Ordering()
        self._hello: Hello | None = None
        self._calibration: Calibration | None = None
        self._refused = ""
        self._started = False  # by us
        self._boot = 0
        self._status: Status | None = None
        self._heard_ns = 0  # host time of the last samples, or of the last question
        self._requests: dict[int, int] = {}
        self._next_exchange_ns = 0
        self._base = 0  # number of the board's first sample of this start, in a count that never goes back
        self._before: Counter[str] = Counter()  # what the board counted in its starts before this one
        self._clock = DeviceClock(WRAP_NS)
        self._fit, self._meter = ClockFit(), RateMeter()

    def connected(self, host_ns: int) -> None:
        """The port was opened: whoever is there now is asked who it is."""
        if self._hello is not None:
            self._counts["returns"] += 1
            self._decoder.feed(b"\0")
        self._ask(host_ns)

    def disconnected(self) -> None:
        """Nothing comes any more that could come before what is held back."""
        self._runs += self._ordering.flush()

    def cut(self) -> None:
        """Half a frame does not go on; what is held back may still be filled up."""
        self._decoder.feed(b"\0")

    def feed(self, host_ns: int, data: bytes) -> None:
        for message in self._decoder.feed(data):
            self._see(host_ns, message)
        if host_ns - self._heard_ns > ASK_AGAIN_NS:
            self._ask(host_ns)
        if self.info is not None and host_ns >= self._next_exchange_ns:
            first = self._counts["time_requests"] < FIRST_EXCHANGES
            self._next_exchange_ns = host_ns + (FIRST_EXCHANGE_NS if first else EXCHANGE_NS)
            self._counts["time_requests"] += 1
            self._out.append(encode(TimeRequest(self._counts["time_requests"])))

    def sent(self, host_ns: int, data: bytes) -> None:
        """Requests for the time are remembered with when they really left."""
        for message in Decoder().feed(b"\0" + data):
            if isinstance(message, TimeRequest):
                self._requests = {message.token: host_ns, **dict(list(self._requests.items())[:7])}

    def drain(self) -> list[ImuChunk]:
        """Everything since the last call, consecutive samples in one chunk."""
        runs, self._runs = self._runs, []
        return chunks_of(runs, self._fit.reading())

    def finish(self) -> list[ImuChunk]:
        """What was held back, and a chunk of no samples behind the last one that the board says it sent."""
        self._runs += self._ordering.flush()
        if self._lost_behind() and self._ordering.next is not None and self._calibration is not None:
            self._runs.append(nothing(self._ordering.next, self._calibration, self._heard_ns))
        return self.drain()

    def replies(self) -> list[bytes]:
        out, self._out = self._out, []
        return out

    def farewell(self) -> bytes:
        """A board that streamed by itself goes on."""
        return STOP if self._started else b""

    # ---- messages ----

    def _see(self, host_ns: int, message: Message) -> None:
        if isinstance(message, Samples):
            self._samples(host_ns, message)
        elif isinstance(message, Hello):
            self._greet(host_ns, message)
        elif isinstance(message, Status):
            self._identify(host_ns, message.boot, message.time_us)
            self._status = message
        elif isinstance(message, Event):
            self._counts[EVENTS[message.what]] += 1
        elif isinstance(message, TimeResponse):
            sent_ns, latest_us = self._requests.pop(message.token, None), max(message.received_us, message.sent_us)
            if sent_ns is not None and latest_us * 1000 < LATEST_NS:
                received, sent = (self._clock.place_whole(us * 1000) for us in (message.received_us, message.sent_us))
                self._fit.exchange(sent_ns, received, sent, host_ns)
        elif isinstance(message, Acknowledgement) and message.answer != Answer.DONE:
            self._refused = (
                f"the board refused command {message.command} ({message.answer.name.lower().replace('_', ' ')})"
            )

    def _greet(self, host_ns: int, hello: Hello) -> None:
        self._identify(host_ns, hello.boot, hello.time_us)
        if self._calibration is None or self._hello is None or _said(hello) != _said(self._hello):
            self._calibration = Calibration(hello, self._port)
        if self.info is None:
            self._next_exchange_ns = host_ns + FIRST_EXCHANGE_NS
            name = ", ".join(text for text in (hello.sensor, hello.device_id, hello.firmware) if text)
            self.info = SourceInfo(
                name=f"{self._port} ({name})" if name else self._port,
                rate_hz=hello.rate_hz,
                units=f"{hello.acc_m_s2_per_count:.6g} m/s2 and {hello.gyro_rad_s_per_count:.6g} rad/s per count",
                live=True,
                gravity_included=bool(hello.flags & HelloFlag.GRAVITY_INCLUDED),
                acc_range_m_s2=hello.acc_range_m_s2 or None,
                gyro_range_rad_s=hello.gyro_range_rad_s or None,
            )
        self._hello = hello
        if not hello.flags & HelloFlag.STREAMING:
            if self._ordering.next is None:
                self._ordering.next = first = self._count(hello.next_sequence)
                # Whoever counts losses starts here.
                self._runs.append(nothing(first, self._calibration, host_ns))
            self._out.append(START)
            self._started = True
            self._heard_ns = host_ns

    def _samples(self, host_ns: int, message: Samples) -> None:
        if self._calibration is None:
            self._counts["before_hello"] += len(message.raw)
            if not self._out:
                self._ask(host_ns)
            return
        time_ns, sequence = message.time_us * 1000, self._count(message.sequence)
        if self._ordering.next is not None and sequence < self._ordering.next - BACK_SAMPLES:
            self._restart(host_ns, time_ns)
            sequence = self._count(message.sequence)
        self._heard_ns = host_ns
        restarts = self._clock.restarts
        first_ns = self._clock.place(host_ns, time_ns)
        if self._clock.restarts > restarts:
            self._forget_clock(host_ns)
        t_ns = first_ns + np.arange(len(message.raw), dtype=np.int64) * message.interval_ns
        self._fit.observe(int(t_ns[-1]), host_ns)
        self._meter.observe(sequence, first_ns)
        run = Placed(t_ns, message.raw, self._calibration, host_ns)
        self._runs += self._ordering.push(Numbered(sequence, len(message.raw), run))

    def _ask(self, host_ns: int) -> None:
        self._heard_ns = host_ns
        self._out.append(SAY_HELLO)

    # ---- the board's count and clock ----

    def _identify(self, host_ns: int, boot: int, time_us: int) -> None:
        """The board said which start this is, and its whole clock."""
        time_ns = time_us * 1000
        went_back = self._clock.tell(host_ns, time_ns)
        if (boot != self._boot and 0 not in (boot, self._boot)) or (went_back and boot == 0):
            self._restart(host_ns, time_ns if time_ns < LATEST_NS else time_ns % WRAP_NS)
        self._boot = boot or self._boot

    def _restart(self, host_ns: int, time_ns: int) -> None:
        """The board started anew: so do its count and its clock."""
        self._counts["restarts"] += 1
        self._runs += self._ordering.flush()
        self._lost_behind()
        self._before += self._device()
        self._base, self._boot, self._status = self._ordering.next or 0, 0, None
        self._clock.restart(host_ns, time_ns)
        self._forget_clock(host_ns)

    def _forget_clock(self, host_ns: int) -> None:
        """What was fitted to the clock before says nothing of the one that runs now."""
        self._fit, self._meter, self._requests = ClockFit(), RateMeter(), {}
        self._next_exchange_ns = host_ns

    def _lost_behind(self) -> int:
        """What the board says it sent behind the last samples that came is lost."""
        return 0 if self._status is None else self._ordering.skip_to(self._count(self._status.next_sequence))

    def _count(self, sequence: int) -> int:
        """A u32 number of this start of the board, as one that never goes back."""
        if self._ordering.next is None:
            return self._base + sequence
        expected = self._ordering.next - self._base
        return self._base + expected + (sequence - expected + _HALF) % (2 * _HALF) - _HALF

    # ---- what is told ----

    def report(self) -> dict[str, float]:
        """Counts in frames, bytes and samples; measured rate and clock."""
        counts = dict(self._counts + self._before + self._device())
        counts |= {f"discarded_{reason}": found.frames for reason, found in self._decoder.discarded.items()}
        told: dict[str, float] = {
            "frames": self._decoder.frames.total(),
            "lost": self._ordering.lost,
            "duplicate": self._ordering.duplicate,
            "late": self._ordering.late,
            "clock_wraps": self._clock.wraps,
            "clock_restarts": self._clock.restarts,
            **counts,
        }
        if (rate_hz := self._meter.rate_hz) is not None:
            told["rate_hz"] = rate_hz
        if (reading := self._fit.reading()) is not None:
            told["clock_drift_ppm"] = self._fit.drift_ppm
            told["clock_residual_ms"] = reading.residual_ns / 1e6
        if (delay_ns := self._fit.delay_ns) is not None:
            told["clock_delay_ms"] = delay_ns / 1e6
        return told

    def _device(self) -> Counter[str]:
        """What the board says it did since its start."""
        if self._status is None:
            return Counter()
        counted = ("produced", "dropped_fifo", "dropped_transmit")
        return Counter({f"device_{name}": getattr(self._status, name) for name in counted})

    def notes(self) -> list[str]:
        told = [self._refused] if self._refused else []
        for name, what in (("restarts", "the board restarted"), ("returns", "the port went and came back")):
            if count := self._counts[name]:
                told.append(f"{what} {'once' if count == 1 else f'{count} times'}")
        if count := self._counts["fifo_overflows"]:
            told.append(
                f"{count} overflows of the sensor's FIFO: the board reads it too seldom; lower its rate or raise the speed of its bus"
            )
        if count := self._counts["bus_errors"]:
            told.append(f"{count} times the sensor did not answer on its bus: check its wiring")
        return told


def _said(hello: Hello) -> tuple[object, ...]:
    """What calibrates samples."""
    return hello.acc_m_s2_per_count, hello.gyro_rad_s_per_count, hello.axes, hello.fields, hello.rate_hz
