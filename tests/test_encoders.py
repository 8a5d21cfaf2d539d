"""Encoders: built from plain data, indifferent to how the sensor was turned, finite whatever they are given, and true on disk."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="encoders are torch modules; it comes with aura-edge[train]")

from aura_edge import encoders, testing  # noqa: E402
from aura_edge.encoders import checkpoint, stems  # noqa: E402
from aura_edge.encoders.frame import invariants, length, up_direction  # noqa: E402
from aura_edge.errors import BundleError  # noqa: E402
from aura_edge.manifest import EncoderSpec, TextSpace  # noqa: E402

SMALL = {"dimension": 8, "width": 16, "depth": 2, "heads": 2, "invariant_filters": 8, "vector_filters": 4}
OPTIONS: dict[str, dict[str, Any]] = {
    "both stems": SMALL,
    "invariants only": SMALL | {"vector_filters": 0},
    "vectors only": SMALL | {"invariant_filters": 0},
    "fixed positions, no overlap": SMALL | {"positions": "sinusoidal", "patch": 20},
    "attention pools, hidden tokens": SMALL | {"attention_pools": 2, "token_mask": 0.9},
}


def make(options: dict[str, Any], seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return encoders.build(encoders.make_spec("transformer", options))


def windows(seed: int = 0) -> Any:
    """Motions with noise on all axes."""
    generator = np.random.default_rng(seed)
    motions = np.stack([testing.motion(label, seed=seed) for label in testing.TINY_LABELS])
    return torch.from_numpy((motions + generator.normal(0, 0.5, motions.shape)).astype(np.float32))


def turned(signal: Any, seed: int) -> Any:
    """The same motion measured by a sensor worn another way."""
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    q[:, 0] *= np.linalg.det(q)
    rotation = torch.from_numpy(q.astype(np.float32))
    return torch.cat([rotation @ signal[:, :3], rotation @ signal[:, 3:]], 1)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_output_is_a_unit_vector_for_any_batch(options: dict[str, Any]) -> None:
    """(B, 6, 1000) gives (B, D) of unit norm, and a window's vector does not depend on its batch."""
    encoder, given = make(options), windows()
    with torch.inference_mode():
        together = encoder(given)
        alone = encoder(given[1:2])
    assert together.shape == (3, 8)
    assert together.dtype == torch.float32
    torch.testing.assert_close(together.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(together[1:2], alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("seed", [1, 2])
def test_turning_the_sensor_changes_nothing(options: dict[str, Any], seed: int) -> None:
    """Any rotation of the sensor gives the same embedding, up to rounding."""
    encoder, given = make(options), windows(seed)
    with torch.inference_mode():
        torch.testing.assert_close(encoder(turned(given, seed)), encoder(given), atol=1e-4, rtol=0)


def test_channels_as_they_are_tell_how_the_sensor_is_worn() -> None:
    """With filters over them the same motion turned is another vector; gravity says which, so that training can make it matter or not."""
    encoder, given = make(SMALL | {"channel_filters": 8}), windows()
    with torch.inference_mode():
        assert (encoder(turned(given, 1)) - encoder(given)).abs().max() > 0.01


def test_different_motions_differ() -> None:
    """Invariance is not blindness: the three motions stay apart, and turning gravity but not the motion is seen."""
    encoder, given = make(SMALL), windows()
    upside_down = given.clone()
    upside_down[:, :3] *= -1
    with torch.inference_mode():
        found, other = encoder(given), encoder(upside_down)
    cosines = found @ found.T - torch.eye(3)
    assert cosines.max() < 0.999
    assert ((found * other).sum(1) < 0.99999).all()


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize(
    "given",
    [
        torch.zeros(1, 6, 1000),
        torch.cat([torch.zeros(1, 3, 1000), torch.randn(1, 3, 1000, generator=torch.Generator().manual_seed(0))], 1),
        torch.full((1, 6, 1000), 1e4),
        torch.full((1, 6, 1000), 1e-30),
    ],
    ids=["zeros", "free fall", "huge", "denormal"],
)
def test_degenerate_windows_stay_finite(options: dict[str, Any], given: Any) -> None:
    """No window gives anything but a finite unit vector and finite gradients."""
    encoder = make(options).train()
    embedding = encoder(given)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(1))
    embedding.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())


