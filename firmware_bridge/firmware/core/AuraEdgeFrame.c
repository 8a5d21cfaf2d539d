/**
 * @file AuraEdgeFrame.c
 * @brief Frames: CRC-16 and consistent overhead byte stuffing, written byte by byte straight into the bytes for the wire.
 */

//------------------------------------------------------------------------------
// Includes

#include "AuraEdgeFrame.h"
#include <string.h>

//------------------------------------------------------------------------------
// Function declarations

static void PutRaw(AuraEdgeFrame *const frame, const uint8_t byte);

//------------------------------------------------------------------------------
// Functions

/**
 * @brief CRC-16/CCITT-FALSE of one more byte, half a byte at a time: 32 bytes of table rather than 512.
 */
uint16_t AuraEdgeCrc(const uint16_t crc, const uint8_t byte) {
    static const uint16_t table[16] = {
        0x0000u, 0x1021u, 0x2042u, 0x3063u, 0x4084u, 0x50A5u, 0x60C6u, 0x70E7u,
        0x8108u, 0x9129u, 0xA14Au, 0xB16Bu, 0xC18Cu, 0xD1ADu, 0xE1CEu, 0xF1EFu,
    };
    uint16_t result = crc;
    result = (uint16_t) ((uint16_t) (result << 4) ^ table[((result >> 12) ^ (byte >> 4)) & 0x0Fu]);
    result = (uint16_t) ((uint16_t) (result << 4) ^ table[((result >> 12) ^ byte) & 0x0Fu]);
    return result;
}

/**
 * @brief Begins a frame with a message's first byte.
 */
void AuraEdgeFrameBegin(AuraEdgeFrame *const frame, const uint8_t kind) {
    frame->bytes[0] = 1u;
    frame->length = 1u;
    frame->code = 0u;
    frame->crc = AURA_EDGE_CRC_START;
    frame->overflow = false;
    AuraEdgeFramePutU8(frame, (uint8_t) ((AURA_EDGE_VERSION << 4) | kind));
}

/**
 * @brief Appends a byte to the message.
 */
void AuraEdgeFramePutU8(AuraEdgeFrame *const frame, const uint8_t value) {
    frame->crc = AuraEdgeCrc(frame->crc, value);
    PutRaw(frame, value);
}

/**
 * @brief Appends 16 bits to the message, little-endian.
 */
void AuraEdgeFramePutU16(AuraEdgeFrame *const frame, const uint16_t value) {
    AuraEdgeFramePutU8(frame, (uint8_t) (value & 0xFFu));
    AuraEdgeFramePutU8(frame, (uint8_t) (value >> 8));
}

/**
 * @brief Appends 32 bits to the message, little-endian.
 */
void AuraEdgeFramePutU32(AuraEdgeFrame *const frame, const uint32_t value) {
    AuraEdgeFramePutU16(frame, (uint16_t) (value & 0xFFFFu));
    AuraEdgeFramePutU16(frame, (uint16_t) (value >> 16));
}

/**
 * @brief Appends 64 bits to the message, little-endian.
 */
void AuraEdgeFramePutU64(AuraEdgeFrame *const frame, const uint64_t value) {
    AuraEdgeFramePutU32(frame, (uint32_t) (value & 0xFFFFFFFFu));
    AuraEdgeFramePutU32(frame, (uint32_t) (value >> 32));
}

/**
 * @brief Appends a float to the message: IEEE 754, little-endian.
 */
void AuraEdgeFramePutF32(AuraEdgeFrame *const frame, const float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    AuraEdgeFramePutU32(frame, bits);
}

/**
 * @brief Appends the CRC and the zero that ends the frame.
 */
bool AuraEdgeFrameEnd(AuraEdgeFrame *const frame) {
    const uint16_t crc = frame->crc;
    PutRaw(frame, (uint8_t) (crc & 0xFFu));
    PutRaw(frame, (uint8_t) (crc >> 8));
    if (frame->overflow) {
        frame->length = 0u;
        return false;
    }
    frame->bytes[frame->length] = 0u;
    frame->length++;
    return true;
}

/**
 * @brief Appends a byte of the message or of its CRC, stuffed. A zero becomes the code byte of the run that follows it.
 */
static void PutRaw(AuraEdgeFrame *const frame, const uint8_t byte) {
    if (frame->length >= AURA_EDGE_LONGEST_BLOCK) {
        frame->overflow = true;
        return;
    }
    if (byte == 0u) {
        frame->code = frame->length;
        frame->bytes[frame->length] = 1u;
    } else {
        frame->bytes[frame->length] = byte;
        frame->bytes[frame->code]++;
    }
    frame->length++;
}

/**
 * @brief Undoes the stuffing, in place.
 */
bool AuraEdgeFrameUnstuff(uint8_t *const block, const size_t length, size_t *const unstuffed) {
    size_t code_at = 0u;
    size_t at;
    if (length == 0u || length > AURA_EDGE_LONGEST_BLOCK) {
        return false;
    }
    while (code_at < length) {
        const uint8_t code = block[code_at];
        if (code == 0u) {
            return false;
        }
        block[code_at] = 0u;
        code_at += code;
    }
    if (code_at != length) {
        return false;
    }
    for (at = 1u; at < length; at++) {
        block[at - 1u] = block[at];
    }
    *unstuffed = length - 1u;
    return true;
}

//------------------------------------------------------------------------------
// End of file
