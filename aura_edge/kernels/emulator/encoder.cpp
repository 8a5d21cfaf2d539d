// Rung 4 on the emulator. Buffers are copied to where their ends are guarded.
#include "primitives.hpp"
//
#include "../encoder.cuh"

extern "C" const char* aura_encoder(const float* windows, float* vectors, const unsigned char* weights, int batch, long weights_bytes, int schedule,
                                    emulator::Counts* counts) {
    const size_t windows_bytes = sizeof(float) * batch * aura::CHANNELS * aura::SAMPLES, vectors_bytes = sizeof(float) * batch * aura::DIMENSION;
    emulator::Guarded in(windows_bytes), out(vectors_bytes), packed(weights_bytes);
    std::memcpy(in.data(), windows, windows_bytes);
    std::memcpy(packed.data(), weights, weights_bytes);
    std::memset(out.data(), 0xff, vectors_bytes);
    const char* error = emulator::launch(
        batch * aura::BLOCKS, 1, 1, aura::BLOCKS, aura::THREADS, aura::SHARED_BYTES, static_cast<emulator::Schedule>(schedule),
        [&] {
            aura::encoder_body(reinterpret_cast<const float*>(in.data()), reinterpret_cast<float*>(out.data()), packed.data(),
                               aura::shared_memory());
        },
        counts);
    std::memcpy(vectors, out.data(), vectors_bytes);
    return error;
}
