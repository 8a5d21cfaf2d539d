"""A batch larger than memory: the loss of all of it, embedded piece by piece (gradient caching, Gao et al. 2021, arXiv:2101.06983).

Adding up the gradients of smaller batches would leave each window with fewer negatives, which is another loss. Here pieces are embedded
without remembering how, the loss and its gradient at the embeddings are computed for all, and pieces are embedded once more to go back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Embed = Callable[[], tuple[Tensor, ...]]


def backward(pieces: Sequence[Embed], loss_of: Callable[[list[tuple[Tensor, ...]]], Tensor]) -> Tensor:
    """Add the gradients of `loss_of` the embeddings of all pieces to every parameter; give the loss.

    Each piece gives its embeddings when called, the same ones when called again from the same state of the global random generators
    (dropout), which is put back for that.
    """
    if len(pieces) == 1:
        loss = loss_of([pieces[0]()])
        torch.autograd.backward(loss)
        return loss.detach()
    states, cached = [], []
    for piece in pieces:
        states.append(_random_state())
        with torch.no_grad():
            cached.append(tuple(vectors.detach().requires_grad_() for vectors in piece()))
    loss = loss_of(cached)
    torch.autograd.backward(loss)
    after = _random_state()
    for piece, state, held in zip(pieces, states, cached, strict=True):
        _restore(state)
        vectors = piece()
        reached = [(v, h.grad) for v, h in zip(vectors, held, strict=True) if h.grad is not None and v.requires_grad]
        if reached:  # else everything in it stays as it is
            torch.autograd.backward([v for v, _ in reached], [gradient for _, gradient in reached])
    _restore(after)
    return loss.detach()


def _random_state() -> list[Tensor]:
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [])]


def _restore(state: list[Tensor]) -> None:
    torch.set_rng_state(state[0])
    if state[1:]:
        torch.cuda.set_rng_state_all(state[1:])
