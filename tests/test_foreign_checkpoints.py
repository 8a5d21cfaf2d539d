"""Checkpoints of the papers' code become encoders of ours that compute what was described; what is not said is never guessed."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="checkpoints are torch files; it comes with aura-edge[train]")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from aura_edge import encoders  # noqa: E402
from aura_edge.encoders import checkpoint  # noqa: E402
from aura_edge.errors import BundleError, TextSpaceError  # noqa: E402
from aura_edge.manifest import SignalSpec, TextSpace  # noqa: E402
from aura_edge_train.foreign_checkpoints import import_checkpoint, read_foreign  # noqa: E402
from aura_edge_train.foreign_names import HEADS  # noqa: E402

CLIP = TextSpace("ViT-B-32", "0" * 64, 512)
CAPTIONS = {"made-up": (checkpoint.Caption("w", "walking", "move", ("a person is walking",)),)}
STATED: dict[str, Any] = {"gru_axis": "channel", "pool": "max"}
OTHER_TOWERS = {"text_encoder.clip_model.positional_embedding": torch.ones(3), "loss.temperature": torch.ones(1)}


def stack(channels: int, groups: int, filters: int, kernels: list[int], inputs: int, dimension: int) -> dict[str, Any]:
    """Layers of a stacked CNN-RNN, with random weights everywhere, by the place they have in the published sequence."""
    sizes = [channels, *[filters] * (len(kernels) - 1)]
    layers: dict[str, Any] = {"0": nn.GroupNorm(groups, channels)}
    for number, (size, kernel) in enumerate(zip(sizes, kernels, strict=True), 1):
        layers[f"{number}.net.0"] = nn.Conv1d(size, filters, kernel, dilation=2, bias=False)
    layers[f"{len(kernels) + 1}"] = nn.GroupNorm(4, filters)
    layers[f"{len(kernels) + 2}"] = nn.GRU(inputs, dimension, batch_first=True)
    return layers


def randomise(layers: dict[str, Any], seed: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in layers.values():
            for name, parameter in layer.named_parameters():
                noise = torch.randn(parameter.shape, generator=generator)
                # Large enough that attention and gates tell one window from another.
                size = 3 / parameter[0].numel() ** 0.5 if parameter.ndim > 1 else 0.2
                parameter.copy_(noise * size + (name == "weight" and parameter.ndim == 1))
    return layers


def state_of(layers: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {
        f"{prefix}{name}.{part}": tensor
        for name, layer in layers.items()
        for part, tensor in layer.state_dict().items()
    }


def run_stack(layers: dict[str, Any], windows: Any, pools: list[int], gru_axis: str, bins: int | None = None) -> Any:
    """What the papers' code computes: the last state of the GRU. `bins`: the last pooling averages into so many."""
    *convolutions, norm, gru = list(layers.values())[1:]
    x = layers["0"](windows)
    for convolution, pool in zip(convolutions, pools, strict=True):
        x = convolution(x)
        x = nn.AdaptiveAvgPool1d(bins)(x) if bins and convolution is convolutions[-1] else nn.MaxPool1d(pool)(x)
    x = norm(x)
    return gru(x.permute(0, 2, 1) if gru_axis == "time" else x)[1][0]


def imu_stack(dimension: int = 16) -> dict[str, Any]:
    return randomise(stack(6, 2, 32, [10, 5, 5], 32, dimension), seed=1)


