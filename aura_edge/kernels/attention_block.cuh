// Rung 3: the fused attention block: layer norm, queries, keys and values, attention, projection and residual in one launch.
// It is the first half of a block of rung 4, with tokens read from memory and written back: what fusing one block, and no more, is worth.
#pragma once
#include "encoder_shape.cuh"
#include "encoder_tiles.inl"
#include "encoder_layer.inl"

namespace aura {

// tokens, result (B, TOKENS, WIDTH) FP16; the packed weights of an encoder, whose first block this is; a grid of B * BLOCKS blocks.
AURA_DEV void attention_block_body(const half_t* tokens, half_t* result, const unsigned char* weights, unsigned char* shared) {
    float* statistics = reinterpret_cast<float*>(shared);
    half_t* work = reinterpret_cast<half_t*>(shared + STATISTICS_BYTES + FRAME_BYTES);
    const long first = ((long)(bx() / BLOCKS) * TOKENS + cluster_rank() * ROWS) * WIDTH;
    Tokens x;
#pragma unroll
    for (int m = 0; m < ROW_TILES; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int row = tile_row(m, half);
            const bool there = cluster_rank() * ROWS + row < TOKENS;
#pragma unroll
            for (int n = 0; n < COLUMN_TILES; n++) {
                const uint32_t pair = there ? *reinterpret_cast<const uint32_t*>(tokens + first + row * WIDTH + owned_column(n)) : 0u;
                x.v[m][n][2 * half] = low(pair);
                x.v[m][n][2 * half + 1] = high(pair);
            }
        }
    cluster_barrier();
    attention_half(x, Layer{weights, 0}, statistics, work);
#pragma unroll
    for (int m = 0; m < ROW_TILES; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int row = tile_row(m, half);
            if (cluster_rank() * ROWS + row < TOKENS)
#pragma unroll
                for (int n = 0; n < COLUMN_TILES; n++)
                    st32(result + first + row * WIDTH + owned_column(n), pack(x.v[m][n][2 * half], x.v[m][n][2 * half + 1]));
        }
}

}  // namespace aura
