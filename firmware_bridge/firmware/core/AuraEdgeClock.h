/**
 * @file AuraEdgeClock.h
 * @brief The device clock: 64 bits of microseconds from a counter of 32 bits at any rate, without drift.
 */

#ifndef AURA_EDGE_CLOCK_H
#define AURA_EDGE_CLOCK_H

//------------------------------------------------------------------------------
// Includes

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

//------------------------------------------------------------------------------
// Definitions

/**
 * @brief Clock. All members are private.
 */
typedef struct {
    uint32_t ticks_hz;
    uint32_t ticks; // at the last update
    uint32_t rest;  // of a microsecond, in 1 / ticks_hz microseconds
    uint64_t time_us;
} AuraEdgeClock;

//------------------------------------------------------------------------------
// Function declarations

/**
 * @brief Initialises the clock. It stands at 0.
 * @param clock Clock.
 * @param ticks_hz Rate of the counter, Hz: 1000000 for micros() of Arduino. 0 is taken as 1000000.
 * @param ticks What the counter says now. It counts upwards and wraps after 2^32.
 */
void AuraEdgeClockInitialise(AuraEdgeClock *const clock, const uint32_t ticks_hz, const uint32_t ticks);

/**
 * @brief Reads the clock. Call it at least once in 2^32 ticks, and from one context only.
 * @param clock Clock.
 * @param ticks What the counter says now.
 * @return Microseconds since AuraEdgeClockInitialise.
 */
uint64_t AuraEdgeClockUpdate(AuraEdgeClock *const clock, const uint32_t ticks);

#ifdef __cplusplus
}
#endif

#endif

//------------------------------------------------------------------------------
// End of file