def test_evaluation_is_deterministic_and_training_is_not() -> None:
    """Dropout, skipped halves and hidden tokens act in training only."""
    encoder, given = make(OPTIONS["attention pools, hidden tokens"] | {"dropout": 0.5}), windows()
    with torch.inference_mode():
        assert torch.equal(encoder(given), encoder(given))
        encoder.train()
        assert not torch.equal(encoder(given), encoder(given))


def test_invariants_are_what_they_say() -> None:
    """A window at rest reads: vertical 1 g (less 1), no horizontal part, and zero for everything that turns."""
    rest = torch.zeros(1, 6, 50)
    rest[:, 0] = 1.0  # gravity along x, in g
    up = up_direction(rest[:, :3])
    torch.testing.assert_close(up[0, :, 0], torch.tensor([1.0, 0.0, 0.0]), atol=1e-5, rtol=0)
    channels = invariants(rest[:, :3], rest[:, 3:], up)[0, :, 10]
    torch.testing.assert_close(channels[[0, 2, 4, 5, 9]], torch.zeros(5), atol=1e-3, rtol=0)
    assert channels[[1, 3]].max() < 2e-3


def test_length_has_a_gradient_at_zero() -> None:
    """The norm of a zero vector can be trained through."""
    vector = torch.zeros(1, 3, requires_grad=True)
    length(vector, 1).sum().backward()
    assert vector.grad.isfinite().all()


def test_bfloat16_training_agrees_with_fp32() -> None:
    """Under autocast the embedding stays close to that of full precision, and is float32."""
    encoder, given = make(SMALL), windows()
    with torch.inference_mode():
        exact = encoder(given)
        with torch.autocast("cpu", torch.bfloat16):
            rough = encoder(given)
    assert rough.dtype == torch.float32
    assert (exact * rough).sum(1).min() > 0.99


def test_products_of_vectors_keep_their_precision_on_any_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Autocast is switched off for them where it is on for the device that the window is on: meta stands in for a GPU."""
    contexts: list[tuple[str, bool]] = []

    def autocast(kind: str, enabled: bool) -> Any:
        contexts.append((kind, enabled))
        return nullcontext()

    monkeypatch.setattr(torch, "is_autocast_enabled", lambda kind: kind == "meta")
    monkeypatch.setattr(torch, "autocast", autocast)
    stem = stems.VectorStem(8, 4, 40, 20)
    stem.to("meta")(*(torch.zeros(2, 3, n, device="meta") for n in (1000, 1000, 1)))
    assert contexts == [("meta", False)]


@pytest.mark.parametrize("stride", [20, 50, 500])
def test_any_token_may_be_hidden(stride: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One stretch of at most a fifth in as many windows as asked for, the last token as often as the first; none of two tokens."""
    encoder, seen = make(SMALL | {"token_mask": 0.75, "stride": stride, "patch": stride}).train(), []
    encode = encoder.encode

    def look(given: Any, hidden: Any, instead: Any) -> Any:
        seen.append(hidden)
        return encode(given, hidden, instead)

    monkeypatch.setattr(encoder, "encode", look)
    torch.manual_seed(0)
    with torch.no_grad():
        for _ in range(20):
            encoder(torch.ones(256, 6, 1000))
    hidden = torch.cat(seen).int()
    longest = encoder.tokens // 5
    starts = (torch.cat([torch.zeros(len(hidden), 1), hidden], 1).diff() == 1).sum(1)
    assert int(starts.max()) == min(1, longest)
    assert int(hidden.sum(1).max()) == longest
    if longest:
        assert float((starts == 1).float().mean()) == pytest.approx(0.75, abs=0.03)
        share = hidden.float().mean(0)
        assert float(share[0]) == pytest.approx(float(share[-1]), rel=0.3)
        assert float(share.min()) > 0.01


