"""Run by `torchrun` with two processes: gradients of an alignment over a batch that is split between them, and what they agree on."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from aura_edge_train import gathering
from aura_edge_train.alignment import Alignment, Embedded, Pair

PAIRS = (
    Pair(("imu", "text")),
    Pair(("imu", "mocap"), loss="siglip", weight=0.5),
    Pair(("imu", "video"), loss="triplet"),
)


def batch(size: int) -> dict[str, Tensor]:
    """Inputs of four modalities, which of them are there, and repeated captions."""
    generator = torch.Generator().manual_seed(1)
    made = {name: torch.randn(size, 6, generator=generator) for name in ("imu", "text", "video", "mocap")}
    made |= {
        f"{name}_present": torch.rand(size, generator=generator) < 0.7 for name in ("imu", "text", "video", "mocap")
    }
    made["caption"] = torch.randint(0, 5, (size,), generator=generator)
    return made


def gradients(rows: slice, size: int) -> dict[str, Tensor]:
    """Of the encoders and what the losses learn, after going back through the rows of one process."""
    torch.manual_seed(0)
    encoders = nn.ModuleDict({name: nn.Linear(6, 4) for name in ("imu", "mocap")})
    alignment = Alignment(PAIRS)
    made = {name: tensor[rows] for name, tensor in batch(size).items()}
    embedded = {}
    for name in ("imu", "text", "video", "mocap"):
        vectors = encoders[name](made[name]) if name in encoders else made[name][:, :4]
        identity = made["caption"] if name == "text" else None
        embedded[name] = Embedded(nn.functional.normalize(vectors, dim=1), made[f"{name}_present"], identity)
    torch.autograd.backward(torch.stack(list(alignment(embedded).values())).sum())
    learned = nn.ModuleDict({"encoders": encoders, "alignment": alignment})
    gathering.average_gradients(learned.parameters())
    return {name: p.grad for name, p in learned.named_parameters() if p.grad is not None}


def main() -> None:
    with gathering.joined(torch.device("cpu")) as process:
        found = gradients(process.share(24), 24)
        found["agreed"] = torch.tensor(gathering.agree(3.5 + process.rank))
        # As a run does with its optimiser: this imports torch's compiler, and with it what knows of groups.
        torch.optim.AdamW([nn.Parameter(torch.zeros(1))]).step()
        save_file(found, str(Path(sys.argv[1]) / f"{process.rank}.safetensors"))
    print(f"threads after: {sorted(threads())}", flush=True)


def threads() -> list[str]:
    """Names of this process's threads, those of libraries too; empty where the system does not tell."""
    return [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]


if __name__ == "__main__":
    main()
