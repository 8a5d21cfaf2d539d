"""Evaluation: numbers that can be worked out by hand, on the right people's windows, through whichever engine."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="rotations are drawn with it; it comes with aura-edge[train]")
pytest.importorskip("sklearn", reason="scores need it; it comes with aura-edge[train]")

from sklearn.metrics import accuracy_score, confusion_matrix, f1_score  # noqa: E402

from aura_edge import bundle, prototypes, testing  # noqa: E402
from aura_edge.bundle import Bundle  # noqa: E402
from aura_edge.engines.ort import open_ort  # noqa: E402
from aura_edge.errors import BundleError, ParityError, RecipeError  # noqa: E402
from aura_edge.text.labels import embed_labels  # noqa: E402
from aura_edge_train.datasets.made_up import MADE_UP  # noqa: E402
from aura_edge_train.datasets.store import Store, open_store  # noqa: E402
from aura_edge_train.evaluation import metrics, zero_shot  # noqa: E402
from aura_edge_train.evaluation.candidates import of_bundle, sets_of  # noqa: E402
from aura_edge_train.evaluation.commands import evaluate_app  # noqa: E402
from aura_edge_train.evaluation.conditions import Conditions, turned  # noqa: E402
from aura_edge_train.evaluation.evaluate import evaluate  # noqa: E402
from aura_edge_train.evaluation.report import show  # noqa: E402
from aura_edge_train.evaluation.results import Plan  # noqa: E402

LABELS = [caption.label for caption in MADE_UP.captions]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def store(cache: Path) -> Store:
    return open_store(MADE_UP, Path(), cache=cache)


@pytest.fixture
def tiny(tmp_path: Path) -> Bundle:
    """The tiny bundle with prototypes for the made-up data set."""
    return with_prototypes(testing.tiny_bundle(tmp_path / "tiny.aura"), LABELS)


def with_prototypes(given: Bundle, labels: list[str]) -> Bundle:
    files = {name: (given.path / name).read_bytes() for name in given.manifest.files}
    known = embed_labels(testing.FakeTower(), {label: [f"a person is {label}"] for label in labels})
    return bundle.save(
        given.path, given.manifest, files | {"prototypes/made-up.safetensors": prototypes.to_bytes(known)}
    )


def made_up_answers(people: int = 6, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.str_]]:
    """Truth, answers that are right two times in three, and whose window each is."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 4, 300)
    answers = np.where(generator.random(300) < 2 / 3, truth, generator.integers(0, 5, 300))
    return truth, answers, np.array([f"p{n}" for n in generator.integers(0, people, 300)])


def test_scores_by_hand() -> None:
    """Accuracy counts windows; macro-F1 counts labels that occur, alike."""
    truth, answers = np.array([0, 0, 0, 1]), np.array([0, 0, 2, 1])
    found = metrics.score(truth, answers)
    assert (found.windows, found.accuracy) == (4, 0.75)
    assert found.macro_f1 == pytest.approx((0.8 + 1.0) / 2)  # label 2 never occurs, it only costs label 0 its recall


def test_scores_of_nothing_are_an_error() -> None:
    """No windows, or answers to other windows, give no number."""
    none = np.zeros(0, np.int64)
    with pytest.raises(ParityError, match="at least one"):
        metrics.score(none, none)
    with pytest.raises(ParityError, match="expected as many"):
        metrics.score(np.zeros(3, np.int64), none)


def test_measures_of_a_matrix_are_those_of_the_library() -> None:
    """Accuracy and macro-F1 from a confusion matrix are scikit-learn's."""
    truth, answers, _ = made_up_answers()
    matrix = confusion_matrix(truth, answers, labels=np.arange(5))
    expected = accuracy_score(truth, answers), f1_score(truth, answers, labels=[0, 1, 2, 3], average="macro")
    assert metrics.measures(matrix) == pytest.approx(expected)


def test_intervals_hold_the_score_and_shrink_with_people() -> None:
    """The interval is around the score, the same every time, and wider when the same windows are of fewer people."""
    truth, answers, subjects = made_up_answers()
    labels = list("abcde")
    found = metrics.score_in_full(truth, answers, labels, subjects)
    assert found == metrics.score_in_full(truth, answers, labels, subjects)
    assert found.accuracy_interval is not None
    assert found.macro_f1_interval is not None
    assert found.accuracy_interval[0] < found.accuracy < found.accuracy_interval[1]
    assert found.macro_f1_interval[0] < found.macro_f1 < found.macro_f1_interval[1]
    # Two people, one of whom is always answered rightly: the interval reaches from one to the other.
    pair = np.where(truth == answers, "right", "wrong")
    wide = metrics.score_in_full(truth, answers, labels, pair)
    assert wide.accuracy_interval == (0.0, 1.0)


