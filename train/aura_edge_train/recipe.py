"""Recipes: TOML in, frozen plain data out, and a clear word about anything in it that makes no sense.

The comments of the shipped recipes tell what each trains and why its values are what they are. A recipe says how to train; where to read
and write is said with flags.
"""

from __future__ import annotations

import hashlib
import sys
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from aura_edge.encoders import presets
from aura_edge.errors import RecipeError
from aura_edge_train.alignment import Modality
from aura_edge_train.augment import Augmentation
from aura_edge_train.datasets import Split
from aura_edge_train.masked_signal import Pretraining
from aura_edge_train.objectives import Objective

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Count = Annotated[int, msgspec.Meta(ge=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]


class Encoder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[encoder]`: what `encoders.build` makes; `dimension` comes from the text tower, `window_samples` from the signal."""

    kind: str = ""
    preset: str = ""
    """One of `encoders.presets`, in place of a kind."""
    options: dict[str, Any] = {}
    """Those of a preset are kept where nothing is said here."""

    def __post_init__(self) -> None:
        if bool(self.kind) == bool(self.preset):
            raise ValueError("an encoder has either a kind or a preset")

    def resolved(self) -> tuple[str, dict[str, Any]]:
        """Kind and options. Raises `BundleError` for an unknown preset, and for one that leaves something open."""
        return presets.resolve(self.preset, self.options) if self.preset else (self.kind, self.options)


class Mocap(Encoder, frozen=True, forbid_unknown_fields=True):
    """`[mocap]`: the encoder of motion capture; `channels` and `window_samples` come from the data."""

    about: Literal["frame", "window"] = "frame"
    """The pelvis is at the origin in each frame, or at the start of the window, so that its path stays."""
    face_forward: bool = True
    """Turn each window so that the body faces one way: where it faces is nothing an IMU could know."""


class Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[data]]`: a data set, and how much of it an epoch sees."""

    name: str
    windows_per_caption: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Windows drawn per epoch for each caption; 0 for as many as lie 2.5 s apart, at random places of their own segments."""
    quiet_rad_s: NotNegative = 0.0
    """Windows whose angular rate deviates less than this (root mean square around its mean, over all axes) are left out: somebody at
    rest does not do what the recording is called after. 0 leaves out none."""
    quiet_groups_kept: tuple[str, ...] = ()
    """Groups of captions whose quiet windows stay: after a fall, lying still belongs to it."""
    unseen: tuple[str, ...] = ()
    """Keys of captions that are left out altogether, to see what an encoder makes of activities it never met: their windows are not trained
    on, and their sentences are no wrong answers either."""
    moments: tuple[str, ...] = ()
    """Kinds of free text (`narration`, `atomic`, `commentary`) around whose moments windows are cut, each moment once an epoch, in place
    of windows at random places."""
    validation_too: bool = False
    """Train on the validation subjects as well, once all choices are made: nobody is left to choose an epoch by, so the last one is kept, nor
    to set temperature and margins by, so those stay at their defaults."""

    @property
    def splits(self) -> tuple[Split, ...]:
        """Those that are trained on."""
        return ("train", "validation") if self.validation_too else ("train",)


class Optimisation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[optimisation]`: AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101), linear warm-up, cosine to zero."""

    epochs: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Of a run without `[[phases]]`, which say their own."""
    batch: Count = 256
    learning_rate: Positive = 1e-3
    weight_decay: NotNegative = 0.05
    betas: tuple[Share, Share] = (0.9, 0.98)
    warm_up: Share = 0.1
    """Share of all steps."""
    clip: Positive = 1.0
    """Longest gradient."""
    averaging: Share = 0.998
    """Weight of the past in the running mean of the weights, which is what is validated and kept; 0 for none."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of matrix products in training; validation and everything kept are fp32."""
    pieces: Count = 1
    """A batch is embedded in so many pieces, where memory is short; its loss and gradients stay those of the whole."""
    patience: Annotated[int, msgspec.Meta(ge=0)] = 0
    """A phase ends after so many epochs without a better validation score; 0 for never."""


class Phase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[phases]]`: some epochs in which only some of the objective counts, as in AURA-MFM's progressive training."""

    epochs: Count
    captions: bool = True
    """Whether windows look for their captions; never where `objective.captions` is off."""
    pairs: tuple[str, ...] = ()
    """Those of `objective.pairs` that count, by name: `imu-mocap`."""
    frozen: tuple[Modality, ...] = ()
    """Modalities whose encoders stay as they are."""


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A training run."""

    name: str
    encoder: Encoder
    data: Annotated[tuple[Data, ...], msgspec.Meta(min_length=1)]
    optimisation: Optimisation
    augmentation: Augmentation = Augmentation()
    objective: Objective = Objective()
    mocap: Mocap | None = None
    pretraining: Pretraining | None = None
    """Masked-signal modelling before the first phase."""
    phases: tuple[Phase, ...] = ()
    """None: one of `optimisation.epochs`, in which everything counts."""
    text_tower: str = "all-MiniLM-L6-v2"
    """Empty for a run that aligns without any."""
    dimension: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Length of the embeddings where no text tower says it."""
    seed: int = 0

    def __post_init__(self) -> None:
        names = {pair.name for pair in self.objective.pairs}
        used = {modality for pair in self.objective.pairs for modality in pair.between}
        if bool(self.text_tower) == bool(self.dimension):
            raise ValueError("either text_tower or dimension says how long an embedding is; give one of them")
        if not self.text_tower and (self.objective.captions or "text" in used):
            raise ValueError("captions and pairs with text need a text_tower")
        if ("mocap" in used) != (self.mocap is not None):
            raise ValueError("[mocap] and a pair with mocap go together")
        if bool(self.phases) == bool(self.optimisation.epochs):
            raise ValueError("either optimisation.epochs or [[phases]] say how long it takes; give one of them")
        if self.chooses_nothing and self.optimisation.patience:
            raise ValueError("patience waits for a better validation score; validation_too leaves none")
        if not self.objective.captions and not names:
            raise ValueError("nothing to learn: objective.captions is off, and there are no objective.pairs")
        for phase in self.phases:
            if unknown := set(phase.pairs) - names:
                raise ValueError(
                    f"a phase names {', '.join(sorted(unknown))}; objective.pairs has {', '.join(sorted(names)) or 'none'}"
                )
            if not phase.pairs and not (phase.captions and self.objective.captions):
                raise ValueError("a phase in which nothing counts")
            if phase.frozen and {"imu", *(["mocap"] if self.mocap else [])} <= set(phase.frozen):
                raise ValueError("a phase in which every encoder is frozen")

    @property
    def chooses_nothing(self) -> bool:
        """Whether validation subjects are trained on, and the last epoch is the one that is kept."""
        return any(entry.validation_too for entry in self.data)

    @property
    def schedule(self) -> tuple[Phase, ...]:
        """Its phases, one at least. Where the objective has no captions, none of them has."""
        pairs = tuple(pair.name for pair in self.objective.pairs)
        phases = self.phases or (Phase(self.optimisation.epochs, pairs=pairs),)
        return tuple(
            msgspec.structs.replace(phase, captions=phase.captions and self.objective.captions) for phase in phases
        )

    @property
    def digest(self) -> str:
        """sha256 of everything in it."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()


def load(path: Path) -> Recipe:
    """Read a recipe: a file, or the name of one that is shipped (`demo`). Raises `RecipeError` naming the key that is wrong."""
    if not path.exists() and path.suffix == "" and len(path.parts) == 1:
        shipped = resources.files(__package__).joinpath("recipes", f"{path.name}.toml")
        if shipped.is_file():
            return parse(shipped.read_text("utf-8"), found_in=path.name)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not text"
        raise RecipeError(
            f"{path}: no recipe: {reason}. Expected a TOML file, or one of the shipped ones: {', '.join(shipped_names())}."
        ) from error
    return parse(text, found_in=str(path))


def parse(text: str, *, found_in: str) -> Recipe:
    """Read a recipe from its text."""
    try:
        return msgspec.convert(tomllib.loads(text), Recipe)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{found_in}: not TOML: {error}.") from error
    except msgspec.ValidationError as error:
        raise RecipeError(
            f"{found_in}: {error}. The shipped recipes show every key: {', '.join(shipped_names())}."
        ) from error


def shipped_names() -> list[str]:
    """Names of the recipes inside the package."""
    folder = resources.files(__package__).joinpath("recipes")
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))
