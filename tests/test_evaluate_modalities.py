"""What evaluation makes of a set's modalities: video and motion capture beside the IMU, how long trials were, one group against all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="evaluation embeds with it; it comes with aura-edge[train]")
pytest.importorskip("sklearn", reason="scores need it; it comes with aura-edge[train]")

import swinging  # noqa: E402

from aura_edge import testing, text  # noqa: E402
from aura_edge.encoders.checkpoint import Caption  # noqa: E402
from aura_edge.encoders.mocap_checkpoint import Header  # noqa: E402
from aura_edge.manifest import DecisionSpec, TextSpace  # noqa: E402
from aura_edge_train import recipe  # noqa: E402
from aura_edge_train.batches import mocap_input  # noqa: E402
from aura_edge_train.datasets.store import Store, open_store  # noqa: E402
from aura_edge_train.evaluation import cross_modal, one_against_all, prompts  # noqa: E402
from aura_edge_train.evaluation.candidates import Candidate, of_bundle  # noqa: E402
from aura_edge_train.evaluation.conditions import Conditions  # noqa: E402
from aura_edge_train.evaluation.cross_modal import Retrieved  # noqa: E402
from aura_edge_train.evaluation.embedding import Embedded, embed_split  # noqa: E402
from aura_edge_train.evaluation.evaluate import evaluate  # noqa: E402
from aura_edge_train.evaluation.spaces import Spaces  # noqa: E402
from aura_edge_train.recipe import Mocap  # noqa: E402
from aura_edge_train.videos import VideoRows  # noqa: E402

AS_WORN = Conditions()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return open_store(swinging.SWINGING, Path(), cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture
def candidate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Candidate:
    monkeypatch.setitem(text.TOWERS, "tiny", "aura_edge.testing:FakeTower")
    return of_bundle(testing.tiny_bundle(tmp_path / "tiny.aura"), testing.FakeEngine())


class Reach(torch.nn.Module):
    """(B, 9, 50) to the direction of how far the wrist reaches, on either side, and eight numbers in all."""

    def forward(self, captured: torch.Tensor) -> torch.Tensor:
        wide = torch.cat([captured[:, 7].std(1, keepdim=True), torch.full((len(captured), 7), 0.1)], 1)
        return torch.nn.functional.normalize(wide, dim=1)


def with_mocap(candidate: Candidate, joints: tuple[str, ...]) -> Candidate:
    made_ready = Mocap(kind="transformer", face_forward=False)
    return replace(
        candidate,
        mocap=(
            Reach(),
            Header(encoder=candidate.spec, joints=joints, rate_hz=10.0, made_ready=msgspec.to_builtins(made_ready)),
        ),
    )


class ShowsTheImu(Spaces):
    """Videos whose frames are what the IMU says: nothing could be aligned better."""

    def __init__(self, cache: Path, store: Store, candidate: Candidate) -> None:
        super().__init__(cache)
        self.rows: list[NDArray[np.float32]] = []
        numbers = [number for number in range(len(store.index.segments)) if number % 2]
        self.first = np.full(len(store.index.segments), -1, np.int64)
        self.stop = np.zeros(len(store.index.segments), np.int64)
        for number in numbers:
            segment = store.index.segments[number]
            starts = np.array([segment.start + 500 * place for place in range(3)])
            one, two, three = candidate.embed(store.windows(starts, 1000))
            # 2.5 s each, so that the mean of each window's two is its own vector
            quarters = np.stack([np.zeros_like(one), one, two - one, three - two + one])
            self.first[number] = 100 * len(self.rows)
            self.rows.append(np.repeat(quarters, 25, axis=0))
            self.stop[number] = 100 * len(self.rows)

    def videos(self, *_: Any) -> VideoRows:
        return VideoRows(np.concatenate(self.rows), self.first, self.stop, np.ones(len(self.first)))


def retrieved(candidate: Candidate, store: Store, spaces: Spaces, embedded: Embedded) -> Retrieved:
    return cross_modal.measure(candidate, store, "test", embedded, None, spaces, conditions=AS_WORN)


def silent(candidate: Candidate) -> Candidate:
    """Without text, so that nothing but video and motion capture is looked for."""
    return replace(candidate, space=TextSpace("none", "", testing.TINY_DIMENSION))


def test_video_is_found_where_it_is(store: Store, candidate: Candidate, tmp_path: Path) -> None:
    """Each window's frames are those of its own time in its own segment; windows without video are in no gallery."""
    embedded = embed_split(candidate, store, "test")
    found = retrieved(silent(candidate), store, ShowsTheImu(tmp_path, store, candidate), embedded)
    assert [(each.query, each.gallery) for each in found.directions] == [("imu", "video"), ("video", "imu")]
    for each in found.directions:
        assert each.score.queries == each.score.candidates == 24
        assert each.score.recall[1].value == 1.0


def test_videos_of_another_length_of_vector_are_left_out(store: Store, candidate: Candidate, tmp_path: Path) -> None:
    """An image tower that does not fit the text space gives no direction, and no error."""
    longer = replace(silent(candidate), space=TextSpace("none", "", 16))
    embedded = embed_split(candidate, store, "test")
    assert retrieved(longer, store, ShowsTheImu(tmp_path, store, candidate), embedded).directions == ()


def test_motion_capture_of_other_joints_is_left_out(store: Store, candidate: Candidate, tmp_path: Path) -> None:
    """The encoder would take one joint for another."""
    embedded = embed_split(candidate, store, "test")
    own = retrieved(silent(with_mocap(candidate, swinging.SKELETON.joints)), store, Spaces(tmp_path), embedded)
    assert [each.gallery for each in own.directions] == ["mocap", "imu"]
    assert own.directions[0].score.queries == 36
    other = retrieved(silent(with_mocap(candidate, ("a", "b", "c"))), store, Spaces(tmp_path), embedded)
    assert other.directions == ()


