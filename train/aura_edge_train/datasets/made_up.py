"""Made-up motions of made-up people: a data set that needs no files, to see that training works, and for tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aura_edge.encoders.checkpoint import Caption
from aura_edge.testing import TINY_LABELS, motion
from aura_edge.types import NS_PER_S, ImuChunk
from aura_edge_train.datasets import DataSet, LabelledRecording

PEOPLE = tuple(f"p{number:02d}" for number in range(1, 13))
RATE_HZ = 100.0
LENGTH_S = 12.0


def _files(folder: Path) -> list[Path]:
    return []


def _read(folder: Path) -> Iterator[LabelledRecording]:
    samples = round(LENGTH_S * RATE_HZ)
    t_ns = np.rint(np.arange(samples) * (NS_PER_S / RATE_HZ)).astype(np.int64)
    for person, name in enumerate(PEOPLE):
        for kind, label in enumerate(TINY_LABELS):
            signal = motion(label, samples=samples, rate_hz=RATE_HZ, seed=person)
            yield LabelledRecording(
                name=f"{name}/{label}",
                subject=name,
                rate_hz=RATE_HZ,
                chunks=[ImuChunk(t_ns, np.ascontiguousarray(signal.T), host_ns=0)],
                t_ns=t_ns,
                labels=np.full(samples, kind, np.int8),
            )


def _caption_of(labels: NDArray[np.int8], starts: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    return labels[starts].astype(np.int64)


MADE_UP = DataSet(
    name="made-up",
    classes=TINY_LABELS,
    captions=tuple(
        Caption(label, label, "turning" if label == "spinning" else "moving", (f"a person is {label}", label))
        for label in TINY_LABELS
    ),
    redistributable=True,
    test_subjects=frozenset(PEOPLE[-2:]),
    validation_subjects=frozenset(PEOPLE[-4:-2]),
    evaluation_step_s=0.5,
    files=_files,
    read=_read,
    caption_of=_caption_of,
)
