"""What an emulated board has to say and the wire did not take yet: bounded, and put into words only when it leaves.

A STATUS that waited would tell of the past, and a TIME RESPONSE would lie about when it was sent. So only what is due is kept here, in the
order of the firmware: answers first, samples last.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from aura_edge_firmware_bridge.codec import encode
from aura_edge_firmware_bridge.messages import (
    Acknowledgement,
    Command,
    Event,
    EventKind,
    Hello,
    Message,
    Status,
    TimeResponse,
)

MOST_TIMES, MOST_ANSWERS = 4, 8


@dataclass(frozen=True, slots=True)
class Sent:
    """A frame that was handed to the wire."""

    time_us: int
    """Device clock."""
    data: bytes
    samples: int = 0
    """How many it carries."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How counts are read from some sample on."""

    acc_range_m_s2: float
    gyro_range_rad_s: float
    number: int = 0
    """How often it was set before: every setting is told."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A message of samples that waits."""

    sequence: int
    """Since the start, not wrapped."""
    count: int
    frame: bytes
    scale: Scale


class Outgoing:
    """Everything that waits for the wire of one start of a board."""

    def __init__(self, most_batches: int, *, hello: Callable[[], Hello], status: Callable[[], Status]) -> None:
        """`hello` and `status` say what is so at the moment they are called."""
        self.batches: deque[Batch] = deque()
        self.dropped = 0
        """Samples that gave way to newer ones."""
        self.hello_due = self.status_due = self.stopped_due = False
        self._told_scale = 0  # number of the scale that the last HELLO told; the first one is told at the start
        self._most_batches, self._hello, self._status = most_batches, hello, status
        self._times: deque[tuple[int, int]] = deque(maxlen=MOST_TIMES)
        self._answers: deque[Acknowledgement] = deque()
        self._saturation: Event | None = None
        self._first = True

    @property
    def can_answer(self) -> bool:
        """False while too many answers wait: what cannot be answered is not to be carried out."""
        return len(self._answers) < MOST_ANSWERS

    def respond(self, token: int, received_us: int) -> None:
        """A TIME RESPONSE; of too many the oldest gives way."""
        self._times.append((token, received_us))

    def acknowledge(self, answer: Acknowledgement) -> None:
        self._answers.append(answer)

    def saturated(self, time_us: int, sequence: int, channels: int) -> None:
        """An EVENT, or more channels in the one that waits."""
        waiting = self._saturation or Event(EventKind.SATURATION, time_us, sequence, 0)
        self._saturation = replace(waiting, value=waiting.value | channels)

    def add(self, batch: Batch) -> None:
        """Samples; the oldest give way and are counted."""
        self.batches.append(batch)
        while len(self.batches) > self._most_batches:
            self.dropped += self.batches.popleft().count

    def leave(self, now_us: int, scale: Scale) -> list[Sent]:
        """Everything, in its order. `scale` is the one in force now: it is told when the samples before it are out."""
        out: list[Sent] = []

        def send(*messages: Message) -> None:
            out.extend(Sent(now_us, encode(message)) for message in messages)

        def greet() -> None:
            self._told_scale = (self.batches[0].scale if self.batches else scale).number
            send(self._hello())

        while self._times:
            send(TimeResponse(*self._times.popleft(), now_us))
        while self._answers:
            answer = self._answers.popleft()
            if answer.command == Command.SAY_HELLO:
                greet()
            send(answer)
        if self._saturation is not None:
            send(self._saturation)
            self._saturation = None
        if self.hello_due:
            greet()
        if self.status_due:
            send(self._status())
        self.hello_due = self.status_due = False
        while self.batches:
            if self.batches[0].scale.number != self._told_scale:
                greet()
            batch = self.batches.popleft()
            out.append(Sent(now_us, batch.frame, batch.count))
        if scale.number != self._told_scale:
            greet()
        if self.stopped_due:
            self.stopped_due = False
            send(self._status())
        if out and self._first:
            self._first = False
            out[0] = replace(out[0], data=b"\0" + out[0].data)
        return out
