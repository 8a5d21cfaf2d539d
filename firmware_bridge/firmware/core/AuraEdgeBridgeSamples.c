/**
 * @file AuraEdgeBridgeSamples.c
 * @brief What the sensor brought: its samples, and what is told of those that it lost, that it clipped, or that failed.
 */

//------------------------------------------------------------------------------
// Includes

#include "AuraEdgeBridge.h"

//------------------------------------------------------------------------------
// Definitions

#define NANOSECONDS_PER_SECOND (1.0e9f)

//------------------------------------------------------------------------------
// Function declarations

static void Add(AuraEdgeBridge *const bridge, const uint64_t time_us, const uint64_t after_ns, const uint32_t interval_ns,
                const int16_t *const raw);
static uint32_t Saturated(const AuraEdgeBridge *const bridge, const int16_t *const raw);
static AuraEdgeWaitingEvent *Tell(AuraEdgeBridge *const bridge, const AuraEdgeEventKind what, const uint64_t time_us);

//------------------------------------------------------------------------------
// Functions

/**
 * @brief Adds one sample taken at a known time.
 */
void AuraEdgeBridgeAddSample(AuraEdgeBridge *const bridge, const uint64_t time_us, const int16_t *const raw) {
    const float rate_hz = bridge->scale.rate_hz;
    const bool sensible = rate_hz > 0.25f && rate_hz < NANOSECONDS_PER_SECOND; // or the interval would not fit 32 bits
    const uint32_t interval_ns = sensible ? (uint32_t) (NANOSECONDS_PER_SECOND / rate_hz) : 0u;
    Add(bridge, time_us, 0u, interval_ns, raw);
}

/**
 * @brief Adds samples read from a sensor's FIFO.
 */
void AuraEdgeBridgeAddSamples(AuraEdgeBridge *const bridge, const uint64_t time_us, const uint32_t interval_ns,
                              const int16_t *const raw, const size_t count) {
    size_t index;
    for (index = 0u; index < count; index++) {
        Add(bridge, time_us, (uint64_t) index * interval_ns, interval_ns, &raw[index * AURA_EDGE_CHANNELS]);
    }
}

/**
 * @brief Adds one sample.
 */
static void Add(AuraEdgeBridge *const bridge, const uint64_t time_us, const uint64_t after_ns, const uint32_t interval_ns,
                const int16_t *const raw) {
    const uint64_t taken_us = time_us + after_ns / 1000u;
    uint32_t saturated;
    if (!bridge->streaming) {
        return;
    }
    saturated = Saturated(bridge, raw);
    bridge->saturated |= saturated;
    if (saturated != 0u && taken_us >= bridge->next_saturation_us) {
        Tell(bridge, AuraEdgeEventSaturation, taken_us)->value |= bridge->saturated;
        bridge->saturated = 0u;
        bridge->next_saturation_us = taken_us + AURA_EDGE_SECOND_US;
    }
    AuraEdgeRingAdd(&bridge->ring, raw, time_us, after_ns, interval_ns, saturated != 0u, &bridge->scale);
    bridge->last_sample_us = taken_us;
}

/**
 * @brief A bit for each channel that stands at the end of its scale.
 */
static uint32_t Saturated(const AuraEdgeBridge *const bridge, const int16_t *const raw) {
    uint32_t saturated = 0u;
    uint8_t channel;
    for (channel = 0u; channel < AURA_EDGE_CHANNELS; channel++) {
        const uint16_t end = (channel < 3u) ? bridge->settings.acc_end_counts : bridge->settings.gyro_end_counts;
        const int32_t counts = raw[channel];
        const int32_t size = (counts < 0) ? -counts : counts; // 32 bits, because -32768 has no positive in 16
        if (end != 0u && size >= (int32_t) end) {
            saturated |= (uint32_t) 1u << channel;
        }
    }
    return saturated & bridge->settings.fields;
}

/**
 * @brief Counts samples that were overwritten in the sensor before they were read.
 */
void AuraEdgeBridgeFifoOverflow(AuraEdgeBridge *const bridge, const uint64_t now_us, const uint32_t lost) {
    if (!bridge->streaming || lost == 0u) {
        return;
    }
    AuraEdgeRingLose(&bridge->ring, lost);
    Tell(bridge, AuraEdgeEventFifoOverflow, now_us)->value += lost;
}

/**
 * @brief Counts a read of the sensor that failed.
 */
void AuraEdgeBridgeBusError(AuraEdgeBridge *const bridge, const uint64_t now_us) {
    bridge->bus_errors++;
    Tell(bridge, AuraEdgeEventBusError, now_us)->value = bridge->bus_errors;
}

/**
 * @brief The EVENT of this kind that waits for the wire, made now if there is none: a silent wire costs no memory.
 */
static AuraEdgeWaitingEvent *Tell(AuraEdgeBridge *const bridge, const AuraEdgeEventKind what, const uint64_t time_us) {
    AuraEdgeWaitingEvent *const event = &bridge->events[what - 1];
    if (!event->waiting) {
        event->waiting = true;
        event->time_us = time_us;
        event->sequence = bridge->ring.produced;
        event->value = 0u;
    }
    return event;
}

//------------------------------------------------------------------------------
// End of file
