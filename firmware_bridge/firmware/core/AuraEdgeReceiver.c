/**
 * @file AuraEdgeReceiver.c
 * @brief Finds the host's messages in whatever snippets a wire gives. What is damaged costs the frame it is in.
 */

//------------------------------------------------------------------------------
// Includes

#include "AuraEdgeReceiver.h"
#include <string.h>

//------------------------------------------------------------------------------
// Function declarations

static AuraEdgeDiscard Read(AuraEdgeReceiver *const receiver, AuraEdgeHostMessage *const message);

//------------------------------------------------------------------------------
// Functions

/**
 * @brief Initialises the receiver.
 */
void AuraEdgeReceiverInitialise(AuraEdgeReceiver *const receiver) {
    memset(receiver, 0, sizeof(*receiver));
}

/**
 * @brief Takes the next byte.
 */
bool AuraEdgeReceiverUpdate(AuraEdgeReceiver *const receiver, const uint8_t byte, AuraEdgeHostMessage *const message) {
    const bool first = !receiver->listening_since_a_zero;
    AuraEdgeDiscard reason;
    if (byte != 0u) {
        if (receiver->length < AURA_EDGE_LONGEST_BLOCK) {
            receiver->block[receiver->length] = byte;
            receiver->length++;
        } else {
            receiver->length = AURA_EDGE_LONGEST_BLOCK + 1u;
        }
        return false;
    }
    receiver->listening_since_a_zero = true;
    if (receiver->length == 0u) {
        return false;
    }
    reason = Read(receiver, message);
    receiver->length = 0u;
    if (reason == AuraEdgeDiscardReasons) {
        receiver->frames++;
        return true;
    }
    receiver->discarded[first ? AuraEdgeDiscardPartial : reason]++;
    return false;
}

/**
 * @brief Reads the block. Returns why there is no message in it, AuraEdgeDiscardReasons when there is one.
 */
static AuraEdgeDiscard Read(AuraEdgeReceiver *const receiver, AuraEdgeHostMessage *const message) {
    uint8_t *const block = receiver->block;
    uint16_t crc = AURA_EDGE_CRC_START;
    uint8_t kind;
    size_t length;
    size_t index;
    if (receiver->length > AURA_EDGE_LONGEST_BLOCK) {
        return AuraEdgeDiscardOverlong;
    }
    if (!AuraEdgeFrameUnstuff(block, receiver->length, &length)) {
        return AuraEdgeDiscardStuffing;
    }
    if (length < 3u) {
        return AuraEdgeDiscardCrc;
    }
    for (index = 0u; index < length - 2u; index++) {
        crc = AuraEdgeCrc(crc, block[index]);
    }
    if (block[length - 2u] != (crc & 0xFFu) || block[length - 1u] != (crc >> 8)) {
        return AuraEdgeDiscardCrc;
    }
    if ((block[0] >> 4) != AURA_EDGE_VERSION) {
        return AuraEdgeDiscardVersion;
    }
    kind = block[0] & 0x0Fu;
    if (kind != AuraEdgeKindTimeRequest && kind != AuraEdgeKindConfig) {
        return AuraEdgeDiscardKind;
    }
    if (!AuraEdgeDecode((AuraEdgeKind) kind, &block[1], length - 3u, message)) {
        return AuraEdgeDiscardBody;
    }
    return AuraEdgeDiscardReasons;
}

//------------------------------------------------------------------------------
// End of file
