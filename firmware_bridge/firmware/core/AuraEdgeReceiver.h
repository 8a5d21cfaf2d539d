/**
 * @file AuraEdgeReceiver.h
 * @brief Finds the host's messages in whatever snippets a wire gives. What is damaged costs the frame it is in.
 */

#ifndef AURA_EDGE_RECEIVER_H
#define AURA_EDGE_RECEIVER_H

//------------------------------------------------------------------------------
// Includes

#include "AuraEdgeMessages.h"

#ifdef __cplusplus
extern "C" {
#endif

//------------------------------------------------------------------------------
// Definitions

/**
 * @brief Why a frame is thrown away, in the order in which it is looked at.
 */
typedef enum {
    AuraEdgeDiscardPartial,  // the rest of one that began before we listened
    AuraEdgeDiscardOverlong, // longer than any frame
    AuraEdgeDiscardStuffing, // not stuffed rightly
    AuraEdgeDiscardCrc,      // damaged
    AuraEdgeDiscardVersion,  // of another version of the protocol
    AuraEdgeDiscardKind,     // of no kind that a host sends
    AuraEdgeDiscardBody,     // of another length than its kind has
    AuraEdgeDiscardReasons,  // how many reasons there are
} AuraEdgeDiscard;

/**
 * @brief Receiver. All members are private, but the counters may be read.
 */
typedef struct {
    uint8_t block[AURA_EDGE_LONGEST_BLOCK];
    uint16_t length; // bytes of the block, one more than fit when it is overlong
    bool listening_since_a_zero;
    uint32_t frames;                            // messages given
    uint32_t discarded[AuraEdgeDiscardReasons]; // frames, by AuraEdgeDiscard
} AuraEdgeReceiver;

//------------------------------------------------------------------------------
// Function declarations

/**
 * @brief Initialises the receiver.
 * @param receiver Receiver.
 */
void AuraEdgeReceiverInitialise(AuraEdgeReceiver *const receiver);

/**
 * @brief Takes the next byte.
 * @param receiver Receiver.
 * @param byte Byte.
 * @param message Message, when the byte completes one.
 * @return True when the byte completes a message.
 */
bool AuraEdgeReceiverUpdate(AuraEdgeReceiver *const receiver, const uint8_t byte, AuraEdgeHostMessage *const message);

#ifdef __cplusplus
}
#endif

#endif

//------------------------------------------------------------------------------
// End of file