def transformer(
    width: int, depth: int, channels: int, patch: int, tokens: int, dimension: int, seed: int = 2
) -> dict[str, Any]:
    """Random weights by the names of AURA-MFM's Transformer."""
    layers: dict[str, Any] = {
        "patch_embed.proj": nn.Conv1d(channels, width, patch, patch),
        "patch_embed.mask_proj": nn.Conv1d(1, 1, patch, patch, bias=False),
        "patch_embed.norm": nn.LayerNorm(width),
        "norm": nn.LayerNorm(width),
        "head": nn.Linear(width, dimension),
    }
    for number in range(depth):
        layers |= {
            f"layers.{number}.norm1": nn.LayerNorm(width),
            f"layers.{number}.attention.qkv": nn.Linear(width, 3 * width, bias=False),
            f"layers.{number}.attention.proj": nn.Linear(width, width),
            f"layers.{number}.norm2": nn.LayerNorm(width),
            f"layers.{number}.mlp.fc1": nn.Linear(width, 2 * width),
            f"layers.{number}.mlp.fc2": nn.Linear(2 * width, width),
        }
    generator = torch.Generator().manual_seed(seed)
    tables = {
        "pos_embed": torch.rand(1, tokens + 1, width, generator=generator),
        "cls_token": torch.randn(1, 1, width, generator=generator),
    }
    return state_of(randomise(layers, seed), "") | tables


def run_transformer(state: dict[str, Any], windows: Any, depth: int, heads: int) -> Any:
    """What AURA-MFM's code computes: each half in place of its input, the head on the first token."""

    def linear(x: Any, name: str) -> Any:
        return F.linear(x, state[f"{name}.weight"], state.get(f"{name}.bias"))

    def norm(x: Any, name: str) -> Any:
        return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])

    patch = state["patch_embed.proj.weight"].shape[2]
    x = F.conv1d(windows, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=patch)
    x = norm(x.transpose(1, 2), "patch_embed.norm")
    x = torch.cat([state["cls_token"].repeat(len(x), 1, 1), x], 1) + state["pos_embed"]
    for number in range(depth):
        here = f"layers.{number}"
        q, k, v = linear(norm(x, f"{here}.norm1"), f"{here}.attention.qkv").chunk(3, -1)
        attended = [
            F.scaled_dot_product_attention(*parts)
            for parts in zip(q.chunk(heads, -1), k.chunk(heads, -1), v.chunk(heads, -1), strict=True)
        ]
        x = norm(linear(torch.cat(attended, -1), f"{here}.attention.proj"), f"{here}.norm2")
        x = linear(F.gelu(linear(x, f"{here}.mlp.fc1")), f"{here}.mlp.fc2")
    return linear(norm(x, "norm")[:, 0], "head")


def signal(channels: int, samples: int) -> Any:
    return torch.randn(3, channels, samples, generator=torch.Generator().manual_seed(5)) * 3 + 1


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def embed(found: Any, windows: Any) -> Any:
    encoder = encoders.build(found.spec)
    encoder.load_state_dict(found.state)
    with torch.inference_mode():
        return encoder(windows)


def check(found: Any, windows: Any, expected: Any) -> None:
    expected = F.normalize(expected.detach())
    assert (expected[0] - expected[1]).abs().max() > 0.02, "these weights hardly see the window"
    torch.testing.assert_close(embed(found, windows), expected, atol=5e-6, rtol=0)


@pytest.mark.parametrize("gru_axis", ["channel", "time"])
@pytest.mark.parametrize("family", ["imu2clip", "aura-mfm"])
def test_stack_computes_what_was_described(tmp_path: Path, family: Any, gru_axis: Any) -> None:
    """From a Lightning checkpoint, either axis, the encoder gives what the described layers give."""
    layers, windows = imu_stack(), signal(6, 1000)
    tensors = state_of(layers, "imu_encoder.net.") | OTHER_TOWERS
    path = saved(tmp_path / "best.ckpt", {"epoch": 3, "state_dict": tensors})
    found = read_foreign(path, family=family, gru_axis=gru_axis, pool="max")
    assert (found.spec.kind, found.spec.options["gru_axis"], found.spec.options["dimension"]) == (
        "cnn_rnn",
        gru_axis,
        16,
    )
    check(found, windows, run_stack(layers, windows, [3, 3, 3], gru_axis))
    assert set(found.left) == set(OTHER_TOWERS)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_published_size_of_the_stack_is_read(tmp_path: Path) -> None:
    """The bare state dict that IMU2CLIP's training leaves, 512 long, has the 850,892 parameters."""
    path = saved(tmp_path / "src_encoder.pt", state_of(imu_stack(512), "net."))
    found = read_foreign(path, family="imu2clip", **STATED)
    assert found.spec.parameters == 850_892
    assert found.left == ()


