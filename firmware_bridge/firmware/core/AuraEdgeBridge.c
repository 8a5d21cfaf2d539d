/**
 * @file AuraEdgeBridge.c
 * @brief A board's whole side of the protocol, between a sensor and a wire.
 */

//------------------------------------------------------------------------------
// Includes

#include "AuraEdgeBridge.h"
#include <float.h>
#include <string.h>

//------------------------------------------------------------------------------
// Definitions

#define SECOND_US (1000000u)
#define NANOSECONDS_PER_SECOND (1.0e9f)
#define GRAVITY_M_S2 (9.80665f)
#define FULL_SCALE_COUNTS (32768.0f)
#define RANGE_M_S2 (8.0f * GRAVITY_M_S2)
#define RANGE_RAD_S (34.906585f)

//------------------------------------------------------------------------------
// Variables

const AuraEdgeBridgeSettings auraEdgeBridgeDefaultSettings = {
    .device_id = NULL,
    .firmware = NULL,
    .sensor = NULL,
    .boot = 0u,
    .clock_hz = 0.0f, // Hz
    .scale =
        {
            .rate_hz = 200.0f,                                       // Hz
            .acc_m_s2_per_count = RANGE_M_S2 / FULL_SCALE_COUNTS,    // m/s2
            .gyro_rad_s_per_count = RANGE_RAD_S / FULL_SCALE_COUNTS, // rad/s
            .acc_range_m_s2 = RANGE_M_S2,                            // m/s2
            .gyro_range_rad_s = RANGE_RAD_S,                         // rad/s
        },
    .axes = {1, 2, 3},
    .samples_per_message = 10u,
    .fields = AURA_EDGE_ALL_FIELDS,
    .acc_end_counts = 32767u,  // counts
    .gyro_end_counts = 32767u, // counts
    .gravity_included = true,
    .estimated_time = false,
    .streaming_from_start = false,
    .configure = NULL,
    .stream = NULL,
    .context = NULL,
};

//------------------------------------------------------------------------------
// Function declarations

static void Add(AuraEdgeBridge *const bridge, const uint64_t time_us, const uint64_t after_ns, const uint32_t interval_ns,
                const int16_t *const raw);
static uint32_t Saturated(const AuraEdgeBridge *const bridge, const int16_t *const raw);
static AuraEdgeWaitingEvent *Tell(AuraEdgeBridge *const bridge, const AuraEdgeEventKind what, const uint64_t time_us);
static void RememberTime(AuraEdgeBridge *const bridge, const uint64_t now_us, const uint32_t token);
static void CarryOut(AuraEdgeBridge *const bridge, const uint64_t now_us, const AuraEdgeConfig *const config);
static AuraEdgeAnswer Stream(AuraEdgeBridge *const bridge, const uint64_t now_us, const bool streaming);
static AuraEdgeAnswer Configure(AuraEdgeBridge *const bridge, const AuraEdgeCommand command, const float value);
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
 * @brief Initialises the bridge. A zero goes first, so that what a boot loader printed does not cost the first frame.
 */
void AuraEdgeBridgeInitialise(AuraEdgeBridge *const bridge, const AuraEdgeBridgeSettings *const settings) {
    memset(bridge, 0, sizeof(*bridge));
    bridge->settings = *settings;
    bridge->scale = settings->scale;
    AuraEdgeReceiverInitialise(&bridge->receiver);
    AuraEdgeRingInitialise(&bridge->ring, settings->samples_per_message);
    bridge->settings.samples_per_message = bridge->ring.samples_per_batch;
    bridge->settings.fields = settings->fields & AURA_EDGE_ALL_FIELDS;
    bridge->frame.bytes[0] = 0u;
    bridge->frame.length = 1u;
    bridge->streaming = settings->streaming_from_start;
    bridge->hello_due = true;
    bridge->next_status_us = SECOND_US;
}

/**
 * @brief True between START and STOP.
 */
bool AuraEdgeBridgeStreaming(const AuraEdgeBridge *const bridge) {
    return bridge->streaming;
}

/**
 * @brief Adds one sample taken at a known time.
 */
void AuraEdgeBridgeAddSample(AuraEdgeBridge *const bridge, const uint64_t time_us, const int16_t *const raw) {
    const float rate_hz = bridge->scale.rate_hz;
    const bool sensible = rate_hz > 0.25f && rate_hz < NANOSECONDS_PER_SECOND; // or the interval would not fit 32 bits
    const uint32_t interval_ns = sensible ? (uint32_t) (NANOSECONDS_PER_SECOND / rate_hz) : 0u;
    Add(bridge, time_us, 0u, interval_ns, raw);
}

/**
 * @brief Adds samples read from a sensor's FIFO.
 */
