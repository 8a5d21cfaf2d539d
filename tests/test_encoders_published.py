"""The papers' encoders: sizes and architecture as described, every variant stated, any batch, finite, and the same through ONNX."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="encoders are torch modules; it comes with aura-edge[train]")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from aura_edge import encoders  # noqa: E402
from aura_edge.encoders import presets  # noqa: E402
from aura_edge.encoders.cnn_rnn import bin_means  # noqa: E402
from aura_edge.encoders.stems import RATE_SCALE_RAD_S, PlainStem  # noqa: E402
from aura_edge.encoders.transformer import Block, TransformerOptions  # noqa: E402
from aura_edge.errors import BundleError  # noqa: E402
from aura_edge.manifest import EncoderSpec  # noqa: E402
from aura_edge.types import STANDARD_GRAVITY_M_S2  # noqa: E402

TINY_AURA = {"dimension": 8, "width": 16, "depth": 2, "heads": 2, "patch": 100, "stride": 100}
TINY_SENVT = {"dimension": 8, "width": 16, "depth": 2, "heads": 2, "patch": 100}
TINY_STACK = {"dimension": 8, "gru_axis": "channel", "pool": "max"}
SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "aura": presets.resolve("aura", TINY_AURA),
    "aura beside our stems": presets.resolve("aura", TINY_AURA | {"invariant_filters": 4, "vector_filters": 4}),
    "our stems and the channels": (
        "transformer",
        {
            "dimension": 8,
            "width": 16,
            "depth": 1,
            "heads": 2,
            "invariant_filters": 4,
            "vector_filters": 4,
            "channel_filters": 4,
        },
    ),
    "senvt_released": ("senvt_released", TINY_SENVT),
    "imu2clip": presets.resolve("imu2clip", TINY_STACK),
    "scanning time": presets.resolve("imu2clip", TINY_STACK | {"gru_axis": "time"}),
    "primus": presets.resolve("imu2clip", TINY_STACK | {"pool": "adaptive", "window_samples": 250, "projection": True}),
    "primus scanning time": presets.resolve(
        "imu2clip",
        {"dimension": 8, "gru_axis": "time", "pool": "adaptive", "window_samples": 250, "projection": True},
    ),
    "aura-mocap": presets.resolve("aura-mocap", {"dimension": 8, "width": 16, "depth": 1, "heads": 2}),
    "cnn-rnn-mocap": presets.resolve("cnn-rnn-mocap", TINY_STACK),
}
every_kind = pytest.mark.parametrize(("kind", "options"), SMALL.values(), ids=SMALL)


def make(kind: str, options: dict[str, Any], seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return encoders.build(encoders.make_spec(kind, options))


def signal(encoder: Any, batch: int, seed: int = 0) -> Any:
    """Noise of the size of a motion, with gravity."""
    noise = torch.randn(
        batch,
        encoder.options.channels,
        encoder.options.window_samples,
        generator=torch.Generator().manual_seed(seed),
    )
    return noise * 2 + 5 * (torch.arange(encoder.options.channels) == 0)[:, None]


@every_kind
def test_output_is_a_unit_vector_for_any_batch(kind: str, options: dict[str, Any]) -> None:
    """Any number of windows gives as many unit vectors, and a window's vector does not depend on its batch."""
    encoder = make(kind, options)
    windows = signal(encoder, 5)
    with torch.inference_mode():
        together = encoder(windows)
        alone = torch.cat([encoder(window[None]) for window in windows])
    assert together.shape == (5, 8)
    assert together.dtype == torch.float32
    torch.testing.assert_close(together.norm(dim=1), torch.ones(5))
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)
    assert (together[0] - together[1]).abs().max() > 1e-4


