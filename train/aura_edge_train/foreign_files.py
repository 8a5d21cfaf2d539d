"""The tensors in a file of somebody else's, and nothing else: no object in it is made, so that no code in it runs."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from aura_edge.errors import BundleError

WRAPPERS = ("state_dict", "model")
"""Where Lightning and AURA-MFM's own loop put the tensors."""
_TOO_MANY = 5
"""Names in a message."""


def read_tensors(home: Path) -> dict[str, Tensor]:
    """The tensors of a file of `torch.save` by name: a state dict, alone or under one of `WRAPPERS`.

    Raises `BundleError` for a file that cannot be read, is none of these, or holds objects whose reading could run code.
    """
    try:
        if not zipfile.is_zipfile(home):
            with home.open("rb"):
                pass
            raise BundleError(
                f"{home}: not a file of torch.save, or cut short. Expected a .pt, .pth or .ckpt, written by torch 1.6 or newer."
            )
        if objects := torch.serialization.get_unsafe_globals_in_checkpoint(home):
            raise BundleError(
                f"{home}: holds Python objects besides tensors ({some(objects)}), and making those can run code. If you know these classes and "
                "trust them, write the tensors alone, in Python with torch 2.5 or newer where they can be imported: "
                "with torch.serialization.safe_globals([THOSE CLASSES]): c = torch.load(PATH, map_location='cpu', weights_only=True); then "
                "torch.save(c['state_dict'], 'weights.pt'), with 'model' in place of 'state_dict' for AURA-MFM's own loop. Import weights.pt."
            )
        content = torch.load(home, map_location="cpu", weights_only=True, mmap=True)
    except OSError as error:
        raise BundleError(f"{home}: cannot be read: {error.strerror or error}.") from error
    except BundleError:
        raise
    except Exception as error:  # a damaged file makes the reader fail anywhere, in any way
        raise BundleError(f"{home}: damaged: {type(error).__name__}: {error}. Copy or download it again.") from error
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
            break
    tensors = (
        {name: value for name, value in content.items() if isinstance(value, Tensor)}
        if isinstance(content, dict)
        else {}
    )
    if not tensors or not all(isinstance(name, str) for name in tensors):
        raise BundleError(
            f"{home}: holds no tensors by name. Expected a state dict, alone or under one of {', '.join(WRAPPERS)}."
        )
    return tensors


def sha256(home: Path) -> str:
    """Digest of a file of any size."""
    digest = hashlib.sha256()
    with home.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def some(names: Iterable[object]) -> str:
    """The first few of some names, for a message."""
    listed = [str(name) for name in names]
    return ", ".join(listed[:_TOO_MANY]) + (f" and {len(listed) - _TOO_MANY} more" if len(listed) > _TOO_MANY else "")