void AuraEdgeBridgeAddSamples(AuraEdgeBridge *const bridge, const uint64_t time_us, const uint32_t interval_ns,
                              const int16_t *const raw, const size_t count) {
    size_t index;
    for (index = 0u; index < count; index++) {
        Add(bridge, time_us, (uint64_t) index * interval_ns, interval_ns, &raw[index * AURA_EDGE_CHANNELS]);
    }
}

/**
 * @brief Adds one sample.
 */
static void Add(AuraEdgeBridge *const bridge, const uint64_t time_us, const uint64_t after_ns, const uint32_t interval_ns,
                const int16_t *const raw) {
    const uint64_t taken_us = time_us + after_ns / 1000u;
    uint32_t saturated;
    if (!bridge->streaming) {
        return;
    }
    saturated = Saturated(bridge, raw);
    bridge->saturated |= saturated;
    if (saturated != 0u && taken_us >= bridge->next_saturation_us) {
        Tell(bridge, AuraEdgeEventSaturation, taken_us)->value |= bridge->saturated;
        bridge->saturated = 0u;
        bridge->next_saturation_us = taken_us + SECOND_US;
    }
    AuraEdgeRingAdd(&bridge->ring, raw, time_us, after_ns, interval_ns, saturated != 0u, &bridge->scale);
    bridge->last_sample_us = taken_us;
}

/**
 * @brief A bit for each channel that stands at the end of its scale.
 */
static uint32_t Saturated(const AuraEdgeBridge *const bridge, const int16_t *const raw) {
    uint32_t saturated = 0u;
    uint8_t channel;
    for (channel = 0u; channel < AURA_EDGE_CHANNELS; channel++) {
        const uint16_t end = (channel < 3u) ? bridge->settings.acc_end_counts : bridge->settings.gyro_end_counts;
        const int32_t counts = raw[channel];
        const int32_t size = (counts < 0) ? -counts : counts; // 32 bits, because -32768 has no positive in 16
        if (end != 0u && size >= (int32_t) end) {
            saturated |= (uint32_t) 1u << channel;
        }
    }
    return saturated & bridge->settings.fields;
}

/**
 * @brief Counts samples that were overwritten in the sensor before they were read.
 */
void AuraEdgeBridgeFifoOverflow(AuraEdgeBridge *const bridge, const uint64_t now_us, const uint32_t lost) {
    if (!bridge->streaming || lost == 0u) {
        return;
    }
    AuraEdgeRingLose(&bridge->ring, lost);
    Tell(bridge, AuraEdgeEventFifoOverflow, now_us)->value += lost;
}

/**
 * @brief Counts a read of the sensor that failed.
 */
void AuraEdgeBridgeBusError(AuraEdgeBridge *const bridge, const uint64_t now_us) {
    bridge->bus_errors++;
    Tell(bridge, AuraEdgeEventBusError, now_us)->value = bridge->bus_errors;
}

/**
 * @brief The EVENT of this kind that waits for the wire, made now if there is none: a silent wire costs no memory.
 */
static AuraEdgeWaitingEvent *Tell(AuraEdgeBridge *const bridge, const AuraEdgeEventKind what, const uint64_t time_us) {
    AuraEdgeWaitingEvent *const event = &bridge->events[what - 1];
    if (!event->waiting) {
        event->waiting = true;
        event->time_us = time_us;
        event->sequence = bridge->ring.produced;
        event->value = 0u;
    }
    return event;
}

/**
 * @brief Takes bytes that the wire brought and does what they ask for.
 */
void AuraEdgeBridgeReceive(AuraEdgeBridge *const bridge, const uint64_t now_us, const uint8_t *const bytes,
                           const size_t length) {
    AuraEdgeHostMessage message;
    size_t index;
    for (index = 0u; index < length; index++) {
        if (!AuraEdgeReceiverUpdate(&bridge->receiver, bytes[index], &message)) {
            continue;
        }
        bridge->host_answered = true;
        if (message.kind == AuraEdgeKindTimeRequest) {
            RememberTime(bridge, now_us, message.time_request.token);
        } else {
            CarryOut(bridge, now_us, &message.config);
        }
    }
}

/**
 * @brief Keeps a TIME REQUEST until the wire takes the answer. The oldest gives way: its answer would be the least useful.
 */
static void RememberTime(AuraEdgeBridge *const bridge, const uint64_t now_us, const uint32_t token) {
    AuraEdgeWaitingTime *waiting;
    if (bridge->time_count == AURA_EDGE_WAITING_TIMES) {
        bridge->time_first = (uint8_t) ((bridge->time_first + 1u) % AURA_EDGE_WAITING_TIMES);
        bridge->time_count--;
        bridge->refused++;
    }
    waiting = &bridge->times[((size_t) bridge->time_first + bridge->time_count) % AURA_EDGE_WAITING_TIMES];
    waiting->token = token;
    waiting->received_us = now_us;
    bridge->time_count++;
}

