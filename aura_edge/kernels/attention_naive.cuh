// Rung 1: attention as one writes it first. A thread owns one query of one head and reads every key twice and every value once.
//
// What rung 0 wastes: the matrix of scores goes to memory and comes back. Here it never exists: one pass over the keys finds the highest score,
// a second one computes each weight when it is needed. The price: every dot product is computed twice, on CUDA cores, one multiplication at
// a time; neighbouring threads read the same keys, each for itself; and a thread keeps 2 d floats, so that few of them fit.
// Measured with nvcc 13.0 for sm_80 to sm_120 (tests/test_kernels_attention.py asks for no spill): 205 to 207 registers for heads of 64, 114 to 118
// for heads of 32. Times come from scripts/gpu; none was taken here.
#pragma once

namespace aura {

constexpr int NAIVE_THREADS = 128;

// qkv [B][N][3][H][HEAD] to out [B][N][H][HEAD]; a grid of (B, H, N / 128 rounded up) blocks. `scale_log2` is log2(e) / sqrt(HEAD).
template <int HEAD>
AURA_DEV void attention_naive_body(const half_t* qkv, half_t* out, int tokens, int heads, float scale_log2) {
    const int query = bz() * NAIVE_THREADS + tid();
    if (query >= tokens) return;
    const long long row = 3LL * heads * HEAD, window = static_cast<long long>(bx()) * tokens;
    const half_t* own = qkv + (window + query) * row + by() * HEAD;
    const half_t* keys = qkv + window * row + (heads + by()) * HEAD;
    const half_t* values = keys + heads * HEAD;

    float q[HEAD], o[HEAD];
#pragma unroll
    for (int i = 0; i < HEAD; i += 2) {
        const uint32_t both = ld32(own + i);
        q[i] = low(both) * scale_log2;
        q[i + 1] = high(both) * scale_log2;
        o[i] = o[i + 1] = 0.f;
    }
    const auto score = [&](int key) {
        float sum = 0.f;
#pragma unroll
        for (int i = 0; i < HEAD; i += 2) {
            const uint32_t both = ld32(keys + key * row + i);
            sum += q[i] * low(both) + q[i + 1] * high(both);
        }
        return sum;
    };
    float highest = -INFINITY, total = 0.f;
    for (int key = 0; key < tokens; key++) highest = fmax2(highest, score(key));
    for (int key = 0; key < tokens; key++) {
        const float weight = ex2(score(key) - highest);
        total += weight;
#pragma unroll
        for (int i = 0; i < HEAD; i += 2) {
            const uint32_t both = ld32(values + key * row + i);
            o[i] += weight * low(both);
            o[i + 1] += weight * high(both);
        }
    }
    half_t* to = out + ((window + query) * heads + by()) * HEAD;
#pragma unroll
    for (int i = 0; i < HEAD; i += 2) st32(to + i, pack(o[i] / total, o[i + 1] / total));
}

}  // namespace aura
