// What rungs 1 and 2 share on the emulator: buffers are copied to where their ends are guarded, and the kernel is launched over them.
#pragma once
#include "primitives.hpp"

namespace emulator {

// Blocks take `rows` queries each. `body` is called by every thread with the guarded buffers.
template <class Body>
const char* launch_attention(const uint16_t* qkv, uint16_t* out, int batch, int tokens, int heads, int head, int rows, int threads, size_t shared_bytes,
                             int schedule, Counts* counts, Body body) {
    const size_t out_bytes = sizeof(uint16_t) * batch * tokens * heads * head;
    Guarded from(3 * out_bytes), to(out_bytes);
    std::memcpy(from.data(), qkv, 3 * out_bytes);
    std::memset(to.data(), 0xff, out_bytes);
    const char* error = launch(
        batch, heads, (tokens + rows - 1) / rows, 1, threads, shared_bytes, static_cast<Schedule>(schedule),
        [&] { body(reinterpret_cast<const uint16_t*>(from.data()), reinterpret_cast<uint16_t*>(to.data())); }, counts);
    std::memcpy(out, to.data(), out_bytes);
    if (!error && !(from.intact() && to.intact())) error = "a write before the begin of a buffer";
    return error;
}

}  // namespace emulator
