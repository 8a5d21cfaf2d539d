/**
 * @file AuraEdgeByteQueue.h
 * @brief Bytes between an interrupt and the main loop: one side puts, the other one takes, and neither needs a lock.
 *
 * For one core, where a volatile byte is read and written at once.
 */

#ifndef AURA_EDGE_BYTE_QUEUE_H
#define AURA_EDGE_BYTE_QUEUE_H

//------------------------------------------------------------------------------
// Includes

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

//------------------------------------------------------------------------------
// Definitions

/**
 * @brief Bytes of memory: a power of two, 2 to 256. One less can wait. Compile everything with the same value.
 */
#ifndef AURA_EDGE_QUEUE_BYTES
#define AURA_EDGE_QUEUE_BYTES (64u)
#endif

/**
 * @brief Queue. All members are private, but `refused` may be read.
 */
typedef struct {
    volatile uint8_t bytes[AURA_EDGE_QUEUE_BYTES];
    volatile uint8_t put;     // index of the next byte put
    volatile uint8_t taken;   // index of the next byte taken
    volatile uint8_t refused; // bytes that did not fit, modulo 256
} AuraEdgeByteQueue;

//------------------------------------------------------------------------------
// Function declarations

/**
 * @brief Initialises the queue.
 * @param queue Queue.
 */
void AuraEdgeByteQueueInitialise(AuraEdgeByteQueue *const queue);

/**
 * @brief Puts a byte. Never waits.
 * @param queue Queue.
 * @param byte Byte.
 * @return False when the queue is full: the byte is lost.
 */
bool AuraEdgeByteQueuePut(AuraEdgeByteQueue *const queue, const uint8_t byte);

/**
 * @brief Takes the oldest byte.
 * @param queue Queue.
 * @param byte Byte.
 * @return False when there is none.
 */
bool AuraEdgeByteQueueTake(AuraEdgeByteQueue *const queue, uint8_t *const byte);

/**
 * @brief Bytes that can be put now.
 * @param queue Queue.
 * @return Bytes.
 */
size_t AuraEdgeByteQueueSpace(const AuraEdgeByteQueue *const queue);

#ifdef __cplusplus
}
#endif

#endif

//------------------------------------------------------------------------------
// End of file
