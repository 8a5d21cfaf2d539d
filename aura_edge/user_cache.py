"""Where things are kept that can be made again: decisions, compiled kernels, engines built for one GPU."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path:
    """This program's folder below `$XDG_CACHE_HOME`, or `~/.cache`; it need not be there yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aura-edge"