@pytest.mark.parametrize("gru_axis", ["channel", "time"])
def test_primus_goes_through_its_head_to_clip(tmp_path: Path, gru_axis: Any) -> None:
    """PRIMUS averages the last block, and the head aligned with CLIP follows; the self-supervised one is left, and said to be."""
    layers, windows = imu_stack(), signal(6, 250)
    heads = randomise({"mmcl_head": nn.Linear(16, 16), "ssl_head": nn.Linear(16, 16)}, seed=3)
    tensors = state_of(layers, "imu_encoder.backbone.") | state_of(heads, "imu_encoder.") | OTHER_TOWERS
    path = saved(tmp_path / "best_model.ckpt", {"state_dict": tensors})
    found = read_foreign(path, family="primus", gru_axis=gru_axis, pool="adaptive", window_samples=250)
    check(found, windows, heads["mmcl_head"](run_stack(layers, windows, [3, 3, 3], gru_axis, bins=32)))
    assert set(found.left) == {"imu_encoder.ssl_head.weight", "imu_encoder.ssl_head.bias", *OTHER_TOWERS}


def test_primus_without_heads_is_read_too(tmp_path: Path) -> None:
    """PRIMUS trained without separate heads has IMU2CLIP's names, and averages all the same."""
    layers, windows = imu_stack(), signal(6, 250)
    path = saved(tmp_path / "x.ckpt", {"state_dict": state_of(layers, "imu_encoder.net.")})
    found = read_foreign(path, family="primus", gru_axis="channel", pool="adaptive", window_samples=250)
    check(found, windows, run_stack(layers, windows, [3, 3, 3], "channel", bins=32))


def test_motion_capture_stack_of_aura(tmp_path: Path) -> None:
    """AURA-MFM's five blocks for 17 joints, beside an IMU encoder in the same file."""
    layers, windows = randomise(stack(51, 17, 128, [2] * 5, 16, 24), seed=4), signal(51, 50)
    tensors = state_of(layers, "mocap_encoder.net.") | state_of(imu_stack(24), "imu_encoder.net.")
    path = saved(tmp_path / "best.pt", {"model": tensors})
    found = read_foreign(path, family="aura-mfm", tower="mocap", **STATED)
    check(found, windows, run_stack(layers, windows, [2, 1, 1, 1, 1], "channel"))
    assert all(name.startswith("imu_encoder.") for name in found.left)


def test_transformer_computes_what_was_described(tmp_path: Path) -> None:
    """Size SS through a file of AURA-MFM's own loop: no residuals, six heads, 1,912,072 parameters."""
    state, windows = transformer(192, 6, 6, 8, 125, 512), signal(6, 1000)
    path = saved(tmp_path / "best.pt", {"model": {f"imu_encoder.{k}": v for k, v in state.items()} | OTHER_TOWERS})
    found = read_foreign(path, family="aura-mfm")
    assert (found.spec.kind, found.spec.parameters) == ("senvt_released", 1_912_072)
    check(found, windows, run_transformer(state, windows, 6, 6))
    assert set(found.left) == set(OTHER_TOWERS)


def test_transformer_for_motion_capture(tmp_path: Path) -> None:
    """The bare state dict of 51 channels and 50 frames; of a size that nobody published, the heads must be said."""
    state, windows = transformer(24, 2, 51, 1, 50, 8), signal(51, 50)
    path = saved(tmp_path / "mocap_encoder.pt", state)
    with pytest.raises(BundleError, match=r"24 wide with 2 layers is none of the published sizes.*Say heads"):
        read_foreign(path, family="aura-mfm", tower="mocap")
    found = read_foreign(path, family="aura-mfm", tower="mocap", heads=3)
    check(found, windows, run_transformer(state, windows, 2, 3))
    other = read_foreign(path, family="aura-mfm", tower="mocap", heads=2)
    assert (embed(found, windows) - embed(other, windows)).abs().max() > 1e-2


