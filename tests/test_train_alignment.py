"""Losses between paired modalities: what they ask for, with captions that repeat and samples that miss some, in pieces and over processes."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
import two_processes
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from aura_edge.errors import RecipeError
from aura_edge_train import cached_gradients
from aura_edge_train.alignment import Alignment, Embedded, Loss, Pair

LOSSES: tuple[Loss, ...] = ("infonce", "siglip", "triplet", "mse")


def vectors(count: int, seed: int = 0, dimension: int = 8) -> Tensor:
    return F.normalize(torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed)), dim=1)


def all_there(tensor: Tensor, identity: Tensor | None = None) -> Embedded:
    return Embedded(tensor, torch.ones(len(tensor), dtype=torch.bool), identity)


def of(loss: Loss, first: Tensor, second: Tensor, identity: Tensor | None = None) -> float:
    alignment = Alignment((Pair(("imu", "text"), loss=loss),))
    return float(alignment({"imu": all_there(first), "text": all_there(second, identity)})["imu-text"].detach())


def test_infonce_is_that_of_clip() -> None:
    """Cross entropy of both directions with the diagonal as the right answers."""
    first, second = vectors(10), vectors(10, 1)
    logits, right = first @ second.T / 0.07, torch.arange(10)
    expected = (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2
    assert of("infonce", first, second) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("captions", [list(range(10)), [0, 0, 2, 3, 4, 5, 2, 7, 8, 2]])
def test_siglip_is_a_decision_about_every_pair(captions: list[int]) -> None:
    """One logistic loss for each of the n x n, with the start values of its paper; whoever has the same caption is a right partner."""
    first, second, identity = vectors(10), vectors(10, 1), torch.tensor(captions)
    logits, same = first @ second.T * 10 - 10, identity[:, None] == identity
    expected = F.binary_cross_entropy_with_logits(logits, same.float(), reduction="sum") / 10
    assert of("siglip", first, second, identity) == pytest.approx(float(expected), rel=1e-5)


def test_triplet_looks_at_the_hardest_wrong_partner() -> None:
    """In both directions, by hand for three."""
    first = F.normalize(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), dim=1)
    cosines = first @ first.T
    hardest = torch.stack([cosines[0, 2], cosines[1, 2], cosines[2, 0]])
    expected = (0.2 + hardest - 1).clamp(min=0).mean()
    assert of("triplet", first, first) == pytest.approx(float(expected), rel=1e-5)


def test_mse_is_the_mean_squared_difference() -> None:
    first, second = vectors(10), vectors(10, 1)
    assert of("mse", first, second) == pytest.approx(float(((first - second) ** 2).mean()), rel=1e-6)


@pytest.mark.parametrize("loss", ["infonce", "triplet"])
def test_a_caption_that_repeats_is_no_negative_of_itself(loss: Loss) -> None:
    """Two windows of one sentence, each nearer to the other's copy of it: that is no mistake where the two are known to be one."""
    texts = vectors(8, 1)
    captions = torch.tensor([0, 0, 2, 3, 4, 5, 6, 7])
    crossed = texts[[1, 0, 2, 3, 4, 5, 6, 7]]
    assert of(loss, crossed, texts, captions) < of(loss, crossed, texts) - 0.01


@pytest.mark.parametrize("loss", LOSSES)
def test_partners_agree_after_some_steps(loss: Loss) -> None:
    """Gradient descent on any of them finds every window's own sentence."""
    torch.manual_seed(0)
    texts, found = vectors(12, 1), nn.Parameter(vectors(12))
    alignment = Alignment((Pair(("imu", "text"), loss=loss),))
    optimiser = torch.optim.Adam([found, *alignment.parameters()], lr=0.05)
    for _ in range(150):
        optimiser.zero_grad()
        embedded = {"imu": all_there(F.normalize(found, dim=1)), "text": all_there(texts)}
        torch.autograd.backward(alignment(embedded)["imu-text"])
        optimiser.step()
    assert (found @ texts.T).argmax(1).tolist() == list(range(12))


@given(st.integers(0, 2**31), st.lists(st.booleans(), min_size=6, max_size=6), st.sampled_from(LOSSES))
def test_samples_that_miss_a_modality_do_not_count(seed: int, there: list[bool], loss: Loss) -> None:
    """The loss is that of the complete ones alone, whatever stands in the rows of the others."""
    first, second, present = vectors(6, seed), vectors(6, seed + 1), torch.tensor(there)
    rubbish = torch.where(present[:, None], second, torch.full_like(second, 7.0))
    alignment = Alignment((Pair(("imu", "text"), loss=loss),))
    found = alignment({"imu": all_there(first), "text": Embedded(rubbish, present)})
    if sum(there) < 2:
        assert found == {}
    else:
        assert float(found["imu-text"].detach()) == pytest.approx(of(loss, first[present], second[present]), rel=1e-5)