@every_kind
@pytest.mark.parametrize("value", [0.0, 1e-30, 1e4], ids=["zeros", "denormal", "huge"])
def test_degenerate_windows_stay_finite(kind: str, options: dict[str, Any], value: float) -> None:
    """A window of one value gives a finite unit vector and finite gradients, for the window as well."""
    encoder = make(kind, options).train()
    windows = torch.full((2, encoder.options.channels, encoder.options.window_samples), value, requires_grad=True)
    embedding = encoder(windows)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(2))
    embedding.sum().backward()
    assert windows.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())


@every_kind
def test_spec_survives_json(kind: str, options: dict[str, Any]) -> None:
    """A spec says every option, and equals itself when it comes back from a manifest."""
    spec = encoders.make_spec(kind, options)
    again = EncoderSpec(
        **json.loads(json.dumps({"kind": kind, "options": spec.options, "parameters": spec.parameters}))
    )
    assert again == spec == encoders.make_spec(kind, again.options)


@every_kind
def test_bfloat16_agrees_with_fp32(kind: str, options: dict[str, Any]) -> None:
    """Under autocast the embedding stays close to that of full precision, and is float32."""
    encoder = make(kind, options)
    windows = signal(encoder, 3)
    with torch.inference_mode():
        exact = encoder(windows)
        with torch.autocast("cpu", torch.bfloat16):
            rough = encoder(windows)
    assert rough.dtype == torch.float32
    assert (exact * rough).sum(1).min() > 0.98


@pytest.mark.parametrize(
    ("kind", "options", "parameters"),
    [
        ("senvt_released", {}, 1_912_072),
        ("senvt_released", {"width": 384, "depth": 12, "heads": 6}, 14_458_888),
        (*presets.resolve("aura"), 1_912_064),
        (*presets.resolve("aura-s"), 14_458_880),
        (*presets.resolve("aura-mocap"), 1_898_240),
        (*presets.resolve("imu2clip", {"gru_axis": "channel", "pool": "max"}), 850_892),
        (*presets.resolve("imu2clip", {"gru_axis": "time", "pool": "adaptive"}), 850_892),
    ],
)
def test_sizes_are_the_published_ones(kind: str, options: dict[str, Any], parameters: int) -> None:
    """As many parameters as counted in the papers' code; ours has not its eight that do nothing."""
    assert encoders.make_spec(kind, options).parameters == parameters


def test_the_eight_parameters_do_nothing() -> None:
    """The released convolution of masks is never trained, and no embedding depends on it."""
    encoder = make("senvt_released", TINY_SENVT)
    windows = signal(encoder, 2)
    with torch.inference_mode():
        before = encoder(windows)
        encoder.mask_patches.weight.fill_(7.0)
        assert torch.equal(encoder(windows), before)
    assert not encoder.mask_patches.weight.requires_grad


@pytest.mark.parametrize(("kind", "sees"), [("aura", True), ("senvt_released", False)])
def test_only_the_paper_has_residual_connections(kind: str, sees: bool) -> None:
    """With its last block silenced, the paper's encoder still sees the window; the released one gives the same for every window."""
    encoder = make(*SMALL[kind])
    with torch.inference_mode():
        for layer in (encoder.blocks[-1].out, encoder.blocks[-1].down):
            nn.init.zeros_(layer.weight)
        encoder.blocks[-1].norm_2.weight.zero_()
        found = encoder(signal(encoder, 2))
    assert bool((found[0] - found[1]).abs().max() > 1e-4) == sees


