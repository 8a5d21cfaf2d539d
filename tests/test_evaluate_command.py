"""`aura-edge evaluate` on tiny runs and bundles: everything that may be asked beside zero-shot answers, and what makes no sense."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="a run is measured with it; it comes with aura-edge[train]")
pytest.importorskip("sklearn", reason="scores need it; it comes with aura-edge[train]")


from aura_edge import encoders, testing, text  # noqa: E402
from aura_edge.encoders import checkpoint  # noqa: E402
from aura_edge.errors import BundleError, RecipeError, TextSpaceError  # noqa: E402
from aura_edge.manifest import TextSpace  # noqa: E402
from aura_edge_train import datasets, recipe, running  # noqa: E402
from aura_edge_train.evaluation.candidates import of_run  # noqa: E402
from aura_edge_train.evaluation.commands import evaluate_app  # noqa: E402
from aura_edge_train.evaluation.evaluate import evaluate  # noqa: E402
from aura_edge_train.evaluation.results import Plan  # noqa: E402
from aura_edge_train.evaluation.summary import tables_of  # noqa: E402

SMALL = """
kind = "transformer"
options = { STRIDE, width = 16, depth = 1, heads = 2, invariant_filters = 0, vector_filters = 0, plain_stem = true }
"""
EVERYTHING = f"""
name = "everything"
text_tower = "tiny"
[encoder]{SMALL.replace("STRIDE", "stride = 50, patch = 50")}
[mocap]{SMALL.replace("STRIDE", "stride = 5, patch = 5")}
[[data]]
name = "swinging"
[[objective.pairs]]
between = ["imu", "mocap"]
[optimisation]
epochs = 4
batch = 24
learning_rate = 5e-3
averaging = 0.8
"""
WITHOUT_TEXT = (
    EVERYTHING.replace('"everything"', '"movement"')
    .replace('text_tower = "tiny"', 'text_tower = ""\ndimension = 8')
    .replace("[[objective", "[objective]\ncaptions = false\n[[objective")
    .replace("epochs = 4", "epochs = 1")
)


class OtherTower(testing.FakeTower):
    """The same sentences in another space."""

    space = TextSpace("tiny", "0" * 64, testing.TINY_DIMENSION)


@pytest.fixture(scope="module", autouse=True)
def swinging_is_known() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(datasets.DATA_SETS, "swinging", "swinging:SWINGING")
        yield


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, `everything` and `movement`, and the cache that they were made with."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(text.TOWERS, "tiny", "aura_edge.testing:FakeTower")
        for written in (EVERYTHING, WITHOUT_TEXT):
            parsed = recipe.parse(written, found_in="test")
            running.train(parsed, data=folder, run=folder / parsed.name, cache=folder / "cache")
    return folder


@pytest.fixture(autouse=True)
def tiny_tower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(text.TOWERS, "tiny", "aura_edge.testing:FakeTower")
    monkeypatch.setitem(text.TOWERS, "other", "test_evaluate_command:OtherTower")


def invoke(home: Path, *arguments: Any) -> Any:
    common = ("--data", home, "--cache", home / "cache", "--threads", 1)
    return CliRunner().invoke(evaluate_app, [str(argument) for argument in (*common, *arguments)])


def measured(home: Path, *arguments: Any) -> dict[str, Any]:
    """What it prints as JSON."""
    result = invoke(home, *arguments, "--json", "-")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_run_is_measured_without_a_bundle(home: Path) -> None:
    """Zero-shot on the set that it was trained on, with the digests that one needs to get the numbers again."""
    found = measured(home, "--run", home / "everything")
    header = checkpoint.load(home / "everything").header
    assert (found["schema"], found["run"], "bundle" in found) == (2, "everything", False)
    assert found["engine"]["weights"] == header.weights_sha256
    assert found["recipe_sha256"] == header.training["recipe_sha256"]
    swung = found["sets"]["swinging"]
    assert swung["labels"]["accuracy"] > 0.9
    assert swung["data_sha256"] == header.training["data"]["swinging"]["digest"]
    assert (swung["foreign"], swung["subjects"]) == (False, ["p08", "p09"])


def test_probe_and_few_shot(home: Path) -> None:
    """Probes see training people, and answer for test people."""
    swung = measured(home, "--run", home / "everything", "--probe", "--few-shot", "1,3")["sets"]["swinging"]
    assert swung["linear_probe"]["test"]["windows"] == swung["windows"] == 48
    assert swung["linear_probe"]["test"]["accuracy"] > 0.9
    assert swung["nearest_neighbours"]["test"]["accuracy"] > 0.9
    assert [each["shots"] for each in swung["few_shot"]] == [1, 3]


def test_fine_tuning_and_scratch(home: Path) -> None:
    """Fine-tuning starts from the zero-shot answers, scratch from nothing; both say each epoch, and how long it took."""
    arguments = ("--run", home / "everything", "--fine-tune", 1, "--scratch", 2)
    result = invoke(home, *arguments, "--json", home / "tuned.json")
    assert result.exit_code == 0, result.output
    assert "everything: fine-tuning on swinging: epoch 1/1, " in result.stderr
    assert "everything: training on swinging: epoch 2/2, " in result.stderr
    swung = json.loads((home / "tuned.json").read_text())["sets"]["swinging"]
    tuned, scratch = swung["fine_tuned"], swung["from_scratch"]
    assert tuned["validation"][0] > 0.9 > scratch["validation"][0]
    assert (tuned["plan"]["head_factor"], scratch["plan"]["head_factor"]) == (10.0, 1.0)
    assert tuned["plan"]["optimisation"]["learning_rate"] == pytest.approx(5e-4)
    assert tuned["test"]["windows"] == scratch["test"]["windows"] == 48
    for word in ("fine-tuned", "from scratch", "zero-shot"):
        assert word in result.stdout


def test_scratch_knows_nothing_of_what_was_trained(home: Path) -> None:
    """The same seed gives the same curve, whatever weights the run has, and whatever labels its recipe left out."""
    trained = of_run(home / "everything")
    other = replace(trained, encoder=encoders.build(trained.spec))
    without = recipe.parse(EVERYTHING.replace('"swinging"', '"swinging"\nunseen = ["fast"]'), found_in="test")
    partly = replace(trained, training=trained.training | {"recipe": msgspec.to_builtins(without)})
    curves = []
    for each in (trained, other, partly):
        found = evaluate(each, Plan(scratch=1), data=home, cache=home / "cache").evaluation.sets["swinging"]
        assert found.from_scratch is not None
        curves.append((found.from_scratch.validation, found.from_scratch.test))
    assert curves[0] == curves[1] == curves[2]


def test_fine_tuning_a_bundle_needs_its_run(home: Path, tmp_path: Path) -> None:
    """A bundle has nothing to train; with its checkpoint it has, and other people's bundles are refused."""
    tiny = testing.tiny_bundle(tmp_path / "tiny.aura")
    asked = ("--bundle", tiny.path, "--set", "swinging", "--fine-tune", 1)
    alone = invoke(home, *asked)
    assert alone.exit_code == 1
    assert "a bundle has no weights that could be trained" in str(alone.exception)
    both = measured(home, *asked, "--checkpoint", home / "everything")
    assert both["sets"]["swinging"]["fine_tuned"]["test"]["accuracy"] > 0.9
    beside = invoke(home, "--run", home / "everything", "--fine-tune", 1, "--compare", tiny.path)
    assert "a bundle has no weights" in str(beside.exception)
    assert "epoch" not in beside.stderr, "said before the first is measured"
    other = invoke(home, *asked, "--checkpoint", home / "movement")
    assert isinstance(other.exception, TextSpaceError)


