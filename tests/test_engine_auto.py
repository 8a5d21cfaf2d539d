"""`auto`: measures once, trusts only what computes the golden embeddings, remembers, and says what it picked and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura_edge import bundle as bundles
from aura_edge import engines, testing
from aura_edge.bundle import Bundle, Variant
from aura_edge.commands import options
from aura_edge.engines import Engine, auto, open_engine
from aura_edge.engines.auto import Timed, choose, open_fastest
from aura_edge.engines.candidates import Candidate, Installed, candidates_of, installed_here
from aura_edge.errors import BundleError, EngineError

ORT, OPENVINO = Candidate("ort", "fp32"), Candidate("openvino", "fp32")
BOTH = Installed({"onnxruntime": "1.32.0", "openvino": "2026.4.1"}, "a machine")
ALONE = Installed({"onnxruntime": "1.32.0"}, "a machine")


@pytest.fixture
def tiny(tmp_path: Path) -> Bundle:
    return testing.tiny_bundle(tmp_path / "tiny.aura")


class Clock:
    """Time that passes only when somebody takes it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Machine:
    """Opens fake engines that take as long as they are told, and keeps which were opened."""

    def __init__(self, clock: Clock, **times: tuple[float, float]) -> None:
        self.times, self.clock = times, clock
        self.opened: list[Candidate] = []
        self.engines: list[testing.FakeEngine] = []
        self.broken: set[str] = set()
        self.wrong: set[str] = set()

    def __call__(self, candidate: Candidate) -> Engine:
        open_s, window_s = self.times[candidate.engine]
        self.opened.append(candidate)
        if candidate.engine in self.broken:
            raise EngineError(f"{candidate.engine} is out of order.")
        self.clock.now += open_s
        engine = Slow(self.clock, window_s, wrong=candidate.engine in self.wrong)
        engine.info = replace(engine.info, name=candidate.engine, precision=candidate.precision)
        self.engines.append(engine)
        return engine


class Slow(testing.FakeEngine):
    def __init__(self, clock: Clock, window_s: float, *, wrong: bool) -> None:
        super().__init__()
        self.clock, self.window_s, self.wrong = clock, window_s, wrong

    def embed(self, windows: np.ndarray) -> np.ndarray:
        self.clock.now += self.window_s * len(windows)
        return super().embed(windows) * (1.01 if self.wrong else 1.0)


@pytest.fixture
def fastest(tiny: Bundle, tmp_path: Path) -> Callable[..., Engine]:
    """`open_fastest` on a described machine, keeping its decisions in a folder of the test's."""

    def run(machine: Machine, installed: Installed = BOTH, bundle: Bundle = tiny, **options: object) -> Engine:
        given = {"cache": tmp_path / "cache", **options}
        return open_fastest(bundle, installed=installed, opener=machine, clock=machine.clock, **given)  # type: ignore[arg-type]

    return run


def machine(**changes: tuple[float, float]) -> Machine:
    """onnxruntime 1 ms a window, OpenVINO half of that after half a second."""
    return Machine(Clock(), **{"ort": (0.03, 1e-3), "openvino": (0.5, 0.4e-3), **changes})


def test_the_faster_one_wins_and_says_why(fastest: Callable[..., Engine]) -> None:
    """Half a second of loading is earned back over a stream; the note has the numbers of all, and the other engine is closed."""
    asked = machine()
    engine = fastest(asked)
    assert engine.info.name == "openvino"
    assert engine.info.note == "auto: openvino fp32, 0.40 ms a window and 0.50 s to open; ort fp32 1.00 ms, 0.03 s"
    assert [each.closed for each in asked.engines] == [True, False]


@pytest.mark.parametrize(
    ("openvino", "picked"),
    [((0.5, 0.9e-3), "ort"), ((2.0, 0.1e-3), "ort"), ((0.05, 0.9e-3), "ort"), ((0.1, 0.5e-3), "openvino")],
    ids=["loads longer than it saves", "takes seconds to load", "hardly ahead", "quick in both"],
)
def test_loading_must_be_earned(fastest: Callable[..., Engine], openvino: tuple[float, float], picked: str) -> None:
    """A back end that is quicker a window and slower to open wins only where ten minutes of a stream are done sooner."""
    assert fastest(machine(openvino=openvino)).info.name == picked


