/**
 * @file AuraEdgeByteQueue.c
 * @brief Bytes between an interrupt and the main loop: one side puts, the other one takes, and neither needs a lock.
 */

//------------------------------------------------------------------------------
// Includes

#include "AuraEdgeByteQueue.h"

//------------------------------------------------------------------------------
// Definitions

#if AURA_EDGE_QUEUE_BYTES < 2 || AURA_EDGE_QUEUE_BYTES > 256 || (AURA_EDGE_QUEUE_BYTES & (AURA_EDGE_QUEUE_BYTES - 1)) != 0
#error "AURA_EDGE_QUEUE_BYTES must be a power of two, 2 to 256"
#endif

#define MASK (AURA_EDGE_QUEUE_BYTES - 1u)

//------------------------------------------------------------------------------
// Functions

/**
 * @brief Initialises the queue.
 */
void AuraEdgeByteQueueInitialise(AuraEdgeByteQueue *const queue) {
    queue->put = 0u;
    queue->taken = 0u;
    queue->refused = 0u;
}

/**
 * @brief Puts a byte. Only this side writes `put`, and only after the byte is in its place.
 */
bool AuraEdgeByteQueuePut(AuraEdgeByteQueue *const queue, const uint8_t byte) {
    const uint8_t put = queue->put;
    const uint8_t next = (uint8_t) ((put + 1u) & MASK);
    if (next == queue->taken) {
        queue->refused = (uint8_t) (queue->refused + 1u);
        return false;
    }
    queue->bytes[put] = byte;
    queue->put = next;
    return true;
}

/**
 * @brief Takes the oldest byte. Only this side writes `taken`, and only after the byte was read.
 */
bool AuraEdgeByteQueueTake(AuraEdgeByteQueue *const queue, uint8_t *const byte) {
    const uint8_t taken = queue->taken;
    if (taken == queue->put) {
        return false;
    }
    *byte = queue->bytes[taken];
    queue->taken = (uint8_t) ((taken + 1u) & MASK);
    return true;
}

/**
 * @brief Bytes that can be put now.
 */
size_t AuraEdgeByteQueueSpace(const AuraEdgeByteQueue *const queue) {
    const uint8_t put = queue->put;
    const uint8_t taken = queue->taken;
    return MASK - (((size_t) put - taken) & MASK);
}

//------------------------------------------------------------------------------
// End of file
