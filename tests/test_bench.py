"""The benchmark is fair to its engines, names a winner only where the rounds do, and never a number without its machine."""

from __future__ import annotations

import gc
import io
import json
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console
from typer.testing import CliRunner

from aura_edge import testing
from aura_edge.bundle import Bundle
from aura_edge.errors import EngineError, ParityError, SinkError
from aura_edge_bench.commands import bench_app
from aura_edge_bench.comparison import compare, summarise
from aura_edge_bench.encode_latency import EncodeLatency, EngineResult, encode_latency
from aura_edge_bench.interleaving import WARM_UP_LIMIT, measure
from aura_edge_bench.machine import Machine, this_machine
from aura_edge_bench.report import render, write_json

WINDOWS = np.stack([testing.motion(label) for label in testing.TINY_LABELS])


class Clock:
    """Stands still until an engine works."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


class TimedEngine(testing.FakeEngine):
    """Takes as long as it is told, on a clock of its own."""

    def __init__(
        self, clock: Clock, durations_ms: list[float], log: list[tuple[TimedEngine, NDArray[np.float32]]]
    ) -> None:
        super().__init__()
        self.clock, self.durations_ms, self.log = clock, durations_ms, log

    def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        self.log.append((self, windows))
        self.clock.now_ns += round(self.durations_ms[len(self.batches) % len(self.durations_ms)] * 1e6)
        return super().embed(windows)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def two_engines(clock: Clock) -> tuple[dict[str, TimedEngine], list[tuple[TimedEngine, NDArray[np.float32]]]]:
    log: list[tuple[TimedEngine, NDArray[np.float32]]] = []
    return {"fast": TimedEngine(clock, [1.0], log), "slow": TimedEngine(clock, [3.0], log)}, log


def test_every_round_calls_every_engine_once_on_the_same_windows(clock: Clock) -> None:
    """In each round both engines get the same batch, and the order varies from round to round."""
    engines, log = two_engines(clock)
    measure(engines, WINDOWS, rounds=60, clock_ns=clock)
    pairs = list(zip(log[::2], log[1::2], strict=True))
    assert all({first[0], second[0]} == set(engines.values()) for first, second in pairs)
    assert all(first[1] is second[1] for first, second in pairs)
    firsts = [first[0] is engines["fast"] for first, _ in pairs]
    assert 0.2 < np.mean(firsts) < 0.8
    assert {id(given) for _, given in log} == {id(given) for _, given in log[:12]}


def test_durations_are_those_of_the_calls(clock: Clock) -> None:
    """What the clock says while an engine works is its duration, and the warm-up is not in it."""
    engines, _ = two_engines(clock)
    engines["fast"].durations_ms = [50.0] * 20 + [1.0] * 1000
    found = measure(engines, WINDOWS, rounds=30, clock_ns=clock)
    assert found.stable
    assert found.duration_ms["slow"].tolist() == [3.0] * 30
    assert set(found.duration_ms["fast"]) <= {1.0, 50.0}
    assert found.warm_up_rounds == 20


def test_warm_up_goes_on_while_durations_change(clock: Clock) -> None:
    """An engine that gets faster block by block is not measured before it stops."""
    engines, _ = two_engines(clock)
    engines["fast"].durations_ms = [8.0] * 10 + [4.0] * 10 + [2.0] * 10 + [1.0] * 1000
    found = measure(engines, WINDOWS, rounds=10, clock_ns=clock)
    assert (found.warm_up_rounds, found.stable) == (50, True)
    assert found.duration_ms["fast"].tolist() == [1.0] * 10


def test_durations_that_never_settle_are_said(clock: Clock) -> None:
    """A warm-up has an end, and the result says that it was not reached by settling."""
    engines, _ = two_engines(clock)
    engines["fast"].durations_ms = [*([1.0] * 10), *([2.0] * 10)]
    found = measure(engines, WINDOWS, rounds=10, clock_ns=clock)
    assert (found.warm_up_rounds, found.stable) == (WARM_UP_LIMIT, False)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_batches_hold_as_many_windows_as_asked(clock: Clock, batch: int) -> None:
    """A batch may be larger than the windows there are: they come round again."""
    engines, log = two_engines(clock)
    measure(engines, WINDOWS, rounds=5, batch=batch, clock_ns=clock)
    assert {given.shape for _, given in log} == {(batch, 6, 1000)}
    assert all(given.flags.c_contiguous for _, given in log)


@pytest.mark.parametrize(
    ("engines", "windows", "rounds"), [({}, WINDOWS, 5), ({"x": None}, WINDOWS[:0], 5), ({"x": None}, WINDOWS, 0)]
)
def test_nothing_to_measure_is_an_error(engines: dict[str, None], windows: np.ndarray, rounds: int) -> None:
    """No engines, no windows or no rounds give no result."""
    with pytest.raises(ParityError, match="nothing to measure"):
        measure(engines, windows, rounds=rounds)  # type: ignore[arg-type]


def test_garbage_collector_is_held_off_and_put_back(clock: Clock) -> None:
    """It does not run while measuring, and runs afterwards even when an engine fails."""
    engines, _ = two_engines(clock)
    seen: list[bool] = []
    measure(engines, WINDOWS, rounds=3, clock_ns=clock, progress=lambda: seen.append(gc.isenabled()))
    assert seen == [False] * 3
    assert gc.isenabled()
    with pytest.raises(EngineError):
        measure(engines, WINDOWS[:, :3], rounds=3, clock_ns=clock)
    assert gc.isenabled()


def test_percentiles_are_in_order() -> None:
    """Of 1 to 100 ms the percentiles are those of anyone's table."""
    found = summarise(np.arange(1.0, 101.0))
    assert (found.min_ms, found.p50_ms, found.max_ms) == (1.0, 50.5, 100.0)
    assert found.p90_ms == pytest.approx(90.1)
    assert found.p99_ms == pytest.approx(99.01)


