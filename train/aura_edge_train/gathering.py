"""One batch over several processes: every process sees all embeddings, and its gradients are those of the joined batch.

Each process embeds its own windows and computes the loss of all. Going back, what every process found for a process's own rows is added up;
`average_gradients` then divides by the number of processes. That is the gradient of one process with the joined batch, for the losses that
are computed everywhere are the same loss.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn

from aura_edge.errors import RecipeError


@dataclass(frozen=True, slots=True)
class Process:
    """Which of how many processes this is."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether it is the one that writes and talks."""
        return self.rank == 0

    def share(self, size: int) -> slice:
        """Its part of a batch of `size`, which must be a multiple of `count`."""
        each = size // self.count
        return slice(self.rank * each, (self.rank + 1) * each)


@contextmanager
def joined(device: torch.device) -> Iterator[Process]:
    """Take part in the run that `torchrun` started, on a GPU of one's own if on any; alone where it did not.

    Raises `RecipeError` where a machine has more processes than GPUs.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ or int(os.environ["WORLD_SIZE"]) < 2:
        yield Process()
        return
    if device.type == "cuda":
        own, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if own >= there:
            raise RecipeError(
                f"process {own + 1} of this machine, and {there} GPUs: start one for each GPU (--nproc-per-node {there})."
            )
        torch.cuda.set_device(own)  # "cuda" is another GPU in each process from here on
    # Its functions take the group of the moment as a default argument. Torch imports it with the first optimiser; were the group there by then,
    # it would outlive its end, and a thread of it that lets a tensor go while Python ends aborts the process.
    importlib.import_module("torch.distributed.nn")
    # What is agreed on lies on the CPU, whatever the batches lie on.
    distributed.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield Process(distributed.get_rank(), distributed.get_world_size())
        distributed.barrier()  # who leaves while another is still connected may be torn down with it
    finally:
        distributed.destroy_process_group()


def gather(own: Tensor) -> Tensor:
    """(B, ...) of this process to (processes x B, ...) of all, in the order of ranks; gradients come back summed."""
    if not distributed.is_initialized():
        return own
    if not own.is_floating_point():
        return _all(own)
    gathered: Tensor = _Gather.apply(own)  # type: ignore[no-untyped-call]
    return gathered


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Mean of the gradients over all processes, in place. Which parameters have one is the same everywhere, for the loss is."""
    if not distributed.is_initialized():
        return
    for parameter in parameters:
        if parameter.grad is not None:
            distributed.all_reduce(parameter.grad)
            parameter.grad /= distributed.get_world_size()


def agree(value: float) -> float:
    """What the first process says, on all of them."""
    if not distributed.is_initialized():
        return value
    told = torch.tensor([value], dtype=torch.float64)
    distributed.broadcast(told, 0)
    return float(told)


def _all(own: Tensor) -> Tensor:
    # Whole numbers and flags travel as they are; gloo knows no booleans.
    sent = own.to(torch.uint8) if own.dtype == torch.bool else own
    parts = [torch.empty_like(sent) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, sent.contiguous())
    return torch.cat(parts).to(own.dtype)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        ctx.size = len(own)
        return _all(own)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (summed,) = (gradient.contiguous() for gradient in gradients)
        distributed.all_reduce(summed)
        start = distributed.get_rank() * ctx.size
        return summed[start : start + ctx.size]
