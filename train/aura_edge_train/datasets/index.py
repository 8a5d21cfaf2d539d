"""What the files of a window store say: where its segments are, what was told about them, which videos show them."""

from __future__ import annotations

import msgspec

from aura_edge_train.datasets import Split

LAYOUT = 2
"""Counts up when what a store holds, or how it is read, changes."""
INDEX = "index.json"
SIGNALS = "signals.npy"
LABELS = "labels.npy"
POSE = "pose.npy"
MOMENTS = "moments.json"
CLIPS = "clips.json"
POSE_RATE_HZ = 10.0
"""As AURA-MFM has it (Matsuishi, Ukita, Okita 2025): 50 frames in a window of 5 s."""


class Segment(msgspec.Struct, frozen=True, omit_defaults=True):
    """Samples without a hole between them."""

    recording: str
    subject: str
    start: int
    length: int
    split: Split | None = None
    """Where the recording itself says its split; None where its subject decides."""
    padded: int = 0
    """How many of the samples were added to make it as long as a window."""


class Index(msgspec.Struct, frozen=True, omit_defaults=True):
    """`index.json`."""

    data_set: str
    digest: str
    """sha256 over signals, labels and segments, and over poses, moments and clips where there are any: which data an encoder was trained on,
    however they were made."""
    rate_hz: float
    classes: tuple[str, ...]
    segments: tuple[Segment, ...]
    samples: dict[str, int]
    """`read`, `used`, and every reason for which a sample that was read is in no segment; `padded`, which is not part of `read`, where samples
    were added."""
    left_out: dict[str, int] = {}
    """Recordings and moments that are not in the store, by reason."""


class Moments(msgspec.Struct, frozen=True):
    """`moments.json`, by column: 200,000 of them are read in a tenth of a second."""

    segments: tuple[int, ...] = ()
    """Number of the segment of each moment, in order."""
    samples: tuple[int, ...] = ()
    """Its sample, counted from the start of the store."""
    texts: tuple[int, ...] = ()
    """Its row in `phrases` ..."""
    kinds: tuple[int, ...] = ()
    """... and its row in `kind_names`."""
    phrases: tuple[str, ...] = ()
    kind_names: tuple[str, ...] = ()


class SegmentClip(msgspec.Struct, frozen=True):
    """One entry of `clips.json`: a video that shows a segment."""

    segment: int
    camera: str
    path: str
    at_s: float
    """Where the segment begins in the video, in seconds from its first frame; below zero where the video begins later."""
    speed: float = 1.0
    """Seconds of the video that pass in one of the segment."""
