// Rung 2 with arguments as TensorRT's decorator plugins pass them: inputs, then whole numbers, then outputs. plugin/decorated.py hands its PTX over.
#include "primitives.cuh"
//
#include "attention_fused.cuh"

#define AURA_ATTENTION(HEAD)                                                                                                  \
    AURA_KERNEL(aura_fused_mha_##HEAD, 128)                                                                                   \
    (const aura::half_t* qkv, int tokens, int heads, aura::half_t* out) {                                                     \
        __shared__ __align__(128) aura::half_t shared[aura::FUSED_SHARED_BYTES<HEAD> / 2];                                    \
        aura::attention_fused_body<HEAD>(qkv, out, tokens, heads, aura::ATTENTION_SCALE<HEAD>, shared);                     \
    }
AURA_ATTENTION(32)
AURA_ATTENTION(64)
