/**
 * @file AuraEdgeMessages.c
 * @brief What a board and a host say to each other. PROTOCOL.md says when, and what each field means.
 */

//------------------------------------------------------------------------------
// Includes

#include "AuraEdgeMessages.h"
#include <string.h>

//------------------------------------------------------------------------------
// Function declarations

static void PutText(AuraEdgeFrame *const frame, const char *const text);
static uint32_t GetU32(const uint8_t *const bytes);

//------------------------------------------------------------------------------
// Functions

/**
 * @brief Encodes HELLO.
 */
bool AuraEdgeEncodeHello(AuraEdgeFrame *const frame, const AuraEdgeHello *const message) {
    AuraEdgeFrameBegin(frame, AuraEdgeKindHello);
    AuraEdgeFramePutU32(frame, message->boot);
    AuraEdgeFramePutU64(frame, message->time_us);
    AuraEdgeFramePutU32(frame, message->next_sequence);
    AuraEdgeFramePutF32(frame, message->scale.rate_hz);
    AuraEdgeFramePutF32(frame, message->clock_hz);
    AuraEdgeFramePutF32(frame, message->scale.acc_m_s2_per_count);
    AuraEdgeFramePutF32(frame, message->scale.gyro_rad_s_per_count);
    AuraEdgeFramePutF32(frame, message->scale.acc_range_m_s2);
    AuraEdgeFramePutF32(frame, message->scale.gyro_range_rad_s);
    AuraEdgeFramePutU8(frame, (uint8_t) message->axes[0]);
    AuraEdgeFramePutU8(frame, (uint8_t) message->axes[1]);
    AuraEdgeFramePutU8(frame, (uint8_t) message->axes[2]);
    AuraEdgeFramePutU8(frame, message->samples_per_message);
    AuraEdgeFramePutU16(frame, message->fields);
    AuraEdgeFramePutU8(frame, message->flags);
    PutText(frame, message->device_id);
    PutText(frame, message->firmware);
    PutText(frame, message->sensor);
    return AuraEdgeFrameEnd(frame);
}

/**
 * @brief Encodes SAMPLES.
 */
bool AuraEdgeEncodeSamples(AuraEdgeFrame *const frame, const AuraEdgeSamples *const message) {
    size_t index;
    if (message->count == 0u || message->count > AURA_EDGE_MOST_SAMPLES) {
        frame->length = 0u;
        return false;
    }
    AuraEdgeFrameBegin(frame, AuraEdgeKindSamples);
    AuraEdgeFramePutU32(frame, message->sequence);
    AuraEdgeFramePutU32(frame, message->time_us);
    AuraEdgeFramePutU32(frame, message->interval_ns);
    AuraEdgeFramePutU8(frame, message->flags);
    AuraEdgeFramePutU8(frame, message->count);
    for (index = 0u; index < (size_t) message->count * AURA_EDGE_CHANNELS; index++) {
        AuraEdgeFramePutU16(frame, (uint16_t) message->raw[index]);
    }
    return AuraEdgeFrameEnd(frame);
}

/**
 * @brief Encodes STATUS.
 */
bool AuraEdgeEncodeStatus(AuraEdgeFrame *const frame, const AuraEdgeStatus *const message) {
    AuraEdgeFrameBegin(frame, AuraEdgeKindStatus);
    AuraEdgeFramePutU32(frame, message->boot);
    AuraEdgeFramePutU64(frame, message->time_us);
    AuraEdgeFramePutU32(frame, message->produced);
    AuraEdgeFramePutU32(frame, message->next_sequence);
    AuraEdgeFramePutU32(frame, message->dropped_fifo);
    AuraEdgeFramePutU32(frame, message->dropped_transmit);
    return AuraEdgeFrameEnd(frame);
}

/**
 * @brief Encodes EVENT.
 */
bool AuraEdgeEncodeEvent(AuraEdgeFrame *const frame, const AuraEdgeEvent *const message) {
    AuraEdgeFrameBegin(frame, AuraEdgeKindEvent);
    AuraEdgeFramePutU8(frame, message->what);
    AuraEdgeFramePutU64(frame, message->time_us);
    AuraEdgeFramePutU32(frame, message->sequence);
    AuraEdgeFramePutU32(frame, message->value);
    return AuraEdgeFrameEnd(frame);
}

/**
 * @brief Encodes TIME RESPONSE.
 */
bool AuraEdgeEncodeTimeResponse(AuraEdgeFrame *const frame, const AuraEdgeTimeResponse *const message) {
    AuraEdgeFrameBegin(frame, AuraEdgeKindTimeResponse);
    AuraEdgeFramePutU32(frame, message->token);
    AuraEdgeFramePutU64(frame, message->received_us);
    AuraEdgeFramePutU64(frame, message->sent_us);
    return AuraEdgeFrameEnd(frame);
}

/**
 * @brief Encodes ACKNOWLEDGEMENT.
 */
bool AuraEdgeEncodeAcknowledgement(AuraEdgeFrame *const frame, const AuraEdgeAcknowledgement *const message) {
    AuraEdgeFrameBegin(frame, AuraEdgeKindAcknowledgement);
    AuraEdgeFramePutU8(frame, message->token);
    AuraEdgeFramePutU8(frame, message->command);
    AuraEdgeFramePutU8(frame, message->answer);
    AuraEdgeFramePutF32(frame, message->value);
    return AuraEdgeFrameEnd(frame);
}

/**
 * @brief Appends a text. What is too long is cut, but never inside a character: the host could not read it.
 */
static void PutText(AuraEdgeFrame *const frame, const char *const text) {
    uint8_t length = 0u;
    uint8_t index;
    if (text != NULL) {
        while (length < AURA_EDGE_LONGEST_TEXT && text[length] != '\0') {
            length++;
        }
        while (length > 0u && ((uint8_t) text[length] & 0xC0u) == 0x80u) {
            length--;
        }
    }
    AuraEdgeFramePutU8(frame, length);
    for (index = 0u; index < length; index++) {
        AuraEdgeFramePutU8(frame, (uint8_t) text[index]);
    }
}

/**
 * @brief Decodes the body of a message from the host.
 */
bool AuraEdgeDecode(const AuraEdgeKind kind, const uint8_t *const body, const size_t length,
                    AuraEdgeHostMessage *const message) {
    uint32_t bits;
    message->kind = kind;
    switch (kind) {
        case AuraEdgeKindTimeRequest:
            if (length != 4u) {
                return false;
            }
            message->time_request.token = GetU32(body);
            return true;
        case AuraEdgeKindConfig:
            if (length != 6u) {
                return false;
            }
            message->config.token = body[0];
            message->config.command = body[1];
            bits = GetU32(&body[2]);
            memcpy(&message->config.value, &bits, sizeof(bits));
            return true;
        case AuraEdgeKindHello:
        case AuraEdgeKindSamples:
        case AuraEdgeKindStatus:
        case AuraEdgeKindEvent:
        case AuraEdgeKindTimeResponse:
        case AuraEdgeKindAcknowledgement:
        default:
            return false;
    }
}

/**
 * @brief Reads 32 bits, little-endian.
 */
static uint32_t GetU32(const uint8_t *const bytes) {
    return (uint32_t) bytes[0] | ((uint32_t) bytes[1] << 8) | ((uint32_t) bytes[2] << 16) | ((uint32_t) bytes[3] << 24);
}

//------------------------------------------------------------------------------
// End of file