def test_published_sizes_have_whole_heads() -> None:
    """The table of heads, which no tensor shows, fits the widths."""
    assert all(width % heads == 0 for (width, _), heads in HEADS.items())
    assert HEADS[192, 6] == HEADS[384, 12] == 6


def test_half_precision_is_read_as_float32(tmp_path: Path) -> None:
    """Weights in half precision come over as float32."""
    halves = {name: tensor.half() for name, tensor in state_of(imu_stack(), "net.").items()}
    found = read_foreign(saved(tmp_path / "half.pt", halves), family="imu2clip", **STATED)
    assert {tensor.dtype for tensor in found.state.values()} == {torch.float32}


def without(tensors: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: tensor for key, tensor in tensors.items() if key != name}


@pytest.mark.parametrize(
    ("change", "stated", "message"),
    [
        ({}, {"pool": "max"}, "Say gru_axis: 'channel'.*or 'time'.*and pool"),
        ({}, {"gru_axis": "time"}, "Say gru_axis"),
        ({}, {"gru_axis": "channel", "pool": "adaptive"}, "Say window_samples.*250, at 50 Hz"),
        ({}, STATED | {"window_samples": 250}, "lengths that do: 978 to 1004"),
        ({}, STATED | {"gru_axis": "both"}, "gru_axis"),
        ({}, STATED | {"heads": 4}, "leave heads out"),
        ({}, STATED | {"family": "primus2"}, "expected one of imu2clip, aura-mfm, primus"),
        ({}, STATED | {"tower": "audio"}, "one of imu, mocap"),
        ({}, STATED | {"tower": "mocap"}, "has shape|lacks"),
        ({"net.0.weight": None}, STATED, "lacks net.0.weight"),
        ({"net.6.weight": torch.ones(3)}, STATED, "has net.6.weight besides"),
        ({"net.1.net.0.weight": torch.ones(32, 6, 9)}, STATED, r"net.1.net.0.weight has shape \[32, 6, 9\]; expected"),
        ({"net.0.weight": torch.full((6,), torch.nan)}, STATED, "not finite"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, Any], stated: dict[str, Any], message: str
) -> None:
    """A variant left open, and tensors too few, too many or of another shape, are errors that say what to do."""
    tensors = {k: v for k, v in (state_of(imu_stack(), "net.") | change).items() if v is not None}
    with pytest.raises(BundleError, match=message):
        read_foreign(saved(tmp_path / "x.pt", tensors), **({"family": "imu2clip"} | stated))


@pytest.mark.parametrize(
    ("change", "stated", "message"),
    [
        ({}, {"gru_axis": "time"}, "holds a Transformer: leave gru_axis and pool out"),
        ({}, {"window_samples": 900}, "windows of 10 patches of 100 samples, 1000 in all, not for 900"),
        ({}, {"family": "imu2clip"} | STATED, "holds no encoder of 'imu' from imu2clip; its tensors are"),
        ({}, {"heads": 5}, "multiple of heads 5"),
        ({"head.weight": None}, {}, "without head.weight: one that was not aligned"),
        ({"pos_embed": torch.ones(11)}, {}, r"pos_embed has shape \[11\]; expected 3 dim"),
        ({"cls_token": torch.ones(2, 1, 24)}, {}, r"cls_token has shape \[2, 1, 24\]; expected \[24\]"),
        ({"patch_embed.proj.weight": torch.ones(24)}, {}, r"has shape \[24\]; expected 3 dim"),
        ({"head.weight": torch.ones(())}, {}, r"has shape \[\]; expected 2 dim"),
    ],
)
def test_transformer_that_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, Any], stated: dict[str, Any], message: str
) -> None:
    """The same for the Transformer of AURA-MFM."""
    tensors = {k: v for k, v in (transformer(24, 2, 6, 100, 10, 8) | change).items() if v is not None}
    with pytest.raises(BundleError, match=message):
        read_foreign(saved(tmp_path / "x.pt", tensors), **({"family": "aura-mfm", "heads": 2} | stated))


