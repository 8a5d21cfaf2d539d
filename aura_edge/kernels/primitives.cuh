// What kernel bodies ask of the machine, as inline PTX for sm_80 and later. emulator/primitives.hpp is the same for a CPU.
#pragma once
#include <cuda_fp16.h>

#define AURA_DEV __device__ __forceinline__
#ifdef __CUDACC_RTC__
using uint32_t = unsigned int;
#else
#include <cstdint>
#endif
#ifndef INFINITY
#define INFINITY __int_as_float(0x7f800000)
#endif

// Blocks that run together and see each other's shared memory; 1 is an ordinary launch, on any GPU.
#ifndef AURA_BLOCKS
#define AURA_BLOCKS 1
#endif
#if AURA_BLOCKS > 1
#define AURA_CLUSTER __cluster_dims__(AURA_BLOCKS, 1, 1)
#else
#define AURA_CLUSTER
#endif
#define AURA_KERNEL(name, threads) extern "C" __global__ void AURA_CLUSTER __launch_bounds__(threads, 1) name

namespace aura {

using half_t = __half;

AURA_DEV int tid() { return threadIdx.x; }
AURA_DEV int bx() { return blockIdx.x; }
AURA_DEV int by() { return blockIdx.y; }
AURA_DEV int bz() { return blockIdx.z; }
AURA_DEV void barrier() { __syncthreads(); }
AURA_DEV uint32_t shared_address(const void* p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }

// 16 bytes from global to shared memory behind the thread's back; zeros where not `there`. They are in place after cp_wait and a barrier.
AURA_DEV void cp16(void* to, const void* from, bool there) {
    const int bytes = there ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0],[%1],16,%2;\n" ::"r"(shared_address(to)), "l"(from), "r"(bytes) : "memory");
}
AURA_DEV void cp_commit() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }
// Waits until all but the last N groups of this thread have landed.
template <int N>
AURA_DEV void cp_wait() {
    asm volatile("cp.async.wait_group %0;\n" ::"n"(N) : "memory");
}

// Four 8 x 8 matrices of halves; lane 8 m + i gives the address of row i of matrix m.
AURA_DEV void ldsm4(uint32_t (&r)[4], const void* p) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3},[%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(p))
                 : "memory");
}
// The same, transposed.
AURA_DEV void ldsm4t(uint32_t (&r)[4], const void* p) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3},[%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(p))
                 : "memory");
}
// d += a b: (16 x 16) by (16 x 8), FP16 into FP32.
AURA_DEV void mma(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};\n"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
// The value of the lane whose number differs by the bits of `mask`.
AURA_DEV float shflx(float value, int mask) { return __shfl_xor_sync(0xffffffffu, value, mask); }

AURA_DEV float ex2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0,%1;" : "=f"(y) : "f"(x));
    return y;
}
AURA_DEV float fmax2(float a, float b) { return fmaxf(a, b); }
// Two halves in a register, and each of them again.
AURA_DEV uint32_t pack(float low, float high) {
    __half2 both = __floats2half2_rn(low, high);
    return *reinterpret_cast<uint32_t*>(&both);
}
AURA_DEV float low(uint32_t both) { return __low2float(*reinterpret_cast<__half2*>(&both)); }
AURA_DEV float high(uint32_t both) { return __high2float(*reinterpret_cast<__half2*>(&both)); }
AURA_DEV uint32_t ld32(const half_t* p) { return *reinterpret_cast<const uint32_t*>(p); }
AURA_DEV void st32(half_t* p, uint32_t both) { *reinterpret_cast<uint32_t*>(p) = both; }

#if AURA_BLOCKS > 1
AURA_DEV int cluster_rank() {
    uint32_t rank;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return static_cast<int>(rank);
}
// All threads of all blocks of the cluster; what they wrote to each other's shared memory is seen behind it.
AURA_DEV void cluster_barrier() { asm volatile("barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;\n" ::: "memory"); }
// The same place in the shared memory of another block of the cluster.
template <class T>
AURA_DEV T* remote(T* p, int rank) {
    T* there;
    asm("mapa.u64 %0, %1, %2;" : "=l"(there) : "l"(p), "r"(rank));
    return there;
}
#else
AURA_DEV int cluster_rank() { return 0; }
AURA_DEV void cluster_barrier() { barrier(); }
template <class T>
AURA_DEV T* remote(T* p, int) {
    return p;
}
#endif

}  // namespace aura
