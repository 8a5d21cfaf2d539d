/**
 * @file AuraEdgeBridgeReceive.c
 * @brief What the host asks for: carried out at once, its answer kept until the wire takes it.
 */

//------------------------------------------------------------------------------
// Includes

#include "AuraEdgeBridge.h"
#include <float.h>

//------------------------------------------------------------------------------
// Function declarations

static void RememberTime(AuraEdgeBridge *const bridge, const uint64_t now_us, const uint32_t token);
static void CarryOut(AuraEdgeBridge *const bridge, const uint64_t now_us, const AuraEdgeConfig *const config);
static AuraEdgeAnswer Stream(AuraEdgeBridge *const bridge, const uint64_t now_us, const bool streaming);
static AuraEdgeAnswer Configure(AuraEdgeBridge *const bridge, const AuraEdgeCommand command, const float value);

//------------------------------------------------------------------------------
// Functions

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
        bridge->next_status_us = now_us + AURA_EDGE_SECOND_US;
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

//------------------------------------------------------------------------------
// End of file
