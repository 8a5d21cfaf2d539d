/**
 * @file AuraEdgeClock.c
 * @brief The device clock: 64 bits of microseconds from a counter of 32 bits at any rate, without drift.
 */

//------------------------------------------------------------------------------
// Includes

#include "AuraEdgeClock.h"

//------------------------------------------------------------------------------
// Definitions

#define MICROSECONDS_PER_SECOND (1000000u)

//------------------------------------------------------------------------------
// Functions

/**
 * @brief Initialises the clock. It stands at 0.
 */
void AuraEdgeClockInitialise(AuraEdgeClock *const clock, const uint32_t ticks_hz, const uint32_t ticks) {
    clock->ticks_hz = (ticks_hz == 0u) ? MICROSECONDS_PER_SECOND : ticks_hz;
    clock->ticks = ticks;
    clock->rest = 0u;
    clock->time_us = 0u;
}

/**
 * @brief Reads the clock.
 */
uint64_t AuraEdgeClockUpdate(AuraEdgeClock *const clock, const uint32_t ticks) {
    const uint32_t passed = ticks - clock->ticks;
    const uint64_t scaled = (uint64_t) passed * MICROSECONDS_PER_SECOND + clock->rest;
    clock->ticks = ticks;
    clock->time_us += scaled / clock->ticks_hz;
    clock->rest = (uint32_t) (scaled % clock->ticks_hz);
    return clock->time_us;
}

//------------------------------------------------------------------------------
// End of file
