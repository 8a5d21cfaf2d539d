// Tiles: products of rows in shared memory with packed weights, and the layer norm of tokens that live in registers.
// Rungs 3 and 4 are made of them. Needs the primitives and encoder_shape.cuh.
#pragma once

namespace aura {

AURA_DEV int lane() { return tid() & 31; }
AURA_DEV int warp() { return tid() >> 5; }

// Tokens of this block that this warp owns: tile m holds rows 16 m + lane / 4 (values 0, 1) and 8 below (2, 3);
// tile n columns 8 n + 2 (lane % 4) + {0, 1}, counted from the warp's first.
struct Tokens {
    float v[ROW_TILES][COLUMN_TILES][4];
};

AURA_DEV int owned_column(int n) { return (warp() * COLUMN_TILES + n) * 8 + (lane() & 3) * 2; }
AURA_DEV int tile_row(int m, int half) { return m * 16 + half * 8 + (lane() >> 2); }

struct alignas(16) Fragment {
    uint32_t v[4];  // of eight outputs: two registers for each of two steps of 16 inputs
};

AURA_DEV Fragment fetch(const half_t* packed) { return *reinterpret_cast<const Fragment*>(packed + lane() * 8); }

// Halves from one group of eight outputs to the next in a packed matrix of so many inputs.
AURA_CONSTEXPR int group_halves(int inputs) { return (inputs + 31) / 32 * 256; }

template <int M, int N>
AURA_DEV void clear(float (&c)[M][N][4]) {
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int n = 0; n < N; n++) c[m][n][0] = c[m][n][1] = c[m][n][2] = c[m][n][3] = 0.f;
}

// c += a w^T over STEPS times 16 inputs. `a` is the first row of M tiles in shared memory, `between` halves from row to row; `groups[n]` is
// where the packed weights of output tile n begin. Weights come straight from the L2 cache into registers, AHEAD blocks of 32 inputs early.
template <int M, int N, int STEPS>
AURA_DEV void multiply(float (&c)[M][N][4], const half_t* a, int between, const half_t* weights, const int (&groups)[N]) {
    constexpr bool CROWDED = ROW_TILES * COLUMN_TILES > 8;  // tokens leave few registers
    constexpr int PAIRS = (STEPS + 1) / 2, WANTED = M >= 8 || N > 6 ? 1 : M >= 4 || N > 4 || CROWDED ? 2 : 4;
    constexpr int AHEAD = PAIRS < WANTED ? PAIRS : WANTED;
    // So many are unrolled; more, and the compiler fetches all weights before it uses any.
    constexpr int TURN = M >= 8 || PAIRS < 4 ? PAIRS : N > 6 ? 1 : N > 4 || CROWDED ? 2 : 4;
    static_assert(TURN == PAIRS || TURN % AHEAD == 0, "a place of the ring must be known when it is compiled");
    Fragment b[AHEAD][N];
#pragma unroll
    for (int p = 0; p < AHEAD; p++)
#pragma unroll
        for (int n = 0; n < N; n++) b[p][n] = fetch(weights + groups[n] + p * 256);
    const half_t* row = a + (lane() & 15) * between + (lane() >> 4) * 8;
#pragma unroll 1
    for (int turn = 0; turn < PAIRS; turn += TURN) {
#pragma unroll
        for (int place = 0; place < TURN; place++) {
            const int p = turn + place;
            if (PAIRS % TURN && p >= PAIRS) break;
            Fragment now[N];
#pragma unroll
            for (int n = 0; n < N; n++) {
                now[n] = b[place % AHEAD][n];
                if (p + AHEAD < PAIRS) b[place % AHEAD][n] = fetch(weights + groups[n] + (p + AHEAD) * 256);
            }
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int step = 2 * p + half;
                if (step < STEPS) {
#pragma unroll
                    for (int m = 0; m < M; m++) {
                        uint32_t rows[4];
                        ldsm4(rows, row + m * 16 * between + step * 16);
#pragma unroll
                        for (int n = 0; n < N; n++) mma(c[m][n], rows, now[n].v[2 * half], now[n].v[2 * half + 1]);
                    }
                }
            }
        }
    }
}

// x += a w^T for the columns that this warp owns. `first` is the block of 32 inputs of the packed matrix that `a` begins with.
template <int STEPS, int INPUTS>
AURA_DEV void add_product(Tokens& x, const half_t* a, int between, const half_t* weights, int first) {
    int groups[COLUMN_TILES];
#pragma unroll
    for (int n = 0; n < COLUMN_TILES; n++) groups[n] = (warp() * COLUMN_TILES + n) * group_halves(INPUTS) + first * 256;
    multiply<ROW_TILES, COLUMN_TILES, STEPS>(x.v, a, between, weights, groups);
}