def test_length_of_extended_trials_is_measured_alone(store: Store, candidate: Candidate, tmp_path: Path) -> None:
    """Where every trial was extended by another time, their lengths find each partner; where all by the same, they tell nothing."""
    chosen = with_mocap(silent(candidate), swinging.SKELETON.joints)

    def alone(*padded: int) -> Retrieved:
        segments = tuple(
            msgspec.structs.replace(each, start=at * 2400, length=1000, padded=padded[at % len(padded)])
            for at, each in enumerate(store.index.segments)
        )
        short = replace(store, index=msgspec.structs.replace(store.index, segments=segments), pose=poses_of(store))
        return retrieved(chosen, short, Spaces(tmp_path), embed_split(candidate, short, "test"))

    assert alone(200).length_alone == ()
    found = alone(*range(0, 660, 20)).length_alone
    assert [(each.query, each.gallery) for each in found] == [("imu", "mocap"), ("mocap", "imu")]
    assert found[0].score.recall[1].value > 0.9
    two = alone(0, 400).length_alone[0].score.recall[1]
    assert two.value == pytest.approx(1 / 6, abs=0.01), "six captured trials of each length"


def poses_of(store: Store) -> NDArray[np.float32]:
    """Fifty frames of each segment."""
    assert store.pose is not None
    assert swinging.SWINGING.skeleton is not None
    return store.pose.reshape(len(store.index.segments), -1, swinging.SKELETON.channels)[:, :50].reshape(
        -1, swinging.SKELETON.channels
    )


def test_mocap_input_is_that_of_training(store: Store, candidate: Candidate) -> None:
    """Made ready as the run's header says, not by a way of its own."""
    made_ready = Mocap(kind="transformer", face_forward=False)
    starts = store.window_starts("test", 1000)
    inputs, present = mocap_input(store.pose_windows(starts, 1000), made_ready, swinging.SKELETON)
    embedded = embed_split(candidate, store, "test")
    found = cross_modal.motion_capture(with_mocap(candidate, swinging.SKELETON.joints), store, embedded)
    assert found is not None
    assert np.array_equal(found[1], present)
    np.testing.assert_allclose(found[0], Reach()(torch.from_numpy(inputs)).numpy(), rtol=1e-6)


def test_one_group_by_hand(candidate: Candidate, tmp_path: Path) -> None:
    """Four falls of which three are caught, six other windows of which two are taken for falls."""
    captions = [
        Caption(k, k, g, (k,)) for k, g in (("trip", "fall"), ("slip", "fall"), ("walk", "calm"), ("sit", "calm"))
    ]
    prototypes = np.eye(4, dtype=np.float32)
    truth = np.array([0, 0, 1, 1, 2, 2, 2, 3, 3, 3])
    said = np.array([1, 0, 1, 2, 2, 3, 0, 3, 1, 2])  # trip for slip is as good as right
    people = np.array(list("aabbaabbbb"))
    embedded = Embedded(np.arange(10), prototypes[said], truth, people, people, people)
    found = one_against_all.against_all(candidate, captions, prototypes, embedded, "fall", Spaces(tmp_path))
    assert (found.windows, found.positives, found.false_alarms) == (10, 4, 2)
    assert found.measures == pytest.approx({"accuracy": 0.7, "F1": 6 / 9, "sensitivity": 0.75, "specificity": 4 / 6})
    assert found.intervals["sensitivity"] == (0.5, 1.0), "one person's falls are all caught, half of the other's"


def test_seen_and_unseen_are_told_apart(candidate: Candidate, tmp_path: Path) -> None:
    """Where the recipe left a caption out: with cosines as they are, and with the bias of its decision."""
    made = recipe.parse(
        'name = "x"\ntext_tower = "tiny"\nencoder = {kind = "transformer"}\noptimisation = {epochs = 1}\n'
        'data = [{name = "made-up", unseen = ["spinning"]}]',
        found_in="test",
    )
    decision = DecisionSpec(seen_bias=3.0)
    held = replace(candidate, training={"recipe": msgspec.to_builtins(made)}, decision=decision)
    found = evaluate(held, data=tmp_path, cache=tmp_path, sets=["made-up"]).evaluation.sets["made-up"].generalised
    assert list(found) == ["as they are", "seen labels lowered by 3.000"]
    assert (found["as they are"].seen, found["as they are"].unseen) == pytest.approx((1, 1))
    lowered = found["seen labels lowered by 3.000"]
    assert (lowered.seen, lowered.unseen, lowered.unseen_alone) == pytest.approx((0, 1, 1))
    plain = evaluate(candidate, data=tmp_path, cache=tmp_path, sets=["made-up"]).evaluation.sets["made-up"]
    assert plain.generalised == {}


def test_prompts_give_each_stretch_once(store: Store, candidate: Candidate) -> None:
    """The best window of each, best first, and no more than there are."""
    embedded = embed_split(candidate, store, "test")
    (found,) = prompts.search(["up"], embedded.vectors[:1], store, embedded, hits=100)
    assert len(found.hits) == len({hit.recording for hit in found.hits}) == 16
    assert found.hits[0].cosine == pytest.approx(1.0)
    assert found.hits[0].recording == store.index.segments[int(store.segments_at(embedded.starts[:1])[0])].recording
    best = {hit.recording: hit.cosine for hit in found.hits}
    names = [store.index.segments[n].recording for n in store.segments_at(embedded.starts)]
    cosines = embedded.vectors @ embedded.vectors[0]
    for name, cosine in best.items():
        assert cosine == pytest.approx(max(c for c, n in zip(cosines, names, strict=True) if n == name))