def test_aura_is_the_pre_norm_transformer_of_torch() -> None:
    """The preset computes what torch's own encoder layers do, on patches in g and scaled rates with a summary token before them."""
    encoder = make(*SMALL["aura"])
    windows = signal(encoder, 3)
    given = windows / torch.tensor([STANDARD_GRAVITY_M_S2] * 3 + [RATE_SCALE_RAD_S] * 3)[:, None]
    with torch.inference_mode():
        x = encoder.stem_norm(encoder.plain_stem.patches(given).transpose(1, 2))
        x = torch.cat([encoder.summary_token.expand(3, 1, 16), x], 1) + encoder.positions
        for block in encoder.blocks:
            layer = nn.TransformerEncoderLayer(16, 2, 32, 0.0, "gelu", batch_first=True, norm_first=True)
            layer.self_attn.in_proj_weight.copy_(block.qkv.weight)
            layer.self_attn.in_proj_bias.zero_()
            layer.self_attn.out_proj.load_state_dict(block.out.state_dict())
            for theirs, ours in ((layer.linear1, block.up), (layer.linear2, block.down)):
                theirs.load_state_dict(ours.state_dict())
            for theirs, ours in ((layer.norm1, block.norm_1), (layer.norm2, block.norm_2)):
                theirs.load_state_dict(ours.state_dict())
            x = layer(x)
        expected = F.normalize(encoder.projection(encoder.norm(x[:, 0])))
        torch.testing.assert_close(encoder(windows), expected, atol=1e-6, rtol=0)


def test_plain_stem_scales_an_imu_and_nothing_else() -> None:
    """Gravity reaches the filters as 1 and a rate as so many times that of walking; metres of motion capture stay metres."""
    one = torch.ones(1, 6, 4) * torch.tensor([STANDARD_GRAVITY_M_S2] * 3 + [RATE_SCALE_RAD_S] * 3)[:, None]
    for channels, window in ((6, one), (9, torch.ones(1, 9, 4))):
        stem = PlainStem(channels, 5, 4, 4)
        with torch.inference_mode():
            expected = stem.patches.weight.sum((1, 2)) + stem.patches.bias
            torch.testing.assert_close(stem(window)[0, 0], expected)


@pytest.mark.parametrize(("dropout_of", "same_in_every_token"), [("channels", True), ("elements", False)])
def test_dropout_is_of_channels_or_of_elements(dropout_of: Any, same_in_every_token: bool) -> None:
    """In training, either a channel is dropped in all tokens of a window, or each element by itself; what stays is scaled up."""
    torch.manual_seed(0)
    block = Block(TransformerOptions(dimension=8, width=64, heads=2, dropout=0.5, dropout_of=dropout_of), 0.0).train()
    for layer in (block.out, block.down):
        nn.init.zeros_(layer.weight)
    nn.init.ones_(block.out.bias)
    nn.init.zeros_(block.down.bias)
    with torch.inference_mode():
        found = block(torch.zeros(2, 9, 64))
    assert set(found.unique().tolist()) == {0.0, 2.0}
    assert bool((found == found[:, :1]).all()) == same_in_every_token


def test_summary_token_is_never_hidden() -> None:
    """Hiding tokens leaves the summary token and its position in their place."""
    encoder = make(*presets.resolve("aura", TINY_AURA | {"token_mask": 0.99, "dropout": 0.0, "depth": 1})).train()
    seen = []
    encoder.blocks[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    for seed in range(5):
        torch.manual_seed(seed)
        encoder(signal(encoder, 16))
    start = encoder.summary_token + encoder.positions[0]
    assert all(torch.equal(tokens[:, 0], start.expand(16, -1)) for tokens in seen)
    assert any((tokens[:, 1:] == encoder.hidden_token).all(2).any() for tokens in seen)


@pytest.mark.parametrize(
    ("options", "shortest", "longest"),
    [
        ({"gru_axis": "channel", "pool": "max"}, 978, 1004),
        ({"gru_axis": "time", "pool": "max"}, 141, None),
        ({"gru_axis": "channel", "pool": "adaptive"}, 123, None),
        ({"gru_axis": "time", "pool": "adaptive"}, 123, None),
    ],
)
def test_stack_runs_the_lengths_it_says(options: dict[str, Any], shortest: int, longest: int | None) -> None:
    """The shortest and longest windows run; one sample less or more is an error that names them."""
    described = f"{shortest} to {longest}" if longest else f"{shortest} or more"
    for samples in (shortest, longest or 5 * shortest):
        encoder = make("cnn_rnn", {"dimension": 8, "window_samples": samples} | options)
        with torch.inference_mode():
            assert encoder(signal(encoder, 2)).isfinite().all()
    for samples in (shortest - 1, *([longest + 1] if longest else [])):
        with pytest.raises(BundleError, match=f"window_samples {samples} does not run .*lengths that do: {described}"):
            encoders.make_spec("cnn_rnn", {"dimension": 8, "window_samples": samples} | options)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 120), st.integers(1, 40))