def test_no_winner_where_rounds_do_not_tell() -> None:
    """Two engines of the same distribution: the interval includes 1, and nobody wins."""
    rng = np.random.default_rng(0)
    found = compare("a", "b", {"a": rng.gamma(9, 1, 400), "b": rng.gamma(9, 1, 400)})
    assert found.winner is None
    assert found.interval[0] < 1 < found.interval[1]


@pytest.mark.parametrize(("factor", "winner"), [(1.5, "a"), (1 / 1.5, "b")])
def test_winner_is_the_one_with_the_smaller_median(factor: float, winner: str) -> None:
    """A clear difference has a winner, and the interval holds the true ratio."""
    rng = np.random.default_rng(1)
    found = compare("a", "b", {"a": rng.gamma(9, 1, 400), "b": rng.gamma(9, factor, 400)})
    assert found.winner == winner
    assert found.interval[0] < factor < found.interval[1]
    assert found.interval[0] <= found.ratio <= found.interval[1]


def test_shared_slow_rounds_do_not_blur_the_ratio() -> None:
    """What slows both engines in the same rounds is in both medians: the ratio stays what it is."""
    rng = np.random.default_rng(2)
    drift = np.repeat(rng.uniform(1, 4, 40), 10)
    found = compare("a", "b", {"a": drift, "b": 1.1 * drift})
    assert found.interval == pytest.approx((1.1, 1.1))
    assert found.winner == "a"


def test_one_round_says_little_but_fails_not() -> None:
    """A single round has a ratio; its interval is that ratio alone."""
    found = compare("a", "b", {"a": np.array([1.0]), "b": np.array([2.0])})
    assert found.interval == (2.0, 2.0)


@pytest.fixture
def tiny(tmp_path: Path) -> Bundle:
    return testing.tiny_bundle(tmp_path / "tiny.aura")


def shown(result: EncodeLatency) -> str:
    """What a person sees."""
    console = Console(width=300, file=io.StringIO(), record=True)
    console.print(render(result))
    return console.export_text()


def test_result_survives_its_json(tiny: Bundle, tmp_path: Path) -> None:
    """The file starts with the schema, and reads back as what was measured."""
    result = encode_latency(tiny, ("ort",), rounds=20)
    write_json(tmp_path / "r.json", result)
    text = (tmp_path / "r.json").read_bytes()
    assert next(iter(json.loads(text))) == "schema"
    assert msgspec.json.decode(text, type=EncodeLatency) == result
    assert len(result.engines[0].duration_ms) == 20
    assert result.engines[0].weights_sha256 == tiny.model_digest == result.model_sha256


