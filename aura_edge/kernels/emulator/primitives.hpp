// What kernel bodies ask of the machine, over fibres: the layouts of the fragments are those of the PTX manual.
#pragma once
#include <math.h>

#include <algorithm>
#include <cstring>

#include "fibres.hpp"

#define AURA_DEV inline
#ifndef AURA_BLOCKS
#define AURA_BLOCKS 1
#endif

namespace emulator {

struct Halves {
    float value[65536];
    Halves() {
        for (int bits = 0; bits < 65536; bits++) {
            const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
            float size = exponent == 0 ? ldexpf(mantissa, -24) : ldexpf(mantissa | 1024, exponent - 25);
            if (exponent == 31) size = mantissa ? NAN : INFINITY;
            value[bits] = bits >> 15 ? -size : size;
        }
    }
};
inline const Halves halves;

inline float widen(uint32_t bits) { return halves.value[bits & 0xffff]; }

// To the nearest half, ties to even.
inline uint32_t narrow(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    const uint32_t sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
    if (size > 0x7f800000) return sign | 0x7e00;
    if (size >= 0x477ff000) return sign | 0x7c00;
    if (size < 0x38800000) return sign | static_cast<uint32_t>(lrintf(ldexpf(fabsf(value), 24)));  // subnormal
    return sign | ((size - 0x38000000 + 0xfff + (size >> 13 & 1)) >> 13);
}

inline int lane() { return machine->current % WARP; }

// Sixteen bytes of this block's shared memory.
inline void require_shared(const void* p, const char* message) {
    const unsigned char* shared = machine->shared[machine->current / machine->threads];
    if (p < shared || static_cast<const unsigned char*>(p) + 16 > shared + machine->shared_bytes) fail(message);
}

// Rows of ldmatrix that share a bank with another of their eight are served one after the other: each costs a cycle.
inline void count_conflicts(const void* const* addresses) {
    for (int matrix = 0; matrix < 4; matrix++) {
        int uses[8] = {0};
        for (int row = 0; row < 8; row++) uses[reinterpret_cast<uintptr_t>(addresses[matrix * 8 + row]) / 16 % 8]++;
        machine->counts.bank_conflicts += *std::max_element(uses, uses + 8) - 1;
    }
}

inline void load_matrices(uint32_t (&r)[4], const void* p, bool transposed) {
    require_shared(p, "ldmatrix outside of shared memory");
    if (reinterpret_cast<uintptr_t>(p) % 16) fail("ldmatrix from an address that is no multiple of 16 bytes");
    warp().address[lane()] = p;
    meet(transposed ? 11 : 12, [&](Warp& w) {
        machine->counts.matrix_loads++;
        count_conflicts(w.address);
        for (int to = 0; to < WARP; to++)
            for (int m = 0; m < 4; m++) {
                const auto half = [&](int row, int column) { return static_cast<const uint16_t*>(w.address[m * 8 + row])[column]; };
                const int outer = to / 4, inner = to % 4 * 2;
                const uint32_t first = transposed ? half(inner, outer) : half(outer, inner);
                const uint32_t second = transposed ? half(inner + 1, outer) : half(outer, inner + 1);
                w.out[to][m] = first | second << 16;
            }
    });
    std::memcpy(r, warp().out[lane()], 16);
}

inline void multiply_tiles(Warp& w) {
    float a[16][16], b[16][8], c[16][8];
    machine->counts.mmas++;
    for (int l = 0; l < WARP; l++) {
        const int outer = l / 4, inner = l % 4 * 2;
        for (int half = 0; half < 2; half++) {
            for (int r = 0; r < 4; r++) a[outer + r % 2 * 8][inner + half + r / 2 * 8] = widen(w.in[l][r] >> 16 * half);
            for (int r = 0; r < 2; r++) b[inner + half + r * 8][outer] = widen(w.in[l][4 + r] >> 16 * half);
        }
        for (int i = 0; i < 4; i++) c[outer + i / 2 * 8][inner + i % 2] = w.sums[l][i];
    }
    for (int row = 0; row < 16; row++)
        for (int k = 0; k < 16; k++)
            for (int column = 0; column < 8; column++) c[row][column] += a[row][k] * b[k][column];
    for (int l = 0; l < WARP; l++)
        for (int i = 0; i < 4; i++) w.sums[l][i] = c[l / 4 + i / 2 * 8][l % 4 * 2 + i % 2];
}

}  // namespace emulator

