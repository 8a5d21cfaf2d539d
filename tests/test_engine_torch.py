"""The torch engine: runs a checkpoint as training left it, and takes nothing but real windows."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the engine runs torch; it comes with aura-edge[train]")

from aura_edge import bundle as bundles  # noqa: E402
from aura_edge import encoders, testing  # noqa: E402
from aura_edge.encoders import checkpoint  # noqa: E402
from aura_edge.engines.torch import TorchEngine, open_torch  # noqa: E402
from aura_edge.errors import BundleError, EngineError, TextSpaceError  # noqa: E402

WINDOWS = np.stack([testing.motion(label) for label in testing.TINY_LABELS])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    spec = encoders.make_spec("transformer", {"dimension": 8, "width": 16, "depth": 1, "heads": 2})
    header = checkpoint.Header(name="t", encoder=spec, text_space=testing.TINY_SPACE, captions={})
    checkpoint.save(tmp_path / "run", encoders.build(spec), header)
    return tmp_path / "run"


@pytest.fixture
def engine(run: Path) -> TorchEngine:
    return open_torch(run)


def test_it_says_what_runs(run: Path, engine: TorchEngine) -> None:
    """The info names device, precision and the digest of the weights file."""
    digest = hashlib.sha256((run / checkpoint.WEIGHTS).read_bytes()).hexdigest()
    assert (engine.info.name, engine.info.device, engine.info.precision) == ("torch", "cpu", "fp32")
    assert (engine.info.max_batch, engine.info.threads, engine.info.weights) == (None, 1, digest)


def test_embeddings_are_those_of_the_encoder(run: Path, engine: TorchEngine) -> None:
    """The engine gives what the module gives, without gradients, as float32 of unit norm."""
    found = engine.embed(WINDOWS)
    with torch.inference_mode():
        expected = checkpoint.load(run).encoder(torch.from_numpy(WINDOWS)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.dtype == np.float32


def test_windows_may_be_views_and_read_only(engine: TorchEngine) -> None:
    """A window cut out of a larger array, or one that may not be written to, is as good as any."""
    wide = np.concatenate([WINDOWS, WINDOWS], axis=2)
    expected = engine.embed(WINDOWS)
    locked = WINDOWS.copy()
    locked.flags.writeable = False
    np.testing.assert_array_equal(engine.embed(wide[:, :, :1000]), expected)
    np.testing.assert_array_equal(engine.embed(locked), expected)


@pytest.mark.parametrize(
    "windows",
    [WINDOWS.astype(np.float64), WINDOWS[:, :, :999], WINDOWS[:, :5], WINDOWS[0], WINDOWS[:0]],
    ids=["float64", "short", "five channels", "no batch", "empty"],
)
def test_other_arrays_are_refused(engine: TorchEngine, windows: np.ndarray) -> None:
    """Type and shape must be those of the contract."""
    with pytest.raises(EngineError, match="expected float32 of shape"):
        engine.embed(windows)


def test_closed_engine_says_so(engine: TorchEngine) -> None:
    """After close, twice if need be, there is nothing to run."""
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.embed(WINDOWS)


def test_bad_requests_are_refused(run: Path, tmp_path: Path) -> None:
    """No threads, or no checkpoint, is an error that says what was expected."""
    with pytest.raises(EngineError, match="expected 1 or more"):
        open_torch(run, threads=0)
    with pytest.raises(BundleError, match="no checkpoint"):
        open_torch(tmp_path)


def test_compiled_without_a_compiler_says_what_to_install(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch would end in a traceback of its own."""
    monkeypatch.setenv("CXX", "a-compiler-that-nobody-has")
    with pytest.raises(EngineError, match=r"a-compiler-that-nobody-has was not found.*sudo apt install g\+\+"):
        open_torch(run, compiled=True)


def test_compiler_that_fails_is_an_engine_error(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever torch's compiler raises, the error names the checkpoint and another engine."""
    monkeypatch.setenv("CXX", sys.executable)
    monkeypatch.setattr(torch, "compile", lambda encoder: lambda windows: 1 / 0)
    with pytest.raises(EngineError, match=r"cannot compile the encoder of .*division by zero.*--engine torch"):
        open_torch(run, compiled=True)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles with g++, which is not installed")
def test_compiled_gives_the_embeddings_of_the_encoder(run: Path, engine: TorchEngine, tmp_path: Path) -> None:
    """Compiled at opening, and the same numbers; the info says that it is another engine. In a process of its own, for torch keeps what it
    compiled, and the threads that did it."""
    program = (
        "import sys, numpy as np; from aura_edge.engines.torch import open_torch\n"
        "engine = open_torch(sys.argv[1], compiled=True)\n"
        "assert engine.info.name == 'torch-compiled'\n"
        "np.save(sys.argv[3], engine.embed(np.load(sys.argv[2])))"
    )
    windows, vectors = tmp_path / "windows.npy", tmp_path / "vectors.npy"
    np.save(windows, WINDOWS[:1])
    compiling = {"TORCHINDUCTOR_COMPILE_THREADS": "1", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "compiled")}
    environment = {**os.environ, **compiling, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", program, str(run), str(windows), str(vectors)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(vectors), engine.embed(WINDOWS[:1]), atol=1e-5)


def of_bundle(tmp_path: Path, **training: str) -> bundles.Bundle:
    """The tiny bundle, exported from weights of this digest."""
    made = testing.tiny_bundle(tmp_path / "tiny.aura")
    return bundles.Bundle(made.path, msgspec.structs.replace(made.manifest, training=training))


def test_only_the_checkpoint_of_the_bundle_runs_for_it(run: Path, engine: TorchEngine, tmp_path: Path) -> None:
    """Prototypes and decisions hold for one encoder: another one's numbers would mean nothing."""
    open_torch(run, bundle=of_bundle(tmp_path, weights_sha256=engine.info.weights))
    with pytest.raises(EngineError, match=r"is not the checkpoint that .* was exported from"):
        open_torch(run, bundle=of_bundle(tmp_path, weights_sha256="0" * 64))


def test_a_checkpoint_of_another_text_space_is_refused(run: Path, tmp_path: Path) -> None:
    """Also where weights and dimension are alike: the tower is another."""
    header = checkpoint.load(run).header
    space = msgspec.structs.replace(header.text_space, tower="ViT-B-32")
    checkpoint.save(tmp_path / "clip", checkpoint.load(run).encoder, msgspec.structs.replace(header, text_space=space))
    with pytest.raises(TextSpaceError, match="ViT-B-32"):
        open_torch(tmp_path / "clip", bundle=of_bundle(tmp_path))