def test_missing_engine_is_a_row_that_says_why(tiny: Bundle) -> None:
    """An engine that cannot run does not stop the others, and keeps its reason."""
    result = encode_latency(tiny, ("torch", "ort"), rounds=5)
    torch, ort = result.engines
    assert torch.latency is None
    assert torch.unavailable is not None
    assert "--checkpoint" in torch.unavailable
    assert ort.latency is not None
    assert result.comparisons == ()
    text = shown(result)
    assert "torch did not run: the torch engine runs a checkpoint" in text
    assert "interleaved rounds over 6 real windows" in text


def test_no_engine_at_all_is_an_error(tiny: Bundle) -> None:
    """A benchmark of nothing is no result."""
    with pytest.raises(EngineError, match=r"no engine runs here. torch: the torch engine runs a checkpoint"):
        encode_latency(tiny, ("torch",), rounds=5)


def test_engine_of_another_model_is_not_timed(tiny: Bundle) -> None:
    """An engine that does not give the golden embeddings is refused before it is timed."""
    from safetensors.numpy import save

    from aura_edge import bundle

    files = {name: (tiny.path / name).read_bytes() for name in tiny.manifest.files}
    inputs, outputs = bundle.load_golden(tiny)
    files[bundle.GOLDEN] = save({"inputs": inputs, "embeddings": np.roll(outputs, 1, axis=1)})
    with pytest.raises(EngineError, match=r"ort: .* recomputed embeddings differ by"):
        encode_latency(bundle.save(tiny.path, tiny.manifest, files), ("ort",), rounds=5)


def test_machine_is_described() -> None:
    """The facts that every system tells are there."""
    machine = this_machine()
    assert machine.cpu
    assert 1 <= machine.usable_cores <= machine.logical_cores
    assert machine.libraries["numpy"] == np.__version__


def test_busy_machine_is_said(tiny: Bundle) -> None:
    """A load of more than half the cores is told under the table."""
    result = encode_latency(tiny, ("ort",), rounds=5)
    cores = result.machine.usable_cores
    for load, busy in ((cores / 2 + 0.1, True), (0.0, False)):
        machine: Machine = msgspec.structs.replace(result.machine, load=(load, load, load))
        assert ("The machine was busy" in shown(msgspec.structs.replace(result, machine=machine))) == busy


def test_table_names_a_winner_or_says_there_is_none(tiny: Bundle) -> None:
    """The ratio is printed with its interval, and a winner only where there is one."""
    result = encode_latency(tiny, ("ort",), rounds=5)
    rng = np.random.default_rng(3)
    same = {"ort": rng.gamma(9, 1, 100), "torch": rng.gamma(9, 1, 100)}
    tie = msgspec.structs.replace(result, comparisons=(compare("ort", "torch", same),))
    assert "no winner, the interval includes 1" in shown(tie)
    win = msgspec.structs.replace(result, comparisons=(compare("ort", "torch", same | {"torch": same["ort"] * 2}),))
    assert "median of torch / median of ort = 2.00 (95% interval 2.00 to 2.00): ort is faster" in shown(win)


def test_unsettled_warm_up_is_said(tiny: Bundle) -> None:
    """Numbers taken while durations still changed come with that word."""
    result = encode_latency(tiny, ("ort",), rounds=5)
    settings = msgspec.structs.replace(result.settings, stable=False)
    assert "Durations were still changing" in shown(msgspec.structs.replace(result, settings=settings))


def test_result_that_cannot_be_written_is_said(tiny: Bundle, tmp_path: Path) -> None:
    """A folder in the way is our error, and names the place."""
    result = encode_latency(tiny, ("ort",), rounds=5)
    with pytest.raises(SinkError, match="cannot write the result"):
        write_json(tmp_path, result)


def test_command_prints_json(tiny: Bundle) -> None:
    """`--json -` prints the result and nothing else."""
    run = CliRunner().invoke(bench_app, ["--bundle", str(tiny.path), "--rounds", "5", "--json", "-"])
    assert run.exit_code == 0, run.output
    result = msgspec.json.decode(run.stdout, type=EncodeLatency)
    assert [row.engine for row in result.engines] == ["ort", "torch"]
    assert isinstance(result.engines[1], EngineResult)