namespace aura {

using half_t = uint16_t;

AURA_DEV int tid() { return emulator::machine->current % emulator::machine->threads; }
AURA_DEV int cluster_rank() { return emulator::machine->current / emulator::machine->threads; }
AURA_DEV int bx() { return emulator::machine->first[0] + cluster_rank(); }
AURA_DEV int by() { return emulator::machine->first[1]; }
AURA_DEV int bz() { return emulator::machine->first[2]; }
AURA_DEV void barrier() { emulator::meet_at(emulator::machine->barriers[cluster_rank()], emulator::machine->threads); }
AURA_DEV void cluster_barrier() { emulator::meet_at(emulator::machine->cluster, emulator::machine->threads * emulator::machine->blocks); }
AURA_DEV unsigned char* shared_memory() { return emulator::machine->shared[cluster_rank()]; }

template <class T>
T* remote(T* p, int rank) {
    const auto place = reinterpret_cast<unsigned char*>(p) - shared_memory();
    if (place < 0 || static_cast<size_t>(place) >= emulator::machine->shared_bytes) emulator::fail("remote() of what is not shared memory");
    return reinterpret_cast<T*>(emulator::machine->shared[rank] + place);
}

// Lands as late as is legal, at cp_wait, so that a missing one is seen; or as early, so that a tile brought over one in use is.
AURA_DEV void cp16(void* to, const void* from, bool there) {
    if (reinterpret_cast<uintptr_t>(to) % 16 || reinterpret_cast<uintptr_t>(from) % 16) emulator::fail("cp.async that is not aligned");
    emulator::require_shared(to, "cp.async to outside of shared memory");
    emulator::Pending copy = {to, {}};
    if (there) std::memcpy(copy.data, from, 16);
    if (emulator::lands_at_once()) std::memcpy(to, copy.data, 16);
    else emulator::machine->pending[emulator::machine->current].push_back(copy);
}
AURA_DEV void cp_commit() { emulator::machine->pending[emulator::machine->current].push_back({nullptr, {}}); }
template <int N>
void cp_wait() {
    auto& queue = emulator::machine->pending[emulator::machine->current];
    long groups = -N;
    for (const auto& each : queue) groups += each.to == nullptr;
    size_t taken = 0;
    for (; groups > 0 && taken < queue.size(); taken++) {
        if (queue[taken].to == nullptr) groups--;
        else std::memcpy(queue[taken].to, queue[taken].data, 16);
    }
    queue.erase(queue.begin(), queue.begin() + static_cast<long>(taken));
}

AURA_DEV void ldsm4(uint32_t (&r)[4], const void* p) { emulator::load_matrices(r, p, false); }
AURA_DEV void ldsm4t(uint32_t (&r)[4], const void* p) { emulator::load_matrices(r, p, true); }
AURA_DEV void mma(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    emulator::Warp& w = emulator::warp();
    const int l = emulator::lane();
    std::memcpy(w.in[l], a, 16);
    w.in[l][4] = b0;
    w.in[l][5] = b1;
    std::memcpy(w.sums[l], d, 16);
    emulator::meet(21, emulator::multiply_tiles);
    std::memcpy(d, w.sums[l], 16);
}
AURA_DEV float shflx(float value, int mask) {
    emulator::Warp& w = emulator::warp();
    const int l = emulator::lane();
    std::memcpy(&w.in[l][0], &value, 4);
    emulator::meet(100 + mask, [&](emulator::Warp& met) {
        for (int to = 0; to < emulator::WARP; to++) met.out[to][0] = met.in[to ^ mask][0];
    });
    std::memcpy(&value, &w.out[l][0], 4);
    return value;
}

AURA_DEV float ex2(float x) { return exp2f(x); }
AURA_DEV float fmax2(float a, float b) { return fmaxf(a, b); }
AURA_DEV uint32_t pack(float low, float high) { return emulator::narrow(low) | emulator::narrow(high) << 16; }
AURA_DEV float low(uint32_t both) { return emulator::widen(both); }
AURA_DEV float high(uint32_t both) { return emulator::widen(both >> 16); }
AURA_DEV uint32_t ld32(const half_t* p) {
    uint32_t both;
    if (reinterpret_cast<uintptr_t>(p) % 4) emulator::fail("a load of 32 bits that is not aligned");
    std::memcpy(&both, p, 4);
    return both;
}
AURA_DEV void st32(half_t* p, uint32_t both) {
    if (reinterpret_cast<uintptr_t>(p) % 4) emulator::fail("a store of 32 bits that is not aligned");
    std::memcpy(p, &both, 4);
}

}  // namespace aura
