"""Metrics against their reference: torchmetrics, on random data with ties and with captions that repeat."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("sklearn", reason="scores need it; it comes with aura-edge[train]")
if find_spec("torchmetrics") is None:
    pytest.skip("the reference is torchmetrics, which is not installed", allow_module_level=True)

from aura_edge_train.evaluation.metrics import score_in_full
from aura_edge_train.evaluation.retrieval import RetrievalScore, retrieve

RANKS = (1, 10, 50)
CLASSES = 7

# A process of its own: torchmetrics imports torchvision, and that fails beside a torch without CUDA unless two operators are declared first.
# They cannot be declared twice, and another test may want to.
REFERENCE = """
import json, sys, warnings
import numpy as np, torch
warnings.simplefilter("ignore")
try:
    import torchvision
except RuntimeError:
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from torchmetrics import classification, retrieval

data = {name: torch.from_numpy(array) for name, array in np.load(sys.argv[1]).items()}
classes = int(data.pop("classes"))
truth, answers = data.pop("truth"), data.pop("answers")
found = {
    "accuracy": classification.MulticlassAccuracy(classes, average="micro")(answers, truth).item(),
    "macro_f1": classification.MulticlassF1Score(classes, average="macro")(answers, truth).item(),
    "confusion": classification.MulticlassConfusionMatrix(classes)(answers, truth).tolist(),
}
for name in {key.split("/")[0] for key in data}:
    scores, relevant = data[name + "/scores"], data[name + "/relevant"]
    of = torch.arange(len(scores)).repeat_interleave(scores.shape[1])
    hits = [retrieval.RetrievalHitRate(top_k=k) for k in (1, 10, 50)]
    found[name] = [m(scores.flatten(), relevant.flatten(), indexes=of).item() for m in (*hits, retrieval.RetrievalMRR())]
print(json.dumps(found))
"""

Case = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]


def unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return found


def pairs() -> Case:
    """Pairs that resemble each other somewhat."""
    generator = np.random.default_rng(0)
    first = generator.standard_normal((120, 16))
    return unit(first), unit(first + 2 * generator.standard_normal((120, 16))), np.arange(120), np.arange(120)


def captions() -> Case:
    """Queries and a gallery of another size in which captions repeat."""
    generator = np.random.default_rng(1)
    kinds = generator.standard_normal((30, 16))
    mine, theirs = generator.integers(0, 30, 90), np.concatenate([np.arange(30), generator.integers(0, 30, 120)])
    queries, gallery = (unit(kinds[ids] + 3 * generator.standard_normal((len(ids), 16))) for ids in (mine, theirs))
    return queries, gallery, mine, theirs


def ties() -> Case:
    """A gallery of four vectors that repeat under ids of their own."""
    generator = np.random.default_rng(2)
    ids = np.concatenate([np.arange(5), generator.integers(0, 5, 75)])
    kinds = unit(generator.standard_normal((4, 8)))
    return unit(generator.standard_normal((5, 8))), kinds[generator.integers(0, 4, 80)], np.arange(5), ids


def answers() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    generator = np.random.default_rng(3)
    truth = generator.integers(0, CLASSES, 500)
    return truth, np.where(generator.random(500) < 0.6, truth, generator.integers(0, CLASSES, 500))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What torchmetrics says about all of it."""
    arrays: dict[str, Any] = {"classes": CLASSES}
    arrays["truth"], arrays["answers"] = answers()
    for name, case in (("pairs", pairs()), ("captions", captions()), ("ties", ties())):
        queries, gallery, query_ids, gallery_ids = case
        # The library takes scores for probabilities: what has one below zero never counts as found.
        scores, relevant = (queries @ gallery.T + 1) / 2, query_ids[:, None] == gallery_ids
        if name == "ties":
            # The library orders equals somehow: the mean over many random orders is what it says of them.
            scores, relevant = np.repeat(scores, 800, axis=0), np.repeat(relevant, 800, axis=0)
            scores = np.round(scores, 4) + 1e-5 * np.random.default_rng(4).random(scores.shape, np.float32)
        arrays[f"{name}/scores"], arrays[f"{name}/relevant"] = scores, relevant
    path = tmp_path_factory.mktemp("reference") / "arrays.npz"
    np.savez(path, **arrays)
    done = subprocess.run(
        [sys.executable, "-c", REFERENCE, str(path)], capture_output=True, text=True, env=os.environ, cwd=Path.cwd()
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def values(score: RetrievalScore) -> list[float]:
    return [*(score.recall[k].value for k in RANKS), score.mrr.value]


def test_pairs_are_ranked_as_the_library_ranks_them(reference: Any) -> None:
    """R@1, R@10, R@50 and MRR of one-to-one pairs."""
    assert values(retrieve(*pairs())) == pytest.approx(reference["pairs"], abs=1e-6)


def test_captions_that_repeat_are_relevant_as_in_the_library(reference: Any) -> None:
    """Whatever has the caption of a query belongs to it."""
    found = retrieve(*captions())
    assert (found.queries, found.candidates) == (90, 150)
    assert values(found) == pytest.approx(reference["captions"], abs=1e-6)


def test_ties_are_what_the_library_gives_on_average_over_their_orders(reference: Any) -> None:
    """Equal vectors give the mean over random orders of the equals; standard error of that mean is below 0.008."""
    assert values(retrieve(*ties())) == pytest.approx(reference["ties"], abs=0.025)


def test_classification_scores_are_those_of_the_library(reference: Any) -> None:
    """Accuracy, macro-F1 and every cell of the confusion matrix."""
    truth, given = answers()
    found = score_in_full(truth, given, [str(label) for label in range(CLASSES)], truth.astype(np.str_))
    assert found.accuracy == pytest.approx(reference["accuracy"], abs=1e-6)
    assert found.macro_f1 == pytest.approx(reference["macro_f1"], abs=1e-6)
    assert [list(row) for row in found.confusion] == reference["confusion"]
