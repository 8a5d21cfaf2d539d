/**
 * @file AuraEdgeBridgeTransmit.c
 * @brief What goes onto the wire, and in which order.
 */

//------------------------------------------------------------------------------
// Includes

#include "AuraEdgeBridge.h"
#include <string.h>

//------------------------------------------------------------------------------
// Function declarations

static bool Next(AuraEdgeBridge *const bridge, const uint64_t now_us);
static bool NextTime(AuraEdgeBridge *const bridge, const uint64_t now_us);
static bool NextAcknowledgement(AuraEdgeBridge *const bridge, const uint64_t now_us);
static bool NextEvent(AuraEdgeBridge *const bridge);
static bool NextSamples(AuraEdgeBridge *const bridge, const uint64_t now_us);
static bool SendHello(AuraEdgeBridge *const bridge, const uint64_t now_us);
static bool SendStatus(AuraEdgeBridge *const bridge, const uint64_t now_us);

//------------------------------------------------------------------------------
// Functions

/**
 * @brief Gives the bytes that must go onto the wire next.
 */
size_t AuraEdgeBridgeTransmit(AuraEdgeBridge *const bridge, const uint64_t now_us, uint8_t *const bytes,
                              const size_t space) {
    size_t written = 0u;
    while (written < space) {
        size_t length;
        if (bridge->sent >= bridge->frame.length) {
            if (!Next(bridge, now_us)) {
                break;
            }
            bridge->sent = 0u;
        }
        length = (size_t) bridge->frame.length - bridge->sent;
        if (length > space - written) {
            length = space - written;
        }
        memcpy(&bytes[written], &bridge->frame.bytes[bridge->sent], length);
        bridge->sent = (uint16_t) (bridge->sent + length);
        written += length;
    }
    return written;
}

/**
 * @brief Encodes what must be sent next. Answers go first, samples last; a message on its way is never interrupted.
 */
static bool Next(AuraEdgeBridge *const bridge, const uint64_t now_us) {
    if (bridge->time_count > 0u) {
        return NextTime(bridge, now_us);
    }
    if (bridge->acknowledgement_count > 0u) {
        return NextAcknowledgement(bridge, now_us);
    }
    if (NextEvent(bridge)) {
        return true;
    }
    if (bridge->hello_due) {
        return SendHello(bridge, now_us);
    }
    if (bridge->status_due) {
        bridge->status_due = false;
        return SendStatus(bridge, now_us);
    }
    return NextSamples(bridge, now_us);
}

/**
 * @brief Encodes the oldest TIME RESPONSE.
 */
static bool NextTime(AuraEdgeBridge *const bridge, const uint64_t now_us) {
    const AuraEdgeWaitingTime *const waiting = &bridge->times[bridge->time_first];
    const AuraEdgeTimeResponse message = {
        .token = waiting->token,
        .received_us = waiting->received_us,
        .sent_us = now_us,
    };
    bridge->time_first = (uint8_t) ((bridge->time_first + 1u) % AURA_EDGE_WAITING_TIMES);
    bridge->time_count--;
    return AuraEdgeEncodeTimeResponse(&bridge->frame, &message);
}

/**
 * @brief Encodes the oldest ACKNOWLEDGEMENT, or the HELLO that SAY HELLO asks for before it.
 */
static bool NextAcknowledgement(AuraEdgeBridge *const bridge, const uint64_t now_us) {
    const AuraEdgeAcknowledgement *const message = &bridge->acknowledgements[bridge->acknowledgement_first];
    if (message->command == AuraEdgeCommandSayHello && !bridge->acknowledged_hello) {
        bridge->acknowledged_hello = true;
        return SendHello(bridge, now_us);
    }
    bridge->acknowledged_hello = false;
    bridge->acknowledgement_first =
        (uint8_t) ((bridge->acknowledgement_first + 1u) % AURA_EDGE_WAITING_ACKNOWLEDGEMENTS);
    bridge->acknowledgement_count--;
    return AuraEdgeEncodeAcknowledgement(&bridge->frame, message);
}

/**
 * @brief Encodes an EVENT that waits. Returns false when there is none.
 */
