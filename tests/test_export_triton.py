"""The model repository is one that Triton would read: its configuration parses as its own message type, its models are the bundle's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from aura_edge import bundle, testing
from aura_edge.bundle import Bundle, Variant
from aura_edge.errors import BundleError, InputError
from aura_edge_export.triton import write_repository

pytest.importorskip("google.protobuf", reason="parses the configuration; it comes with onnx, in aura-edge[export]")


def model_config() -> Any:
    """The parts of Triton's model_config.proto that are written, as a message class."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="model_config.proto", package="inference", syntax="proto3")

    def message(parent: Any, name: str, *fields: tuple[str, Any, bool]) -> Any:
        made = parent.add(name=name)
        for number, (title, kind, repeated) in enumerate(fields, 1):
            label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            if isinstance(kind, str):
                message_type = field.TYPE_ENUM if kind in ("DataType", "Kind") else field.TYPE_MESSAGE
                made.field.add(
                    name=title, number=number, label=label, type=message_type, type_name=f".inference.{kind}"
                )
            else:
                made.field.add(name=title, number=number, label=label, type=kind)
        return made

    for name, values in {
        "DataType": ("TYPE_INVALID", "TYPE_FP32"),
        "Kind": ("KIND_AUTO", "KIND_GPU", "KIND_CPU"),
    }.items():
        made = file.enum_type.add(name=name)
        for number, value in enumerate(values):
            made.value.add(name=value, number=number)
    top = file.message_type
    tensor = (("name", field.TYPE_STRING, False), ("data_type", "DataType", False), ("dims", field.TYPE_INT64, True))
    message(top, "ModelInput", *tensor)
    message(top, "ModelOutput", *tensor)
    message(top, "ModelInstanceGroup", ("kind", "Kind", False), ("count", field.TYPE_INT32, False))
    message(top, "Latest", ("num_versions", field.TYPE_UINT32, False))
    message(top, "ModelVersionPolicy", ("latest", "Latest", False))
    message(top, "ModelDynamicBatching", ("max_queue_delay_microseconds", field.TYPE_UINT64, False))
    message(top, "ModelParameter", ("string_value", field.TYPE_STRING, False))
    message(top, "Entry", ("key", field.TYPE_STRING, False), ("value", "ModelParameter", False))
    message(
        top,
        "ModelConfig",
        ("name", field.TYPE_STRING, False),
        ("platform", field.TYPE_STRING, False),
        ("max_batch_size", field.TYPE_INT32, False),
        ("input", "ModelInput", True),
        ("output", "ModelOutput", True),
        ("instance_group", "ModelInstanceGroup", True),
        ("version_policy", "ModelVersionPolicy", False),
        ("dynamic_batching", "ModelDynamicBatching", False),
        ("parameters", "Entry", True),
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))


def read_config(folder: Path) -> Any:
    from google.protobuf import text_format

    return text_format.Parse((folder / "config.pbtxt").read_text(), model_config()())


@pytest.fixture
def several(tmp_path: Path) -> Bundle:
    """A bundle of several precisions, one of which takes a fixed number of windows."""
    tiny = testing.tiny_bundle(tmp_path / "tiny.aura")
    variants = {
        "fp16": Variant("encoder.fp16.onnx", 0.01, {}, method="strongly typed"),
        "int8": Variant("encoder.int8.onnx", 0.05, {}, method="dynamic"),
        "fp32-batch1": Variant("encoder.fp32.batch1.onnx", 0.01, {}, batch=1),
    }
    files = {name: tiny.read(name) for name in tiny.manifest.files}
    files |= {variant.file: testing.tiny_model() for variant in variants.values()}
    manifest = msgspec.structs.replace(tiny.manifest, name='odd "name"-1', variants=variants)
    return bundle.save(tiny.path, manifest, files)


def test_each_precision_is_a_model(several: Bundle, tmp_path: Path) -> None:
    """Folder, name and file agree, shapes and types are the bundle's, and the digest says which weights these are."""
    made = write_repository(several, tmp_path / "models")
    assert [folder.name for folder in made] == [f"odd__name__1_{name}" for name in ("fp32", "fp16", "int8")]
    for folder, precision in zip(made, ("fp32", "fp16", "int8"), strict=True):
        config = read_config(folder)
        file, _ = several.model(precision)
        assert (config.name, config.platform, config.max_batch_size) == (folder.name, "onnxruntime_onnx", 64)
        (given,), (result,) = config.input, config.output
        assert (given.name, given.data_type, list(given.dims)) == ("imu", 1, [6, 1000])
        assert (result.name, result.data_type, list(result.dims)) == ("embedding", 1, [8])
        assert {entry.key: entry.value.string_value for entry in config.parameters} == {
            "weights_sha256": several.manifest.files[file].sha256,
            "precision": precision,
        }
        assert (folder / "1" / "model.onnx").read_bytes() == several.read(file)


def test_windows_of_dynamic_int8_share_no_batch(several: Bundle, tmp_path: Path) -> None:
    """Its ranges are taken over a whole batch: one user's windows would change another's answers."""
    configs = [read_config(folder) for folder in write_repository(several, tmp_path / "models")]
    assert [config.HasField("dynamic_batching") for config in configs] == [True, True, False]


def test_plan_is_a_model_of_its_own(several: Bundle, tmp_path: Path) -> None:
    """A TensorRT engine goes beside the graphs, as what it is."""
    plan = tmp_path / "engine.plan"
    plan.write_bytes(b"engine")
    *_, folder = write_repository(several, tmp_path / "models", plan=plan)
    config = read_config(folder)
    assert (config.name, config.platform) == ("odd__name__1_trt", "tensorrt_plan")
    assert (folder / "1" / "model.plan").read_bytes() == b"engine"
    with pytest.raises(InputError, match=r"none.plan: cannot be read"):
        write_repository(several, tmp_path / "models", plan=tmp_path / "none.plan")


def test_models_are_replaced_and_others_stay(several: Bundle, tmp_path: Path) -> None:
    """A second export replaces its own models; what is no model is not touched."""
    models = tmp_path / "models"
    first = write_repository(several, models)
    (first[0] / "1" / "stale").write_bytes(b"x")
    (models / "another").mkdir()
    write_repository(several, models)
    assert sorted(path.name for path in first[0].rglob("*")) == ["1", "config.pbtxt", "model.onnx"]
    assert sorted(path.name for path in models.iterdir()) == sorted([*(folder.name for folder in first), "another"])
    (first[0] / "config.pbtxt").unlink()
    with pytest.raises(BundleError, match=r"exists and is no model of Triton's"):
        write_repository(several, models)


def test_changed_bundle_is_not_deployed(several: Bundle, tmp_path: Path) -> None:
    """Files are checked before they are handed on."""
    content = several.model_path.read_bytes()
    several.model_path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BundleError, match="changed since it was exported"):
        write_repository(several, tmp_path / "models")
    assert not (tmp_path / "models").exists()
