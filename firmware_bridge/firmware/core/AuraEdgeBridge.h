/**
 * @file AuraEdgeBridge.h
 * @brief A board's whole side of the protocol, between a sensor and a wire.
 *
 * The board's loop, in any order, as often as it likes:
 *
 *     AuraEdgeBridgeReceive(&bridge, now_us, bytes, length);        what the wire brought
 *     AuraEdgeBridgeAddSamples(&bridge, time_us, ...);              what the sensor brought
 *     AuraEdgeBridgeUpdate(&bridge, now_us);                        what time brings: HELLO and STATUS
 *     length = AuraEdgeBridgeTransmit(&bridge, now_us, bytes, how many bytes the wire takes without waiting);
 *
 * Nothing here ever waits. `now_us` is the device clock, microseconds since the board started (AuraEdgeClock).
 */

#ifndef AURA_EDGE_BRIDGE_H
#define AURA_EDGE_BRIDGE_H

//------------------------------------------------------------------------------
// Includes

#include "AuraEdgeReceiver.h"
#include "AuraEdgeRing.h"

#ifdef __cplusplus
extern "C" {
#endif

//------------------------------------------------------------------------------
// Definitions

/**
 * @brief Answers that can wait for the wire. More TIME REQUESTs replace the oldest; more CONFIGs are not carried out.
 */
#define AURA_EDGE_WAITING_TIMES (4u)
#define AURA_EDGE_WAITING_ACKNOWLEDGEMENTS (8u)

/**
 * @brief Microseconds from one HELLO or STATUS to the next, and as long as an EVENT of saturation stays the only one.
 */
#define AURA_EDGE_SECOND_US (1000000u)

/**
 * @brief Carries out RATE, ACC RANGE or GYRO RANGE on the sensor.
 * @param context As given in the settings.
 * @param command AuraEdgeCommandRate, AuraEdgeCommandAccRange or AuraEdgeCommandGyroRange.
 * @param value Wanted value, finite and positive, in Hz, m/s2 or rad/s.
 * @param scale What is in force; becomes what is in force now. It is believed only with AuraEdgeAnswerDone.
 * @return AuraEdgeAnswerDone, AuraEdgeAnswerImpossibleValue or AuraEdgeAnswerSensorFailed.
 */
typedef AuraEdgeAnswer (*AuraEdgeConfigure)(void *context, AuraEdgeCommand command, float value, AuraEdgeScale *scale);

/**
 * @brief Told when streaming starts or stops, so that the board can start or stop its sensor.
 * @param context As given in the settings.
 * @param streaming True when it starts.
 * @return AuraEdgeAnswerDone or AuraEdgeAnswerSensorFailed; after the latter nothing has changed.
 */
typedef AuraEdgeAnswer (*AuraEdgeStream)(void *context, bool streaming);

/**
 * @brief Settings. Texts must outlive the bridge.
 */
typedef struct {
    const char *device_id;       // UTF-8, at most 31 bytes; NULL is empty
    const char *firmware;        // likewise
    const char *sensor;          // likewise
    uint32_t boot;               // differs from one start to the next; 0 when the board cannot know
    float clock_hz;              // nominal rate of the oscillator behind the device clock, Hz; 0 when unknown
    AuraEdgeScale scale;         // Hz, m/s2 per count, rad/s per count, m/s2, rad/s; as the sensor is now
    int8_t axes[3];              // for each axis of the board the axis of the sensor, 1 to 3, negative when reversed
    uint8_t samples_per_message; // 1 to AURA_EDGE_BATCH_SAMPLES
    uint16_t fields;             // a bit for each of acc x, y, z, gyro x, y, z that the sensor has
    uint16_t acc_end_counts;     // a reading of at least so many counts, either way, is at the end of the scale; 0 none is
    uint16_t gyro_end_counts;    // likewise
    bool gravity_included;       // in the acceleration
    bool estimated_time;         // times are those of reading, not of an interrupt or a counter
    bool streaming_from_start;   // for a board without a receiving line
    AuraEdgeConfigure configure; // NULL: rate and ranges cannot be changed
    AuraEdgeStream stream;       // NULL: the board needs not know
    void *context;               // given to both functions
} AuraEdgeBridgeSettings;

/**
 * @brief Default settings: 200 Hz, 8 g and 2000 degrees/s over int16, 10 samples a message, axes of the sensor.
 */
extern const AuraEdgeBridgeSettings auraEdgeBridgeDefaultSettings;

/**
 * @brief An EVENT that waits for the wire. Later ones of its kind are added to it.
 */
typedef struct {
    bool waiting;
    uint64_t time_us;  // of the first
    uint32_t sequence; // of the first
    uint32_t value;
} AuraEdgeWaitingEvent;

/**
 * @brief A TIME REQUEST that waits for its answer.
 */
typedef struct {
    uint32_t token;
    uint64_t received_us;
} AuraEdgeWaitingTime;

/**
 * @brief Bridge. All members are private, but the counters of `receiver` and `ring`, `refused` and `bus_errors` may be read.
 */
typedef struct {
    AuraEdgeBridgeSettings settings;
    AuraEdgeScale scale; // in force
    AuraEdgeReceiver receiver;
    AuraEdgeRing ring;
    AuraEdgeFrame frame; // on its way
    uint16_t sent;       // bytes of the frame
    bool streaming;
    bool host_answered;
    bool hello_due;
    bool status_due;
    bool stop_due;           // a STATUS once nothing is pending
    bool acknowledged_hello; // the HELLO that a waiting acknowledgement asks for was sent
    uint64_t next_hello_us;
    uint64_t next_status_us;
    uint64_t next_saturation_us;
    uint64_t last_sample_us; // when a sample was added last
    uint32_t saturated;      // channels since the last EVENT that told of any
    uint32_t bus_errors;     // since the start
    uint32_t refused;        // messages of the host to which no answer could be kept
    AuraEdgeWaitingEvent events[3]; // by AuraEdgeEventKind - 1
    AuraEdgeWaitingTime times[AURA_EDGE_WAITING_TIMES];
    uint8_t time_first;
    uint8_t time_count;
    AuraEdgeAcknowledgement acknowledgements[AURA_EDGE_WAITING_ACKNOWLEDGEMENTS];
    uint8_t acknowledgement_first;
    uint8_t acknowledgement_count;
} AuraEdgeBridge;

//------------------------------------------------------------------------------
// Function declarations

/**
 * @brief Initialises the bridge. The first HELLO is due at once.
 * @param bridge Bridge.
 * @param settings Settings; they are copied. What lies outside its bounds is held to them.
 */
void AuraEdgeBridgeInitialise(AuraEdgeBridge *const bridge, const AuraEdgeBridgeSettings *const settings);

/**
 * @brief True between START and STOP. Samples made at other times are neither sent nor counted.
 * @param bridge Bridge.
 * @return True when streaming.
 */
bool AuraEdgeBridgeStreaming(const AuraEdgeBridge *const bridge);

/**
 * @brief Adds one sample taken at a known time.
 * @param bridge Bridge.
 * @param time_us When it was taken, on the device clock; not earlier than that of the sample before.
 * @param raw Counts, AURA_EDGE_CHANNELS; 0 for channels that the sensor has not.
 */
void AuraEdgeBridgeAddSample(AuraEdgeBridge *const bridge, const uint64_t time_us, const int16_t *const raw);

/**
 * @brief Adds samples read from a sensor's FIFO.
 * @param bridge Bridge.
 * @param time_us When the first was taken, on the device clock.
 * @param interval_ns From one to the next.
 * @param raw Counts, AURA_EDGE_CHANNELS for each sample, one after the other.
 * @param count Samples.
 */
void AuraEdgeBridgeAddSamples(AuraEdgeBridge *const bridge, const uint64_t time_us, const uint32_t interval_ns,
                              const int16_t *const raw, const size_t count);

/**
 * @brief Counts samples that were overwritten in the sensor before they were read, and tells the host.
 * Call it before adding the first sample after them.
 * @param bridge Bridge.
 * @param now_us Device clock.
 * @param lost Samples.
 */
void AuraEdgeBridgeFifoOverflow(AuraEdgeBridge *const bridge, const uint64_t now_us, const uint32_t lost);

/**
 * @brief Counts a read of the sensor that failed, and tells the host.
 * @param bridge Bridge.
 * @param now_us Device clock.
 */
void AuraEdgeBridgeBusError(AuraEdgeBridge *const bridge, const uint64_t now_us);

/**
 * @brief Takes bytes that the wire brought and does what they ask for.
 * @param bridge Bridge.
 * @param now_us Device clock when they were read.
 * @param bytes Bytes.
 * @param length How many.
 */
void AuraEdgeBridgeReceive(AuraEdgeBridge *const bridge, const uint64_t now_us, const uint8_t *const bytes,
                           const size_t length);

/**
 * @brief Does what is due by time. Call it at least ten times a second.
 * @param bridge Bridge.
 * @param now_us Device clock.
 */
void AuraEdgeBridgeUpdate(AuraEdgeBridge *const bridge, const uint64_t now_us);

/**
 * @brief Gives the bytes that must go onto the wire next. They count as sent.
 * @param bridge Bridge.
 * @param now_us Device clock.
 * @param bytes Where the bytes are written.
 * @param space How many bytes the wire takes without waiting; 0 is allowed.
 * @return How many bytes were written, 0 to space; less than space when there is nothing more to send.
 */
size_t AuraEdgeBridgeTransmit(AuraEdgeBridge *const bridge, const uint64_t now_us, uint8_t *const bytes,
                              const size_t space);

#ifdef __cplusplus
}
#endif

#endif

//------------------------------------------------------------------------------
// End of file
