// Rung 3 on the emulator. Buffers are copied to where their ends are guarded.
#include "primitives.hpp"
//
#include "../attention_block.cuh"

extern "C" const char* aura_attention_block(const uint16_t* tokens, uint16_t* result, const unsigned char* weights, int batch, long weights_bytes,
                                            int schedule, emulator::Counts* counts) {
    const size_t bytes = sizeof(uint16_t) * batch * aura::TOKENS * aura::WIDTH;
    emulator::Guarded in(bytes), out(bytes), packed(weights_bytes);
    std::memcpy(in.data(), tokens, bytes);
    std::memcpy(packed.data(), weights, weights_bytes);
    std::memset(out.data(), 0xff, bytes);
    const char* error = emulator::launch(
        batch * aura::BLOCKS, 1, 1, aura::BLOCKS, aura::THREADS, aura::SHARED_BYTES, static_cast<emulator::Schedule>(schedule),
        [&] {
            aura::attention_block_body(reinterpret_cast<const aura::half_t*>(in.data()), reinterpret_cast<aura::half_t*>(out.data()),
                                       packed.data(), aura::shared_memory());
        },
        counts);
    std::memcpy(result, out.data(), bytes);
    return error;
}
