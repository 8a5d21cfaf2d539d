"""On a real NVIDIA GPU: every rung against float64, the engine against the golden vectors, nothing spilled."""

from __future__ import annotations

from pathlib import Path

import pytest
from kernel_cases import demo, preset
from safetensors.numpy import save as to_safetensors

from aura_edge import bundle as bundles
from aura_edge.cuda import open_driver
from aura_edge.engines import open_engine
from aura_edge.engines.cuda import WEIGHTS
from aura_edge.kernels import packing
from aura_edge.kernels.shape import shape_of
from aura_edge_bench import gpu_kernels

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("name", ["edge-xs", "edge-l", "aura"])
def test_every_rung_is_right(name: str) -> None:
    """Attention from one token to 256, the block and the whole encoder in every plan."""
    spec, _, tensors = preset(name)
    windows, _ = bundles.load_golden(demo()[0])
    driver = open_driver()
    try:
        rows = list(gpu_kernels.check_rows(driver, name, shape_of(spec), packing.pack(spec, tensors), windows))
    finally:
        driver.close()
    assert rows
    assert [row for row in rows if row.unavailable or row.values["spilled_bytes"]] == []


def test_the_engine_gives_the_golden_vectors(tmp_path: Path) -> None:
    """One window through the graph, and several at once."""
    shipped, spec, tensors = demo()
    files = {name: shipped.read(name) for name in shipped.manifest.files}
    packed = to_safetensors(packing.pack(spec, tensors))
    opened = bundles.save(tmp_path / "demo.aura", shipped.manifest, files | {WEIGHTS: packed})
    windows, golden = bundles.load_golden(opened)
    engine = open_engine("cuda", opened)
    assert (engine.embed(windows) * golden).sum(1).min() >= 0.999
    for window, vector in zip(windows, golden, strict=True):
        assert float(engine.embed(window[None])[0] @ vector) >= 0.999
    engine.close()
