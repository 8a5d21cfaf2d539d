"""`torch.ops.aura_edge.fused_attention`: the fused kernel as an operator of torch, for eager code, torch.compile, autocast and CUDA graphs.

Importing this registers it. On a CPU it is torch's own scaled_dot_product_attention; on a GPU our kernel, FP16, on torch's current stream. The
gradient is computed by torch from the inputs, in FP32: the kernel keeps nothing for it.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from aura_edge.errors import EngineError
from aura_edge.kernels.attention import require_sizes
from aura_edge.kernels.device_attention import DeviceAttention


@torch.library.custom_op("aura_edge::fused_attention", mutates_args=(), device_types="cpu")
def fused_attention(qkv: Tensor) -> Tensor:
    """Packed queries, keys and values (B, N, 3, H, d) to (B, N, H, d), for 1 to 256 tokens and heads of 32 or 64.

    Any floating type on a CPU; FP16 on a GPU, or any under autocast. Raises `EngineError` for what the kernel does not take.
    """
    require_sizes(qkv.shape)
    queries, keys, values = _parts(qkv)
    return F.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).contiguous()


@fused_attention.register_fake
def _shape(qkv: Tensor) -> Tensor:
    batch, tokens, _, heads, head = qkv.shape
    return qkv.new_empty(batch, tokens, heads, head)


@fused_attention.register_kernel("cuda")
def _on_gpu(qkv: Tensor) -> Tensor:
    return on_device(qkv, _kernel(qkv.device.index), torch.cuda.current_stream(qkv.device).cuda_stream)


fused_attention.register_autocast("cuda", torch.float16)
fused_attention.register_autocast("cpu", torch.bfloat16)


def on_device(qkv: Tensor, kernel: DeviceAttention, stream: int) -> Tensor:
    """Queue the kernel on `stream`. Raises `EngineError` for types and sizes that it does not take."""
    require_sizes(qkv.shape)
    if qkv.dtype != torch.float16:
        raise EngineError(
            f"queries, keys and values are {qkv.dtype}; on a GPU fused attention takes float16. Call it under torch.autocast, or use .half()."
        )
    packed = qkv.contiguous()
    if packed.data_ptr() % 16:  # a view that begins in the middle of something
        packed = packed.clone()
    batch, tokens, _, heads, head = packed.shape
    out = packed.new_empty(batch, tokens, heads, head)
    kernel.launch(packed.data_ptr(), out.data_ptr(), packed.shape, stream)
    return out


def _parts(qkv: Tensor) -> tuple[Tensor, ...]:
    """Queries, keys and values, (B, H, N, d) each."""
    return qkv.permute(2, 0, 3, 1, 4).unbind(0)


def _remember(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _gradient(ctx: Any, gradient: Tensor) -> Tensor:
    """Of softmax(Q K^T / sqrt(d)) V, with the weights computed again."""
    (qkv,) = ctx.saved_tensors
    queries, keys, values = (part.float() for part in _parts(qkv))
    scale = qkv.shape[4] ** -0.5
    weights = (queries @ keys.transpose(2, 3) * scale).softmax(3)
    of_result = gradient.float().transpose(1, 2)
    of_weights = of_result @ values.transpose(2, 3)
    of_scores = weights * (of_weights - (of_weights * weights).sum(3, keepdim=True)) * scale
    parts = (of_scores @ keys, of_scores.transpose(2, 3) @ queries, weights.transpose(2, 3) @ of_result)
    return torch.stack(parts).permute(1, 3, 0, 2, 4).to(qkv.dtype).contiguous()


fused_attention.register_autograd(_gradient, setup_context=_remember)


@functools.cache
def _kernel(device: int) -> DeviceAttention:
    """Loaded for as long as the process lives, in the context that torch uses too."""
    from aura_edge.cuda import open_driver

    if device != 0:
        raise EngineError(
            f"the tensor is on cuda:{device}; fused attention runs on the first GPU. Choose yours with CUDA_VISIBLE_DEVICES."
        )
    return DeviceAttention(open_driver("cuda-python"))
