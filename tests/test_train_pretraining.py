"""Masked-signal modelling: what is hidden stays hidden, what is asked for can be known, and the run is the same every time."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

torch = pytest.importorskip("torch", reason="training needs it; it comes with aura-edge[train]")
pytest.importorskip("sklearn", reason="validation scores need it; it comes with aura-edge[train]")


from aura_edge import encoders, testing  # noqa: E402
from aura_edge.encoders import checkpoint  # noqa: E402
from aura_edge.errors import RecipeError  # noqa: E402
from aura_edge.manifest import SignalSpec  # noqa: E402
from aura_edge_train import corpus, loop, pretraining, recipe, sentences, state  # noqa: E402
from aura_edge_train.augment import Augmentation, rotations  # noqa: E402
from aura_edge_train.batches import Batcher  # noqa: E402
from aura_edge_train.datasets.made_up import MADE_UP  # noqa: E402
from aura_edge_train.datasets.store import Store, open_store  # noqa: E402
from aura_edge_train.masked_signal import MaskedSignal, Pretraining, bridge, hide  # noqa: E402
from aura_edge_train.recipe import Data, Recipe  # noqa: E402

SMALL = {"dimension": 8, "width": 16, "depth": 2, "heads": 2, "invariant_filters": 8, "vector_filters": 4}
PLAIN = {"invariant_filters": 0, "vector_filters": 0, "plain_stem": True}
OPTIONS: dict[str, dict[str, Any]] = {
    "both stems": SMALL,
    "plain, with a summary": SMALL | PLAIN | {"pooling": "summary"},
    "with the channels": SMALL | {"channel_filters": 8},
    "all stems": SMALL | {"plain_stem": True, "token_mask": 0.5},
}
every_stem = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
SPEC = {"width": 32, "depth": 2, "heads": 2, "mlp_ratio": 2, "stride": 50, "patch": 50, "vector_filters": 0}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def store(cache: Path) -> Store:
    return open_store(MADE_UP, Path(), cache=cache)


def make(options: dict[str, Any], seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return encoders.build(encoders.make_spec("transformer", options))


def windows(count: int, seed: int = 0) -> Any:
    return torch.randn(count, 6, 1000, generator=torch.Generator().manual_seed(seed)) * 2 + 3


def tiny(**optimisation: Any) -> Recipe:
    base = recipe.load(Path("tiny"))
    return msgspec.structs.replace(
        base, optimisation=msgspec.structs.replace(base.optimisation, **({"batch": 16} | optimisation))
    )


def batcher_of(store: Store, chosen: Recipe) -> Batcher:
    whole = corpus.build([store], chosen.data, 1000)
    return Batcher(whole, chosen, 1000, sentences.embed(testing.FakeTower(), whole.captions), None)


def pretrain(
    encoder: Any,
    store: Store,
    run: Path,
    options: Pretraining,
    chosen: Recipe | None = None,
    after_epoch: Callable[[int], None] = lambda epoch: None,
) -> list[float]:
    chosen = msgspec.structs.replace(chosen or tiny(), pretraining=options)
    run.mkdir(exist_ok=True)
    return pretraining.pretrain(
        encoder,
        batcher_of(store, chosen),
        state.Progress(chosen.digest, (store.index.digest,), testing.TINY_SPACE, 1),
        run=run,
        log=run / "log.jsonl",
        console=Console(quiet=True),
        after_epoch=after_epoch,
    )


@every_stem
def test_a_hidden_token_does_not_see_its_own_signal(options: dict[str, Any]) -> None:
    """Other samples under the hidden tokens give the same reconstruction to the last bit; other samples beside them another."""
    encoder = make(options)
    masked = MaskedSignal(encoder)
    hidden = hide(4, encoder.tokens, 0.5, 5, torch.Generator().manual_seed(0))
    under = hidden.repeat_interleave(encoder.options.stride, 1)[:, None]
    one, other = windows(4), windows(4, seed=1) * 5
    with torch.inference_mode():
        found = masked.reconstruct(encoder, one, hidden)
        assert torch.equal(masked.reconstruct(encoder, torch.where(under, other, one), hidden), found)
        assert not torch.equal(masked.target(torch.where(under, other, one))[hidden], masked.target(one)[hidden])
        changed = masked.reconstruct(encoder, torch.where(under, one, other), hidden)
        assert (changed - found).abs().amax(2)[hidden].min() > 0


@every_stem
def test_what_is_asked_for_is_what_the_encoder_sees(options: dict[str, Any]) -> None:
    """Turning the sensor changes the target of an encoder that sees its channels, and no other's; each channel of a patch has mean 0."""
    encoder = make(options)
    masked = MaskedSignal(encoder)
    given = windows(3)
    turn = rotations(1, torch.Generator().manual_seed(0))
    turned = torch.cat([turn @ given[:, :3], turn @ given[:, 3:]], 1)
    with torch.inference_mode():
        found, other = masked.target(given), masked.target(turned)
    same = torch.allclose(found, other, atol=2e-3)
    assert same != masked.sees_channels
    channels = found.unflatten(2, (-1, encoder.options.stride))
    assert channels.shape == (3, encoder.tokens, 6 if masked.sees_channels else 10, encoder.options.stride)
    assert channels.mean(3).abs().max() < 1e-4
    assert channels.std(3).max() < 1.05