def test_retrieval_has_every_direction(home: Path) -> None:
    """Captions, what was said, and motion capture, there and back, with chance and intervals over people."""
    told = measured(home, "--run", home / "everything", "--retrieval")["sets"]["swinging"]["retrieval"]
    found = {(each["query"], each["gallery"]): each["score"] for each in told["directions"]}
    assert set(found) == {
        pair for other in ("captions", "narration", "mocap") for pair in (("imu", other), (other, "imu"))
    }
    assert found["imu", "captions"]["recall"]["1"]["value"] > 0.9
    assert found["imu", "captions"]["recall"]["1"]["chance"] == pytest.approx(0.5)
    # Six sentences, each said of eight windows.
    assert found["imu", "narration"]["recall"]["1"]["chance"] == pytest.approx(1 / 6)
    assert found["imu", "mocap"]["queries"] == 36, "a quarter of the trials was not captured"
    assert found["imu", "mocap"]["mrr"]["value"] > found["imu", "mocap"]["mrr"]["chance"]
    low, high = found["imu", "mocap"]["mrr"]["interval"]
    assert low <= found["imu", "mocap"]["mrr"]["value"] <= high
    assert "length_alone" not in told, "no trial was extended"


def test_length_of_trials_alone_is_a_row(home: Path) -> None:
    """Beside the encoder, in the directions that it is of, with a word about what it means."""
    found = evaluate(of_run(home / "everything"), Plan(retrieval=True), data=home, cache=home / "cache").evaluation
    told = found.sets["swinging"].retrieval
    assert told is not None
    alone = tuple(each for each in told.directions if "mocap" in (each.query, each.gallery))
    swung = msgspec.structs.replace(found.sets["swinging"], retrieval=msgspec.structs.replace(told, length_alone=alone))
    for one, rows, note in ((swung, 2, True), (found.sets["swinging"], 0, False)):
        (table,) = (
            table
            for table in tables_of(msgspec.structs.replace(found, sets={"swinging": one}))
            if table.title == "Retrieval on swinging"
        )
        assert sum("length of the trial alone" in row.names for row in table.rows) == rows
        assert ("utd-mhad-middle" in table.note) == note


