// The launch of rung 2 through CUDA's runtime.
#include <cuda_runtime_api.h>

#include "../attention_fused.cu"
#include "fused_mha_launch.h"

extern "C" int aura_launch_fused_mha(const void* qkv, void* out, int32_t batch, int32_t tokens, int32_t heads, int32_t head, cudaStream_t stream) {
    const dim3 grid(batch, heads, (tokens + aura::TILE_ROWS - 1) / aura::TILE_ROWS);
    const auto* from = static_cast<const aura::half_t*>(qkv);
    auto* to = static_cast<aura::half_t*>(out);
    if (head == 64) aura_attention_fused_64<<<grid, aura::FUSED_THREADS, 0, stream>>>(from, to, tokens, heads, aura::ATTENTION_SCALE<64>);
    else if (head == 32) aura_attention_fused_32<<<grid, aura::FUSED_THREADS, 0, stream>>>(from, to, tokens, heads, aura::ATTENTION_SCALE<32>);
    else return cudaErrorInvalidValue;
    return cudaPeekAtLastError();
}
