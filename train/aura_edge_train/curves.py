"""The curves of a run for TensorBoard, beside the log: written only when asked for, since they carry the time of day."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aura_edge.errors import require
from aura_edge_train.validation import Validation


class Curves:
    """Event files in a folder of the run."""

    def __init__(self, run: Path, *, step: int = 0) -> None:
        """Go on at `step`: what was written beyond it by a run that was killed is hidden. Raises `MissingExtraError` without tensorboard."""
        require("tensorboard", extra="train")
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(run / "tensorboard"), purge_step=step or None)

    def epoch(
        self, step: int, losses: Mapping[str, float], temperatures: Mapping[str, float], found: Validation
    ) -> None:
        """One point of each curve."""
        for name, value in losses.items():
            self._writer.add_scalar(f"loss/{name}", value, step)
        for name, value in temperatures.items():
            self._writer.add_scalar(f"temperature/{name}", value, step)
        for name, score in found.captions.items():
            self._writer.add_scalar(f"validation/{name} accuracy", score.accuracy, step)
            self._writer.add_scalar(f"validation/{name} macro-F1", score.macro_f1, step)
        for name, value in found.mrr.items():
            self._writer.add_scalar(f"validation/{name} MRR", value, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