def test_encoder_without_text(home: Path) -> None:
    """It is asked for motion capture, and for probes; words mean nothing to it."""
    found = measured(home, "--run", home / "movement", "--retrieval", "--probe")["sets"]["swinging"]
    assert {each["gallery"] for each in found["retrieval"]["directions"]} == {"imu", "mocap"}
    assert "labels" not in found
    assert found["linear_probe"]["test"]["windows"] == 48
    for arguments, message in (
        ((), "aligned without a text tower"),
        (("--probe", "--against", "fast"), "no zero-shot answers"),
        (("--prompt", "walking"), "a prompt means nothing"),
        (("--retrieval", "--set", "made-up"), "nothing to look for"),
    ):
        result = invoke(home, "--run", home / "movement", *arguments)
        assert isinstance(result.exception, RecipeError)
        assert message in str(result.exception)


def test_prompts_find_windows(home: Path) -> None:
    """A sentence that is nobody's label: the best windows, each of its own stretch, with where they are."""
    asked = ("--run", home / "everything", "--prompt", "she is shaking it", "--prompt", "walking home")
    shaking, walking = measured(home, *asked)["sets"]["swinging"]["prompts"]
    assert (shaking["prompt"], walking["prompt"]) == ("she is shaking it", "walking home")
    for answer, label, trial in ((shaking, "shaking", 1), (walking, "walking", 0)):
        hits = answer["hits"]
        assert [hit["label"] for hit in hits] == [label] * 5
        assert all(int(hit["recording"].split("/")[1]) % 2 == trial for hit in hits)
        assert len({hit["recording"] for hit in hits}) == 5
        assert all(hit["at_s"] in (0.0, 2.5, 5.0) for hit in hits)
        assert [hit["cosine"] for hit in hits] == sorted((hit["cosine"] for hit in hits), reverse=True)
    printed = invoke(home, *asked).stdout
    assert "Words to windows" in printed
    assert shaking["hits"][0]["recording"] in printed


def test_foreign_sets_are_asked_as_they_are(home: Path, tmp_path: Path) -> None:
    """A run, and a bundle without prototypes for it, on a set they never saw: its own captions, embedded by their tower."""
    run = measured(home, "--run", home / "everything", "--set", "made-up")["sets"]["made-up"]
    assert (run["foreign"], run["labels"]["windows"]) == (True, 84)
    tiny = testing.tiny_bundle(tmp_path / "tiny.aura")
    bundle = measured(home, "--bundle", tiny.path, "--set", "made-up")["sets"]["made-up"]
    assert bundle["labels"]["accuracy"] == 1.0
    assert bundle["prototypes_sha256"] == run["prototypes_sha256"]
    assert "made-up (foreign)" in invoke(home, "--run", home / "everything", "--set", "made-up").stdout
    probed = invoke(home, "--run", home / "everything", "--set", "made-up", "--probe").stdout
    assert "† Never trained on that set" in " ".join(probed.split())


def test_another_text_tower_is_refused(home: Path) -> None:
    """Its cosines would mean nothing."""
    result = invoke(home, "--run", home / "everything", "--text-tower", "other")
    assert isinstance(result.exception, TextSpaceError)
    assert "--text-tower" in str(result.exception)


def test_one_group_against_all(home: Path) -> None:
    """On the set that has it; on one that has not, with the captions lent, false alarms alone."""
    own = measured(home, "--run", home / "everything", "--against", "fast")["sets"]["swinging"]["against"]
    assert (own["windows"], own["positives"], own["lent_by"]) == (48, 24, "")
    assert set(own["measures"]) == set(own["intervals"]) == {"accuracy", "F1", "sensitivity", "specificity"}
    assert own["measures"]["F1"] > 0.9
    lent = measured(home, "--run", home / "everything", "--set", "made-up", "--against", "slow")["sets"]["made-up"]
    assert (lent["against"]["positives"], lent["against"]["lent_by"]) == (0, "swinging")
    assert set(lent["against"]["measures"]) == {"accuracy", "specificity"}
    unknown = invoke(home, "--run", home / "everything", "--against", "fall")
    assert "no caption of group 'fall' in" in str(unknown.exception)