// x = x + bias, or bias alone where a half of a block takes the place of its input.
AURA_DEV void begin_half(Tokens& x, const float* bias) {
#pragma unroll
    for (int n = 0; n < COLUMN_TILES; n++) {
        const float left = bias[owned_column(n)], right = bias[owned_column(n) + 1];
#pragma unroll
        for (int m = 0; m < ROW_TILES; m++)
#pragma unroll
            for (int i = 0; i < 4; i++) x.v[m][n][i] = (RESIDUAL ? x.v[m][n][i] : 0.f) + ((i & 1) ? right : left);
    }
}

AURA_DEV float over_quad(float value) {
    value += shflx(value, 1);
    return value + shflx(value, 2);
}

// Mean and inverse deviation of every row: pair WARPS of each in `statistics`, ROWS x (WARPS + 1) pairs. Each warp sends mean and squared
// deviations of its own columns, which are put together exactly (Chan, Golub and LeVeque 1983). Ends with a barrier.
AURA_DEV void measure_rows(const Tokens& x, float* statistics) {
    constexpr float OWN = 8 * COLUMN_TILES;
#pragma unroll
    for (int m = 0; m < ROW_TILES; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float sum = 0.f, squares = 0.f;
#pragma unroll
            for (int n = 0; n < COLUMN_TILES; n++) sum += x.v[m][n][2 * half] + x.v[m][n][2 * half + 1];
            const float mean = over_quad(sum) / OWN;
#pragma unroll
            for (int n = 0; n < COLUMN_TILES; n++) {
                const float a = x.v[m][n][2 * half] - mean, b = x.v[m][n][2 * half + 1] - mean;
                squares += a * a + b * b;
            }
            squares = over_quad(squares);
            if ((lane() & 3) == 0) {
                float* pair = statistics + (tile_row(m, half) * (WARPS + 1) + warp()) * 2;
                pair[0] = mean;
                pair[1] = squares;
            }
        }
    barrier();
    for (int r = tid(); r < ROWS; r += THREADS) {
        float* row = statistics + r * (WARPS + 1) * 2;
        float mean = 0.f, squares = 0.f;
        for (int w = 0; w < WARPS; w++) mean += row[2 * w] / WARPS;
        for (int w = 0; w < WARPS; w++) {
            const float apart = row[2 * w] - mean;
            squares += row[2 * w + 1] + OWN * apart * apart;
        }
        row[2 * WARPS] = mean;
        row[2 * WARPS + 1] = 1.f / sqrtf(squares / WIDTH + NORM_EPSILON);
    }
    barrier();
}

AURA_DEV const float* row_statistics(const float* statistics, int m, int half) {
    return statistics + (tile_row(m, half) * (WARPS + 1) + WARPS) * 2;
}

// Layer norm without scale and shift, in place.
AURA_DEV void normalise(Tokens& x, float* statistics) {
    measure_rows(x, statistics);
#pragma unroll
    for (int m = 0; m < ROW_TILES; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const float mean = row_statistics(statistics, m, half)[0], inverse = row_statistics(statistics, m, half)[1];
#pragma unroll
            for (int n = 0; n < COLUMN_TILES; n++)
#pragma unroll
                for (int i = 2 * half; i < 2 * half + 2; i++) x.v[m][n][i] = (x.v[m][n][i] - mean) * inverse;
        }
}

// The same as rows of FP16 in shared memory; x itself stays. The caller sees to a barrier before they are read.
AURA_DEV void normalise_to(half_t* normed, const Tokens& x, float* statistics) {
    measure_rows(x, statistics);
#pragma unroll
    for (int m = 0; m < ROW_TILES; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const float mean = row_statistics(statistics, m, half)[0], inverse = row_statistics(statistics, m, half)[1];
#pragma unroll
            for (int n = 0; n < COLUMN_TILES; n++)
                st32(normed + tile_row(m, half) * pitch(WIDTH) + owned_column(n),
                     pack((x.v[m][n][2 * half] - mean) * inverse, (x.v[m][n][2 * half + 1] - mean) * inverse));
        }
}

AURA_DEV float gelu(float x) { return 0.5f * x * (1.f + erff(x * 0.70710678118654752f)); }

}  // namespace aura
