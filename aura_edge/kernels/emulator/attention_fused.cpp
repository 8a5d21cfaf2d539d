// Rung 2 on the emulator.
#include "attention.hpp"
//
#include "../attention_fused.cuh"

extern "C" const char* aura_attention(const uint16_t* qkv, uint16_t* out, int batch, int tokens, int heads, int head, float scale_log2, int schedule,
                                      emulator::Counts* counts) {
    const size_t shared_bytes = head == 64 ? aura::FUSED_SHARED_BYTES<64> : aura::FUSED_SHARED_BYTES<32>;
    return emulator::launch_attention(qkv, out, batch, tokens, heads, head, aura::TILE_ROWS, aura::FUSED_THREADS, shared_bytes, schedule, counts,
                                      [&](const uint16_t* from, uint16_t* to) {
                                          auto* shared = reinterpret_cast<uint16_t*>(aura::shared_memory());
                                          if (head == 64) aura::attention_fused_body<64>(from, to, tokens, heads, scale_log2, shared);
                                          else aura::attention_fused_body<32>(from, to, tokens, heads, scale_log2, shared);
                                      });
}
