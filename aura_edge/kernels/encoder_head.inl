// The end of an encoder: last layer norm, pooling, projection, unit length; all in FP32 but the projection's matrix.
#pragma once

namespace aura {

struct Head {
    const float* pools;       // [POOLS][WIDTH]
    const half_t* projection; // [FEATURES / 8][DIMENSION][8]
    const float* bias;
};

struct HeadWork {
    float* pooled;    // [BLOCKS][FEATURES]: what each block's rows add
    float* features;  // [FEATURES]
    float* logits;    // [ALL_ROWS][LOGITS], then their weights
    float* shares;    // [ROWS][WARPS][LOGITS]
    float* outputs;   // [SHARES][OUTPUTS]
    float* squares;   // [WARPS], then one of each block
};

AURA_DEV HeadWork head_work(float* work) {
    float* features = work + BLOCKS * FEATURES;
    float* logits = features + FEATURES;
    float* shares = logits + ALL_ROWS * LOGITS;
    float* outputs = shares + ROWS * WARPS * LOGITS;
    return {work, features, logits, shares, outputs, outputs + SHARES * OUTPUTS};
}

// `value` at the same place of every block of the cluster.
AURA_DEV void send(float* place, float value) {
    for (int rank = 0; rank < BLOCKS; rank++) *(BLOCKS == 1 ? place : remote(place, rank)) = value;
}

// Softmax over all tokens of what each pool gives them.
AURA_DEV void weigh_tokens(const Tokens& x, const Head& head, const HeadWork& w) {
#pragma unroll
    for (int m = 0; m < ROW_TILES; m++)
#pragma unroll
        for (int half = 0; half < 2; half++)
            for (int pool = 0; pool < POOLS; pool++) {
                float sum = 0.f;
#pragma unroll
                for (int n = 0; n < COLUMN_TILES; n++) {
                    const float* weight = head.pools + pool * WIDTH + owned_column(n);
                    sum += x.v[m][n][2 * half] * weight[0] + x.v[m][n][2 * half + 1] * weight[1];
                }
                sum = over_quad(sum);
                if ((lane() & 3) == 0) w.shares[(tile_row(m, half) * WARPS + warp()) * LOGITS + pool] = sum;
            }
    barrier();
    for (int task = tid(); task < ROWS * POOLS; task += THREADS) {
        const int row = task / LOGITS, pool = task % LOGITS;
        float sum = 0.f;
        for (int other = 0; other < WARPS; other++) sum += w.shares[(row * WARPS + other) * LOGITS + pool];
        send(w.logits + (cluster_rank() * ROWS + row) * LOGITS + pool, sum);
    }
    cluster_barrier();
    if (warp() < POOLS) {
        float highest = -INFINITY, sum = 0.f;
        for (int row = lane(); row < TOKENS; row += 32) highest = fmax2(highest, w.logits[row * LOGITS + warp()]);
        for (int apart = 16; apart; apart >>= 1) highest = fmax2(highest, shflx(highest, apart));
        for (int row = lane(); row < TOKENS; row += 32) {
            float* logit = w.logits + row * LOGITS + warp();
            *logit = ex2((*logit - highest) * 1.44269504f);
            sum += *logit;
        }
        const float inverse = 1.f / over_warp(sum);
        for (int row = lane(); row < TOKENS; row += 32) w.logits[row * LOGITS + warp()] *= inverse;
    }
    barrier();
}

// The pooled tokens, whole, in every block's `features`. Ends with a barrier.
AURA_DEV void pool_tokens(const Tokens& x, const Head& head, const HeadWork& w) {
    if constexpr (POOLS > 0) weigh_tokens(x, head, w);
    for (int pool = -1; pool < POOLS; pool++)
#pragma unroll
        for (int n = 0; n < COLUMN_TILES; n++)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                float sum = 0.f;
#pragma unroll
                for (int m = 0; m < ROW_TILES; m++)
#pragma unroll
                    for (int half = 0; half < 2; half++) {
                        const int row = cluster_rank() * ROWS + tile_row(m, half);
                        float weight = SUMMARY ? (row == 0 ? 1.f : 0.f) : (row < TOKENS ? 1.f / TOKENS : 0.f);
                        if (pool >= 0) weight = row < TOKENS ? w.logits[row * LOGITS + pool] : 0.f;
                        sum += weight * x.v[m][n][2 * half + i];
                    }
                for (int apart = 4; apart < 32; apart <<= 1) sum += shflx(sum, apart);
                if (lane() < 4) send(w.pooled + cluster_rank() * FEATURES + (1 + pool) * WIDTH + owned_column(n) + i, sum);
            }
    cluster_barrier();
    for (int f = tid(); f < FEATURES; f += THREADS) {
        float sum = 0.f;
        for (int rank = 0; rank < BLOCKS; rank++) sum += w.pooled[rank * FEATURES + f];
        w.features[f] = sum;
    }
    barrier();
}

// Tokens behind the last block to this block's part of the unit vector (DIMENSION).
AURA_DEV void run_head(Tokens& x, const Head& head, float* embedding, float* statistics, float* work) {
    const HeadWork w = head_work(work);
    const int first = cluster_rank() * OUTPUTS, count = DIMENSION - first < OUTPUTS ? DIMENSION - first : OUTPUTS;
    normalise(x, statistics);
    pool_tokens(x, head, w);
    for (int task = tid(); task < SHARES * OUTPUTS; task += THREADS) {
        const int output = task % OUTPUTS, share = task / OUTPUTS;
        float sum = 0.f;
        if (output < count) {
#pragma unroll 8
            for (int group = share; group < FEATURES / 8; group += SHARES) {
                const Fragment weights = *reinterpret_cast<const Fragment*>(head.projection + (group * DIMENSION + first + output) * 8);
#pragma unroll
                for (int k = 0; k < 4; k++)
                    sum += low(weights.v[k]) * w.features[group * 8 + 2 * k] + high(weights.v[k]) * w.features[group * 8 + 2 * k + 1];
            }
        }
        w.outputs[task] = sum;
    }
    barrier();
    float squares = 0.f;
    for (int output = tid(); output < count; output += THREADS) {
        float sum = head.bias[first + output];
        for (int share = 0; share < SHARES; share++) sum += w.outputs[share * OUTPUTS + output];
        w.outputs[output] = sum;
        squares += sum * sum;
    }
    squares = over_warp(squares);
    if (lane() == 0) w.squares[warp()] = squares;
    barrier();
    if (tid() == 0) {
        float sum = 0.f;
        for (int other = 0; other < WARPS; other++) sum += w.squares[other];
        send(w.squares + WARPS + cluster_rank(), sum);
    }
    cluster_barrier();
    float total = 1e-12f;
    for (int rank = 0; rank < BLOCKS; rank++) total += w.squares[WARPS + rank];
    for (int output = tid(); output < count; output += THREADS) embedding[first + output] = w.outputs[output] / sqrtf(total);
}

}  // namespace aura
