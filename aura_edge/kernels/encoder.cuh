// Rung 4: the whole encoder in one launch, a raw window to its unit vector. The body; encoder.cu compiles it with nvcc, the emulator with g++.
//
// Why one launch: a window is about half a GFLOP and a few MB of weights, nothing for a GPU; what takes time is going to memory between some
// sixty kernels, and launching them. Here tokens never leave the registers and shared memory of one block, or of one cluster for a single
// window, and what moves is the weights, from the L2 cache.
//
// AURA_BLOCKS = 1: a window a block, for large batches. More: a window is divided by tokens among the blocks of a cluster (sm_90 and later),
// which see each other's keys and values through distributed shared memory: eight times the tensor cores and L2 ports for batch 1.
#pragma once
#include "encoder_shape.cuh"
#include "encoder_tiles.inl"
#include "encoder_layer.inl"
#include "encoder_stem.inl"
#include "encoder_vectors.inl"
#include "encoder_head.inl"

namespace aura {

AURA_DEV Stem stem_at(const unsigned char* w) {
    return {matrix_at(w, AURA_AT_STEM_INVARIANT_PATCHES), matrix_at(w, AURA_AT_STEM_INVARIANT_MIX),
            matrix_at(w, AURA_AT_STEM_CHANNEL_PATCHES),   matrix_at(w, AURA_AT_STEM_CHANNEL_MIX),
            matrix_at(w, AURA_AT_STEM_VECTOR_PATCHES),    matrix_at(w, AURA_AT_STEM_VECTOR_PARTNER),
            matrix_at(w, AURA_AT_STEM_VECTOR_MIX),        matrix_at(w, AURA_AT_STEM_PLAIN_PATCHES),
            vector_at(w, AURA_AT_STEM_INVARIANT_PATCHES_BIAS), vector_at(w, AURA_AT_STEM_CHANNEL_PATCHES_BIAS),
            vector_at(w, AURA_AT_STEM_VECTOR_GATES),      vector_at(w, AURA_AT_STEM_BIAS),
            vector_at(w, AURA_AT_STEM_SCALE),             vector_at(w, AURA_AT_POSITIONS)};
}

// windows (B, 6, SAMPLES) float32 in SI units, vectors (B, DIMENSION) float32; a grid of B * BLOCKS blocks.
AURA_DEV void encoder_body(const float* windows, float* vectors, const unsigned char* weights, unsigned char* shared) {
    float* statistics = reinterpret_cast<float*>(shared);
    Frame& frame = *reinterpret_cast<Frame*>(shared + STATISTICS_BYTES);
    half_t* work = reinterpret_cast<half_t*>(shared + STATISTICS_BYTES + FRAME_BYTES);
    const int window = bx() / BLOCKS;
    Tokens x;
    run_stem(x, stem_at(weights), frame, windows + (long)window * CHANNELS * SAMPLES, statistics, work);
    cluster_barrier();  // every block of the cluster runs, and its stem is done with what others will write to
    for (int layer = 0; layer < DEPTH; layer++) {
        const Layer at = {weights, layer};
        attention_half(x, at, statistics, work);
        feed_forward_half(x, at, statistics, work);
    }
    cluster_barrier();
    const Head head = {vector_at(weights, AURA_AT_POOLS), matrix_at(weights, AURA_AT_PROJECTION), vector_at(weights, AURA_AT_PROJECTION_BIAS)};
    run_head(x, head, vectors + (long)window * DIMENSION, statistics, reinterpret_cast<float*>(work));
}

}  // namespace aura
