// `VectorStem` of encoders/stems.py, and the stems together. Filters are applied to x, y and z alike; every block of a cluster filters the whole
// window, for the learned directions are means over all of it, and takes the invariants of its own rows.
#pragma once

namespace aura {

#if AURA_VECTOR_FILTERS
struct VectorWork {
    half_t* axes;     // [3][ALL_SLOTS][2]: acceleration without gravity, rate
    half_t* strip;    // [16][pitch(VECTOR_FEATURES)], where the axes were
    float* partner;   // [16][VECTOR_FILTERS]
    float* vectors;   // [3][ALL_ROWS][VECTOR_FILTERS + 1]
    half_t* halves;   // [3][ROWS][pitch(VECTOR_FILTERS)]
};

AURA_DEV VectorWork vector_work(half_t* work) {
    char* bytes = reinterpret_cast<char*>(work);
    float* vectors = reinterpret_cast<float*>(bytes + larger(AXES_BYTES, STRIP_BYTES + PARTNER_BYTES));
    return {work, work, reinterpret_cast<float*>(bytes + STRIP_BYTES), vectors,
            reinterpret_cast<half_t*>(reinterpret_cast<char*>(vectors) + VECTORS_BYTES)};
}

AURA_DEV float* vector_row(const VectorWork& w, int axis, int row) { return w.vectors + (axis * ALL_ROWS + row) * (VECTOR_FILTERS + 1); }

// Filtered vectors of all rows in FP32, and of this block's rows in FP16 as well.
AURA_DEV void filter_vectors(const VectorWork& w, const Frame& frame, const float* window, const half_t* patches) {
    for (int task = tid(); task < 3 * ALL_SLOTS; task += THREADS) {
        const int axis = task / ALL_SLOTS, slot = task % ALL_SLOTS, i = sample_of(slot);
        const bool inside = i >= 0 && i < SAMPLES;
        st32(w.axes + task * 2, pack(inside ? window[axis * SAMPLES + i] / STANDARD_GRAVITY - frame.up[axis] : 0.f,
                                     inside ? window[(3 + axis) * SAMPLES + i] / RATE_SCALE : 0.f));
    }
    barrier();
    for (int axis = 0; axis < 3; axis++)
        small_product<PATCH * 2 / 16>(
            w.axes + axis * ALL_SLOTS * 2, STRIDE * 2, ALL_ROWS / 16, patches, VECTOR_FILTERS, [&](int tile, int column, const float(&c)[4]) {
                for (int half = 0; half < 2; half++) {
                    const int row = tile_row(tile, half), own = row - cluster_rank() * ROWS;
                    float* vector = vector_row(w, axis, row) + column;
                    vector[0] = c[2 * half];
                    vector[1] = c[2 * half + 1];
                    if (own >= 0 && own < ROWS)
                        st32(w.halves + (axis * ROWS + own) * pitch(VECTOR_FILTERS) + column, pack(c[2 * half], c[2 * half + 1]));
                }
            });
    barrier();
}

// Directions that belong to the window and turn with it: how gravity of each part deviates, and mean directions of rotation.
AURA_DEV void find_references(const VectorWork& w, Frame& frame, const float* gates) {
    const int gate = tid() & 3;
    float sum[3] = {0.f, 0.f, 0.f};
    for (int row = (SUMMARY ? 1 : 0) + (tid() >> 2); row < TOKENS; row += THREADS / 4) {
        float gated[3] = {0.f, 0.f, 0.f};
        for (int axis = 0; axis < 3; axis++)
            for (int f = 0; f < VECTOR_FILTERS; f++) gated[axis] += vector_row(w, axis, row)[f] * gates[gate * VECTOR_FILTERS + f];
        const float size = length3(gated);
        for (int axis = 0; axis < 3; axis++) sum[axis] += gated[axis] * size;
    }
    for (int axis = 0; axis < 3; axis++) {
        for (int apart = 4; apart < 32; apart <<= 1) sum[axis] += shflx(sum[axis], apart);
        if (lane() < GATES) frame.gated[warp()][axis][gate] = sum[axis];
    }
    barrier();
    if (tid() < GATES) {
        float mean[3];
        for (int axis = 0; axis < 3; axis++) {
            mean[axis] = 0.f;
            for (int other = 0; other < WARPS; other++) mean[axis] += frame.gated[other][axis][tid()] / (TOKENS - (SUMMARY ? 1 : 0));
        }
        for (int axis = 0; axis < 3; axis++) frame.reference[axis][SEGMENTS + tid()] = mean[axis] / (length3(mean) + 0.05f);
    } else if (tid() < GATES + SEGMENTS) {
        const int part = tid() - GATES;
        for (int axis = 0; axis < 3; axis++) frame.reference[axis][part] = (frame.segment[axis][part] - frame.up[axis]) * 2.f;
    }
    barrier();
}

// Products of vectors with their learned partners, over the axes, for 16 rows.
AURA_DEV void take_partners(const VectorWork& w, int tile, const half_t* partner) {
    for (int task = warp(); task < VECTOR_FILTERS / 8; task += WARPS) {
        const int groups[1] = {task * group_halves(VECTOR_FILTERS)}, column = task * 8 + (lane() & 3) * 2;
        float sum[4] = {0.f, 0.f, 0.f, 0.f};
        for (int axis = 0; axis < 3; axis++) {
            float c[1][1][4];
            clear(c);
            multiply<1, 1, VECTOR_FILTERS / 16>(c, w.halves + (axis * ROWS + tile * 16) * pitch(VECTOR_FILTERS), pitch(VECTOR_FILTERS), partner,
                                                groups);
            for (int i = 0; i < 4; i++)
                sum[i] += c[0][0][i] * vector_row(w, axis, cluster_rank() * ROWS + tile_row(tile, i >> 1))[column + (i & 1)];
        }
        for (int i = 0; i < 4; i++) w.partner[tile_row(0, i >> 1) * VECTOR_FILTERS + column + (i & 1)] = sum[i];
    }
    barrier();
}

AURA_DEV float vector_feature(const VectorWork& w, const Frame& frame, int row, int index, int tile) {
    const int kind = index / VECTOR_FILTERS, f = index % VECTOR_FILTERS, all = cluster_rank() * ROWS + tile * 16 + row;
    float v[3], found = 0.f;
    for (int axis = 0; axis < 3; axis++) v[axis] = vector_row(w, axis, all)[f];
    if (kind == 0) found = length3(v);
    else if (kind == 1) found = v[0] * frame.up[0] + v[1] * frame.up[1] + v[2] * frame.up[2];
    else if (kind == 2) found = w.partner[row * VECTOR_FILTERS + f];
    else
        for (int axis = 0; axis < 3; axis++) found += v[axis] * frame.reference[axis][kind - 3];
    const float size = log1pf(2.f * fabsf(found));
    return found < 0.f ? -size : size;
}

// Invariants of 16 rows, normalised: a warp a row.
AURA_DEV void lay_features(const VectorWork& w, const Frame& frame, int tile) {
    constexpr int EACH = VECTOR_FEATURES / 32;
    for (int row = warp(); row < 16; row += WARPS) {
        float value[EACH], sum = 0.f, squares = 0.f;
        for (int i = 0; i < EACH; i++) {
            value[i] = vector_feature(w, frame, row, i / 2 * 64 + lane() * 2 + i % 2, tile);
            sum += value[i];
        }
        const float mean = over_warp(sum) / VECTOR_FEATURES;
        for (int i = 0; i < EACH; i++) squares += (value[i] - mean) * (value[i] - mean);
        const float inverse = 1.f / sqrtf(over_warp(squares) / VECTOR_FEATURES + NORM_EPSILON);
        for (int i = 0; i < EACH; i += 2)
            st32(w.strip + row * pitch(VECTOR_FEATURES) + i / 2 * 64 + lane() * 2,
                 pack((value[i] - mean) * inverse, (value[i + 1] - mean) * inverse));
    }
    barrier();
}

AURA_DEV void add_vectors(Tokens& x, const Stem& stem, Frame& frame, const float* window, half_t* work) {
    const VectorWork w = vector_work(work);
    int groups[COLUMN_TILES];
#pragma unroll
    for (int n = 0; n < COLUMN_TILES; n++) groups[n] = (warp() * COLUMN_TILES + n) * group_halves(VECTOR_FEATURES);
    filter_vectors(w, frame, window, stem.vector_patches);
    find_references(w, frame, stem.gates);
#pragma unroll
    for (int tile = 0; tile < ROW_TILES; tile++) {
        take_partners(w, tile, stem.vector_partner);
        lay_features(w, frame, tile);
        multiply<1, COLUMN_TILES, VECTOR_FEATURES / 16>(reinterpret_cast<float(&)[1][COLUMN_TILES][4]>(x.v[tile]), w.strip,
                                                        pitch(VECTOR_FEATURES), stem.vector_mix, groups);
    }
    barrier();
}

#endif

// A raw window (6, SAMPLES) in SI units to the tokens that enter the first block.
AURA_DEV void run_stem(Tokens& x, const Stem& stem, Frame& frame, const float* window, float* statistics, half_t* work) {
#pragma unroll
    for (int n = 0; n < COLUMN_TILES; n++)
#pragma unroll
        for (int m = 0; m < ROW_TILES; m++)
#pragma unroll
            for (int i = 0; i < 4; i++) x.v[m][n][i] = stem.bias[owned_column(n) + (i & 1)];
    if constexpr (INVARIANT_FILTERS || VECTOR_FILTERS) find_up(frame, window);
    if constexpr (INVARIANT_FILTERS > 0) {
        lay_down<INVARIANTS>(work, frame, window, invariants_at);
        add_filtered<INVARIANTS, INVARIANT_FILTERS>(x, work, stem.invariant_patches, stem.invariant_bias, stem.invariant_mix);
    }
#if AURA_VECTOR_FILTERS
    add_vectors(x, stem, frame, window, work);
#endif
    if constexpr (CHANNEL_FILTERS > 0) {
        lay_down<CHANNELS>(work, frame, window, channels_at);
        add_filtered<CHANNELS, CHANNEL_FILTERS>(x, work, stem.channel_patches, stem.channel_bias, stem.channel_mix);
    }
    if constexpr (PLAIN) {
        lay_down<CHANNELS>(work, frame, window, channels_at);
        add_product<PATCH * CHANNELS / 16, PATCH * CHANNELS>(x, work, stride_halves(CHANNELS), stem.plain_patches, 0);
        barrier();
    }
    normalise(x, statistics);
#pragma unroll
    for (int m = 0; m < ROW_TILES; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int row = cluster_rank() * ROWS + tile_row(m, half);
            const bool made = row < TOKENS && !(SUMMARY && row == 0);
#pragma unroll
            for (int n = 0; n < COLUMN_TILES; n++)
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    const int column = owned_column(n) + i;
                    const float position = row < TOKENS ? stem.positions[row * WIDTH + column] : 0.f;
                    x.v[m][n][2 * half + i] = (made ? x.v[m][n][2 * half + i] * stem.scale[column] : 0.f) + position;
                }
        }
}

}  // namespace aura
