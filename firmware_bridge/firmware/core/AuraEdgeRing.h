/**
 * @file AuraEdgeRing.h
 * @brief Samples that wait for the wire, in batches as they will be sent, with sequence numbers and an account of every loss.
 *
 * A full ring drops its oldest batch. Numbers of samples wrap after 2^32, as on the wire.
 */

#ifndef AURA_EDGE_RING_H
#define AURA_EDGE_RING_H

//------------------------------------------------------------------------------
// Includes

#include "AuraEdgeMessages.h"

#ifdef __cplusplus
extern "C" {
#endif

//------------------------------------------------------------------------------
// Definitions

/**
 * @brief Batches that the ring holds, at least 2. Compile everything with the same value.
 */
#ifndef AURA_EDGE_BATCHES
#ifdef __AVR__
#define AURA_EDGE_BATCHES (3u)
#else
#define AURA_EDGE_BATCHES (16u)
#endif
#endif

/**
 * @brief Samples that a batch holds, 1 to AURA_EDGE_MOST_SAMPLES. Compile everything with the same value.
 */
#ifndef AURA_EDGE_BATCH_SAMPLES
#ifdef __AVR__
#define AURA_EDGE_BATCH_SAMPLES (10u)
#else
#define AURA_EDGE_BATCH_SAMPLES AURA_EDGE_MOST_SAMPLES
#endif
#endif

/**
 * @brief Consecutive samples that become one message.
 */
typedef struct {
    AuraEdgeScale scale; // with which they were taken
    bool announce;       // a HELLO must be sent before them
    bool saturated;
    uint8_t count;
    uint32_t sequence;    // of the first sample
    uint32_t lost_before; // samples lost in the sensor between the batch before and this one
    uint64_t time_us;     // of the first sample
    uint64_t rest_ns;     // of a microsecond, to be added to it
    uint64_t last_ns;     // from the first sample to the last one
    uint32_t interval_ns; // as told with the first sample
    int16_t raw[AURA_EDGE_BATCH_SAMPLES * AURA_EDGE_CHANNELS];
} AuraEdgeBatch;

/**
 * @brief Ring. All members are private, but the counters may be read.
 */
typedef struct {
    AuraEdgeBatch batches[AURA_EDGE_BATCHES];
    uint8_t samples_per_batch;
    uint8_t first;                // index of the oldest batch
    uint8_t count;                // batches, the open one too
    bool open;                    // the newest batch takes more samples
    bool announce;                // a HELLO must be sent before the next batch
    uint32_t lost_since;          // samples lost in the sensor after the newest batch
    uint32_t produced;            // samples that the sensor made
    uint32_t lost;                // samples lost in the sensor
    uint32_t dropped_transmit;    // samples dropped because the wire took no more
} AuraEdgeRing;

//------------------------------------------------------------------------------
// Function declarations

/**
 * @brief Initialises the ring.
 * @param ring Ring.
 * @param samples_per_batch Samples in one message; held to 1 ... AURA_EDGE_BATCH_SAMPLES.
 */
void AuraEdgeRingInitialise(AuraEdgeRing *const ring, const uint8_t samples_per_batch);

/**
 * @brief Adds one sample.
 * @param ring Ring.
 * @param raw Counts, AURA_EDGE_CHANNELS.
 * @param time_us When it was taken, on the device clock.
 * @param after_ns Nanoseconds to be added to time_us.
 * @param interval_ns To the next sample.
 * @param saturated A reading stands at the end of its scale.
 * @param scale How the counts are read.
 */
void AuraEdgeRingAdd(AuraEdgeRing *const ring, const int16_t *const raw, const uint64_t time_us, const uint64_t after_ns,
                     const uint32_t interval_ns, const bool saturated, const AuraEdgeScale *const scale);

/**
 * @brief Counts samples that were lost in the sensor. They lie before the next sample added.
 * @param ring Ring.
 * @param lost Samples.
 */
void AuraEdgeRingLose(AuraEdgeRing *const ring, const uint32_t lost);

/**
 * @brief Closes the batch that is being filled: it is sent as it is.
 * @param ring Ring.
 */
void AuraEdgeRingClose(AuraEdgeRing *const ring);

/**
 * @brief Closes the batch that is being filled and has a HELLO sent before the next one.
 * @param ring Ring.
 */
void AuraEdgeRingAnnounce(AuraEdgeRing *const ring);

/**
 * @brief The oldest batch, open or not; NULL when there is none. It is valid until the ring changes.
 * @param ring Ring.
 * @return Batch.
 */
const AuraEdgeBatch *AuraEdgeRingOldest(const AuraEdgeRing *const ring);

/**
 * @brief True when the oldest batch can be sent.
 * @param ring Ring.
 * @return True when there is a batch and it is closed.
 */
bool AuraEdgeRingReady(const AuraEdgeRing *const ring);

/**
 * @brief True when a HELLO must be sent before anything else from the ring. What it says is in AuraEdgeRingOldest.
 * @param ring Ring.
 * @return True when a HELLO must be sent.
 */
bool AuraEdgeRingAnnouncing(const AuraEdgeRing *const ring);

/**
 * @brief Says that this HELLO was sent.
 * @param ring Ring.
 */
void AuraEdgeRingAnnounced(AuraEdgeRing *const ring);

/**
 * @brief Removes the oldest batch, because it was sent.
 * @param ring Ring.
 */
void AuraEdgeRingRemove(AuraEdgeRing *const ring);

/**
 * @brief Nanoseconds from one sample of a batch to the next: measured, or as told when there is only one.
 * @param batch Batch.
 * @return Interval, ns.
 */
uint32_t AuraEdgeBatchInterval(const AuraEdgeBatch *const batch);

/**
 * @brief Number of the next sample that will be sent. All before it were sent or dropped.
 * @param ring Ring.
 * @return Sequence number.
 */
uint32_t AuraEdgeRingNextSequence(const AuraEdgeRing *const ring);

/**
 * @brief Samples lost in the sensor, of those before AuraEdgeRingNextSequence.
 * @param ring Ring.
 * @return Samples.
 */
uint32_t AuraEdgeRingDroppedFifo(const AuraEdgeRing *const ring);

#ifdef __cplusplus
}
#endif

#endif

//------------------------------------------------------------------------------
// End of file