def test_bin_means_are_adaptive_average_pooling(samples: int, bins: int) -> None:
    """The product gives what torch's adaptive pooling gives, whatever the lengths."""
    values = torch.randn(2, 3, samples, generator=torch.Generator().manual_seed(samples * 41 + bins))
    expected = F.adaptive_avg_pool1d(values, bins)
    torch.testing.assert_close(values @ bin_means(samples, bins), expected, atol=1e-5, rtol=0)


def test_variants_of_the_stack_are_other_encoders() -> None:
    """The same weights give other vectors when the GRU scans time, or when the last block averages."""
    first = make(*SMALL["imu2clip"])
    windows = signal(first, 3)
    with torch.inference_mode():
        for change in ({"gru_axis": "time"}, {"pool": "adaptive"}):
            other = make("cnn_rnn", TINY_STACK | change)
            other.load_state_dict(first.state_dict())
            assert (first(windows) - other(windows)).abs().max() > 1e-2


def test_stack_does_not_see_scale_but_gravity() -> None:
    """Group normalisation takes away the size of a signal, and not what lies on one axis of it."""
    encoder = make(*SMALL["imu2clip"])
    windows = signal(encoder, 3)
    with torch.inference_mode():
        torch.testing.assert_close(encoder(windows * 9.81), encoder(windows), atol=1e-4, rtol=0)
        lifted = windows.clone()
        lifted[:, 2] += 9.81
        assert (encoder(lifted) - encoder(windows)).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("cnn_rnn", {"dimension": 8, "pool": "max"}, "gru_axis"),
        ("cnn_rnn", {"dimension": 8, "gru_axis": "time"}, "pool"),
        ("cnn_rnn", TINY_STACK | {"gru_axis": "both"}, "gru_axis"),
        ("cnn_rnn", TINY_STACK | {"pools": [3, 3]}, r"pools \[3, 3\] must be as many"),
        ("cnn_rnn", TINY_STACK | {"kernels": [], "pools": []}, "at least 1"),
        ("cnn_rnn", TINY_STACK | {"groups": 4}, "multiple of groups 4"),
        ("cnn_rnn", TINY_STACK | {"filters": 30}, "filters 30 of 4"),
        ("cnn_rnn", TINY_STACK | {"dimension": 0}, "at least 1"),
        ("senvt_released", TINY_SENVT | {"heads": 3}, "multiple of heads 3"),
        ("senvt_released", TINY_SENVT | {"patch": 1001}, "hold a patch of 1001"),
        ("senvt_released", TINY_SENVT | {"depth": 0}, "at least 1"),
        ("senvt_released", TINY_SENVT | {"dropout": 1.0}, "below 1"),
        ("senvt_released", TINY_SENVT | {"mlp_ratio": 2}, "mlp_ratio.*Its options are: dimension, window_samples"),
        ("transformer", {"dimension": 8, "channels": 51}, "need the 6 channels of an IMU, not 51"),
        ("transformer", SMALL["aura"][1] | {"attention_pools": 1}, "pooling 'mean', not with 'summary'"),
        ("transformer", SMALL["aura"][1] | {"plain_stem": False}, "unless there is plain_stem"),
        ("transformer", SMALL["aura"][1] | {"channels": 0}, "channels must be at least 1"),
        ("transformer", SMALL["aura"][1] | {"stride": 300, "patch": 300}, "multiple of stride 300"),
    ],
)
def test_impossible_specs_are_refused(kind: str, options: dict[str, Any], message: str) -> None:
    """A spec that makes no sense is an error that names the option and what is allowed."""
    with pytest.raises(BundleError, match=message):
        encoders.make_spec(kind, options)


