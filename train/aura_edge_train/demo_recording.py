"""Makes the recording inside the package: one sp-sw-har test subject's phone, all executions one after the other.

`python -m aura_edge_train.demo_recording --data FOLDER` writes `demo_recording.npz` and its attribution beside the demo bundle. The executions follow
each other without a pause, each at the sampling times that its source finds; nothing else is changed.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np

import aura_edge
from aura_edge.types import NS_PER_S
from aura_edge.whole_files import replace_file
from aura_edge_train import datasets
from aura_edge_train.datasets import LabelledRecording

SET = "sp-sw-har"
SUBJECT = "s19"
"""A test subject: the encoder has never been trained or tuned on this person."""
DEVICE = "sp"
NAME = "demo_recording"

ATTRIBUTION = """# demo_recording.npz

{seconds:.0f} seconds of subject {subject}'s phone in a trouser pocket, {count} timed-up-and-go executions joined end to end: sitting, standing up,
walking, turning, walking back, turning, sitting down.

- Source: M. Matey-Sanz, S. Casteleyn, C. Granell, "Dataset of inertial measurements of smartphones and smartwatches for human activity
  recognition", Data in Brief (2023), 109809
  (https://doi.org/10.1016/j.dib.2023.109809; data: https://doi.org/10.5281/zenodo.8398688).
- Licence: Creative Commons Attribution 4.0 International (CC BY 4.0, https://creativecommons.org/licenses/by/4.0/).
- Changes: executions joined without the pauses between them; arrival times replaced by the regular sampling times fitted to them
  (about {rate_hz:.1f} Hz). Samples are unchanged, in m/s2 (with gravity) and rad/s.
- Content: `t_ns` int64 (N,), `imu` float32 (N, 6), `units`, `labels` int8 (N,) as indices into `classes`.
- Made by: `python -m aura_edge_train.demo_recording --data FOLDER`
"""


def executions(data: Path) -> list[LabelledRecording]:
    """Those of the demo's subject and device, in order."""
    return [r for r in datasets.get(SET).read(data) if r.subject == SUBJECT and r.name.endswith(f"_{DEVICE}")]


def make(found: list[LabelledRecording]) -> tuple[bytes, str]:
    """The npz file and its attribution."""
    times, next_ns = [], 0
    for recording in found:
        t_ns = recording.t_ns - recording.t_ns[0] + next_ns
        times.append(t_ns)
        next_ns = int(t_ns[-1] + round(NS_PER_S / recording.rate_hz))
    joined = np.concatenate(times)
    samples = np.concatenate([chunk.samples for recording in found for chunk in recording.chunks])
    file = io.BytesIO()
    np.savez_compressed(
        file,
        t_ns=joined,
        imu=samples,
        units="m/s2, rad/s",
        labels=np.concatenate([recording.labels for recording in found]),
        classes=np.array(datasets.get(SET).classes),
    )
    seconds = (joined[-1] - joined[0]) / NS_PER_S
    text = ATTRIBUTION.format(seconds=seconds, subject=SUBJECT, count=len(found), rate_hz=(len(joined) - 1) / seconds)
    return file.getvalue(), text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with sp-sw-har/ in it")
    chosen = parser.parse_args()
    recording, attribution = make(executions(chosen.data))
    folder = Path(aura_edge.__file__).parent / "data"
    replace_file(folder / f"{NAME}.npz", recording)
    replace_file(folder / f"{NAME}.md", attribution.encode())
    print(f"{folder / NAME}.npz: {len(recording)} bytes")


if __name__ == "__main__":
    main()
