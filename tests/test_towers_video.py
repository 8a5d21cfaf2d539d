"""CLIP's image tower and what it makes of videos: the frames that are on the screen, by their time stamps, pooled over windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_clip
from hypothesis import given
from hypothesis import strategies as st

tiny_clip.need_open_clip()

from aura_edge.errors import InputError, MissingExtraError, RecipeError  # noqa: E402
from aura_edge.text import open_tower  # noqa: E402
from aura_edge_train.towers import video  # noqa: E402
from aura_edge_train.towers.image import BATCH, ImageTower, open_image_tower  # noqa: E402
from aura_edge_train.towers.video import embed_video, shown_frames  # noqa: E402


@pytest.fixture(scope="module")
def name(tmp_path_factory: pytest.TempPathFactory) -> str:
    home = tmp_path_factory.mktemp("clip")
    tiny_clip.register(home)
    return f"open_clip:tiny-clip:{tiny_clip.save(home / 'weights.safetensors')}"


@pytest.fixture(scope="module")
def tower(name: str) -> ImageTower:
    return open_image_tower(name)


class DecodedFrame:
    """What the decoder gives, with its number for a picture."""

    time_base = Fraction(1, 1000)

    def __init__(self, number: int, time_s: float | None, duration_ms: int = 40) -> None:
        self.number, self.time, self.duration = number, time_s, duration_ms

    def to_ndarray(self, format: str) -> int:
        return self.number


class DecodedStream:
    """A stream that says how many frames a second it has, and not how long it is."""

    duration, time_base, average_rate = None, Fraction(1, 1000), Fraction(5)


def held(frames: Sequence[DecodedFrame], rate_hz: float = 10.0) -> list[Any]:
    """The number of the frame at each grid time."""
    pairs = video._held(Path("some.mkv"), DecodedStream(), iter(frames), rate_hz)
    return [number for number, rows in pairs for _ in range(rows)]


def scenes(count: int, height: int = 40, width: int = 60) -> list[np.ndarray]:
    """Frames that differ: a bright stripe wanders over a coloured ground."""
    frames = []
    for number in range(count):
        frame = np.zeros((height, width, 3), np.uint8)
        frame[:, :, number % 3] = 60 + 5 * (number % 30)
        frame[:, (7 * number) % width : (7 * number) % width + 8] = 255
        frames.append(frame)
    return frames


def write_video(path: Path, levels: Sequence[int], times_ms: Sequence[int], **options: str) -> Path:
    """A lossless video of plain grey frames with these time stamps."""
    av = pytest.importorskip("av", reason="videos need PyAV; it comes with aura-edge[video]")
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "bgr0"
        stream.codec_context.time_base = Fraction(1, 1000)
        for level, time_ms in zip(levels, times_ms, strict=True):
            frame = av.VideoFrame.from_ndarray(np.full((32, 48, 3), level, np.uint8), format="rgb24").reformat(
                format="bgr0"
            )
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def shown(path: Path, **options: Any) -> list[int]:
    """The grey level at each grid time."""
    return [int(frame[0, 0, 0]) for frame, rows in shown_frames(path, **options) for _ in range(rows)]


def test_frames_are_embedded_as_open_clip_does(tower: ImageTower, name: str) -> None:
    """The shorter side to the model's size, centre crop, its normalisation: rows are open_clip's own, of unit norm."""
    import torch
    from PIL import Image

    module = tiny_clip.need_open_clip()
    model, _, prepare = module.create_model_and_transforms("tiny-clip", pretrained=name.split(":", 2)[2])
    frames = scenes(3)
    with torch.inference_mode():
        pixels = torch.stack([prepare(Image.fromarray(frame)) for frame in frames])
        expected = model.eval().encode_image(pixels, normalize=True).numpy()
    rows = tower.embed(np.stack(frames))
    assert rows.dtype == np.float32
    assert tower.dimension == rows.shape[1] == tiny_clip.DIMENSION
    np.testing.assert_allclose(rows, expected, atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert (rows[0] @ rows[1]) < 0.9999, "the frames of this test must differ"


def test_only_the_centre_is_seen(tower: ImageTower) -> None:
    """What lies beside the square in the middle is cropped, what lies in it is not."""
    frame = np.full((32, 96, 3), 128, np.uint8)
    beside, inside = frame.copy(), frame.copy()
    beside[:, :16] = 255
    inside[:, 40:56] = 255
    plain, one, other = tower.embed(np.stack([frame, beside, inside]))
    assert np.allclose(plain, one, atol=1e-6)
    assert not np.allclose(plain, other, atol=1e-3)


def test_batches_and_sizes_do_not_matter(tower: ImageTower) -> None:
    """More frames than a batch, of several sizes, come out in order and as each would alone; none is fine too."""
    frames = [*scenes(BATCH + 3), *scenes(2, 64, 32)]
    rows = np.stack(list(tower.stream(frames)))
    for place in (0, BATCH, len(frames) - 1):
        np.testing.assert_allclose(rows[place], tower.embed(frames[place][None])[0], atol=2e-6)
    assert tower.embed(np.zeros((0, 8, 8, 3), np.uint8)).shape == (0, tiny_clip.DIMENSION)


def test_frames_are_not_hoarded(tower: ImageTower) -> None:
    """Rows of the first batch come before the frames of the second are asked for."""
    asked = 0

    def frames() -> Iterator[np.ndarray]:
        nonlocal asked
        for frame in scenes(3 * BATCH):
            asked += 1
            yield frame

    next(tower.stream(frames()))
    assert asked == BATCH


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 4), (0, 8, 3)])
def test_other_arrays_are_refused(tower: ImageTower, shape: tuple[int, ...]) -> None:
    """Grey, four channels, emptiness: an error that says what a frame is."""
    with pytest.raises(InputError, match=r"expected \(H, W, 3\) uint8"):
        list(tower.stream([np.zeros(shape, np.uint8)]))
    with pytest.raises(InputError, match="float64"):
        list(tower.stream([np.zeros((8, 8, 3))]))  # type: ignore[list-item]


def test_a_tower_is_its_weights(tower: ImageTower, name: str, tmp_path: Path) -> None:
    """The digest is that of weights and preprocessing, not of the file; the text tower in the same file has the same name."""
    copy = open_image_tower(f"open_clip:tiny-clip:{tiny_clip.save(tmp_path / 'copy.pt')}")
    other = open_image_tower(f"open_clip:tiny-clip:{tiny_clip.save(tmp_path / 'other.pt', seed=1)}")
    assert copy.digest == tower.digest != other.digest
    assert tower.name == open_tower(name).space.tower
    assert tower.size_px == tiny_clip.SIZE_PX


def test_a_normalisation_is_not_guessed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of a model whose tags disagree about it is no image tower, while one whose tags agree takes theirs."""
    pretrained = __import__("open_clip.pretrained", fromlist=["_PRETRAINED"])._PRETRAINED
    one = {"hf_hub": "a/one/", "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    before = open_image_tower(name)
    monkeypatch.setitem(pretrained, "tiny-clip", {"one": one})
    assert open_image_tower(name).digest != before.digest
    monkeypatch.setitem(pretrained, "tiny-clip", {"one": one, "two": one | {"mean": (0.4, 0.4, 0.4)}})
    with pytest.raises(RecipeError, match="several normalisations"):
        open_image_tower(name)
    assert open_tower(name).embed(["walking"]).shape == (1, tiny_clip.DIMENSION)


def test_time_stamps_decide(tmp_path: Path) -> None:
    """Each grid time shows the last frame that had come by then, at whatever rate frames come; the last one has its duration."""
    steady = write_video(tmp_path / "steady.mkv", range(50), range(0, 2000, 40))
    assert shown(steady) == [int(t / 0.04 + 1e-9) for t in np.arange(20) / 10]
    assert shown(steady, rate_hz=5) == shown(steady)[::2]
    # Two frames at once, a frozen second, a burst.
    uneven = write_video(tmp_path / "uneven.mkv", [1, 2, 3, 4, 5, 6], [0, 90, 1101, 1110, 1120, 1299])
    assert shown(uneven) == [1] + [2] * 10 + [3, 5] + [6] * (len(shown(uneven)) - 13)


def test_a_video_begins_with_its_first_frame(tmp_path: Path) -> None:
    """A recording whose clock starts elsewhere gives the same rows."""
    late = write_video(tmp_path / "late.mkv", range(10), range(5000, 5400, 40))
    assert shown(late) == shown(write_video(tmp_path / "zero.mkv", range(10), range(0, 400, 40)))


@given(
    # Multiples of 4 ms, so that no frame falls on the very edge of the slack.
    st.lists(st.integers(0, 100).map(lambda number: 4 * number), min_size=1, max_size=40),
    st.sampled_from([1.0, 10.0, 12.5, 30.0]),
)
def test_any_rhythm_fills_the_grid(gaps_ms: list[int], rate_hz: float) -> None:
    """Whatever the frames' times, row k shows the last frame not after k / rate, and none is left out or shown twice."""

    times = np.cumsum(gaps_ms)
    frames = [DecodedFrame(number, int(time) / 1000) for number, time in enumerate(times)]
    got = held(frames, rate_hz)
    relative = (times - times[0]) / 1000 - video.SLACK / rate_hz
    end = relative[-1] + 0.04
    grid = np.arange(int(np.ceil(end * rate_hz - 1e-9))) / rate_hz
    assert got == [int(np.searchsorted(relative, t, side="right")) - 1 for t in grid]


def test_time_stamps_that_make_no_sense_say_so() -> None:
    """None at all, or ones that go back, are no grid; a last frame that does not say how long it stays gets one period."""
    with pytest.raises(InputError, match=r"some\.mkv: a frame has no time stamp"):
        held([DecodedFrame(0, 0.0), DecodedFrame(1, None)])
    with pytest.raises(InputError, match=r"time goes back at 0\.500 s, to 0\.200 s"):
        held([DecodedFrame(0, 1.0), DecodedFrame(1, 1.5), DecodedFrame(2, 1.2)])
    with pytest.raises(InputError, match="has no frame in it"):
        held([])
    assert held([DecodedFrame(0, 0.0), DecodedFrame(1, 0.2, duration_ms=0)]) == [0, 0, 1, 1]


def test_a_video_is_rows_of_its_frames(tower: ImageTower, tmp_path: Path) -> None:
    """One row per 0.1 s, each that of the frame shown; a frame shown for long is embedded once; progress is told."""
    path = write_video(tmp_path / "slow.mkv", [0, 100, 200], [0, 1000, 1300])
    heard: list[float] = []
    rows = embed_video(tower, path, advance=heard.append)
    levels = shown(path)
    expected = tower.embed(np.stack([np.full((32, 48, 3), level, np.uint8) for level in levels]))
    np.testing.assert_allclose(rows, expected, atol=2e-6)
    assert len(heard) == 3
    assert sum(heard) == pytest.approx(len(rows) / 10)


def test_damaged_videos_say_so(tmp_path: Path) -> None:
    """Not there, no video, cut short, without frames, at an impossible rate."""
    whole = write_video(tmp_path / "whole.mp4", range(100), range(0, 4000, 40), movflags="faststart")
    content = whole.read_bytes()
    for name, share, says in (("start", 0.05, "cannot be read as a video"), ("most", 0.6, r"says it is 4\.0 s long")):
        (tmp_path / f"{name}.mp4").write_bytes(content[: int(share * len(content))])
        with pytest.raises(InputError, match=says):
            shown(tmp_path / f"{name}.mp4")
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(InputError, match=r"text\.mp4: cannot be read as a video"):
        shown(tmp_path / "text.mp4")
    with pytest.raises(InputError, match=r"none\.mp4: cannot be read as a video"):
        shown(tmp_path / "none.mp4")
    with pytest.raises(InputError, match="more than 0"):
        shown(whole, rate_hz=0)


def test_a_file_with_sound_only_says_so(tmp_path: Path) -> None:
    """A recording of a voice is not a video."""
    av = pytest.importorskip("av", reason="videos need PyAV; it comes with aura-edge[video]")
    with av.open(str(tmp_path / "voice.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(InputError, match="has no video in it"):
        shown(tmp_path / "voice.wav")


def test_without_pyav_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Videos are an extra of their own."""
    import sys

    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"aura-edge\[video\]"):
        shown(tmp_path / "any.mp4")