def test_each_hidden_token_is_asked_for_its_own_stride() -> None:
    """What happens in one stride is in the target of that token alone, and the loss is the mean over hidden tokens of what is missed."""
    encoder = make(SMALL | PLAIN)
    masked = MaskedSignal(encoder)
    still = torch.zeros(1, 6, 1000)
    still[:, :, 140:160] = windows(1)[:, :, 140:160]
    assert masked.target(still).abs().sum(2).nonzero().tolist() == [[0, 7]]
    given, hidden = windows(3), hide(3, encoder.tokens, 0.3, 4, torch.Generator().manual_seed(0))
    with torch.inference_mode():
        missed = (masked.reconstruct(encoder, given, hidden) - masked.target(given)).abs().mean(2)
        torch.testing.assert_close(masked(encoder, given, hidden), missed[hidden].mean())


def test_noise_of_a_sensor_at_rest_is_not_blown_up() -> None:
    """Where nothing happens there is next to nothing to tell; and no window gives anything but numbers."""
    masked = MaskedSignal(make(SMALL | PLAIN))
    rest = torch.randn(1, 6, 1000, generator=torch.Generator().manual_seed(0)) * 0.02
    rest[:, 2] += 9.81
    assert masked.target(rest).abs().mean() < 0.25
    for encoder in (make(SMALL), make(SMALL | PLAIN)):
        loss = MaskedSignal(encoder)(encoder, torch.zeros(1, 6, 1000), torch.arange(50)[None] < 20)
        loss.backward()
        assert loss.isfinite()
        assert all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 60), st.floats(0.01, 0.99), st.integers(1, 70), st.integers(0, 1000))
def test_as_many_are_hidden_as_asked_in_stretches(tokens: int, share: float, span: int, seed: int) -> None:
    """Each row hides the same number, in runs, around the end, of whole stretches and at most one shorter one."""
    hidden = hide(7, tokens, share, span, torch.Generator().manual_seed(seed))
    count = min(max(1, round(share * tokens)), tokens - 1)
    assert hidden.sum(1).tolist() == [count] * 7
    for row in hidden.int().tolist():
        shown = row.index(0)
        runs = [len(run) for run in "".join(map(str, row[shown:] + row[:shown])).split("0") if run]
        assert sum(run % span != 0 for run in runs) <= 1


def test_places_are_drawn_anew() -> None:
    """Every token is hidden about as often as asked, and rows differ."""
    hidden = hide(2000, 20, 0.5, 4, torch.Generator().manual_seed(0)).float()
    assert (hidden.mean(0) - 0.5).abs().max() < 0.05
    assert len(hidden.unique(dim=0)) > 100