def test_command_prints_a_table(tiny: Bundle, tmp_path: Path) -> None:
    """Without `-` the table is printed, and the file written beside it."""
    file = tmp_path / "r.json"
    run = CliRunner().invoke(
        bench_app, ["--bundle", str(tiny.path), "--engine", "ort", "--rounds", "5", "--json", str(file)]
    )
    assert run.exit_code == 0, run.output
    assert "encode latency of tiny" in run.stdout
    assert json.loads(file.read_bytes())["benchmark"] == "encode latency"


def test_command_imports_no_engine() -> None:
    """Importing the commands costs neither torch nor onnxruntime."""
    code = "import sys, aura_edge_bench.commands as c; print({'torch', 'onnxruntime'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_training_throughput_is_that_of_the_same_windows(tmp_path: Path) -> None:
    """Both loops take as many windows as were asked for; a plain item is a window of its own recording; the fastest plain loop is compared."""
    torch = pytest.importorskip("torch", reason="training needs it; it comes with aura-edge[train]")
    from aura_edge.errors import RecipeError
    from aura_edge_bench.plain_loop import Windows, write_recordings
    from aura_edge_bench.train_throughput import TrainThroughput, train_throughput
    from aura_edge_train import corpus, recipe
    from aura_edge_train.augment import Augmentation
    from aura_edge_train.datasets.made_up import MADE_UP
    from aura_edge_train.datasets.store import open_store

    store, chosen = open_store(MADE_UP, Path(), cache=tmp_path / "cache"), recipe.load(Path("tiny"))
    whole = corpus.build([store], chosen.data, 1000)
    draw = whole.epoch(torch.Generator().manual_seed(0)).part(slice(0, 9))
    for stretch in (0.0, 0.1):
        plain = Windows(write_recordings(tmp_path, whole, draw), draw, 1000, Augmentation(stretch=stretch))
        for row in range(len(draw)):
            torch.manual_seed(row)
            window, caption = plain[row]
            torch.manual_seed(row)
            own = draw.part(slice(row, row + 1))
            torch.testing.assert_close(
                window, whole.cut(own, 1000, stretch, torch.default_generator)[0], atol=2e-3, rtol=0
            )
            assert caption == draw.captions[row]

    result = train_throughput(
        chosen, [store], testing.FakeTower(), tmp_path, steps=3, rounds=2, workers=(0, 2), threads=1
    )
    assert msgspec.json.decode(msgspec.json.encode(result), type=TrainThroughput) == result
    assert len(result.speeds) == 5
    for speed in result.speeds.values():
        assert len(speed.windows_per_s_rounds) == 2
        assert min(speed.windows_per_s_rounds) <= speed.windows_per_s <= max(speed.windows_per_s_rounds)
        assert 0 <= speed.waiting < 1
    for name, found in (("plain", result.plain), ("plain, looking up", result.plain_looking_up)):
        fastest = max(result.speeds[f"{name}, {count} workers"].windows_per_s for count in (0, 2))
        assert found.ratio == pytest.approx(result.speeds["ours"].windows_per_s / fastest)
    with pytest.raises(RecipeError, match="nothing to time: 2 rounds of 300 steps of 32 windows, out of 192"):
        train_throughput(chosen, [store], testing.FakeTower(), tmp_path, steps=300, rounds=2, workers=(0,), threads=1)


def test_engines_may_have_a_precision_of_their_own(tmp_path: Path) -> None:
    """`ort,ort:int8` are two rows of one run, each proven and timed; a precision that the bundle has not is a row that says so."""
    from aura_edge.commands.stream import DEMO_BUNDLE, demo_file

    target = tmp_path / "found.json"
    chosen = ["--engine", "ort,ort:int8", "--engine", "ort:fp7", "--bundle", str(demo_file(DEMO_BUNDLE))]
    run = CliRunner().invoke(bench_app, [*chosen, "--rounds", "5", "--json", str(target)])
    assert run.exit_code == 0, run.output
    found = msgspec.json.decode(target.read_bytes(), type=EncodeLatency)
    assert [(row.engine, row.precision) for row in found.engines] == [
        ("ort", "fp32"),
        ("ort:int8", "int8"),
        ("ort:fp7", None),
    ]
    assert "fp7" in (found.engines[2].unavailable or "")
    assert [(c.engine, c.against) for c in found.comparisons] == [("ort", "ort:int8")]
    assert CliRunner().invoke(bench_app, ["--engine", "ort,fast"]).exit_code == 2