def test_pickled_objects_are_refused_and_the_way_out_works(tmp_path: Path) -> None:
    """AURA-MFM's loop pickles its arguments: the file is not unpickled, and what the error advises to write can be read."""
    tensors = state_of(imu_stack(), "imu_encoder.net.")
    path = saved(tmp_path / "best.pt", {"model": tensors, "args": argparse.Namespace(epochs=3)})
    with pytest.raises(BundleError, match=r"argparse\.Namespace.*safe_globals.*torch\.save\(c\['state_dict'\]"):
        read_foreign(path, family="aura-mfm", **STATED)
    with torch.serialization.safe_globals([argparse.Namespace]):
        c = torch.load(path, map_location="cpu", weights_only=True)
    read_foreign(saved(tmp_path / "weights.pt", c["model"]), family="aura-mfm", **STATED)


class Runs:
    """Runs something when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    """Code in a checkpoint does not run, and the error names what would have."""
    path = saved(tmp_path / "evil.ckpt", {"state_dict": {}, "x": Runs(tmp_path / "touched")})
    with pytest.raises(BundleError, match="Python objects besides tensors"):
        read_foreign(path, family="imu2clip", **STATED)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a file of torch.save"),
        (b"nothing of the kind", "not a file of torch.save"),
        ({"state_dict": {}}, "holds no tensors by name"),
        ([torch.ones(2)], "holds no tensors by name"),
        ({1: torch.ones(2)}, "holds no tensors by name"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    """Another kind of file is an error of ours."""
    path = tmp_path / "x.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(BundleError, match=message):
        read_foreign(path, family="imu2clip", **STATED)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """So is one that is missing, or a folder."""
    for path in (tmp_path / "none.pt", tmp_path):
        with pytest.raises(BundleError, match="cannot be read"):
            read_foreign(path, family="imu2clip", **STATED)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("whole") / "x.pt", state_of(imu_stack(), "net."))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_is_an_error_or_still_fits(whole: Path, data: st.DataObject) -> None:
    """Bytes changed or cut anywhere give our error, or the encoder of the right shape: never another exception."""
    content = bytearray(whole.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    for _ in range(data.draw(st.integers(1, 5))):
        if content:
            # Names and pickle lie at both ends, weights between them.
            place = data.draw(st.integers(0, min(3000, len(content) - 1)))
            content[place if data.draw(st.booleans()) else -1 - place] = data.draw(st.integers(0, 255))
    damaged = whole.with_name("damaged.pt")
    damaged.write_bytes(bytes(content))
    try:
        found = read_foreign(damaged, family="imu2clip", **STATED)
    except BundleError:
        return
    assert found.spec.options["dimension"] == 16


def test_import_writes_a_checkpoint_that_loads(tmp_path: Path) -> None:
    """The folder holds an encoder of ours with its text space, captions, signal and where it came from."""
    tensors = state_of(imu_stack(512), "imu_encoder.net.") | OTHER_TOWERS
    path = saved(tmp_path / "best.ckpt", {"state_dict": tensors})
    header = import_checkpoint(
        path, tmp_path / "run", family="imu2clip", name="theirs", text_space=CLIP, captions=CAPTIONS, **STATED
    )
    found = checkpoint.load(tmp_path / "run")
    assert found.header == header
    assert (header.name, header.text_space, header.captions, header.signal) == ("theirs", CLIP, CAPTIONS, SignalSpec())
    assert header.training["imported"] == {
        "family": "imu2clip",
        "variant": {"gru_axis": "channel", "pool": "max"},
        "file": "best.ckpt",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "tensors_left": {"loss": 1, "text_encoder": 1},
    }
    state = found.encoder.state_dict()
    assert state.keys() == read_foreign(path, family="imu2clip", **STATED).state.keys()
    assert torch.equal(state["gru.weight_hh_l0"], tensors["imu_encoder.net.5.weight_hh_l0"])


def test_import_takes_the_window_from_the_signal(tmp_path: Path) -> None:
    """PRIMUS's 5 s at 50 Hz are 250 samples."""
    tensors = state_of(imu_stack(512), "net.")
    header = import_checkpoint(
        saved(tmp_path / "x.ckpt", {"state_dict": tensors}),
        tmp_path / "run",
        family="primus",
        name="primus",
        text_space=CLIP,
        captions=CAPTIONS,
        signal=SignalSpec(rate_hz=50.0),
        gru_axis="channel",
        pool="adaptive",
    )
    assert header.encoder.options["window_samples"] == header.signal.window_samples == 250


