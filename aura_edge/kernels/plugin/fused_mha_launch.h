// Rung 2 as the plugin calls it: the only door between TensorRT's part and CUDA's.
#pragma once
#include <stdint.h>

typedef struct CUstream_st* cudaStream_t;  // as CUDA's own headers say

// FP16 qkv (B, N, 3, H, d) to out (B, N, H, d), queued on `stream`. 0, or a cudaError_t; head sizes other than 32 and 64 are an error.
extern "C" int aura_launch_fused_mha(const void* qkv, void* out, int32_t batch, int32_t tokens, int32_t heads, int32_t head, cudaStream_t stream);