def test_every_pair_counts_by_its_weight_and_learns_its_own_temperature() -> None:
    """A modality that a batch has not leaves out its pair and no other."""
    pairs = (Pair(("imu", "text"), weight=2.0), Pair(("imu", "mocap"), temperature=0.2), Pair(("imu", "video")))
    alignment = Alignment(pairs)
    batch = {"imu": all_there(vectors(5)), "text": all_there(vectors(5, 1)), "mocap": all_there(vectors(5, 2))}
    found = alignment(batch)
    assert set(found) == {"imu-text", "imu-mocap"}
    assert float(found["imu-text"].detach()) == pytest.approx(2 * of("infonce", vectors(5), vectors(5, 1)), rel=1e-5)
    assert alignment.temperatures == pytest.approx({"imu-text": 0.07, "imu-mocap": 0.2, "imu-video": 0.07}, rel=1e-5)


@pytest.mark.parametrize("loss", ["infonce", "siglip"])
def test_temperature_that_fell_too_low_is_held_and_rises_again(loss: Loss) -> None:
    """Where nothing is found, a higher one costs less: clamped inside the loss it would have no gradient, and stay for good."""
    alignment = Alignment(
        (Pair(("imu", "text"), loss=loss, lowest_temperature=0.05), Pair(("imu", "mocap"), loss="mse"))
    )
    module = alignment.losses[0]
    with torch.no_grad():
        module.log_scale.fill_(9.0)
    alignment.hold_temperatures()
    assert float(module.scale.detach()) == pytest.approx(20)
    optimiser = torch.optim.Adam([module.log_scale], lr=0.01)
    for _ in range(20):
        optimiser.zero_grad()
        torch.autograd.backward(module(vectors(8), -vectors(8), torch.eye(8, dtype=torch.bool)))
        optimiser.step()
        alignment.hold_temperatures()
    assert float(module.scale.detach()) < 18


@pytest.mark.parametrize("other", [("imu", "text"), ("text", "imu")])
def test_pair_that_is_named_twice_is_refused(other: tuple[str, str]) -> None:
    with pytest.raises(RecipeError, match="named twice"):
        Alignment((Pair(("imu", "text")), Pair(other)))  # type: ignore[arg-type]


# ---- in pieces ----


@pytest.mark.parametrize("size", [1, 3, 5, 12])
def test_gradients_in_pieces_are_those_of_the_whole_batch(size: int) -> None:
    """However many windows a piece has: the negatives are those of all."""
    inputs, texts = torch.randn(12, 8, generator=torch.Generator().manual_seed(3)), vectors(12, 1, 4)

    def run(size: int) -> tuple[float, list[Tensor]]:
        torch.manual_seed(0)
        encoder, alignment = nn.Linear(8, 4), Alignment((Pair(("imu", "text")),))

        def piece(part: Tensor) -> tuple[Tensor]:
            return (F.normalize(encoder(part), dim=1),)

        def loss_of(parts: list[tuple[Tensor, ...]]) -> Tensor:
            whole = torch.cat([part[0] for part in parts])
            return alignment({"imu": all_there(whole), "text": all_there(texts)})["imu-text"]

        loss = cached_gradients.backward([partial(piece, part) for part in inputs.split(size)], loss_of)
        return float(loss), [p.grad for p in [*encoder.parameters(), *alignment.parameters()] if p.grad is not None]

    expected, pieces = run(12), run(size)
    assert pieces[0] == pytest.approx(expected[0], rel=1e-5)
    assert len(pieces[1]) == len(expected[1]) == 3
    for one, other in zip(pieces[1], expected[1], strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_dropout_falls_the_same_way_when_a_piece_is_embedded_again() -> None:
    """Else the gradient would belong to other embeddings than the loss; and the generator goes on as if nothing had been repeated."""
    layer, seen = nn.Dropout(0.5), []

    def piece() -> tuple[Tensor, ...]:
        seen.append(layer(weights))
        return (seen[-1],)

    weights = nn.Parameter(torch.ones(64))
    torch.manual_seed(4)
    cached_gradients.backward([piece, piece], lambda parts: torch.stack([p[0].sum() for p in parts]).sum())
    assert torch.equal(seen[0], seen[2])
    assert torch.equal(seen[1], seen[3])
    assert not torch.equal(seen[0], seen[1])
    after = torch.rand(1)
    torch.manual_seed(4)
    layer(weights), layer(weights)
    assert torch.equal(after, torch.rand(1))


# ---- over processes ----


def test_two_processes_give_the_gradients_of_the_joined_batch(tmp_path: Path) -> None:
    """Three pairs of four modalities, captions that repeat, a third of everything missing: two gloo processes against one."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        two_processes.__file__,
        str(tmp_path),
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("threads after") == 2
    assert "gloo" not in done.stdout, "a thread of the group outlives it, and aborts the process as Python ends"
    expected = two_processes.gradients(slice(0, 24), 24)
    assert len(expected) == 7
    for rank in (0, 1):
        found = load_file(tmp_path / f"{rank}.safetensors")
        assert float(found.pop("agreed")) == 3.5, "what the first process said"
        assert found.keys() == expected.keys()
        for name, gradient in expected.items():
            assert torch.allclose(found[name], gradient, atol=1e-6), name
