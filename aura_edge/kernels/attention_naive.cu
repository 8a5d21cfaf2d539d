// Rung 1 for nvcc and NVRTC: nvcc -cubin -arch=sm_87 -O3 -std=c++17 attention_naive.cu
#include "primitives.cuh"
//
#include "attention_naive.cuh"

#define AURA_ATTENTION(HEAD)                                                                                                  \
    AURA_KERNEL(aura_attention_naive_##HEAD, 128)                                                                             \
    (const aura::half_t* qkv, aura::half_t* out, int tokens, int heads, float scale_log2) {                                   \
        aura::attention_naive_body<HEAD>(qkv, out, tokens, heads, scale_log2);                                                \
    }
AURA_ATTENTION(32)
AURA_ATTENTION(64)
