"""A board on a wire on which things go wrong, in virtual time: what a host would read, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from aura_edge_firmware_bridge.emulator import Board, BoardSettings
from aura_edge_firmware_bridge.faults import ALTERING, ROUNDING_S, Alteration, Fault, check_together
from aura_edge_firmware_bridge.outgoing import Sent

WRAP_US = 1 << 32
S_US = 1_000_000


class FaultyWire:
    """Host time starts at 0 with the board's power. `read` on to a time, `write` what the host says."""

    def __init__(
        self,
        samples: NDArray[np.float32],
        settings: BoardSettings | None = None,
        faults: Sequence[Fault] = (),
        *,
        jitter_ms: float = 0.0,
        seed: int = 0,
    ) -> None:
        """`jitter_ms` delays each frame by up to that much. The same arguments give the same bytes, in however many steps they are read.

        Raises `ValueError` for two faults of a name that are always on.
        """
        settings = settings or BoardSettings()
        self._faults = list(faults)
        check_together(faults)
        amounts = {fault.name: fault.amount for fault in faults}
        if wrap := next((fault for fault in faults if fault.name == "wrap"), None):
            settings = replace(settings, start_us=WRAP_US - round(wrap.at_s * S_US))
        if "rate" in amounts:
            settings = replace(settings, true_rate_hz=settings.rate_hz * (1 + amounts["rate"] / 100))
        self._alteration = Alteration()
        self.board = Board(
            samples,
            settings,
            alter=self._alteration if any(fault.name in ALTERING for fault in faults) else None,
            said_scale=(amounts.get("units", 1.0), amounts.get("gyro-units", 1.0)),
        )
        self._pace = 1 + amounts.get("drift", 0.0) * 1e-6
        self._jitter_us = jitter_ms * 1000
        self._rng = np.random.default_rng(seed)
        self._host_us = 0.0
        # A host time and what the board's clock showed then: straight on from there.
        self._anchor = (0.0, float(self.board.now_us))
        self._overtaken: list[tuple[bytes, int]] = []  # frames, and their samples
        self._last_us = 0
        self.is_connected = True
        self.delivered = 0
        """Samples in frames that were sent over a wire that was there, whole and once; what was damaged or lost on it is not among them."""
        self.host_takes = True
        """False while the other end takes nothing: the board sees a full wire."""
        self._on = {id(fault): False for fault in self._faults}
        self._turn_faults()

    @property
    def _board_us(self) -> float:
        """What the board's clock shows now, with the parts of a microsecond."""
        host_us, board_us = self._anchor
        return board_us + (self._host_us - host_us) * self._pace

    @property
    def produced(self) -> int:
        """Samples that the sensor made, over all starts of the board."""
        return sum(self.board.produced_before) + self.board.produced

    def write(self, data: bytes) -> None:
        """What the host sends, now; lost where the port is gone."""
        if self.is_connected:
            self.board.receive(data)

    def read(self, until_us: int) -> list[tuple[int, bytes]]:
        """What arrives until then: host times in microseconds and bytes, frame by frame.

        Read to the present time once more, it gives what was asked for since.
        """
        arrived: list[tuple[int, bytes]] = []
        end_us = max(float(until_us), self._host_us)
        while True:
            host_s = self._host_us / S_US
            edge_us = min((fault.next_edge_s(host_s) for fault in self._faults), default=float("inf")) * S_US
            stop_us = min(end_us, edge_us)
            arrived += self._run(stop_us)
            if stop_us == edge_us:
                self._turn_faults()
            if self._host_us >= end_us:
                return arrived

    def _run(self, stop_us: float) -> list[tuple[int, bytes]]:
        """No fault starts or ends until then."""
        self._host_us = stop_us
        found: list[tuple[int, bytes]] = []
        on = [fault for fault in self._faults if self._on[id(fault)]]
        self._alteration.on = [fault for fault in on if fault.name in ALTERING]
        self.board.wire_takes = self.host_takes and not any(fault.name == "stall" for fault in on)
        anchor_us, anchor_board_us = self._anchor
        for sent in self.board.advance(int(self._board_us)):
            host_us = anchor_us + (sent.time_us - anchor_board_us) / self._pace
            if self.is_connected:
                found += self._carry(sent, host_us, on)
        return found

    def _carry(self, sent: Sent, host_us: float, on: Sequence[Fault]) -> list[tuple[int, bytes]]:
        """One frame over the wire."""
        data, copies, overtaken = sent.data, 1, False
        for fault in on:
            if fault.name in ("corrupt", "drop", "duplicate", "reorder") and self._rng.random() < fault.rate:
                if fault.name == "corrupt":
                    spoilt = bytearray(data)
                    spoilt[int(self._rng.integers(len(data)))] ^= 1 << int(self._rng.integers(8))
                    data = bytes(spoilt)
                elif fault.name == "drop":
                    copies = 0
                elif fault.name == "duplicate":
                    copies = 2
                else:
                    overtaken = True
        if self._jitter_us:
            host_us += self._rng.uniform(0, self._jitter_us)
        self._last_us = max(self._last_us, round(host_us))  # a wire keeps the order
        whole = sent.samples if data is sent.data else 0
        frames = [(data, whole), (data, 0)][:copies]  # a copy brings no sample more
        if overtaken and not self._overtaken:
            self._overtaken = frames
            return []
        frames, self._overtaken = frames + self._overtaken, []
        self.delivered += sum(samples for _, samples in frames)
        return [(self._last_us, data) for data, _ in frames]

    def _turn_faults(self) -> None:
        """Faults start and end at the present time."""
        host_s = self._host_us / S_US + ROUNDING_S
        for fault in self._faults:
            starts = fault.is_on(host_s) and not self._on[id(fault)]
            self._on[id(fault)] = fault.is_on(host_s)
            if starts and fault.name == "reset":
                self.board.restart()
                self._anchor = (self._host_us, 0.0)
            elif starts and fault.name == "jump":
                shown_us = self._board_us
                self._anchor = (self._host_us, shown_us + self.board.jump_clock(round(fault.amount * S_US)))
        self.is_connected = not any(f.name == "disconnect" and self._on[id(f)] for f in self._faults)
        if not self.is_connected:
            self._overtaken = []
