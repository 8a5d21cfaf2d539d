// The two halves of a Transformer block on tokens in registers. Rung 3 is the first half alone.
#pragma once

namespace aura {

// Packed weights lie in one buffer, where plan.py says (AURA_AT_*, in bytes).
AURA_DEV const half_t* matrix_at(const unsigned char* weights, int place) { return reinterpret_cast<const half_t*>(weights + place); }
AURA_DEV const float* vector_at(const unsigned char* weights, int place) { return reinterpret_cast<const float*>(weights + place); }

// Weights of one block: packed matrices and folded biases (packing.py).
struct Layer {
    const unsigned char* weights;
    int index;
    AURA_DEV const half_t* qkv() const { return matrix_at(weights, AURA_AT_BLOCKS_QKV) + index * 3 * WIDTH * WIDTH; }
    AURA_DEV const half_t* out() const { return matrix_at(weights, AURA_AT_BLOCKS_OUT) + index * WIDTH * WIDTH; }
    AURA_DEV const half_t* up() const { return matrix_at(weights, AURA_AT_BLOCKS_UP) + index * HIDDEN * WIDTH; }
    AURA_DEV const half_t* down() const { return matrix_at(weights, AURA_AT_BLOCKS_DOWN) + index * HIDDEN * WIDTH; }
    AURA_DEV const float* query_bias() const { return vector_at(weights, AURA_AT_BLOCKS_QKV_BIAS) + index * WIDTH; }
    AURA_DEV const float* out_bias() const { return vector_at(weights, AURA_AT_BLOCKS_OUT_BIAS) + index * WIDTH; }
    AURA_DEV const float* up_bias() const { return vector_at(weights, AURA_AT_BLOCKS_UP_BIAS) + index * HIDDEN; }
    AURA_DEV const float* down_bias() const { return vector_at(weights, AURA_AT_BLOCKS_DOWN_BIAS) + index * WIDTH; }
};

// Tiles of 8 columns are dealt to warps in equal shares; where there are too few for eight warps, the rows are halved as well.
AURA_CONSTEXPR int column_warps(int tiles) { return tiles % 8 == 0 ? 8 : tiles % 4 == 0 ? 4 : 2; }

// Queries, keys and values of one pass of heads from the normalised rows. Keys and values go to every block of the cluster.
AURA_DEV void project_qkv(const half_t* normed, const Layer& layer, int pass, half_t* queries, half_t* keys, half_t* values) {
    constexpr int PART = PASS_WIDTH / 8, ACROSS = column_warps(3 * PART), DOWN = WARPS / ACROSS;
    static_assert(3 * PART % ACROSS == 0 && ROW_TILES % DOWN == 0, "a pass of heads does not divide among eight warps");
    constexpr int N = 3 * PART / ACROSS, M = ROW_TILES / DOWN;
    const int first_column = warp() % ACROSS * N, first_tile = warp() / ACROSS * M;
    float c[M][N][4];
    int groups[N];
    clear(c);
#pragma unroll
    for (int n = 0; n < N; n++) {
        const int tile = first_column + n;
        groups[n] = (tile / PART * (WIDTH / 8) + pass * PART + tile % PART) * group_halves(WIDTH);
    }
    multiply<M, N, WIDTH / 16>(c, normed + first_tile * 16 * pitch(WIDTH), pitch(WIDTH), layer.qkv(), groups);
#pragma unroll
    for (int n = 0; n < N; n++) {
        const int part = (first_column + n) / PART, column = (first_column + n) % PART * 8 + (lane() & 3) * 2;
        if (part == 0) {
            const float* bias = layer.query_bias() + pass * PASS_WIDTH + column;
#pragma unroll
            for (int m = 0; m < M; m++)
#pragma unroll
                for (int half = 0; half < 2; half++)
                    st32(queries + tile_row(first_tile + m, half) * pitch(PASS_WIDTH) + column,
                         pack(c[m][n][2 * half] + bias[0], c[m][n][2 * half + 1] + bias[1]));
        } else {
            half_t* shared = part == 1 ? keys : values;
#pragma unroll
            for (int rank = 0; rank < BLOCKS; rank++) {
                half_t* there = BLOCKS == 1 ? shared : remote(shared, rank);
#pragma unroll
                for (int m = 0; m < M; m++)
#pragma unroll
                    for (int half = 0; half < 2; half++)
                        st32(there + (cluster_rank() * ROWS + tile_row(first_tile + m, half)) * pitch(PASS_WIDTH) + column,
                             pack(c[m][n][2 * half], c[m][n][2 * half + 1]));
            }
        }
    }
}

// Attention of 16 queries of one head over all tokens, with the online softmax; the result takes the place of the queries.
// The scale is in the queries, in powers of two.
AURA_DEV void attend(half_t* queries, const half_t* keys, const half_t* values) {
    constexpr int STEP = ALL_ROWS % 64 == 0 ? 64 : ALL_ROWS % 32 == 0 ? 32 : 16, P = pitch(PASS_WIDTH);
    uint32_t q[HEAD / 16][4];
    float o[HEAD / 8][4], top[2] = {-INFINITY, -INFINITY}, total[2] = {0.f, 0.f};
#pragma unroll
    for (int k = 0; k < HEAD / 16; k++) ldsm4(q[k], queries + (lane() & 15) * P + k * 16 + (lane() >> 4) * 8);
#pragma unroll
    for (int d = 0; d < HEAD / 8; d++) o[d][0] = o[d][1] = o[d][2] = o[d][3] = 0.f;
    for (int begin = 0; begin < TOKENS; begin += STEP) {
        float s[STEP / 8][4];
#pragma unroll
        for (int n = 0; n < STEP / 8; n++) s[n][0] = s[n][1] = s[n][2] = s[n][3] = 0.f;
#pragma unroll
        for (int k = 0; k < HEAD / 16; k++)
#pragma unroll
            for (int n = 0; n < STEP / 16; n++) {
                uint32_t b[4];
                const int row = begin + n * 16 + (lane() & 7) + (lane() >> 4) * 8, column = k * 16 + ((lane() >> 3) & 1) * 8;
                ldsm4(b, keys + row * P + column);
                mma(s[2 * n], q[k], b[0], b[1]);
                mma(s[2 * n + 1], q[k], b[2], b[3]);
            }
        if (begin + STEP > TOKENS) {
#pragma unroll
            for (int n = 0; n < STEP / 8; n++)
#pragma unroll
                for (int i = 0; i < 4; i++)
                    if (begin + n * 8 + (lane() & 3) * 2 + (i & 1) >= TOKENS) s[n][i] = -INFINITY;
        }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float highest = top[half], sum = 0.f;
#pragma unroll
            for (int n = 0; n < STEP / 8; n++) highest = fmax2(highest, fmax2(s[n][2 * half], s[n][2 * half + 1]));
            highest = fmax2(highest, shflx(highest, 1));
            highest = fmax2(highest, shflx(highest, 2));
            const float shrink = ex2(top[half] - highest);
            top[half] = highest;
#pragma unroll
            for (int n = 0; n < STEP / 8; n++)
#pragma unroll
                for (int i = 2 * half; i < 2 * half + 2; i++) {
                    s[n][i] = ex2(s[n][i] - highest);
                    sum += s[n][i];
                }
            total[half] = total[half] * shrink + sum;
#pragma unroll
            for (int d = 0; d < HEAD / 8; d++) {
                o[d][2 * half] *= shrink;
                o[d][2 * half + 1] *= shrink;
            }
        }
#pragma unroll
        for (int k = 0; k < STEP / 16; k++) {
            const uint32_t p[4] = {pack(s[2 * k][0], s[2 * k][1]), pack(s[2 * k][2], s[2 * k][3]), pack(s[2 * k + 1][0], s[2 * k + 1][1]),
                                   pack(s[2 * k + 1][2], s[2 * k + 1][3])};
#pragma unroll
            for (int d = 0; d < HEAD / 16; d++) {
                uint32_t b[4];
                ldsm4t(b, values + (begin + k * 16 + (lane() & 15)) * P + d * 16 + (lane() >> 4) * 8);
                mma(o[2 * d], p, b[0], b[1]);
                mma(o[2 * d + 1], p, b[2], b[3]);
            }
        }
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const float inverse = 1.f / over_quad(total[half]);
#pragma unroll
        for (int d = 0; d < HEAD / 8; d++)
            st32(queries + tile_row(0, half) * P + d * 8 + (lane() & 3) * 2, pack(o[d][2 * half] * inverse, o[d][2 * half + 1] * inverse));
    }
}

