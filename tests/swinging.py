"""A made-up data set with everything a recording can come with: people who swing an arm, faster or slower, captured and talked about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from aura_edge.encoders.checkpoint import Caption
from aura_edge.types import ImuChunk
from aura_edge_train.datasets import LabelledRecording
from aura_edge_train.datasets.made_up import MADE_UP
from aura_edge_train.datasets.modalities import Moment, Pose, Skeleton

SKELETON = Skeleton(("left-hip", "right-hip", "left-wrist"), ("left-hip", "right-hip"), up=2)
RATE_HZ, LENGTH_S = 200.0, 12.0
CLASSES = ("slow", "fast")
PEOPLE = tuple(f"p{number:02d}" for number in range(10))


def read(folder: Path) -> Iterator[LabelledRecording]:
    """Each person swings at eight rates of their own, half of them slow."""
    t_s = np.arange(round(LENGTH_S * RATE_HZ)) / RATE_HZ
    t_ns = np.rint(t_s * 1e9).astype(np.int64)
    frames_s = np.arange(round(LENGTH_S * 30)) / 30
    for person, name in enumerate(PEOPLE):
        rng = np.random.default_rng(person)
        for trial in range(8):
            fast = trial % 2
            turns_hz = rng.uniform(1.6, 3.0) if fast else rng.uniform(0.3, 1.0)
            swing = 2 * np.pi * turns_hz
            samples = rng.normal(0, 0.05, (len(t_s), 6)).astype(np.float32)
            samples[:, 2] += 9.81
            samples[:, 0] += 4 * np.sin(swing * t_s)
            samples[:, 4] += 2 * np.cos(swing * t_s)
            joints = np.zeros((len(frames_s), 3, 3), np.float32)
            joints[:, 0, 0], joints[:, 1, 0] = 0.15, -0.15
            joints[:, 2, 1] = 0.5 * np.sin(swing * frames_s)
            yield LabelledRecording(
                name=f"{name}/{trial}",
                subject=name,
                rate_hz=RATE_HZ,
                chunks=[ImuChunk(t_ns, samples, host_ns=0)],
                t_ns=t_ns,
                labels=np.full(len(t_s), fast, np.int8),
                moments=[
                    Moment(round(at_s * 1e9), f"{'shaking' if fast else 'walking'} {at_s:.0f}", "narration")
                    for at_s in (3, 6, 9)
                ],
                pose=Pose(np.rint(frames_s * 1e9).astype(np.int64), joints) if trial < 6 else None,
            )


SWINGING = replace(
    MADE_UP,
    name="swinging",
    classes=CLASSES,
    captions=(
        Caption("slow", "walking", "slow", ("a person is walking",)),
        Caption("fast", "shaking", "fast", ("a person is shaking",)),
    ),
    test_subjects=frozenset(PEOPLE[-2:]),
    validation_subjects=frozenset(PEOPLE[-4:-2]),
    evaluation_step_s=2.5,
    read=read,
    skeleton=SKELETON,
)
