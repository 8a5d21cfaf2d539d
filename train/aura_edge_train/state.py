"""All that a killed training needs to go on as if nothing had happened, in one file that is replaced as a whole after each epoch.

    state.safetensors   weights, their running mean, the objective and AdamW's moments; metadata: epoch, best score, recipe, data

There is no random state in it: each epoch seeds its generators from the recipe's seed and its own number.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from aura_edge.errors import RecipeError
from aura_edge.manifest import DecisionSpec, TextSpace
from aura_edge.whole_files import replace_file

STATE = "state.safetensors"


class Progress(msgspec.Struct, frozen=True):
    """How far a run has come."""

    recipe_digest: str
    data_digests: tuple[str, ...]
    text_space: TextSpace
    processes: int
    """Among which batches are split: dropout draws from a generator in each."""
    epochs_done: int = 0
    step: int = 0
    phase: int = 0
    """Number of the phase that the last epoch was in ..."""
    phase_epochs: int = 0
    phase_step: int = 0
    """... and how far in it."""
    best_score: float = -1.0
    """Of the epochs of this phase."""
    stale: int = 0
    """Epochs since then."""
    decision: DecisionSpec = DecisionSpec()
    """As it was calibrated last."""


def write(path: Path, progress: Progress, modules: dict[str, nn.Module], optimiser: torch.optim.Optimizer) -> None:
    """Replace the state at `path`. Raises `RecipeError` where it cannot be written."""
    tensors: dict[str, Tensor] = {}
    for prefix, module in modules.items():
        tensors |= {f"{prefix}.{name}": tensor for name, tensor in module.state_dict().items()}
    for number, values in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{name}": tensor for name, tensor in values.items()}
    content = save(
        {name: tensor.detach().contiguous() for name, tensor in tensors.items()},
        {"progress": msgspec.json.encode(progress).decode()},
    )
    try:
        replace_file(path, content)
    except OSError as error:
        raise RecipeError(
            f"{path}: cannot write the state of the run: {error.strerror}. Free some space; the run resumes from its last whole epoch."
        ) from error


def read(path: Path, fresh: Progress, modules: dict[str, nn.Module], optimiser: torch.optim.Optimizer) -> Progress:
    """Load the state at `path` into `modules` and `optimiser`, and tell how far it is.

    Raises `RecipeError` for one that is damaged, or of another recipe, data, text tower or number of processes than `fresh`, the start of
    the run at hand.
    """
    try:
        with safe_open(path, framework="pt") as file:
            progress = msgspec.json.decode((file.metadata() or {})["progress"], type=Progress)
            _require_same_run(path, progress, fresh)
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        for prefix, module in modules.items():
            module.load_state_dict(_below(tensors, prefix))
        loaded: dict[str, Any] = optimiser.state_dict()
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _below(tensors, "optimiser").items():
            number, _, key = name.partition(".")
            moments.setdefault(int(number), {})[key] = tensor
        optimiser.load_state_dict(loaded | {"state": moments})
    except (OSError, SafetensorError, KeyError, RuntimeError, ValueError, msgspec.DecodeError) as error:
        raise RecipeError(
            f"{path}: no state that this recipe can resume from ({error}). Start the run again in another folder."
        ) from error
    return progress


def _require_same_run(path: Path, found: Progress, fresh: Progress) -> None:
    was, now = found.text_space, fresh.text_space
    if found.recipe_digest != fresh.recipe_digest:
        what = "another recipe"
    elif found.data_digests != fresh.data_digests:
        what = "other data"
    elif was != now:
        what = f"text tower {was.tower!r} ({was.weights_sha256[:12]}), and is gone on with by {now.tower!r} ({now.weights_sha256[:12]})"
    elif found.processes != fresh.processes:
        what = f"{found.processes} processes, and is gone on with by {fresh.processes}"
    else:
        return
    raise RecipeError(
        f"{path}: this run was started with {what}; going on would give an encoder that neither describes. Go on as it was started, or "
        "start the run again in another folder."
    )


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(f"{prefix}."): tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}.")
    }


def step_of(path: Path) -> int:
    """How many steps the state at `path` has seen; 0 where there is none."""
    try:
        with safe_open(path, framework="pt") as file:
            return msgspec.json.decode((file.metadata() or {})["progress"], type=Progress).step
    except (OSError, SafetensorError, KeyError, msgspec.DecodeError):
        return 0