def test_import_into_another_text_space_is_refused(tmp_path: Path) -> None:
    """Embeddings of another length than the text tower's are an error, and nothing is written."""
    path = saved(tmp_path / "x.pt", state_of(imu_stack(16), "net."))
    with pytest.raises(TextSpaceError, match="have 16 dimensions, those of 'ViT-B-32' have 512"):
        import_checkpoint(
            path, tmp_path / "run", family="imu2clip", name="x", text_space=CLIP, captions=CAPTIONS, **STATED
        )
    assert not (tmp_path / "run").exists()


def test_checkpoint_is_taken_over_by_a_command(tmp_path: Path) -> None:
    """With its tower, the captions of a data set and the variant that was said; a variant that nobody said is asked for."""
    import tiny_clip
    from typer.testing import CliRunner

    from aura_edge_train.commands import import_app

    tiny_clip.register(tmp_path)
    tower = f"open_clip:{tiny_clip.MODEL}:{tiny_clip.save(tmp_path / 'clip.safetensors')}"
    path = saved(tmp_path / "src.pt", state_of(imu_stack(tiny_clip.DIMENSION), "net."))
    common = [str(path), "-o", str(tmp_path / "run"), "--family", "imu2clip", "--set", "made-up", "--text-tower", tower]
    with pytest.raises(BundleError, match="channel"):
        CliRunner().invoke(import_app, common, catch_exceptions=False)
    assert CliRunner().invoke(import_app, [*common, "--gru-axis", "sideways"]).exit_code == 2
    done = CliRunner().invoke(import_app, [*common, "--gru-axis", "channel", "--pool", "max"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "cnn_rnn" in done.output
    header = checkpoint.load(tmp_path / "run").header
    assert header.training["imported"]["variant"] == {"gru_axis": "channel", "pool": "max"}
    assert [caption.key for caption in header.captions["made-up"]] == ["walking", "shaking", "spinning"]


def test_heads_that_no_tensor_shows_are_said_to_the_command(tmp_path: Path) -> None:
    """A Transformer of a size that nobody published is refused with the option, and taken over with it."""
    import tiny_clip
    from typer.testing import CliRunner

    from aura_edge_train.commands import import_app

    tiny_clip.register(tmp_path)
    tower = f"open_clip:{tiny_clip.MODEL}:{tiny_clip.save(tmp_path / 'clip.safetensors')}"
    path = saved(tmp_path / "src.pt", transformer(24, 2, 6, 100, 10, tiny_clip.DIMENSION))
    common = [str(path), "-o", str(tmp_path / "run"), "--family", "aura-mfm", "--set", "made-up", "--text-tower", tower]
    with pytest.raises(BundleError, match="--heads"):
        CliRunner().invoke(import_app, common, catch_exceptions=False)
    assert CliRunner().invoke(import_app, [*common, "--heads", "3"], catch_exceptions=False).exit_code == 0
    assert checkpoint.load(tmp_path / "run").header.training["imported"]["variant"] == {"heads": 3}


@pytest.mark.parametrize("there", [checkpoint.HEADER, "state.safetensors", "pretraining.safetensors"])
def test_import_replaces_nothing(tmp_path: Path, there: str) -> None:
    """A folder with an encoder, or with a run that has none yet, is refused and stays as it is."""
    path = saved(tmp_path / "x.pt", state_of(imu_stack(512), "net."))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / there).write_text("of somebody")
    with pytest.raises(BundleError, match=f"already .{there}.*another folder"):
        import_checkpoint(
            path, tmp_path / "run", family="imu2clip", name="x", text_space=CLIP, captions=CAPTIONS, **STATED
        )
    assert [(file.name, file.read_text()) for file in (tmp_path / "run").iterdir()] == [(there, "of somebody")]
