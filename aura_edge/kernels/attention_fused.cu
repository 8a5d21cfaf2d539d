// Rung 2 for nvcc and NVRTC: nvcc -cubin -arch=sm_87 -O3 -std=c++17 attention_fused.cu
#include "primitives.cuh"
//
#include "attention_fused.cuh"

#define AURA_ATTENTION(HEAD)                                                                                                  \
    AURA_KERNEL(aura_attention_fused_##HEAD, 128)                                                                             \
    (const aura::half_t* qkv, aura::half_t* out, int tokens, int heads, float scale_log2) {                                   \
        __shared__ __align__(128) aura::half_t shared[aura::FUSED_SHARED_BYTES<HEAD> / 2];                                    \
        aura::attention_fused_body<HEAD>(qkv, out, tokens, heads, scale_log2, shared);                                        \
    }
AURA_ATTENTION(32)
AURA_ATTENTION(64)
