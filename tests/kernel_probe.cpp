// Single primitives on the emulator, for tests/test_kernels_emulator.py: what a primitive gives, and what it must not be allowed to do.
#include "primitives.hpp"

using namespace aura;

enum Probe { MMA, LOAD, LOAD_TRANSPOSED, SHUFFLE, COPY_WAITED, COPY_NOT_WAITED, COPY_BEYOND, LOAD_BEYOND, LOAD_MISALIGNED, WRITE_BEYOND, BARRIER_MISSED,
             LANES_PART, REMOTE, READ_UNWRITTEN, WRITE_BEFORE };

constexpr int SHARED_BYTES = 4096;

// `in` is what the probe needs; `out` 4 words for each of 64 threads.
static void body(int probe, const uint32_t* in, uint32_t* out, int pitch) {
    auto* shared = reinterpret_cast<half_t*>(shared_memory());
    uint32_t r[4] = {0, 0, 0, 0};
    const int t = tid(), lane = t & 31;
    if (probe == MMA) {
        const uint32_t* own = in + lane * 6;
        const uint32_t a[4] = {own[0], own[1], own[2], own[3]};
        float d[4] = {1.f, 1.f, 1.f, 1.f};
        mma(d, a, own[4], own[5]);
        std::memcpy(r, d, sizeof r);
    } else if (probe == LOAD || probe == LOAD_TRANSPOSED) {
        for (int i = t; i < SHARED_BYTES / 2; i += 64) shared[i] = static_cast<half_t>(i);
        barrier();
        if (probe == LOAD) ldsm4(r, shared + lane * pitch);
        else ldsm4t(r, shared + lane * pitch);
    } else if (probe == SHUFFLE) {
        for (int i = 0; i < 4; i++) {
            const float got = shflx(static_cast<float>(lane), 1 << i);
            std::memcpy(&r[i], &got, 4);
        }
    } else if (probe == COPY_WAITED || probe == COPY_NOT_WAITED) {
        cp16(shared + t * 8, in + t * 4, t % 2 == 0);
        cp_commit();
        cp16(shared + (64 + t) * 8, in + t * 4, true);
        cp_commit();
        if (probe == COPY_WAITED) cp_wait<1>();
        std::memcpy(r, shared + t * 8, 16);
        cp_wait<0>();
    } else if (probe == COPY_BEYOND) {
        cp16(shared + SHARED_BYTES / 2, in, true);
    } else if (probe == LOAD_BEYOND) {
        ldsm4(r, shared + (SHARED_BYTES / 2 - 31 * 8) + lane * 8);
    } else if (probe == LOAD_MISALIGNED) {
        ldsm4(r, shared + lane * 8 + 4);
    } else if (probe == WRITE_BEYOND) {
        st32(shared + SHARED_BYTES / 2, 1);
    } else if (probe == BARRIER_MISSED) {
        if (t < 32) barrier();
    } else if (probe == LANES_PART) {
        shflx(0.f, lane < 16 ? 1 : 2);
    } else if (probe == REMOTE) {
        const float own = static_cast<float>(cluster_rank() + 1);
        float* place = reinterpret_cast<float*>(shared) + t;
        *remote(place, 1 - cluster_rank()) = own;
        cluster_barrier();
        std::memcpy(r, place, 4);
    } else if (probe == READ_UNWRITTEN) {
        r[0] = ld32(shared + t * 2);
    }
    if (probe == WRITE_BEFORE) out[-1] = 0;
    std::memcpy(out + (cluster_rank() * 64 + t) * 4, r, sizeof r);
}

extern "C" const char* probe(int which, const uint32_t* in, uint32_t* out, int pitch, int schedule, emulator::Counts* counts) {
    const int blocks = which == REMOTE ? 2 : 1;
    const size_t out_bytes = blocks * 64 * 16;
    emulator::Guarded to(out_bytes);
    const char* error = emulator::launch(
        blocks, 1, 1, blocks, 64, SHARED_BYTES, static_cast<emulator::Schedule>(schedule),
        [&] { body(which, in, reinterpret_cast<uint32_t*>(to.data()), pitch); }, counts);
    std::memcpy(out, to.data(), out_bytes);
    return error || to.intact() ? error : "a write before the begin of a buffer";
}

extern "C" void round_trip(const float* in, uint16_t* out, float* back, int count) {
    for (int i = 0; i < count; i++) {
        out[i] = static_cast<uint16_t>(pack(in[i], 0.f));
        back[i] = high(pack(0.f, in[i]));
    }
}