def test_several_in_one_table(home: Path, tmp_path: Path) -> None:
    """A bundle beside a run, and a run beside its copy: rows of one table, told apart by name."""
    shutil.copytree(home / "everything", tmp_path / "copy")
    tiny = testing.tiny_bundle(tmp_path / "tiny.aura")
    asked = ("--run", home / "everything", "--compare", tmp_path / "copy", "--compare", tiny.path)
    found = measured(home, *asked)
    assert [each["run"] for each in found["compared"][:1]] == ["everything (copy)"]
    assert found["compared"][0]["sets"]["swinging"]["labels"] == found["sets"]["swinging"]["labels"]
    assert found["compared"][1]["bundle"] == "tiny"
    printed = invoke(home, *asked).stdout
    assert "Activity recognition" in printed
    assert "beside it everything (copy), tiny" in printed
    missing = invoke(home, "--run", home / "everything", "--compare", tmp_path)
    assert isinstance(missing.exception, BundleError)


def test_page_has_tables_pictures_and_provenance(home: Path) -> None:
    """All that was measured, in one file."""
    page = home / "report.html"
    asked = ("--probe", "--few-shot", "1", "--retrieval", "--against", "fast", "--prompt", "shaking <b>")
    found = measured(home, "--run", home / "everything", *asked, "--html", page)
    written = page.read_text()
    for word in (
        "Activity recognition",
        "linear probe",
        "k-NN",
        "Few labelled windows of swinging",
        "Retrieval on swinging",
        "imu → mocap",
        "&#x27;fast&#x27; against all others",
        "shaking &lt;b&gt;",
        "zero-shot confusion",
        "t-SNE",
        found["engine"]["weights"],
        found["sets"]["swinging"]["data_sha256"],
        found["recipe_sha256"],
    ):
        assert word in written, word
    assert written.count("<svg") == 2
    assert "<b>" not in written.split("Words to windows")[1].split("</table>")[0].replace("<b>0", "")


def test_windows_worn_otherwise(home: Path) -> None:
    """Said in the result, and seen in the numbers of what is not blind to it; probes learn from windows as they were worn."""
    asked = ("--bundle", testing.tiny_bundle(home / "tiny.aura").path, "--set", "made-up")
    plain = measured(home, *asked)["sets"]["made-up"]["labels"]
    slow = measured(home, *asked, "--rate-hz", 20)
    assert slow["plan"]["conditions"]["rate_hz"] == 20.0
    assert slow["sets"]["made-up"]["labels"]["windows"] == plain["windows"]
    noisy = measured(home, *asked, "--noise", 30, "--seed", 1)
    assert noisy["plan"]["conditions"]["noise_m_s2"] == 30.0
    assert noisy["sets"]["made-up"]["labels"]["accuracy"] < plain["accuracy"]
    assert "as from a sensor of 20 Hz" in invoke(home, *asked, "--rate-hz", 20).stdout


def test_described_set_is_measured_by_its_name(home: Path, tmp_path: Path) -> None:
    """A table of one's own, named by its file; results call it what it calls itself."""
    for person in ("p1", "p2"):
        for label in testing.TINY_LABELS:
            signal = testing.motion(label, samples=1600, seed=int(person[1])).T
            lines = [",".join(f"{value:.5f}" for value in row) for row in signal.tolist()]
            head = "acc_x,acc_y,acc_z,gyro_x,gyro_y,gyro_z"
            (tmp_path / f"{person}_{label}.csv").write_text("\n".join([head, *lines]) + "\n")
    said = {
        "name": "gym",
        "file_name": r"(?P<subject>p\d)_(?P<label>\w+)",
        "units": "m/s2, rad/s",
        "rate_hz": 200,
        "test_subjects": ["p1", "p2"],
        "captions": [
            {"key": label, "label": label, "group": label, "sentences": [f"a person is {label}"]}
            for label in testing.TINY_LABELS
        ],
    }
    (tmp_path / "gym.json").write_text(json.dumps(said))
    tiny = testing.tiny_bundle(tmp_path / "tiny.aura")
    found = measured(home, "--bundle", tiny.path, "--data", tmp_path, "--set", tmp_path / "gym.json")
    assert list(found["sets"]) == ["gym"]
    assert found["sets"]["gym"]["labels"]["accuracy"] == 1.0


def test_wrong_usage_is_said_before_anything_is_opened(home: Path) -> None:
    """Exit code 2."""
    for arguments in (
        ("--run", home / "everything", "--bundle", home),
        ("--run", home / "everything", "--engine", "ort"),
        ("--probe", "--split", "validation"),
        ("--few-shot", "1,many"),
        ("--few-shot", "0"),
        ("--rate-hz", 5),
        ("--noise", -1),
    ):
        assert invoke(home, *arguments).exit_code == 2, arguments


def test_command_imports_nothing_heavy() -> None:
    """The module that `--help` loads brings neither torch nor onnxruntime nor scikit-learn."""
    code = (
        "import sys, aura_edge_train.evaluation.commands; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'onnxruntime', 'sklearn', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
