"""Retrieval: ties by expectation, captions that repeat, chance exactly, little memory. `test_metrics.py` compares with the library."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from aura_edge.errors import ParityError
from aura_edge_train.evaluation import intervals, retrieval
from aura_edge_train.evaluation.retrieval import Direction, Places, directions, expected_hits, rank, retrieve, search


def unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return found


def pairs(
    count: int, noise: float, seed: int = 0, dimension: int = 16
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vectors, and the same ones with noise."""
    generator = np.random.default_rng(seed)
    first = generator.standard_normal((count, dimension))
    return unit(first), unit(first + noise * generator.standard_normal(first.shape))


@given(above=st.integers(0, 3), tied=st.integers(0, 4), right=st.integers(1, 3))
@settings(max_examples=40)
def test_expectations_are_the_mean_over_every_order(above: int, tied: int, right: int) -> None:
    """Hits and reciprocal ranks equal those counted over all orders of the tied items."""
    first = [above + 1 + order.index(True) for order in permutations([False] * tied + [True] * right)]
    expected = [*(np.mean([place <= k for place in first]) for k in (1, 2, 5)), np.mean([1 / place for place in first])]
    places = Places(np.array([above]), np.array([tied]), np.array([right]))
    assert expected_hits(places, (1, 2, 5))[0] == pytest.approx(expected)


def test_chance_is_that_of_any_order() -> None:
    """The level of chance is k/G for pairs; with repeats it is the mean over shuffled galleries; one vector for all gives just that."""
    queries, gallery = pairs(40, noise=1.0)
    found = retrieve(queries, gallery, np.arange(40), np.arange(40))
    assert [found.recall[k].chance for k in (1, 10, 50)] == pytest.approx([1 / 40, 10 / 40, 1.0])
    assert found.mrr.chance == pytest.approx(np.mean(1 / np.arange(1, 41)))
    ids = np.random.default_rng(4).integers(0, 12, 40)
    collapsed = retrieve(np.repeat(queries[:1], 40, 0), gallery, ids, ids)
    blind = retrieve(queries, np.repeat(gallery[:1], 40, 0), ids, ids)
    assert blind.mrr.value == pytest.approx(blind.mrr.chance)
    assert blind.recall[1].value == pytest.approx(np.mean(np.bincount(ids)[ids] / 40))
    assert collapsed.mrr.chance == blind.mrr.chance
    shuffled = [
        retrieve(queries, unit(np.random.default_rng(s).standard_normal((40, 16))), ids, ids) for s in range(60)
    ]
    assert np.mean([each.mrr.value for each in shuffled]) == pytest.approx(blind.mrr.chance, abs=0.02)