def test_released_transformer_leaves_out_what_fills_no_patch() -> None:
    """As in the released code, samples behind the last whole patch change nothing."""
    encoder = make("senvt_released", TINY_SENVT | {"patch": 16, "window_samples": 40})
    windows = signal(encoder, 2)
    with torch.inference_mode():
        before = encoder(windows)
        windows[:, :, 32:] = 100.0
        assert torch.equal(encoder(windows), before)
        windows[:, :, 31] = 100.0
        assert not torch.equal(encoder(windows), before)


def test_shipped_demo_still_builds() -> None:
    """The demo's manifest, written before the papers' options were there, gives the encoder it names; so does the preset `edge`."""
    text = resources.files("aura_edge").joinpath("data", "demo.aura", "manifest.json").read_text("utf-8")
    described = json.loads(text)["encoder"]
    old = EncoderSpec(described["kind"], described["options"], described["parameters"])
    names = set(encoders.build(old).state_dict())
    kind, options = presets.resolve("edge", {"dimension": 384})
    spec = encoders.make_spec(kind, options)
    assert spec.parameters == old.parameters
    assert set(encoders.build(spec).state_dict()) == names
    assert spec.options | old.options == spec.options


def test_edge_presets_grow() -> None:
    """The smaller one is a good deal smaller than the demo's, the larger a good deal larger."""
    extra_small, middle, large = (
        encoders.make_spec(*presets.resolve(name, {"dimension": 384})).parameters
        for name in ("edge-xs", "edge", "edge-l")
    )
    assert extra_small * 2 < middle < large / 2


def test_preset_options_can_be_replaced() -> None:
    """What is given comes before what the preset says, which itself stays as it is."""
    kind, options = presets.resolve("aura", {"depth": 2})
    assert (kind, options["depth"], options["width"]) == ("transformer", 2, 192)
    assert presets.resolve("aura")[1]["depth"] == 6
    assert presets.PRESETS["aura-mocap"].options["channels"] == 51


def test_preset_that_is_open_or_unknown_is_refused() -> None:
    """A variant is never chosen for the user, and an unknown name is answered with the known ones."""
    with pytest.raises(
        BundleError, match=r"'imu2clip' does not say gru_axis .*'time' as in AURA.* and pool .*'adaptive'"
    ):
        presets.resolve("imu2clip")
    with pytest.raises(BundleError, match="does not say pool"):
        presets.resolve("imu2clip", {"gru_axis": "time"})
    with pytest.raises(BundleError, match="'aurora' is unknown; the ones there are: aura, aura-s"):
        presets.resolve("aurora")


@pytest.mark.parametrize("name", ["aura", "senvt_released", "imu2clip", "primus scanning time"])
def test_onnx_gives_the_same(name: str) -> None:
    """Exported, each encoder gives the same vectors in onnxruntime, for one window and for several."""
    pytest.importorskip("onnxscript", reason="torch's exporter needs it; it comes with aura-edge[export]")
    import onnx
    import onnxruntime

    from aura_edge_export.graph import to_onnx

    encoder = make(*SMALL[name])
    content = to_onnx(encoder, window_samples=encoder.options.window_samples)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for batch in (1, 5):
        windows = signal(encoder, batch, seed=batch)
        with torch.inference_mode():
            expected = encoder(windows).numpy()
        (found,) = session.run(None, {"imu": windows.numpy()})
        np.testing.assert_allclose(found, expected, atol=1e-5)
    nodes = onnx.load_from_string(content).graph.node
    assert [node.op_type for node in nodes].count("GRU") == (encoder.options.__class__.__name__ == "CnnRnnOptions")
    # Without it a GRU resets its state before the matrix product, which torch does after: other numbers, and no error.
    for node in nodes:
        if node.op_type == "GRU":
            assert [a.i for a in node.attribute if a.name == "linear_before_reset"] == [1]