def test_confusion_counts_every_window() -> None:
    """Rows are what it is, columns what was answered, in the order of the labels."""
    truth, answers = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0])
    found = metrics.score_in_full(truth, answers, ["a", "b", "c"], np.array(["p", "p", "q", "q"]))
    assert found.confusion == ((1, 1, 0), (0, 1, 0), (1, 0, 0))
    assert found.labels == ("a", "b", "c")


def test_answers_are_of_the_split_in_order(store: Store) -> None:
    """Cosines come window by window for all of the split's windows, whatever the batch, with truth and subject beside them."""
    engine = testing.FakeEngine()
    known = testing.tiny_prototypes()
    found = zero_shot.answer(engine.embed, known.embeddings, store, "test", 1000)
    starts = store.window_starts("test", 1000)
    expected = known.scores(testing.FakeEngine().embed(store.windows(starts, 1000)))
    np.testing.assert_allclose(found.cosines, expected, atol=1e-5)
    assert max(engine.batches) <= zero_shot.BATCH
    assert np.array_equal(found.truth, store.captions(starts, 1000))
    assert set(found.subjects) == set(MADE_UP.test_subjects)
    with pytest.raises(RecipeError, match="nothing to evaluate"):
        zero_shot.answer(engine.embed, known.embeddings, store, "test", 100_000)


def answers(cosines: NDArray[np.float32], truth: NDArray[np.int64]) -> zero_shot.Answers:
    return zero_shot.Answers(cosines, truth, np.full(len(truth), "p"))


def drawn_at(temperature: float, seed: int, windows: int = 4000) -> zero_shot.Answers:
    """Answers whose truth was drawn from the probabilities that this temperature gives."""
    generator = np.random.default_rng(seed)
    cosines = generator.uniform(0, 1, (windows, 4)).astype(np.float32)
    powers = np.exp(cosines / temperature)
    chosen = (powers / powers.sum(1, keepdims=True)).cumsum(1) > generator.random((windows, 1))
    return answers(cosines, chosen.argmax(1))


@pytest.mark.parametrize("temperature", [0.02, 0.1, 0.5])
def test_calibration_finds_the_temperature(temperature: float) -> None:
    """Where labels were drawn at a temperature, that is the one found."""
    found = zero_shot.calibrate({"a": drawn_at(temperature, 0), "b": drawn_at(temperature, 1)})
    assert found.decision.temperature == pytest.approx(temperature, rel=0.1)


def test_calibration_keeps_right_answers() -> None:
    """The margin turns about 5 % of the right answers into unknown, and a larger share of the wrong ones; cosine at most 1 %."""
    given = drawn_at(0.1, 2)
    found = zero_shot.calibrate({"a": given})
    right = given.best == given.truth
    assert found.right_kept == pytest.approx(0.95, abs=0.015)
    assert found.wrong_caught > 1 - found.right_kept
    assert np.mean(given.cosines.max(1)[right] < found.decision.unknown_cosine) <= 0.01


def test_calibration_of_what_knows_nothing_is_refused() -> None:
    """Without one right answer there is nothing to keep."""
    given = answers(np.array([[1.0, 0.0]] * 3, np.float32), np.array([1, 1, 1]))
    with pytest.raises(RecipeError, match="Train longer"):
        zero_shot.calibrate({"a": given})


def test_turning_turns_each_window_by_its_own() -> None:
    """Lengths stay, directions change, windows turn apart, and the seed decides."""
    windows = np.repeat(testing.motion("walking")[None], 3, axis=0)

    def turn(seed: int) -> NDArray[np.float32]:
        return turned(windows, torch.Generator().manual_seed(seed))

    found = turn(1)
    for part in (slice(0, 3), slice(3, 6)):
        np.testing.assert_allclose(
            np.linalg.norm(found[:, part], axis=1), np.linalg.norm(windows[:, part], axis=1), rtol=1e-4, atol=1e-4
        )
    means = found[:, :3].mean(2)
    assert np.linalg.norm(means[0] - means[1]) > 0.5
    assert found.dtype == np.float32
    assert np.array_equal(found, turn(1))
    assert not np.array_equal(found, turn(2))


