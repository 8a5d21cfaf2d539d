// The stems: a raw window to tokens. The same mathematics as encoders/stems.py and encoders/frame.py, for the rows of this block.
//
// Channels are laid down sample by sample in FP16, so that a patch is one run of halves, overlapping patches share theirs, and a
// convolution is a product of rows in shared memory like any other: rows lie STRIDE samples apart. Slot s holds sample
// s - PADDING (behind one stride of nothing where there is a summary token); slots outside the window are zero.
#pragma once

namespace aura {

constexpr float STANDARD_GRAVITY = 9.80665f, RATE_SCALE = 2.f;

// What the stem knows of the whole window, in shared memory.
struct Frame {
    float segment[3][SEGMENTS];             // mean acceleration of each part, in g
    float reference[3][REFERENCES];         // directions that vectors are multiplied by
    float gated[WARPS][3][GATES];
    float up[3];
};
static_assert(sizeof(Frame) == FRAME_FLOATS * 4, "frame");

struct Stem {
    const half_t *invariant_patches, *invariant_mix, *channel_patches, *channel_mix, *vector_patches, *vector_partner, *vector_mix, *plain_patches;
    const float *invariant_bias, *channel_bias, *gates, *bias, *scale, *positions;
};

AURA_DEV float over_warp(float value) {
    for (int apart = 16; apart; apart >>= 1) value += shflx(value, apart);
    return value;
}

AURA_DEV float length3(const float (&v)[3]) { return sqrtf(v[0] * v[0] + v[1] * v[1] + v[2] * v[2] + 1e-6f); }

// Mean acceleration of the window's parts, and the direction of up. Ends with a barrier.
AURA_DEV void find_up(Frame& frame, const float* window) {
    constexpr int PART = SAMPLES / SEGMENTS;
    static_assert(SAMPLES % SEGMENTS == 0 || (!INVARIANT_FILTERS && !VECTOR_FILTERS), "parts");
    for (int task = warp(); task < 3 * SEGMENTS; task += WARPS) {
        const float* samples = window + task / SEGMENTS * SAMPLES + task % SEGMENTS * PART;
        float sum = 0.f;
        for (int i = lane(); i < PART; i += 32) sum += samples[i];
        sum = over_warp(sum);
        if (lane() == 0) frame.segment[task / SEGMENTS][task % SEGMENTS] = sum / (PART * STANDARD_GRAVITY);
    }
    barrier();
    if (tid() == 0) {
        float mean[3];
        for (int axis = 0; axis < 3; axis++) {
            mean[axis] = 0.f;
            for (int part = 0; part < SEGMENTS; part++) mean[axis] += frame.segment[axis][part] / SEGMENTS;
        }
        for (int axis = 0; axis < 3; axis++) frame.up[axis] = mean[axis] / length3(mean);
    }
    barrier();
}

// The ten channels that no rotation changes (encoders/frame.py), of sample i.
AURA_DEV void invariants_at(float (&channel)[INVARIANTS], const Frame& frame, const float* window, int i) {
    float a[3], r[3], flat_a[3], flat_r[3], change[3], vertical = 0.f, turn = 0.f;
    for (int axis = 0; axis < 3; axis++) {
        a[axis] = window[axis * SAMPLES + i] / STANDARD_GRAVITY;
        r[axis] = window[(3 + axis) * SAMPLES + i] / RATE_SCALE;
        change[axis] = i ? a[axis] - window[axis * SAMPLES + i - 1] / STANDARD_GRAVITY : 0.f;
        vertical += a[axis] * frame.up[axis];
        turn += r[axis] * frame.up[axis];
    }
    float dot = 0.f, cross = 0.f;
    for (int axis = 0; axis < 3; axis++) {
        flat_a[axis] = a[axis] - vertical * frame.up[axis];
        flat_r[axis] = r[axis] - turn * frame.up[axis];
        dot += flat_a[axis] * flat_r[axis];
    }
    for (int axis = 0; axis < 3; axis++) {
        const int next = (axis + 1) % 3, last = (axis + 2) % 3;
        cross += (flat_a[next] * flat_r[last] - flat_a[last] * flat_r[next]) * frame.up[axis];
    }
    const float size_a = length3(flat_a), size_r = length3(flat_r), magnitude = length3(a);
    const float size = sqrtf(size_a * size_a + size_r * size_r + 1e-6f) + 0.1f;
    channel[0] = vertical - 1.f;
    channel[1] = size_a;
    channel[2] = turn;
    channel[3] = size_r;
    channel[4] = dot / size;
    channel[5] = cross / size;
    channel[6] = logf(magnitude + 0.05f);
    channel[7] = logf(length3(r) + 0.05f);
    channel[8] = logf(length3(change) + 0.01f) * 0.5f + 1.f;
    channel[9] = magnitude - 1.f;
}

AURA_DEV void channels_at(float (&channel)[CHANNELS], const Frame&, const float* window, int i) {
    for (int c = 0; c < CHANNELS; c++) channel[c] = window[c * SAMPLES + i];
}

AURA_DEV int sample_of(int slot) { return slot - PADDING - (SUMMARY ? STRIDE : 0); }

// Channels of the slots that this block's rows see.
template <int N, class At>
AURA_DEV void lay_down(half_t* signal, const Frame& frame, const float* window, At at) {
    for (int slot = tid(); slot < SLOTS; slot += THREADS) {
        const int i = sample_of(cluster_rank() * ROWS * STRIDE + slot);
        float channel[N];
        for (int c = 0; c < N; c++) channel[c] = 0.f;
        if (i >= 0 && i < SAMPLES) at(channel, frame, window, i);
        half_t* place = signal + slot / STRIDE * stride_halves(N) + slot % STRIDE * N;
        for (int c = 0; c < N; c += 2) st32(place + c, pack(channel[c], channel[c + 1]));
    }
    barrier();
}

// One product for each tile of 16 rows and 8 outputs, dealt to the warps: for products too small to be divided by columns.
template <int STEPS, class Finish>
AURA_DEV void small_product(const half_t* a, int between, int tiles, const half_t* weights, int outputs, Finish finish) {
    for (int task = warp(); task < tiles * (outputs / 8); task += WARPS) {
        const int tile = task % tiles, column = task / tiles;
        float c[1][1][4];
        const int groups[1] = {column * group_halves(STEPS * 16)};
        clear(c);
        multiply<1, 1, STEPS>(c, a + tile * 16 * between, between, weights, groups);
        finish(tile, column * 8 + (lane() & 3) * 2, c[0][0]);
    }
}

// Patches, GELU, and a mix of the filters, added to x.
template <int N, int FILTERS>
AURA_DEV void add_filtered(Tokens& x, half_t* signal, const half_t* patches, const float* bias, const half_t* mix) {
    half_t* hidden = signal + signal_bytes(N) / 2;
    small_product<PATCH * N / 16>(signal, stride_halves(N), ROW_TILES, patches, FILTERS, [&](int tile, int column, const float(&c)[4]) {
        for (int half = 0; half < 2; half++)
            st32(hidden + tile_row(tile, half) * pitch(FILTERS) + column,
                 pack(gelu(c[2 * half] + bias[column]), gelu(c[2 * half + 1] + bias[column + 1])));
    });
    barrier();
    add_product<FILTERS / 16, FILTERS>(x, hidden, pitch(FILTERS), mix, 0);
    barrier();
}

}  // namespace aura