def test_spec_says_every_option() -> None:
    """A spec holds all options with their values and the number of parameters, and is enough to build the encoder again."""
    spec = encoders.make_spec("transformer", SMALL)
    assert spec.options["patch"] == 40
    assert spec.options["width"] == 16
    again = encoders.build(
        EncoderSpec(
            **json.loads(json.dumps({"kind": spec.kind, "options": spec.options, "parameters": spec.parameters}))
        )
    )
    assert sum(p.numel() for p in again.parameters()) == spec.parameters
    assert not again.training


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("perceiver", SMALL, "'perceiver' is unknown; the ones there are: transformer"),
        ("transformer", SMALL | {"widht": 3}, "widht.*Its options are: dimension, window_samples, width"),
        ("transformer", {}, "dimension"),
        ("transformer", SMALL | {"width": "wide"}, "width"),
        ("transformer", SMALL | {"heads": 3}, "multiple of heads 3"),
        ("transformer", SMALL | {"stride": 30, "patch": 30}, "multiple of stride 30"),
        ("transformer", SMALL | {"patch": 10}, "patch 10"),
        ("transformer", SMALL | {"patch": 41}, "patch 41"),
        ("transformer", SMALL | {"invariant_filters": 0, "vector_filters": 0}, "must be positive"),
        ("transformer", SMALL | {"dropout": 1.0}, "below 1"),
        ("transformer", SMALL | {"depth": 0}, "at least 1"),
        ("transformer", SMALL | {"positions": "rotary"}, "positions"),
    ],
)
def test_impossible_specs_are_refused(kind: str, options: dict[str, Any], message: str) -> None:
    """A spec that makes no sense is an error that names the option and what is allowed."""
    with pytest.raises(BundleError, match=message):
        encoders.make_spec(kind, options)


def test_a_spec_of_another_version_is_refused() -> None:
    """Where the options no longer give the parameters that the spec counts, building says so."""
    spec = encoders.make_spec("transformer", SMALL)
    with pytest.raises(BundleError, match="made by another version"):
        encoders.build(EncoderSpec(spec.kind, spec.options, spec.parameters + 1))


def saved(folder: Path, seed: int = 0) -> tuple[Any, checkpoint.Header]:
    encoder = make(SMALL, seed)
    header = checkpoint.Header(
        name="small",
        encoder=encoders.make_spec("transformer", SMALL),
        text_space=TextSpace("tiny", "0" * 64, 8),
        captions={"made-up": (checkpoint.Caption("w", "walking", "move", ("a person is walking",)),)},
        training={"seed": 3},
    )
    return encoder, checkpoint.save(folder, encoder, header)


def test_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    """Loading gives the same header and, bit for bit, the same embeddings."""
    encoder, header = saved(tmp_path / "run")
    found = checkpoint.load(tmp_path / "run")
    assert found.header == header
    assert not found.encoder.training
    with torch.inference_mode():
        assert torch.equal(found.encoder(windows()), encoder(windows()))
    assert sorted(file.name for file in (tmp_path / "run").iterdir()) == [checkpoint.HEADER, checkpoint.WEIGHTS]


def test_torn_checkpoint_is_refused(tmp_path: Path) -> None:
    """Weights of one save with the header of another are not an encoder."""
    saved(tmp_path / "a", seed=1)
    saved(tmp_path / "b", seed=2)
    (tmp_path / "a" / checkpoint.WEIGHTS).write_bytes((tmp_path / "b" / checkpoint.WEIGHTS).read_bytes())
    with pytest.raises(BundleError, match="were not written together"):
        checkpoint.load(tmp_path / "a")


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda run: (run / checkpoint.HEADER).unlink(), "no checkpoint"),
        (lambda run: (run / checkpoint.WEIGHTS).unlink(), "cannot be read"),
        (lambda run: (run / checkpoint.HEADER).write_text("{"), "not a valid checkpoint"),
        (lambda run: (run / checkpoint.HEADER).write_text('{"schema": 99}'), "schema 99.*Update aura-edge"),
        (lambda run: (run / checkpoint.WEIGHTS).write_bytes(b"\x80"), "not written together"),
    ],
)
def test_damaged_checkpoint_is_refused(tmp_path: Path, break_it: Any, message: str) -> None:
    """What is missing, cut or newer is named, with what to do."""
    saved(tmp_path / "run")
    break_it(tmp_path / "run")
    with pytest.raises(BundleError, match=message):
        checkpoint.load(tmp_path / "run")


def test_weights_of_another_encoder_are_refused(tmp_path: Path) -> None:
    """A header whose digest fits but whose spec does not is an error, not a crash."""
    saved(tmp_path / "run")
    path = tmp_path / "run" / checkpoint.HEADER
    header = json.loads(path.read_text())
    other = encoders.make_spec("transformer", SMALL | {"depth": 1})
    header["encoder"] = {"kind": other.kind, "options": other.options, "parameters": other.parameters}
    path.write_text(json.dumps(header))
    with pytest.raises(BundleError, match="not of this encoder"):
        checkpoint.load(tmp_path / "run")


def test_unwritable_checkpoint_says_so(tmp_path: Path) -> None:
    """A place that cannot be written to is an error of ours."""
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="cannot write the checkpoint"):
        saved(tmp_path / "file" / "run")
