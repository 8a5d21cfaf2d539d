// Rung 1 on the emulator.
#include "attention.hpp"
//
#include "../attention_naive.cuh"

extern "C" const char* aura_attention(const uint16_t* qkv, uint16_t* out, int batch, int tokens, int heads, int head, float scale_log2, int schedule,
                                      emulator::Counts* counts) {
    return emulator::launch_attention(qkv, out, batch, tokens, heads, head, aura::NAIVE_THREADS, aura::NAIVE_THREADS, 128, schedule, counts,
                                      [&](const uint16_t* from, uint16_t* to) {
                                          if (head == 64) aura::attention_naive_body<64>(from, to, tokens, heads, scale_log2);
                                          else aura::attention_naive_body<32>(from, to, tokens, heads, scale_log2);
                                      });
}