def test_decision_is_kept_and_costs_nothing(fastest: Callable[..., Engine]) -> None:
    """The second start opens the winner alone, embeds nothing, and says that it was measured before."""
    fastest(machine())
    again = machine()
    engine = fastest(again)
    assert again.opened == [OPENVINO]
    assert again.engines[0].batches == []
    assert engine.info.note.endswith("; measured earlier")


@pytest.mark.parametrize("change", ["bundle", "version", "machine", "threads", "candidates"])
def test_decision_depends_on_what_it_was_made_from(
    fastest: Callable[..., Engine], tiny: Bundle, tmp_path: Path, change: str
) -> None:
    """Another model, version, machine, number of threads or choice is measured anew."""
    fastest(machine())
    installed, options = BOTH, {}
    if change == "bundle":
        options["bundle"] = with_int8(tiny, tmp_path)
    elif change == "version":
        installed = Installed({**BOTH.versions, "openvino": "2027.0.0"}, BOTH.machine)
    elif change == "machine":
        installed = Installed(BOTH.versions, "another machine")
    elif change == "threads":
        options["threads"] = 2
    else:
        installed = Installed({**BOTH.versions, "onnxruntime-gpu": "1.31.1"}, BOTH.machine)
    again = machine()
    fastest(again, installed, **options)
    assert len(again.opened) > 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"\xff",
        b'{"schema": 1, "picked": {"engine": "ort", "precision": "fp32"}, "timed": []}',
        b'{"schema": 99, "picked": {"engine": "ort", "precision": "fp32"}, "timed": [{"candidate": {"engine": "ort", "precision": "fp32"}}]}',
    ],
)
def test_damaged_decision_is_made_anew(fastest: Callable[..., Engine], tmp_path: Path, content: bytes) -> None:
    """A file that somebody cut or edited is no error."""
    fastest(machine())
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_bytes(content)
    again = machine()
    assert fastest(again).info.name == "openvino"
    assert len(again.opened) == 2
    assert msgspec.json.decode(kept.read_bytes(), type=auto.Choice).picked == OPENVINO


def test_winner_that_no_longer_opens_is_replaced(fastest: Callable[..., Engine]) -> None:
    """What ran when it was chosen may be broken since: it is measured anew among what runs."""
    fastest(machine())
    again = machine()
    again.broken = {"openvino"}
    engine = fastest(again)
    assert engine.info.name == "ort"
    assert "openvino fp32 does not run" in engine.info.note


def test_wrong_numbers_never_win(fastest: Callable[..., Engine]) -> None:
    """An engine that is fast and does not compute the golden embeddings is refused, and the one left is taken."""
    asked = machine()
    asked.wrong = {"openvino"}
    engine = fastest(asked)
    assert engine.info.name == "ort"
    assert [each.closed for each in asked.engines] == [False, True]


def test_nothing_that_runs_is_an_error_with_every_reason(fastest: Callable[..., Engine]) -> None:
    """All candidates broken: each says why."""
    asked = machine()
    asked.broken = {"ort", "openvino"}
    with pytest.raises(
        EngineError, match=r"no engine runs here. ort fp32: ort is out of order. openvino fp32: openvino is"
    ):
        fastest(asked)


def test_one_candidate_is_not_measured(fastest: Callable[..., Engine], tmp_path: Path) -> None:
    """With onnxruntime alone nothing is timed and nothing written: a start costs what it did without `auto`."""
    asked = machine()
    engine = fastest(asked, ALONE)
    assert engine.info.note == "auto: ort fp32 is all that is installed for it"
    assert asked.engines[0].batches == []
    assert not (tmp_path / "cache").exists()


def test_measuring_is_bounded(fastest: Callable[..., Engine]) -> None:
    """A candidate that takes a second a window is called five times and its golden windows, not forty."""
    asked = machine(openvino=(0.5, 1.0))
    fastest(asked)
    golden = 6
    assert sum(asked.engines[1].batches) == golden + 5
    assert sum(asked.engines[0].batches) == golden + 30


def test_cache_that_cannot_be_written_is_no_error(fastest: Callable[..., Engine], tmp_path: Path) -> None:
    """Without a place to keep it, the decision is made at every start."""
    (tmp_path / "file").write_text("")
    assert fastest(machine(), cache=tmp_path / "file").info.name == "openvino"