static bool NextEvent(AuraEdgeBridge *const bridge) {
    uint8_t what;
    for (what = AuraEdgeEventFifoOverflow; what <= AuraEdgeEventBusError; what++) {
        AuraEdgeWaitingEvent *const event = &bridge->events[what - 1u];
        if (event->waiting) {
            const AuraEdgeEvent message = {
                .what = what,
                .time_us = event->time_us,
                .sequence = event->sequence,
                .value = event->value,
            };
            event->waiting = false;
            return AuraEdgeEncodeEvent(&bridge->frame, &message);
        }
    }
    return false;
}

/**
 * @brief Encodes what the ring has: a HELLO of what has changed, a batch, or the STATUS after the last one before a STOP, which
 * closed it.
 */
static bool NextSamples(AuraEdgeBridge *const bridge, const uint64_t now_us) {
    if (AuraEdgeRingAnnouncing(&bridge->ring)) {
        AuraEdgeRingAnnounced(&bridge->ring);
        return SendHello(bridge, now_us);
    }
    if (AuraEdgeRingReady(&bridge->ring)) {
        const AuraEdgeBatch *const batch = AuraEdgeRingOldest(&bridge->ring);
        const uint8_t estimated = bridge->settings.estimated_time ? AURA_EDGE_SAMPLES_ESTIMATED_TIME : 0u;
        const uint8_t saturated = batch->saturated ? AURA_EDGE_SAMPLES_SATURATED : 0u;
        const AuraEdgeSamples message = {
            .sequence = batch->sequence,
            .time_us = (uint32_t) (batch->time_us & 0xFFFFFFFFu),
            .interval_ns = AuraEdgeBatchInterval(batch),
            .flags = (uint8_t) (estimated | saturated),
            .count = batch->count,
            .raw = batch->raw,
        };
        const bool encoded = AuraEdgeEncodeSamples(&bridge->frame, &message);
        AuraEdgeRingRemove(&bridge->ring);
        return encoded;
    }
    if (bridge->stop_due) {
        bridge->stop_due = false;
        return SendStatus(bridge, now_us);
    }
    return false;
}

/**
 * @brief Encodes HELLO. It tells how the samples that are sent next are read: they may have waited since before a change.
 */
static bool SendHello(AuraEdgeBridge *const bridge, const uint64_t now_us) {
    const AuraEdgeBatch *const oldest = AuraEdgeRingOldest(&bridge->ring);
    const uint8_t gravity = bridge->settings.gravity_included ? AURA_EDGE_HELLO_GRAVITY_INCLUDED : 0u;
    const uint8_t streaming = bridge->streaming ? AURA_EDGE_HELLO_STREAMING : 0u;
    const AuraEdgeHello message = {
        .device_id = bridge->settings.device_id,
        .firmware = bridge->settings.firmware,
        .sensor = bridge->settings.sensor,
        .boot = bridge->settings.boot,
        .time_us = now_us,
        .next_sequence = AuraEdgeRingNextSequence(&bridge->ring),
        .clock_hz = bridge->settings.clock_hz,
        .scale = (oldest == NULL) ? bridge->scale : oldest->scale,
        .axes = {bridge->settings.axes[0], bridge->settings.axes[1], bridge->settings.axes[2]},
        .samples_per_message = bridge->settings.samples_per_message,
        .fields = bridge->settings.fields,
        .flags = (uint8_t) (gravity | streaming),
    };
    bridge->hello_due = false;
    bridge->next_hello_us = now_us + AURA_EDGE_SECOND_US;
    return AuraEdgeEncodeHello(&bridge->frame, &message);
}

/**
 * @brief Encodes STATUS.
 */
static bool SendStatus(AuraEdgeBridge *const bridge, const uint64_t now_us) {
    const AuraEdgeStatus message = {
        .boot = bridge->settings.boot,
        .time_us = now_us,
        .produced = bridge->ring.produced,
        .next_sequence = AuraEdgeRingNextSequence(&bridge->ring),
        .dropped_fifo = AuraEdgeRingDroppedFifo(&bridge->ring),
        .dropped_transmit = bridge->ring.dropped_transmit,
    };
    return AuraEdgeEncodeStatus(&bridge->frame, &message);
}

//------------------------------------------------------------------------------
// End of file
