"""A plain PyTorch training loop, which `train_throughput` compares ours with.

An item of its `Dataset` is one window, read from the file of its recording, cut and augmented by itself; a `DataLoader` puts items together;
the sentences of each batch go through the text tower. It is not made slow: files are mapped into memory and stay open, and hold the exact
grid already, where loops of the field decimate or interpolate for every window; cutting and augmenting are the functions that ours uses; a
sentence that a batch has twice is embedded once. Ours also keeps a running mean of the weights, and this does not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from aura_edge_train.augment import Augmentation, augment, crops
from aura_edge_train.corpus import Corpus, Draw
from aura_edge_train.recipe import Optimisation

TextOf = Callable[[Tensor], Tensor]
"""(B,) captions to (B, D) embeddings of a sentence of each."""


def write_recordings(folder: Path, corpus: Corpus, draw: Draw) -> dict[int, Path]:
    """One file, (samples, 6) float32, for each recording of a draw, by the number of its first sample in the corpus."""
    files = {}
    for low, high in set(zip(draw.low.tolist(), draw.high.tolist(), strict=True)):
        files[low] = folder / f"{low}.npy"
        np.save(files[low], corpus.signals[low:high].numpy())
    return files


class Windows(Dataset[tuple[Tensor, int]]):
    """The windows of a draw, each read when it is asked for."""

    def __init__(self, files: dict[int, Path], draw: Draw, samples: int, options: Augmentation) -> None:
        self._files, self._samples, self._options = files, samples, options
        self._low, self._starts = draw.low.tolist(), (draw.starts - draw.low).tolist()
        self._captions = draw.captions.tolist()
        self._open: dict[int, NDArray[np.float32]] = {}

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        start, generator = self._starts[row], torch.default_generator
        signal = self._mapped(self._low[row])
        margin = math.ceil(self._options.stretch * self._samples / 2) + 1
        low, high = max(0, start - margin), min(len(signal), start + self._samples + margin)
        piece = torch.from_numpy(np.array(signal[low:high]))
        at, first, end = (torch.tensor([place]) for place in (start - low, 0, high - low))
        window = crops(piece, at, first, end, self._samples, self._options.stretch, generator)
        return augment(window, self._options, generator)[0], self._captions[row]

    def _mapped(self, low: int) -> NDArray[np.float32]:
        if low not in self._open:
            self._open[low] = np.load(self._files[low], mmap_mode="r", allow_pickle=False)
        return self._open[low]


class PlainLoop:
    """An encoder and what trains it: AdamW, symmetric InfoNCE between the windows of a batch and their sentences."""

    def __init__(self, encoder: nn.Module, windows: Windows, plan: Optimisation, text_of: TextOf, workers: int) -> None:
        self._encoder, self._windows, self._plan, self._text_of = encoder.train(), windows, plan, text_of
        self._workers = workers
        self._log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self._learning = [*encoder.parameters(), self._log_scale]
        self._optimiser = torch.optim.AdamW(
            self._learning, lr=plan.learning_rate, betas=plan.betas, weight_decay=plan.weight_decay, fused=True
        )

    def run(self, steps: int) -> tuple[float, float]:
        """Seconds that so many steps take, the start of the workers among them, and seconds of these spent waiting for windows."""
        start_s, waited_s = time.perf_counter(), 0.0
        loader = DataLoader(self._windows, self._plan.batch, shuffle=True, num_workers=self._workers, drop_last=True)
        batches = iter(loader)
        for _ in range(steps):
            asked_s = time.perf_counter()
            windows, captions = next(batches)
            waited_s += time.perf_counter() - asked_s
            self._step(windows, self._text_of(captions))
        return time.perf_counter() - start_s, waited_s

    def _step(self, windows: Tensor, text: Tensor) -> None:
        self._optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=self._plan.precision == "bf16"):
            vectors = self._encoder(windows)
        logits = vectors.float() @ text.T * self._log_scale.exp()
        own = torch.arange(len(windows))
        loss = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self._learning, self._plan.clip)
        self._optimiser.step()
        loss.item()