def test_equal_vectors_are_tied_however_their_products_were_rounded() -> None:
    """Rounding decides nothing: a collapsed encoder is at chance in a gallery whose products the library rounds unevenly."""
    generator = np.random.default_rng(5)
    gallery = np.repeat(unit(generator.standard_normal((1, 512))), 1003, 0)
    gallery[::2] *= np.float32(1 - 1e-7)
    queries = unit(generator.standard_normal((1003, 512)))
    found = retrieve(queries, gallery, np.arange(1003), np.arange(1003))
    assert found.mrr.value == pytest.approx(found.mrr.chance)
    assert found.median_rank == pytest.approx(502)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same places and the same finds come out when only a few rows of scores are in memory at once."""
    queries, gallery = pairs(70, noise=2.0, seed=6)
    ids = np.random.default_rng(7).integers(0, 20, 70)
    whole, found = rank(queries, gallery, ids, ids), search(queries, gallery, 5)
    monkeypatch.setattr(retrieval, "CHUNK_SCORES", 3 * 70)
    parts, again = rank(queries, gallery, ids, ids), search(queries, gallery, 5)
    for name in ("above", "tied", "right"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name))
    assert np.array_equal(found.rows, again.rows)


def test_intervals_are_over_groups_of_queries() -> None:
    """Where one person's windows all find their pair and another's none, the interval reaches from one to the other."""
    queries, gallery = pairs(60, noise=0.0)
    who = np.repeat(["found", "lost"], 30)
    queries[30:] = -queries[30:]
    found = retrieve(queries, gallery, np.arange(60), np.arange(60), groups=who)
    assert found.recall[1].value == 0.5
    assert found.recall[1].interval == (0.0, 1.0)
    many = retrieve(queries, gallery, np.arange(60), np.arange(60), groups=np.arange(60))
    assert many.recall[1].interval is not None
    assert 0.3 < many.recall[1].interval[0] < 0.5 < many.recall[1].interval[1] < 0.7
    assert many == retrieve(queries, gallery, np.arange(60), np.arange(60), groups=np.arange(60))
    alone = retrieve(queries, gallery, np.arange(60), np.arange(60), groups=np.zeros(60))
    assert alone.mrr.interval is None


def test_interval_of_a_mean_has_its_textbook_width() -> None:
    """With every value a group of its own, the interval is about 1.96 standard errors to either side."""
    sample = np.random.default_rng(8).standard_normal((400, 1))
    found = intervals.of_means(sample, np.arange(400))
    assert found is not None
    half = 1.96 * sample.std() / 20
    assert found[0] == pytest.approx((sample.mean() - half, sample.mean() + half), abs=0.008)


def test_large_and_small_groups_are_weighed_by_their_windows() -> None:
    """What is the same for everyone has an interval of no width, however many windows each has."""
    found = intervals.of_means(np.full((60, 1), 0.25), np.repeat([0, 1, 2], [50, 9, 1]))
    assert found is not None
    assert found[0] == pytest.approx((0.25, 0.25))


def test_eight_directions_look_only_at_samples_that_have_both() -> None:
    """IMU against four modalities, there and back; absent rows may hold anything; captions that repeat belong together."""
    imu, other = pairs(30, noise=0.5)
    first_ten = np.arange(30) < 10
    video = np.where(first_ten[:, None], other, np.nan).astype(np.float32)
    given_embeddings = {"text": other[::-1], "imu": imu, "commentary": other, "video": video, "mocap": other}
    found = directions(
        given_embeddings,
        present={"video": first_ten, "mocap": np.zeros(30, bool)},
        caption_ids={"text": np.zeros(30, np.int64)},
        groups=np.arange(30) % 5,
    )
    named = {(each.query, each.gallery): each.score for each in found}
    assert list(named) == [
        ("imu", "text"), ("text", "imu"), ("imu", "commentary"), ("commentary", "imu"), ("imu", "video"), ("video", "imu"),
    ]  # fmt: skip
    assert named["imu", "text"].recall[1].value == 1.0  # one caption for all: everything is right
    assert named["imu", "video"].candidates == 10
    expected = retrieve(other[:10], imu[:10], np.arange(10), np.arange(10), groups=np.arange(10) % 5)
    assert named["video", "imu"] == expected
    everything = directions({**given_embeddings, "video": other})
    assert len(everything) == 8
    assert msgspec.json.decode(msgspec.json.encode(found), type=list[Direction]) == found


def test_search_gives_the_nearest_first() -> None:
    """A prompt finds the windows nearest to it, best first; of equal ones the earlier; all of them where there are few."""
    _, gallery = pairs(50, noise=0.0)
    gallery[17] = gallery[3]
    prompts = gallery[[3, 8]]
    found = search(prompts, gallery, 4)
    assert found.rows[0, :2].tolist() == [3, 17]
    assert found.rows[1, 0] == 8
    scores = prompts @ gallery.T
    np.testing.assert_array_equal(found.cosines, np.take_along_axis(scores, found.rows, 1))
    np.testing.assert_allclose(found.cosines, -np.sort(-scores, axis=1)[:, :4], rtol=1e-6)
    assert search(prompts, gallery, 99).rows.shape == (2, 50)


def test_captions_are_numbered_by_their_text() -> None:
    """The same words have the same number, others another."""
    assert retrieval.caption_ids(["walks", "runs", "walks", "Walks"]).tolist() == [2, 1, 2, 0]


def test_what_cannot_be_compared_is_refused() -> None:
    """Nothing to compare, no relevant item, NaN, vectors that are no unit vectors and spaces that differ are errors, each with its own word."""
    queries, gallery = pairs(6, noise=1.0)
    ids = np.arange(6)
    for arguments, message in (
        ((queries[:0], gallery, ids[:0], ids), "queries of shape"),
        ((queries, gallery, ids, ids[:3]), "as many ids"),
        ((queries, gallery, ids + 2, ids), "belongs to 2 of 6 queries"),
        ((queries * 2, gallery, ids, ids), "queries: not all vectors are of length 1"),
        ((queries, gallery * np.nan, ids, ids), "gallery: not all vectors are of length 1"),
        ((unit(queries[:, :4]), gallery, ids, ids), "one space for both"),
    ):
        with pytest.raises(ParityError, match=message):
            retrieve(*arguments)
    with pytest.raises(ParityError, match="expected 'imu' and another"):
        directions({"imu": queries})
    with pytest.raises(ParityError, match="'text' has 3 rows"):
        directions({"imu": queries, "text": gallery[:3]})
    with pytest.raises(ParityError, match="at least one"):
        search(queries, gallery, 0)
