// Rung 3 for nvcc and NVRTC: nvcc -cubin -arch=sm_90 -O3 -std=c++17 -D... attention_block.cu, with the macros of plan.py.
#include "primitives.cuh"
//
#include "attention_block.cuh"

AURA_KERNEL(aura_attention_block, 256)(const aura::half_t* __restrict__ tokens, aura::half_t* __restrict__ result,
                                       const unsigned char* __restrict__ weights) {
    extern __shared__ __align__(128) unsigned char shared[];
    aura::attention_block_body(tokens, result, weights, shared);
}
