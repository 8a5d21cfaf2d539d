// Rung 2: fused attention on tensor cores, with the online softmax (Milakov and Gimelshein 2018, arXiv 1805.02867; Dao 2023, arXiv 2307.08691).
//
// What rung 1 wastes: every thread fetches all keys for itself, and multiplies them one by one. Here a block takes 64 queries of one head. Its four
// warps share tiles of 64 keys and values in shared memory, which cp.async brings while the tile before is worked on. A warp owns 16 queries from
// the first product to the last division: scores stay in the registers where mma leaves them, and these registers, rounded to FP16, are already
// the left operand of the second product. Every tile of keys corrects what the earlier ones gave: the running maximum, sum and output of a row.
// Rows of shared memory are swizzled, so that eight rows of a matrix lie in different banks.
//
// Measured with nvcc 13.0 for sm_80 to sm_120 (tests/test_kernels_attention.py asks for no spill): 140 to 148 registers and 40,960 bytes of shared
// memory for heads of 64, 98 to 103 and 20,480 for heads of 32. On the emulator: within 1e-3 of float64 for standard normal inputs, and no
// bank conflict. Times come from scripts/gpu; none was taken here.
#pragma once

namespace aura {

constexpr int FUSED_THREADS = 128, TILE_ROWS = 64;

// Halves of a tile of HEAD columns, and the bytes of one block's shared memory: queries, two tiles of keys, two of values.
template <int HEAD>
constexpr int TILE_HALVES = TILE_ROWS * HEAD;
template <int HEAD>
constexpr int FUSED_SHARED_BYTES = 5 * TILE_HALVES<HEAD> * 2;

// What scores are multiplied by, for those who know the head size only: log2(e) / sqrt(HEAD).
template <int HEAD>
constexpr float ATTENTION_SCALE = HEAD == 64 ? 1.44269504f * 0.125f : 1.44269504f * 0.17677670f;

// Where 16-byte chunk `chunk` of row `row` lies, in halves. A row of 64 halves spans all banks: eight rows take eight different chunks. A row of
// 32 spans half of them, so that pairs of rows are turned.
template <int HEAD>
AURA_DEV int swizzled(int row, int chunk) {
    static_assert(HEAD == 32 || HEAD == 64, "head sizes 32 and 64");
    return row * HEAD + (chunk ^ (HEAD == 64 ? row & 7 : row >> 1 & 3)) * 8;
}

// Starts to bring rows [first, first + 64) of a matrix with `between` halves from row to row; rows from `tokens` on are zeros.
template <int HEAD>
AURA_DEV void bring_tile(half_t* tile, const half_t* matrix, long long between, int first, int tokens) {
    constexpr int CHUNKS = HEAD / 8;
    for (int i = tid(); i < TILE_ROWS * CHUNKS; i += FUSED_THREADS) {
        const int row = i / CHUNKS, chunk = i % CHUNKS;
        const bool there = first + row < tokens;
        cp16(tile + swizzled<HEAD>(row, chunk), matrix + (there ? first + row : 0) * between + chunk * 8, there);
    }
}

// What a thread holds of a warp's 16 queries: values 0, 1 of a tile belong to row lane / 4, values 2, 3 to the row 8 below.
template <int HEAD>
struct Rows {
    uint32_t queries[HEAD / 16][4];
    float outputs[HEAD / 8][4];
    float highest[2], total[2];
};

// s = Q K^T for one tile of keys.
template <int HEAD>
AURA_DEV void score_tile(float (&s)[TILE_ROWS / 8][4], const Rows<HEAD>& rows, const half_t* keys) {
    const int lane = tid() & 31;
#pragma unroll
    for (int n = 0; n < TILE_ROWS / 8; n++) s[n][0] = s[n][1] = s[n][2] = s[n][3] = 0.f;
#pragma unroll
    for (int k = 0; k < HEAD / 16; k++)
#pragma unroll
        for (int n = 0; n < TILE_ROWS / 16; n++) {
            uint32_t b[4];
            ldsm4(b, keys + swizzled<HEAD>(n * 16 + (lane & 7) + (lane >> 4) * 8, k * 2 + (lane >> 3 & 1)));
            mma(s[2 * n], rows.queries[k], b[0], b[1]);
            mma(s[2 * n + 1], rows.queries[k], b[2], b[3]);
        }
}

// Keys from `tokens` on do not exist.
AURA_DEV void mask_tile(float (&s)[TILE_ROWS / 8][4], int first, int tokens) {
    const int column = first + (tid() & 3) * 2;
#pragma unroll
    for (int n = 0; n < TILE_ROWS / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (column + n * 8 + (i & 1) >= tokens) s[n][i] = -INFINITY;
}

// Scores to weights, relative to the highest score so far; what was summed relative to an earlier one is scaled down.
template <int HEAD>
AURA_DEV void weigh_tile(float (&s)[TILE_ROWS / 8][4], Rows<HEAD>& rows, float scale_log2) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float highest = rows.highest[half], sum = 0.f;
#pragma unroll
        for (int n = 0; n < TILE_ROWS / 8; n++) highest = fmax2(highest, fmax2(s[n][2 * half], s[n][2 * half + 1]));
        highest = fmax2(highest, shflx(highest, 1));
        highest = fmax2(highest, shflx(highest, 2));
        const float shrink = ex2((rows.highest[half] - highest) * scale_log2), offset = highest * scale_log2;
        rows.highest[half] = highest;
#pragma unroll
        for (int n = 0; n < TILE_ROWS / 8; n++)
#pragma unroll
            for (int i = 2 * half; i < 2 * half + 2; i++) {
                s[n][i] = ex2(s[n][i] * scale_log2 - offset);
                sum += s[n][i];
            }
        rows.total[half] = rows.total[half] * shrink + sum;
#pragma unroll
        for (int d = 0; d < HEAD / 8; d++) {
            rows.outputs[d][2 * half] *= shrink;
            rows.outputs[d][2 * half + 1] *= shrink;
        }
    }
}

