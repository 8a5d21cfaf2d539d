/**
 * @file AuraEdgeRing.c
 * @brief Samples that wait for the wire, in batches as they will be sent, with sequence numbers and an account of every loss.
 */

//------------------------------------------------------------------------------
// Includes

#include "AuraEdgeRing.h"
#include <string.h>

//------------------------------------------------------------------------------
// Definitions

#if AURA_EDGE_BATCHES < 2 || AURA_EDGE_BATCHES > 255
#error "AURA_EDGE_BATCHES must be 2 to 255"
#endif

#if AURA_EDGE_BATCH_SAMPLES < 1 || AURA_EDGE_BATCH_SAMPLES > 19
#error "AURA_EDGE_BATCH_SAMPLES must be 1 to AURA_EDGE_MOST_SAMPLES"
#endif

//------------------------------------------------------------------------------
// Function declarations

static uint8_t IndexOf(const AuraEdgeRing *const ring, const uint8_t place);
static AuraEdgeBatch *Newest(AuraEdgeRing *const ring);
static AuraEdgeBatch *Open(AuraEdgeRing *const ring);

//------------------------------------------------------------------------------
// Functions

/**
 * @brief Initialises the ring.
 */
void AuraEdgeRingInitialise(AuraEdgeRing *const ring, const uint8_t samples_per_batch) {
    memset(ring, 0, sizeof(*ring));
    ring->samples_per_batch = samples_per_batch;
    if (ring->samples_per_batch < 1u) {
        ring->samples_per_batch = 1u;
    }
    if (ring->samples_per_batch > AURA_EDGE_BATCH_SAMPLES) {
        ring->samples_per_batch = AURA_EDGE_BATCH_SAMPLES;
    }
}

/**
 * @brief Adds one sample.
 */
void AuraEdgeRingAdd(AuraEdgeRing *const ring, const int16_t *const raw, const uint64_t time_us, const uint64_t after_ns,
                     const uint32_t interval_ns, const bool saturated, const AuraEdgeScale *const scale) {
    AuraEdgeBatch *batch = ring->open ? Newest(ring) : NULL;
    uint64_t since_first_ns = 0u;
    if (batch != NULL) {
        // modulo 2^64: time_us may lie before the batch's, and after_ns makes up for it
        since_first_ns = (time_us - batch->time_us) * 1000u + after_ns - batch->rest_ns;
        if (since_first_ns - batch->last_ns > (UINT64_MAX >> 1)) {
            AuraEdgeRingClose(ring); // the clock went back: a message could not say so
            batch = NULL;
        }
    }
    if (batch == NULL) {
        batch = Open(ring);
        batch->scale = *scale;
        batch->time_us = time_us + after_ns / 1000u;
        batch->rest_ns = after_ns % 1000u;
        batch->interval_ns = interval_ns;
        since_first_ns = 0u;
    }
    batch->last_ns = since_first_ns;
    batch->saturated = batch->saturated || saturated;
    memcpy(&batch->raw[(size_t) batch->count * AURA_EDGE_CHANNELS], raw, AURA_EDGE_CHANNELS * sizeof(*raw));
    batch->count++;
    ring->produced++;
    if (batch->count >= ring->samples_per_batch) {
        AuraEdgeRingClose(ring);
    }
}

/**
 * @brief Opens a batch behind the newest. A full ring drops its oldest for it.
 */
static AuraEdgeBatch *Open(AuraEdgeRing *const ring) {
    AuraEdgeBatch *batch;
    if (ring->count == AURA_EDGE_BATCHES) {
        ring->dropped_transmit += ring->batches[ring->first].count;
        AuraEdgeRingRemove(ring);
    }
    ring->count++;
    ring->open = true;
    batch = Newest(ring);
    batch->announce = ring->announce;
    batch->saturated = false;
    batch->count = 0u;
    batch->sequence = ring->produced;
    batch->lost_before = ring->lost_since;
    ring->announce = false;
    ring->lost_since = 0u;
    return batch;
}

/**
 * @brief Counts samples that were lost in the sensor.
 */