// Layer norm, queries, keys and values, attention, projection, residual.
AURA_DEV void attention_half(Tokens& x, const Layer& layer, float* statistics, half_t* work) {
    half_t *normed = work, *queries = normed + NORMED_BYTES / 2, *keys = queries + QUERY_BYTES / 2, *values = keys + KEY_BYTES / 2;
    normalise_to(normed, x, statistics);
    begin_half(x, layer.out_bias());
    for (int pass = 0; pass < HEADS / PASS_HEADS; pass++) {
        barrier();  // the rows are written, and the projection of the last pass has read its own
        project_qkv(normed, layer, pass, queries, keys, values);
        cluster_barrier();
        for (int task = warp(); task < PASS_HEADS * ROW_TILES; task += WARPS) {
            const int head = task / ROW_TILES * HEAD;
            attend(queries + task % ROW_TILES * 16 * pitch(PASS_WIDTH) + head, keys + head, values + head);
        }
        cluster_barrier();  // and no block writes keys and values over those that another still reads
        add_product<PASS_WIDTH / 16, WIDTH>(x, queries, pitch(PASS_WIDTH), layer.out(), pass * PASS_WIDTH / 32);
    }
}

// Layer norm, up, GELU, down, residual.
AURA_DEV void feed_forward_half(Tokens& x, const Layer& layer, float* statistics, half_t* work) {
    constexpr int N = PASS_HIDDEN / (8 * WARPS);
    half_t *normed = work, *hidden = work + HIDDEN_AT / 2;
    normalise_to(normed, x, statistics);
    begin_half(x, layer.down_bias());
    for (int pass = 0; pass < HIDDEN / PASS_HIDDEN; pass++) {
        float c[ROW_TILES][N][4];
        int groups[N];
        clear(c);
#pragma unroll
        for (int n = 0; n < N; n++) groups[n] = (pass * PASS_HIDDEN / 8 + warp() * N + n) * group_halves(WIDTH);
        barrier();  // the rows are written, and the last pass has been read
        multiply<ROW_TILES, N, WIDTH / 16>(c, normed, pitch(WIDTH), layer.up(), groups);
#pragma unroll
        for (int n = 0; n < N; n++) {
            const int column = (warp() * N + n) * 8 + (lane() & 3) * 2;
            const float left = layer.up_bias()[pass * PASS_HIDDEN + column], right = layer.up_bias()[pass * PASS_HIDDEN + column + 1];
#pragma unroll
            for (int m = 0; m < ROW_TILES; m++)
#pragma unroll
                for (int half = 0; half < 2; half++)
                    st32(hidden + tile_row(m, half) * pitch(PASS_HIDDEN) + column,
                         pack(gelu(c[m][n][2 * half] + left), gelu(c[m][n][2 * half + 1] + right)));
        }
        barrier();
        add_product<PASS_HIDDEN / 16, HIDDEN>(x, hidden, pitch(PASS_HIDDEN), layer.down(), pass * PASS_HIDDEN / 32);
    }
}

}  // namespace aura