// outputs += weights V for one tile of values.
template <int HEAD>
AURA_DEV void mix_tile(Rows<HEAD>& rows, const float (&s)[TILE_ROWS / 8][4], const half_t* values) {
    const int lane = tid() & 31;
#pragma unroll
    for (int k = 0; k < TILE_ROWS / 16; k++) {
        const uint32_t weights[4] = {pack(s[2 * k][0], s[2 * k][1]), pack(s[2 * k][2], s[2 * k][3]),
                                     pack(s[2 * k + 1][0], s[2 * k + 1][1]), pack(s[2 * k + 1][2], s[2 * k + 1][3])};
#pragma unroll
        for (int d = 0; d < HEAD / 16; d++) {
            uint32_t b[4];
            ldsm4t(b, values + swizzled<HEAD>(k * 16 + (lane & 15), d * 2 + (lane >> 4)));
            mma(rows.outputs[2 * d], weights, b[0], b[1]);
            mma(rows.outputs[2 * d + 1], weights, b[2], b[3]);
        }
    }
}

// Divides by the sum of the weights, of which the four threads of a row hold a part each, and writes the rows that exist.
template <int HEAD>
AURA_DEV void write_rows(const Rows<HEAD>& rows, half_t* out, long long between, int first, int tokens) {
    const int lane = tid() & 31;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float total = rows.total[half];
        total += shflx(total, 1);
        total += shflx(total, 2);
        const float inverse = 1.f / total;
        const int row = first + (lane >> 2) + half * 8;
        if (row < tokens)
#pragma unroll
            for (int d = 0; d < HEAD / 8; d++)
                st32(out + row * between + d * 8 + (lane & 3) * 2, pack(rows.outputs[d][2 * half] * inverse, rows.outputs[d][2 * half + 1] * inverse));
    }
}

// qkv [B][N][3][H][HEAD] to out [B][N][H][HEAD]; a grid of (B, H, N / 64 rounded up) blocks. `scale_log2` is log2(e) / sqrt(HEAD).
// `shared` is FUSED_SHARED_BYTES, aligned to 128 bytes.
template <int HEAD>
AURA_DEV void attention_fused_body(const half_t* qkv, half_t* out, int tokens, int heads, float scale_log2, half_t* shared) {
    const int lane = tid() & 31, warp = tid() >> 5, first_query = bz() * TILE_ROWS;
    const long long between = 3LL * heads * HEAD, window = static_cast<long long>(bx()) * tokens;
    const half_t* queries = qkv + window * between + by() * HEAD;
    const half_t *keys = queries + heads * HEAD, *values = keys + heads * HEAD;
    half_t *query_tile = shared, *key_tiles = query_tile + TILE_HALVES<HEAD>, *value_tiles = key_tiles + 2 * TILE_HALVES<HEAD>;

    bring_tile<HEAD>(query_tile, queries, between, first_query, tokens);
    bring_tile<HEAD>(key_tiles, keys, between, 0, tokens);
    bring_tile<HEAD>(value_tiles, values, between, 0, tokens);
    cp_commit();

    Rows<HEAD> rows;
#pragma unroll
    for (int d = 0; d < HEAD / 8; d++) rows.outputs[d][0] = rows.outputs[d][1] = rows.outputs[d][2] = rows.outputs[d][3] = 0.f;
    rows.highest[0] = rows.highest[1] = -INFINITY;
    rows.total[0] = rows.total[1] = 0.f;

    for (int first = 0, turn = 0; first < tokens; first += TILE_ROWS, turn ^= 1) {
        const int next = first + TILE_ROWS;
        if (next < tokens) {
            bring_tile<HEAD>(key_tiles + (turn ^ 1) * TILE_HALVES<HEAD>, keys, between, next, tokens);
            bring_tile<HEAD>(value_tiles + (turn ^ 1) * TILE_HALVES<HEAD>, values, between, next, tokens);
            cp_commit();
            cp_wait<1>();
        } else {
            cp_wait<0>();
        }
        barrier();  // what every thread brought is there
        if (first == 0) {
#pragma unroll
            for (int k = 0; k < HEAD / 16; k++)
                ldsm4(rows.queries[k], query_tile + swizzled<HEAD>(warp * 16 + (lane & 15), k * 2 + (lane >> 4)));
        }
        float s[TILE_ROWS / 8][4];
        score_tile<HEAD>(s, rows, key_tiles + turn * TILE_HALVES<HEAD>);
        if (next > tokens) mask_tile(s, first, tokens);
        weigh_tile<HEAD>(s, rows, scale_log2);
        mix_tile<HEAD>(rows, s, value_tiles + turn * TILE_HALVES<HEAD>);
        barrier();  // every warp has read this tile: the next turn may write over it
    }
    write_rows<HEAD>(rows, out + window * heads * HEAD + by() * HEAD, heads * HEAD, first_query + warp * 16, tokens);
}

}  // namespace aura
