/**
 * @file AuraEdgeMessages.h
 * @brief What a board and a host say to each other. PROTOCOL.md says when, and what each field means.
 */

#ifndef AURA_EDGE_MESSAGES_H
#define AURA_EDGE_MESSAGES_H

//------------------------------------------------------------------------------
// Includes

#include "AuraEdgeFrame.h"

#ifdef __cplusplus
extern "C" {
#endif

//------------------------------------------------------------------------------
// Definitions

/**
 * @brief Channels of a sample: acc x, y, z, gyro x, y, z.
 */
#define AURA_EDGE_CHANNELS (6u)

/**
 * @brief Samples in one message, at most.
 */
#define AURA_EDGE_MOST_SAMPLES (19u)

/**
 * @brief Bytes of each text in a HELLO, at most. Longer ones are cut at a character's border.
 */
#define AURA_EDGE_LONGEST_TEXT (31u)

/**
 * @brief The sensor has all six channels.
 */
#define AURA_EDGE_ALL_FIELDS (0x3Fu)

/**
 * @brief Kinds of messages.
 */
typedef enum {
    AuraEdgeKindHello = 1,
    AuraEdgeKindSamples = 2,
    AuraEdgeKindStatus = 3,
    AuraEdgeKindEvent = 4,
    AuraEdgeKindTimeResponse = 5,
    AuraEdgeKindAcknowledgement = 6,
    AuraEdgeKindTimeRequest = 9,
    AuraEdgeKindConfig = 10,
} AuraEdgeKind;

/**
 * @brief Flags of a HELLO.
 */
#define AURA_EDGE_HELLO_GRAVITY_INCLUDED (1u)
#define AURA_EDGE_HELLO_STREAMING (2u)

/**
 * @brief Flags of SAMPLES.
 */
#define AURA_EDGE_SAMPLES_SATURATED (1u)
#define AURA_EDGE_SAMPLES_ESTIMATED_TIME (2u)

/**
 * @brief What an EVENT tells.
 */
typedef enum {
    AuraEdgeEventFifoOverflow = 1,
    AuraEdgeEventSaturation = 2,
    AuraEdgeEventBusError = 3,
} AuraEdgeEventKind;

/**
 * @brief What a CONFIG asks for.
 */
typedef enum {
    AuraEdgeCommandSayHello = 1,
    AuraEdgeCommandStart = 2,
    AuraEdgeCommandStop = 3,
    AuraEdgeCommandRate = 4,      // Hz
    AuraEdgeCommandAccRange = 5,  // m/s2
    AuraEdgeCommandGyroRange = 6, // rad/s
} AuraEdgeCommand;

/**
 * @brief What became of a CONFIG.
 */
typedef enum {
    AuraEdgeAnswerDone = 0,
    AuraEdgeAnswerUnknownCommand = 1,
    AuraEdgeAnswerImpossibleValue = 2,
    AuraEdgeAnswerSensorFailed = 3,
} AuraEdgeAnswer;

/**
 * @brief How a sensor's counts are read, and how often they come.
 */
typedef struct {
    float rate_hz; // nominal
    float acc_m_s2_per_count;
    float gyro_rad_s_per_count;
    float acc_range_m_s2;   // full scale
    float gyro_range_rad_s; // full scale
} AuraEdgeScale;

/**
 * @brief HELLO.
 */
typedef struct {
    const char *device_id; // texts are UTF-8; NULL is empty
    const char *firmware;
    const char *sensor;
    uint32_t boot;
    uint64_t time_us;
    uint32_t next_sequence;
    float clock_hz; // 0 when unknown
    AuraEdgeScale scale;
    int8_t axes[3];
    uint8_t samples_per_message;
    uint16_t fields;
    uint8_t flags; // AURA_EDGE_HELLO_...
} AuraEdgeHello;

/**
 * @brief SAMPLES.
 */
typedef struct {
    uint32_t sequence;
    uint32_t time_us;
    uint32_t interval_ns;
    uint8_t flags; // AURA_EDGE_SAMPLES_...
    uint8_t count;
    const int16_t *raw; // counts, AURA_EDGE_CHANNELS for each sample
} AuraEdgeSamples;

/**
 * @brief STATUS.
 */
typedef struct {
    uint32_t boot;
    uint64_t time_us;
    uint32_t produced;
    uint32_t next_sequence;
    uint32_t dropped_fifo;
    uint32_t dropped_transmit;
} AuraEdgeStatus;

/**
 * @brief EVENT.
 */
typedef struct {
    uint8_t what; // AuraEdgeEventKind
    uint64_t time_us;
    uint32_t sequence;
    uint32_t value;
} AuraEdgeEvent;

/**
 * @brief TIME RESPONSE.
 */
typedef struct {
    uint32_t token;
    uint64_t received_us;
    uint64_t sent_us;
} AuraEdgeTimeResponse;

/**
 * @brief ACKNOWLEDGEMENT.
 */
typedef struct {
    uint8_t token;
    uint8_t command; // as it came, known or not
    uint8_t answer;  // AuraEdgeAnswer
    float value;     // what is in force now, 0 where the command has none
} AuraEdgeAcknowledgement;

/**
 * @brief TIME REQUEST.
 */
typedef struct {
    uint32_t token;
} AuraEdgeTimeRequest;

/**
 * @brief CONFIG.
 */
typedef struct {
    uint8_t token;
    uint8_t command; // AuraEdgeCommand, or unknown
    float value;     // in the command's unit
} AuraEdgeConfig;

/**
 * @brief A message from the host.
 */
typedef struct {
    AuraEdgeKind kind; // AuraEdgeKindTimeRequest or AuraEdgeKindConfig
    AuraEdgeTimeRequest time_request;
    AuraEdgeConfig config;
} AuraEdgeHostMessage;

//------------------------------------------------------------------------------
// Function declarations

/**
 * @brief Encodes a message from the board into a frame.
 * @param frame Frame: `bytes` and `length` are what goes onto the wire.
 * @param message Message.
 * @return False when it does not fit: SAMPLES without samples or with more than AURA_EDGE_MOST_SAMPLES.
 */
bool AuraEdgeEncodeHello(AuraEdgeFrame *const frame, const AuraEdgeHello *const message);
bool AuraEdgeEncodeSamples(AuraEdgeFrame *const frame, const AuraEdgeSamples *const message);
bool AuraEdgeEncodeStatus(AuraEdgeFrame *const frame, const AuraEdgeStatus *const message);
bool AuraEdgeEncodeEvent(AuraEdgeFrame *const frame, const AuraEdgeEvent *const message);
bool AuraEdgeEncodeTimeResponse(AuraEdgeFrame *const frame, const AuraEdgeTimeResponse *const message);
bool AuraEdgeEncodeAcknowledgement(AuraEdgeFrame *const frame, const AuraEdgeAcknowledgement *const message);

/**
 * @brief Decodes the body of a message from the host.
 * @param kind Kind, AuraEdgeKindTimeRequest or AuraEdgeKindConfig.
 * @param body Bytes behind the kind, without the CRC.
 * @param length Bytes of the body.
 * @param message Message.
 * @return False when the length is not the one of this kind.
 */
bool AuraEdgeDecode(const AuraEdgeKind kind, const uint8_t *const body, const size_t length,
                    AuraEdgeHostMessage *const message);

#ifdef __cplusplus
}
#endif

#endif

//------------------------------------------------------------------------------
// End of file