@settings(max_examples=60, deadline=None)
@given(st.lists(st.booleans(), min_size=2, max_size=40).filter(lambda hidden: not all(hidden)), st.integers(0, 1000))
def test_bridge_is_a_straight_line(hidden: list[bool], seed: int) -> None:
    """As numpy interpolates between samples that are left; those stay as they are to the last bit."""
    given_windows = torch.randn(2, 3, len(hidden), generator=torch.Generator().manual_seed(seed))
    mask = np.array(hidden)
    found = bridge(given_windows, torch.tensor([hidden, [False] * len(hidden)]))
    index = np.arange(len(hidden))
    for channel in range(3):
        row = given_windows[0, channel].numpy()
        np.testing.assert_allclose(found[0, channel], np.interp(index, index[~mask], row[~mask]), atol=1e-5)
    assert torch.equal(found[0][:, ~mask], given_windows[0][:, ~mask])
    assert torch.equal(found[1], given_windows[1])


def test_loss_falls_below_that_of_the_mean(store: Store, tmp_path: Path) -> None:
    """After some epochs of made-up motions, the loss is lower than of telling what is there on average."""
    encoder = make({"dimension": 8, "dropout": 0.0, "drop_path": 0.0} | SPEC | {"invariant_filters": 16})
    chosen = msgspec.structs.replace(tiny(), augmentation=Augmentation())
    losses = pretrain(encoder, store, tmp_path, Pretraining(60, learning_rate=5e-3), chosen)
    whole = corpus.build([store], chosen.data, 1000)
    generator = torch.Generator().manual_seed(0)
    target = MaskedSignal(encoder).target(whole.cut(pretraining.everywhere(whole, generator), 1000, 0.0, generator))
    of_the_mean = float((target - target.mean((0, 1))).abs().mean())
    assert losses[0] > of_the_mean
    assert np.mean(losses[-5:]) < 0.8 * of_the_mean


