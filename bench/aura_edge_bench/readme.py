"""Writes the numbers of the README and of `docs/TRAINING.md` from committed results, so that none of them is anybody's memory.

`python -m aura_edge_bench.readme` fills what stands between `<!-- results:NAME -->` and `<!-- /results -->`; with `--check` it only says
whether that is what the results give.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aura_edge.errors import InputError
from aura_edge.whole_files import replace_file
from aura_edge_bench import training_tables
from aura_edge_bench.committed import read

RESULTS = Path("bench/results")
BLOCK = re.compile(r"(<!-- results:(?P<name>[\w-]+) -->\n).*?(<!-- /results -->)", re.DOTALL)


def filled(page: str, results: Path) -> str:
    """`page` with every block written anew. Raises `InputError` for a block that nothing fills."""

    def block(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in TABLES:
            raise InputError(f"nothing fills the block {name!r}; known are {', '.join(sorted(TABLES))}.")
        return f"{match[1]}{TABLES[name](results)}\n{match[3]}"

    return BLOCK.sub(block, page)


def accuracy(results: Path) -> str:
    """Zero-shot on test subjects, as worn and turned."""
    worn, turned = read(results / "evaluate-test.json"), read(results / "evaluate-test-rotated.json")
    rows = [
        "| test subjects, zero-shot by sentence | windows | accuracy | macro-F1 | each window turned at random |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, found in worn["sets"].items():
        for kind in ("labels", "groups"):
            if kind in found:
                score, other = found[kind], turned["sets"][name][kind]
                what = f"{name}, {len(score['labels'])} {'sentences' if kind == 'labels' else 'groups'}"
                rows.append(
                    f"| {what} | {score['windows']:,} | {score['accuracy']:.3f} | {score['macro_f1']:.3f} "
                    f"| {other['accuracy']:.3f} / {other['macro_f1']:.3f} |"
                )
    called, of_daily, missed, of_falls = _falls(worn["sets"]["sisfall"]["groups"])
    rows.append(
        f"\nOf SisFall's windows of daily life, quiet seconds included, {called} of {of_daily:,} ({called / of_daily:.1%}) are called a fall; of "
        f"the windows of falls, {missed} of {of_falls:,} ({missed / of_falls:.1%}) are called something else."
    )
    return "\n".join(rows)


def _falls(groups: Any) -> tuple[int, int, int, int]:
    """Daily life called a fall, out of how much; falls called daily life, out of how many: in windows."""
    fall, confusion = groups["labels"].index("fall"), groups["confusion"]
    called = sum(row[fall] for row in confusion) - confusion[fall][fall]
    falls = sum(confusion[fall])
    return called, sum(map(sum, confusion)) - falls, falls - confusion[fall][fall], falls


def speed(results: Path) -> str:
    """What it costs, with the machine it was measured on."""
    encode, cost, start = (read(results / f"{n}.json") for n in ("encode-latency", "pipeline-cost", "startup"))
    rows = ["| | |", "|---|---:|"]
    for engine in encode["engines"]:
        if engine["latency"]:
            latency = engine["latency"]
            rows.append(
                f"| encode one window, `{engine['engine']}`, one thread, p50 / p99 | {latency['p50_ms']:.2f} / {latency['p99_ms']:.2f} ms |"
            )
    for comparison in encode["comparisons"]:
        low, high = comparison["interval"]
        rows.append(
            f"| `{comparison['engine']}` against `{comparison['against']}`, interleaved, ratio of medians "
            f"| {comparison['ratio']:.2f} ({low:.2f} to {high:.2f}) |"
        )
    rows += [
        f"| everything but the encoder, per input sample at 1 kHz | {cost['us_per_sample']['1000']:.2f} µs |",
        f"| `aura-edge --help` | {start['help_s']:.2f} s |",
        f"| process start to first label of the demo | {start['first_label_s']:.2f} s |",
        f"| resident memory of the stream, peak | {start['resident_mib']:.0f} MiB |",
    ]
    machine = encode["machine"]
    rows.append(f"\nMeasured on {machine['cpu']}, {machine['usable_cores']} shared cores, {machine['python']}.")
    return "\n".join(rows)


def wire(results: Path) -> str:
    """What following a board costs, and how well it is done."""
    cost, live = read(results / "wire-cost.json"), read(results / "wire-live.json")
    clock, diagnosis = read(results / "clock-fit.json"), read(results / "diagnosis-rates.json")
    (decode,) = (c for c in cost["costs"] if c["samples_per_message"] == 10 and c["encode_us_per_sample"] is not None)
    latency = live["label_latency_ms"]
    rows = [
        "| following a board at 200 Hz | |",
        "|---|---:|",
        f"| last byte of a window on the wire to its JSON line, p50 / p99 | {latency['p50']:.1f} / {latency['p99']:.1f} ms |",
        f"| beside it: the resampler's constant delay | {live['resampler_delay_ms']:.0f} ms |",
        f"| CPU of the reading thread, and of everything else | {live['reader_cpu_percent']:.2f} % and "
        f"{live['stream_cpu_percent']:.1f} % of a core |",
        f"| decoding, per sample (ten a message) | {decode['decode_us_per_sample']:.2f} µs |",
        f"| clock fit after 30 s, 5 ms of jitter, 200 ppm: p99 / largest of {clock['seeds']:,} | {clock['errors']['even']['p99_ms']:.2f} "
        f"/ {clock['errors']['even']['max_ms']:.2f} ms |",
    ]
    declared, planted = diagnosis["as_declared"].values(), diagnosis["planted"]["sisfall"]
    alarms, streams = sum(bool(found["found"]) for found in declared), sum(found["streams"] for found in declared)
    hours = sum(found["hours"] for found in declared)

    def share(name: str, *, turning: bool = False) -> str:
        found, of = ("found_turning", "turning") if turning else ("found", "cuts")
        return f"{planted[name][found] / planted[name][of]:.0%}"

    rows.append(
        f"\nSelf-diagnosis, within ten seconds of people moving: an accelerometer in the wrong unit is found in {share('g taken for m/s2')}, without "
        f"gravity in {share('gravity missing')}, a gyroscope in the wrong unit in {share('deg/s taken for rad/s')} to "
        f"{share('rad/s taken for deg/s')}, a dead axis in {share('acc_y dead')}. Exchanged axes show only where gravity turns enough: there in "
        f"{share('gyroscope z the other way', turning=True)} (one mirrored) to {share('gyroscope x and y exchanged', turning=True)} (two exchanged). "
        f"False alarms: {alarms} in {streams:,} recordings, {hours:.1f} hours."
    )
    return "\n".join(rows)


def training(results: Path) -> str:
    """Activities that were left out of training, and motion capture found by movement."""
    unseen = read(results / "evaluate-unseen.json")["sets"]["sisfall"]["generalised"]
    plain, lowered = unseen["as they are"], next(found for name, found in unseen.items() if name != "as they are")
    alone, (low, high) = plain["unseen_alone"], lowered["harmonic_mean_interval"]
    found = read(results / "evaluate-utd-mhad.json")
    rows = [
        "Seven of SisFall's activities, left out of training altogether, are told apart by their sentences alone with a mean accuracy of "
        f"{alone:.2f} (chance 0.14). Among all 34 at once seen sentences win nearly always ({plain['unseen']:.2f} on unseen activities, "
        f"{plain['seen']:.2f} on seen ones); lowered by a bias that `aura-edge calibrate` chose on other activities, it is "
        f"{lowered['unseen']:.2f} and {lowered['seen']:.2f}: a harmonic mean of {lowered['harmonic_mean']:.2f} [{low:.2f}, {high:.2f}] in place "
        f"of {plain['harmonic_mean']:.2f}.",
        "",
        f"| UTD-MHAD, {_directions(found)[0]['score']['queries']} trials of new people | IMU to motion capture, R@1 / R@10 / MRR | and back |",
        "|---|---:|---:|",
    ]
    for each in [found, *found["compared"]]:
        there, back = (direction["score"] for direction in _directions(each))
        name = each["run"].partition("(")[2].rstrip(")") or each["run"]  # the folder, where recipes have one name
        rows.append(f"| {name} | {_retrieved(there)} | {_retrieved(back)} |")
    chance = _directions(found)[0]["score"]["recall"]["10"]["chance"]
    rows.append(
        f"\nChance of R@10: {chance:.3f}. One seed each; of every trial the middle 2.1 s, so that nothing is found by how long it was."
    )
    return "\n".join(rows)


def _directions(evaluation: Any) -> list[Any]:
    """IMU to motion capture, and back."""
    both = evaluation["sets"]["utd-mhad-middle"]["retrieval"]["directions"]
    return [
        next(d for d in both if (d["query"], d["gallery"]) == pair) for pair in (("imu", "mocap"), ("mocap", "imu"))
    ]


def _retrieved(score: Any) -> str:
    return f"{score['recall']['1']['value']:.3f} / {score['recall']['10']['value']:.3f} / {score['mrr']['value']:.3f}"


TABLES: dict[str, Callable[[Path], str]] = {
    "accuracy": accuracy,
    "speed": speed,
    "wire": wire,
    "training": training,
    "seeds": training_tables.seeds,
    "encoders": training_tables.encoders,
    "ablation": training_tables.ablation,
    "cross-data": training_tables.cross_data,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS / "epyc-2-cores")
    parser.add_argument("--page", type=Path, nargs="+", default=[Path("README.md"), Path("docs/TRAINING.md")])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when the README says otherwise")
    chosen = parser.parse_args()
    for page in chosen.page:
        before = page.read_text("utf-8")
        after = filled(before, chosen.results)
        if chosen.check and after != before:
            sys.exit(f"{page}: says other numbers than {chosen.results}. Run: python -m aura_edge_bench.readme")
        if after != before:
            replace_file(page, after.encode())


if __name__ == "__main__":
    main()
