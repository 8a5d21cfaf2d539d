/**
 * @file AuraEdgeFrame.h
 * @brief Frames: CRC-16 and consistent overhead byte stuffing, written byte by byte straight into the bytes for the wire.
 */

#ifndef AURA_EDGE_FRAME_H
#define AURA_EDGE_FRAME_H

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
 * @brief Version of the protocol: the upper half of the first byte of every message.
 */
#define AURA_EDGE_VERSION (1u)

/**
 * @brief Bytes of a stuffed message and its CRC without the zero that ends the frame, at most.
 */
#define AURA_EDGE_LONGEST_BLOCK (255u)

/**
 * @brief Bytes of a frame on the wire, at most.
 */
#define AURA_EDGE_LONGEST_FRAME (256u)

/**
 * @brief CRC of no bytes.
 */
#define AURA_EDGE_CRC_START (0xFFFFu)

/**
 * @brief A frame that is being written. All members are private, but `bytes` and `length` may be read after AuraEdgeFrameEnd.
 */
typedef struct {
    uint8_t bytes[AURA_EDGE_LONGEST_FRAME];
    uint16_t length; // bytes
    uint16_t code;   // where the code byte of the run being written stands
    uint16_t crc;
    bool overflow;
} AuraEdgeFrame;

//------------------------------------------------------------------------------
// Function declarations

/**
 * @brief CRC-16/CCITT-FALSE of one more byte.
 * @param crc CRC so far, AURA_EDGE_CRC_START before the first byte.
 * @param byte Byte.
 * @return CRC with the byte.
 */
uint16_t AuraEdgeCrc(const uint16_t crc, const uint8_t byte);

/**
 * @brief Begins a frame with a message's first byte.
 * @param frame Frame.
 * @param kind Kind of message, 0 to 15.
 */
void AuraEdgeFrameBegin(AuraEdgeFrame *const frame, const uint8_t kind);

/**
 * @brief Appends a number to the message, little-endian.
 * @param frame Frame.
 * @param value Value.
 */
void AuraEdgeFramePutU8(AuraEdgeFrame *const frame, const uint8_t value);
void AuraEdgeFramePutU16(AuraEdgeFrame *const frame, const uint16_t value);
void AuraEdgeFramePutU32(AuraEdgeFrame *const frame, const uint32_t value);
void AuraEdgeFramePutU64(AuraEdgeFrame *const frame, const uint64_t value);
void AuraEdgeFramePutF32(AuraEdgeFrame *const frame, const float value);

/**
 * @brief Appends the CRC and the zero that ends the frame.
 * @param frame Frame.
 * @return False when the message was longer than a frame holds: nothing must be sent of it.
 */
bool AuraEdgeFrameEnd(AuraEdgeFrame *const frame);

/**
 * @brief Undoes the stuffing, in place.
 * @param block Bytes between two zeros, none of them zero; becomes the message and its CRC.
 * @param length Bytes of the block.
 * @param unstuffed Bytes of the message and its CRC.
 * @return False when it is not stuffed rightly.
 */
bool AuraEdgeFrameUnstuff(uint8_t *const block, const size_t length, size_t *const unstuffed);

#ifdef __cplusplus
}
#endif

#endif

//------------------------------------------------------------------------------
// End of file