/**
 * @brief Carries out a CONFIG and keeps the answer. What cannot be answered is not carried out, so that the host is not misled.
 */
static void CarryOut(AuraEdgeBridge *const bridge, const uint64_t now_us, const AuraEdgeConfig *const config) {
    AuraEdgeAcknowledgement *acknowledgement;
    AuraEdgeAnswer answer;
    float value = 0.0f;
    size_t place;
    if (bridge->acknowledgement_count == AURA_EDGE_WAITING_ACKNOWLEDGEMENTS) {
        bridge->refused++;
        return;
    }
    switch (config->command) {
        case AuraEdgeCommandSayHello:
            answer = AuraEdgeAnswerDone; // NextAcknowledgement sends the HELLO
            break;
        case AuraEdgeCommandStart:
            answer = Stream(bridge, now_us, true);
            break;
        case AuraEdgeCommandStop:
            answer = Stream(bridge, now_us, false);
            break;
        case AuraEdgeCommandRate:
            answer = Configure(bridge, AuraEdgeCommandRate, config->value);
            value = bridge->scale.rate_hz;
            break;
        case AuraEdgeCommandAccRange:
            answer = Configure(bridge, AuraEdgeCommandAccRange, config->value);
            value = bridge->scale.acc_range_m_s2;
            break;
        case AuraEdgeCommandGyroRange:
            answer = Configure(bridge, AuraEdgeCommandGyroRange, config->value);
            value = bridge->scale.gyro_range_rad_s;
            break;
        default:
            answer = AuraEdgeAnswerUnknownCommand;
            break;
    }
    place = ((size_t) bridge->acknowledgement_first + bridge->acknowledgement_count) % AURA_EDGE_WAITING_ACKNOWLEDGEMENTS;
    acknowledgement = &bridge->acknowledgements[place];
    acknowledgement->token = config->token;
    acknowledgement->command = config->command;
    acknowledgement->answer = (uint8_t) answer;
    acknowledgement->value = value;
    bridge->acknowledgement_count++;
}

/**
 * @brief START or STOP. A second START changes nothing; every STOP is followed by a STATUS.
 */
static AuraEdgeAnswer Stream(AuraEdgeBridge *const bridge, const uint64_t now_us, const bool streaming) {
    if (streaming != bridge->streaming) {
        if (bridge->settings.stream != NULL) {
            const AuraEdgeAnswer answer = bridge->settings.stream(bridge->settings.context, streaming);
            if (answer != AuraEdgeAnswerDone) {
                return answer;
            }
        }
        bridge->streaming = streaming;
        bridge->next_status_us = now_us + SECOND_US;
        AuraEdgeRingClose(&bridge->ring);
    }
    if (!streaming) {
        bridge->stop_due = true;
    }
    return AuraEdgeAnswerDone;
}

/**
 * @brief RATE, ACC RANGE or GYRO RANGE. What follows the HELLO is read as it says, what waits in the ring as the one before.
 */
static AuraEdgeAnswer Configure(AuraEdgeBridge *const bridge, const AuraEdgeCommand command, const float value) {
    AuraEdgeScale scale = bridge->scale;
    AuraEdgeAnswer answer;
    if (bridge->settings.configure == NULL || !(value > 0.0f && value <= FLT_MAX)) {
        return AuraEdgeAnswerImpossibleValue;
    }
    answer = bridge->settings.configure(bridge->settings.context, command, value, &scale);
    if (answer == AuraEdgeAnswerDone) {
        bridge->scale = scale;
        AuraEdgeRingAnnounce(&bridge->ring);
    }
    return answer;
}

/**
 * @brief Does what is due by time.
 */
void AuraEdgeBridgeUpdate(AuraEdgeBridge *const bridge, const uint64_t now_us) {
    if (!bridge->host_answered && now_us >= bridge->next_hello_us) {
        bridge->hello_due = true; // SendHello says when the next one is
    }
    if (bridge->streaming && now_us >= bridge->next_status_us) {
        bridge->status_due = true;
        bridge->next_status_us += SECOND_US;
        if (bridge->next_status_us <= now_us) {
            bridge->next_status_us = now_us + SECOND_US;
        }
    }
    if (bridge->ring.open && now_us > bridge->last_sample_us + SECOND_US) {
        AuraEdgeRingClose(&bridge->ring); // the sensor has fallen silent: do not keep what it gave before
    }
}

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
    bridge->next_hello_us = now_us + SECOND_US;
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