def with_int8(tiny: Bundle, tmp_path: Path, **variants: Variant) -> Bundle:
    """The tiny bundle with its own model once more, as int8 and as `variants`."""
    every = {"int8": Variant("encoder.int8.onnx", 1e-3, {}), **variants}
    files = {name: tiny.read(name) for name in tiny.manifest.files}
    files |= {variant.file: testing.tiny_model() for variant in every.values()}
    manifest = msgspec.structs.replace(tiny.manifest, variants=every)
    return bundles.save(tmp_path / "more.aura", manifest, files)


def test_candidates_are_what_is_installed(tiny: Bundle, tmp_path: Path) -> None:
    """Every precision for any batch that the engine gains from; GPU engines only with a GPU, and what must be built only when it is."""
    made = with_int8(
        tiny,
        tmp_path,
        fp16=Variant("encoder.fp16.onnx", 1e-2, {}),
        **{"fp32-batch1": Variant("encoder.b1.onnx", 1e-4, {}, batch=1)},
    )

    def told(installed: Installed, precision: str | None = None, built: tuple[str, ...] = ()) -> list[str]:
        found = candidates_of(made, installed, precision, lambda engine, bundle, name: f"{engine} {name}" in built)
        return [str(each) for each in found]

    assert told(ALONE) == ["ort fp32", "ort int8"]
    assert told(BOTH) == ["ort fp32", "ort int8", "openvino fp32", "openvino int8"]
    assert told(BOTH, "int8") == ["ort int8", "openvino int8"]
    assert told(BOTH, "bf16") == ["openvino bf16"]
    assert told(ALONE, "bf16") == []
    assert told(ALONE, "fp16") == ["ort fp16"]
    assert told(ALONE, "fp32-batch1") == ["ort fp32-batch1"]
    gpu = Installed({"onnxruntime-gpu": "1.31.1"}, "a machine", gpu=True)
    assert told(gpu) == ["ort fp32", "ort int8", "ort cuda fp32", "ort cuda fp16"]
    assert told(gpu, built=("trt fp16", "cuda fp16"))[4:] == ["trt fp16", "cuda fp16"]
    assert told(gpu, "fp32", built=("trt fp16", "cuda fp16")) == ["ort fp32", "ort cuda fp32"]
    with pytest.raises(BundleError, match="has no int4 model"):
        told(ALONE, "int4")


def test_engines_of_a_gpu_are_asked_whether_they_are_built(
    tiny: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both answer for a bundle that nobody opened yet: nothing is built, so neither is a candidate."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert candidates_of(tiny, Installed({}, "a machine", gpu=True)) == [ORT]


def test_precision_that_nothing_runs_is_said(fastest: Callable[..., Engine]) -> None:
    """bf16 without OpenVINO has no candidate."""
    with pytest.raises(EngineError, match="aura-edge doctor"):
        fastest(machine(), ALONE, precision="bf16")


def test_this_machine_is_described_without_importing_engines() -> None:
    """Versions come from metadata; onnxruntime, which the package needs, is there under one of its names."""
    found = installed_here()
    assert {"onnxruntime", "onnxruntime-gpu"} & set(found.versions)
    assert found.machine


def test_auto_opens_a_real_engine(tiny: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On this machine, whatever is installed, `auto` gives an engine that computes, and the second start gives the same one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    window = testing.motion("walking")[None]
    first, second = open_engine("auto", tiny), open_engine("auto", tiny)
    assert first.info.note.startswith("auto: ")
    assert (first.info.name, first.info.precision) == (second.info.name, second.info.precision)
    np.testing.assert_allclose(second.embed(window), testing.FakeEngine().embed(window), atol=1e-3)


def test_options_name_the_engines_there_are() -> None:
    """The help text's list, kept apart because it must be light, is that of the engines."""
    assert options.ENGINES == engines.ENGINES


TIMES = st.floats(0, 100, allow_nan=False)


@given(st.lists(st.tuples(TIMES, TIMES, st.booleans()), min_size=1, max_size=6))
def test_choice_is_never_clearly_slower_than_another(rows: list[tuple[float, float, bool]]) -> None:
    """Whatever was measured, what is chosen runs, and no other that runs would be done much sooner than it."""
    timed = [Timed(Candidate("ort", str(i)), a, b, "broken" if no else None) for i, (a, b, no) in enumerate(rows)]
    running = [each for each in timed if each.refused is None]
    if not running:
        with pytest.raises(EngineError):
            choose(timed)
        return
    chosen = choose(timed)
    assert chosen in running
    assert all(chosen.stream_s <= each.stream_s * auto.LEAD * (1 + 1e-9) for each in running)
