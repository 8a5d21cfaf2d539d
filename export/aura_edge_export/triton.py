"""A model repository for NVIDIA's Triton Inference Server: for users who embed the windows of many devices in one place.

    <folder>/<bundle>_<precision>/config.pbtxt
    <folder>/<bundle>_<precision>/1/model.onnx
    <folder>/<bundle>_trt/1/model.plan           a TensorRT engine, where one is given

Clients send `imu` and get `embedding`; labels are theirs to choose, with the bundle's prototypes. Facts: Triton's documentation, "model
configuration", and its model_config.proto.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from aura_edge.bundle import FP32, Bundle
from aura_edge.engines.ort import INPUT, OUTPUT
from aura_edge.errors import BundleError, InputError
from aura_edge.whole_files import replace_folder

CONFIG = "config.pbtxt"
MAX_BATCH = 64
QUEUE_DELAY_US = 2000
"""How long a request may wait for others to share a batch: windows come twice a second, so nobody notices."""


def write_repository(bundle: Bundle, folder: Path, *, plan: Path | None = None) -> tuple[Path, ...]:
    """Write one model for each precision of `bundle` that takes any number of windows, and one of the TensorRT engine `plan`, which must
    take 1 to `MAX_BATCH`; give their folders. Models of these names are replaced, others stay.

    Raises `BundleError` for a changed bundle, a place that cannot be written, or a folder of that name that is no model.
    """
    name = re.sub(r"[^A-Za-z0-9_]", "_", bundle.manifest.name)
    made = []
    for precision in bundle.precisions:
        if bundle.batch(precision) is not None:
            continue
        file, _ = bundle.model(precision)
        facts = {"weights_sha256": bundle.manifest.files[file].sha256, "precision": precision}
        config = _config(
            f"{name}_{precision}", "onnxruntime_onnx", bundle, facts, shares_batches=_independent(bundle, precision)
        )
        made.append(_write(folder / f"{name}_{precision}", config, "model.onnx", bundle.read(file)))
    if plan is not None:
        try:
            content = plan.read_bytes()
        except OSError as error:
            raise InputError(f"{plan}: cannot be read: {error.strerror}. Expected a TensorRT engine.") from error
        config = _config(
            f"{name}_trt", "tensorrt_plan", bundle, {"built_from": bundle.manifest.name}, shares_batches=True
        )
        made.append(_write(folder / f"{name}_trt", config, "model.plan", content))
    return tuple(made)


def _independent(bundle: Bundle, precision: str) -> bool:
    """Whether a window's embedding is the same whatever it is embedded with: dynamic INT8 takes its ranges over the whole batch."""
    return precision == FP32 or bundle.manifest.variants[precision].method != "dynamic"


def _config(name: str, platform: str, bundle: Bundle, facts: Mapping[str, str], *, shares_batches: bool) -> str:
    manifest = bundle.manifest
    signal = manifest.signal
    lines = [
        f'name: "{name}"',
        f'platform: "{platform}"',
        f"max_batch_size: {MAX_BATCH}",
        "input [",
        "  {",
        f'    name: "{INPUT}"',
        "    data_type: TYPE_FP32",
        f"    dims: [ {len(signal.channels)}, {signal.window_samples} ]",
        "  }",
        "]",
        "output [",
        "  {",
        f'    name: "{OUTPUT}"',
        "    data_type: TYPE_FP32",
        f"    dims: [ {manifest.text_space.dimension} ]",
        "  }",
        "]",
        "instance_group [ { kind: KIND_AUTO, count: 1 } ]",
        "version_policy { latest { num_versions: 1 } }",
    ]
    if shares_batches:
        lines.append(f"dynamic_batching {{ max_queue_delay_microseconds: {QUEUE_DELAY_US} }}")
    for key, value in facts.items():
        lines.append(f'parameters {{ key: "{key}" value {{ string_value: "{_escaped(value)}" }} }}')
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


def _write(target: Path, config: str, model: str, content: bytes) -> Path:
    """All of it beside `target`, then renamed into place: a server that polls the folder sees the old model or the new one."""
    if target.exists() and not (target / CONFIG).is_file():
        raise BundleError(
            f"{target}: exists and is no model of Triton's (no {CONFIG}); choose another folder or remove it."
        )
    try:
        replace_folder(target, {f"1/{model}": content, CONFIG: config.encode()})
    except OSError as error:
        raise BundleError(f"{target}: cannot be written: {error.strerror}. Choose another place.") from error
    return target