void AuraEdgeRingLose(AuraEdgeRing *const ring, const uint32_t lost) {
    AuraEdgeRingClose(ring); // a hole never lies inside a message
    ring->produced += lost;
    ring->lost += lost;
    ring->lost_since += lost;
}

/**
 * @brief Closes the batch that is being filled.
 */
void AuraEdgeRingClose(AuraEdgeRing *const ring) {
    ring->open = false;
}

/**
 * @brief Closes the batch that is being filled and has a HELLO sent before the next one.
 */
void AuraEdgeRingAnnounce(AuraEdgeRing *const ring) {
    AuraEdgeRingClose(ring);
    ring->announce = true;
}

/**
 * @brief The oldest batch.
 */
const AuraEdgeBatch *AuraEdgeRingOldest(const AuraEdgeRing *const ring) {
    return (ring->count == 0u) ? NULL : &ring->batches[ring->first];
}

/**
 * @brief True when the oldest batch can be sent.
 */
bool AuraEdgeRingReady(const AuraEdgeRing *const ring) {
    return ring->count > (ring->open ? 1u : 0u);
}

/**
 * @brief True when a HELLO must be sent before anything else from the ring.
 */
bool AuraEdgeRingAnnouncing(const AuraEdgeRing *const ring) {
    return (ring->count == 0u) ? ring->announce : ring->batches[ring->first].announce;
}

/**
 * @brief Says that this HELLO was sent.
 */
void AuraEdgeRingAnnounced(AuraEdgeRing *const ring) {
    if (ring->count == 0u) {
        ring->announce = false;
    } else {
        ring->batches[ring->first].announce = false;
    }
}

/**
 * @brief Removes the oldest batch. A HELLO that was to come before it comes before the next one.
 */
void AuraEdgeRingRemove(AuraEdgeRing *const ring) {
    bool announce;
    if (ring->count == 0u) {
        return;
    }
    announce = ring->batches[ring->first].announce;
    ring->first = IndexOf(ring, 1u);
    ring->count--;
    if (ring->count == 0u) {
        ring->open = false;
    }
    if (announce) {
        if (ring->count == 0u) {
            ring->announce = true;
        } else {
            ring->batches[ring->first].announce = true;
        }
    }
}

/**
 * @brief Nanoseconds from one sample of a batch to the next.
 */
uint32_t AuraEdgeBatchInterval(const AuraEdgeBatch *const batch) {
    uint64_t interval_ns;
    if (batch->count < 2u) {
        return batch->interval_ns;
    }
    interval_ns = batch->last_ns / (batch->count - 1u);
    return (interval_ns > UINT32_MAX) ? UINT32_MAX : (uint32_t) interval_ns;
}

/**
 * @brief Number of the next sample that will be sent.
 */
uint32_t AuraEdgeRingNextSequence(const AuraEdgeRing *const ring) {
    return (ring->count == 0u) ? ring->produced : ring->batches[ring->first].sequence;
}

/**
 * @brief Samples lost in the sensor before AuraEdgeRingNextSequence: those that lie between waiting batches come later.
 */
uint32_t AuraEdgeRingDroppedFifo(const AuraEdgeRing *const ring) {
    uint32_t dropped = ring->lost;
    uint8_t place;
    if (ring->count > 0u) {
        dropped -= ring->lost_since;
    }
    for (place = 1u; place < ring->count; place++) {
        dropped -= ring->batches[IndexOf(ring, place)].lost_before;
    }
    return dropped;
}

/**
 * @brief Where the batch of this place in the order stands, 0 the oldest.
 */
static uint8_t IndexOf(const AuraEdgeRing *const ring, const uint8_t place) {
    return (uint8_t) (((uint16_t) ring->first + place) % AURA_EDGE_BATCHES);
}

/**
 * @brief The newest batch; there is one.
 */
static AuraEdgeBatch *Newest(AuraEdgeRing *const ring) {
    return &ring->batches[IndexOf(ring, (uint8_t) (ring->count - 1u))];
}

//------------------------------------------------------------------------------
// End of file
