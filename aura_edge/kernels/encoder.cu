// Rung 4 for nvcc and NVRTC: nvcc -cubin -arch=sm_90 -O3 -std=c++17 -D... encoder.cu, with the macros of plan.py.
#include "primitives.cuh"
//
#include "encoder.cuh"

AURA_KERNEL(aura_encoder, 256)(const float* __restrict__ windows, float* __restrict__ vectors, const unsigned char* __restrict__ weights) {
    extern __shared__ __align__(128) unsigned char shared[];
    aura::encoder_body(windows, vectors, weights, shared);
}