def test_the_seed_decides_everything(store: Store, tmp_path: Path) -> None:
    """The same recipe gives the same files, whatever the global generator did before; another seed gives others."""
    found = []
    for number, seed in enumerate((0, 0, 1)):
        encoder = make({"dimension": 8} | SPEC | {"invariant_filters": 8})
        torch.manual_seed(number)
        run = tmp_path / str(number)
        pretrain(encoder, store, run, Pretraining(2), msgspec.structs.replace(tiny(), seed=seed))
        found.append((run / "log.jsonl").read_bytes() + (run / pretraining.STATE).read_bytes())
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_stopped_and_resumed_is_as_left_alone(store: Store, tmp_path: Path) -> None:
    """Ctrl-C after an epoch, then the same again with a new encoder: nothing shows it, and a finished one is only loaded."""

    def stop(epoch: int) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    def fresh() -> Any:
        return make({"dimension": 8} | SPEC | {"invariant_filters": 8})

    options = Pretraining(3, hidden_share=0.6)
    straight, stopped, again = fresh(), fresh(), fresh()
    pretrain(straight, store, tmp_path / "straight", options)
    with pytest.raises(KeyboardInterrupt):
        pretrain(stopped, store, tmp_path / "stopped", options, after_epoch=stop)
    stopped = fresh()
    assert len(pretrain(stopped, store, tmp_path / "stopped", options)) == 1
    assert pretrain(again, store, tmp_path / "stopped", options) == []
    for encoder in (stopped, again):
        assert all(torch.equal(a, b) for a, b in zip(straight.parameters(), encoder.parameters(), strict=True))
    for name in (pretraining.STATE, "log.jsonl"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()
    lines = [json.loads(line) for line in (tmp_path / "straight" / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [-3] * 4 + [-2] * 4 + [-1] * 4
    assert [line["pretraining_step"] for line in lines] == list(range(12))
    with pytest.raises(RecipeError, match="started with another recipe"):
        pretrain(fresh(), store, tmp_path / "straight", options, tiny(weight_decay=0.1))


@pytest.mark.parametrize("keeps", ["patches", "encoder"])
def test_what_is_kept(store: Store, tmp_path: Path, keeps: Any) -> None:
    """The patch embedding is always another than before; the blocks only where they are kept; the projection never learned."""
    encoder = make({"dimension": 8} | SPEC | PLAIN)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    pretrain(encoder, store, tmp_path, Pretraining(1, keeps=keeps))
    changed = {name for name, tensor in encoder.state_dict().items() if not torch.equal(tensor, before[name])}
    patches = {name for name in before if name.startswith(("plain_stem", "stem_norm"))}
    assert patches <= changed
    assert (changed == patches) == (keeps == "patches")
    assert not any(name.startswith("projection") for name in changed)


def test_windows_without_a_caption_are_learned_from(store: Store, tmp_path: Path) -> None:
    """A set in which nothing is called anything is as good as another; windows that the recipe leaves out stay out."""
    unnamed = replace(
        store, data_set=replace(MADE_UP, caption_of=lambda labels, starts, length: np.full(len(starts), -1))
    )
    generator = torch.Generator().manual_seed(0)
    whole = corpus.build([unnamed], [Data("made-up")], 1000)
    assert len(whole.epoch(generator)) == 0
    assert len(pretraining.everywhere(whole, generator)) == 8 * 3 * 3
    still = corpus.build([store], [Data("made-up", quiet_rad_s=0.3)], 1000)
    assert set(pretraining.everywhere(still, generator).captions.tolist()) == {0}
    chosen = msgspec.structs.replace(tiny(), data=(Data("made-up"),))
    encoder = make({"dimension": 8} | SPEC | {"invariant_filters": 8})
    losses = pretrain(encoder, unnamed, tmp_path, Pretraining(1), chosen)
    assert np.isfinite(losses).all()


@pytest.mark.parametrize(
    ("kind", "options", "pretraining_options", "message"),
    [
        ("cnn_rnn", {"gru_axis": "time", "pool": "max", "dimension": 8}, {}, "has none to hide"),
        ("transformer", SMALL | {"stride": 1000, "patch": 1000}, {}, "has none to hide"),
        ("transformer", SMALL, {"batch": 4096}, "72 windows cannot be learned from in batches of 4096"),
        ("transformer", SMALL, {"learning_rate": 1e30}, "no longer finite"),
    ],
)
def test_what_cannot_be_is_said(
    store: Store,
    tmp_path: Path,
    kind: str,
    options: dict[str, Any],
    pretraining_options: dict[str, Any],
    message: str,
) -> None:
    """Encoders without tokens, too few windows and a diverging run are errors of ours, and leave no state."""
    encoder = encoders.build(encoders.make_spec(kind, options))
    with pytest.raises(RecipeError, match=message):
        pretrain(encoder, store, tmp_path, Pretraining(2, **pretraining_options), tiny(clip=1e30))
    assert not (tmp_path / pretraining.STATE).exists()


def test_a_run_begins_with_it(store: Store, tmp_path: Path) -> None:
    """Its epochs come first, with their own lines in the log; stopped between the two and resumed, nothing shows it."""
    chosen = msgspec.structs.replace(tiny(epochs=1), pretraining=Pretraining(2))

    def fit(run: Path, **options: Any) -> None:
        loop.fit(chosen, [store], testing.FakeTower(), SignalSpec(), run=run, console=Console(quiet=True), **options)

    fit(tmp_path / "straight")
    lines = [json.loads(line) for line in (tmp_path / "straight" / loop.LOG).read_text().splitlines()]
    assert sorted({line["epoch"] for line in lines}) == [-2, -1, 0]

    def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Learner, "begin", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path / "stopped")
    fit(tmp_path / "stopped")
    for name in (checkpoint.WEIGHTS, loop.LOG):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()
    plain = msgspec.structs.replace(chosen, pretraining=None)
    loop.fit(plain, [store], testing.FakeTower(), SignalSpec(), run=tmp_path / "plain", console=Console(quiet=True))
    assert (tmp_path / "plain" / checkpoint.WEIGHTS).read_bytes() != (
        tmp_path / "straight" / checkpoint.WEIGHTS
    ).read_bytes()
