"""What all tests share: where the recordings are, few threads, and when a test may skip."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

# Before anything imports torch or onnxruntime, and for the processes that tests start: more threads than cores only wait for each other.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# What is kept between runs (engines, choices, compiled kernels) is this run's own: nobody's cache is written to, and none hides a failure.
# Processes that share the tests share it.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _cache = tempfile.TemporaryDirectory(prefix="aura-edge-tests-", ignore_cleanup_errors=True)
    os.environ["XDG_CACHE_HOME"] = _cache.name

# A machine that runs something else beside the tests is slow now and then: that is no failure.
settings.register_profile("aura-edge", settings(), deadline=None)
settings.load_profile("aura-edge")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The recordings kept beside the project (`../shared/data`, or `data` in `$AURA_EDGE_SHARED`)."""
    folder = Path(os.environ.get("AURA_EDGE_SHARED", ROOT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}; say where `shared` is with AURA_EDGE_SHARED")
    return folder


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no NVIDIA GPU that torch can use on this machine")