def test_bundle_is_measured_through_its_engine(tiny: Bundle, cache: Path) -> None:
    """The tiny bundle tells made-up motions apart; turning the windows is seen, for it is not blind to rotation."""
    tested = of_bundle(tiny, open_ort(tiny))
    upright = evaluate(tested, data=Path(), cache=cache).evaluation
    turned = evaluate(tested, Plan(conditions=Conditions(rotation_seed=3)), data=Path(), cache=cache).evaluation
    found = upright.sets["made-up"]
    assert found.labels is not None
    assert (found.labels.accuracy, found.labels.windows) == (1.0, 84)
    assert found.subjects == ("p11", "p12")
    assert found.groups is not None
    assert found.groups.labels == ("moving", "turning")
    assert found.groups.confusion == ((56, 0), (0, 28))
    assert turned.sets["made-up"].labels is not None
    assert turned.sets["made-up"].labels.accuracy < 1.0
    assert (upright.rotation_seed, turned.rotation_seed) == (None, 3)
    assert upright.engine["weights"] == tiny.model_digest
    assert found.foreign is None, "a bundle without provenance does not say what it was trained on"


def test_splits_are_other_people(tiny: Bundle, cache: Path) -> None:
    """Each split has its own people."""
    tested = of_bundle(tiny, testing.FakeEngine())
    people = [
        set(evaluate(tested, Plan(split=split), data=Path(), cache=cache).evaluation.sets["made-up"].subjects)
        for split in ("train", "validation", "test")
    ]
    assert [len(each) for each in people] == [8, 2, 2]
    assert len(set.union(*people)) == 12


def test_bundles_without_the_labels_are_refused(tmp_path: Path, cache: Path) -> None:
    """Without prototypes of any data set, or without all of a set's labels, there is nothing to compare with."""
    plain = testing.tiny_bundle(tmp_path / "plain.aura")
    with pytest.raises(RecipeError, match=r"has prototypes for none of .*made-up.*sisfall.*--set"):
        sets_of(of_bundle(plain, testing.FakeEngine()))
    lacking = with_prototypes(plain, LABELS[:2])
    with pytest.raises(BundleError, match="no prototype for 'spinning'"):
        evaluate(of_bundle(lacking, testing.FakeEngine()), data=Path(), cache=cache)


def test_report_shows_the_numbers(tiny: Bundle, cache: Path) -> None:
    """The table names data set, windows and scores, and how the windows were turned."""
    console = Console(width=120, record=True, file=io.StringIO())
    tested, plan = of_bundle(tiny, testing.FakeEngine()), Plan(conditions=Conditions(rotation_seed=5))
    show(evaluate(tested, plan, data=Path(), cache=cache).evaluation, console)
    text = console.export_text()
    assert "test subjects, each window turned (seed 5)" in text
    for word in ("made-up", "3 labels", "2 groups", "84", "accuracy", "macro-F1", "confusion", "spinning"):
        assert word in text


def invoke(*arguments: Any) -> Any:
    return CliRunner().invoke(evaluate_app, [str(argument) for argument in arguments])


def test_command_gives_json_to_programs(tiny: Bundle, cache: Path, tmp_path: Path) -> None:
    """`--json -` prints nothing but JSON; `--json FILE` writes the same beside the table."""
    common = ("--data", tmp_path, "--bundle", tiny.path, "--cache", cache, "--threads", 1)
    printed = invoke(*common, "--json", "-")
    assert printed.exit_code == 0, printed.output
    said = json.loads(printed.stdout)
    assert said["schema"] == 2
    assert said["sets"]["made-up"]["labels"]["accuracy"] == 1.0
    written = invoke(*common, "--json", tmp_path / "result.json")
    assert "accuracy" in written.stdout
    assert json.loads((tmp_path / "result.json").read_text()) == said


def test_command_refuses_what_makes_no_sense(tiny: Bundle, cache: Path, tmp_path: Path) -> None:
    """Unknown splits are wrong usage; an unknown data set, a torch engine without checkpoint, or an unwritable result is said."""
    common = ("--data", tmp_path, "--bundle", tiny.path, "--cache", cache, "--threads", 1)
    assert invoke(*common, "--split", "holdout").exit_code == 2
    for arguments, message in (
        (("--set", "pamap"), "'pamap' is unknown"),
        (("--engine", "torch"), "--checkpoint"),
        (("--json", tmp_path / "no" / "where.json"), "cannot write the result"),
    ):
        result = invoke(*common, *arguments)
        assert result.exit_code == 1
        assert message in str(result.exception)
