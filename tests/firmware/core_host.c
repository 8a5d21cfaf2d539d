/**
 * @file core_host.c
 * @brief Puts the firmware's core on standard input and output, for tests/test_firmware_core.py: a line in, a line out.
 *
 * Bytes are hexadecimal ("-" for none), texts too. Compiled with sanitizers, so that whatever is wrong ends it.
 */

//------------------------------------------------------------------------------
// Includes

#include "AuraEdge.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

//------------------------------------------------------------------------------
// Definitions

#define LINE_BYTES (1u << 20)

/**
 * @brief A sensor with three rates and three ranges each, of which the test can say that it fails.
 */
typedef struct {
    bool fails;
    unsigned streams; // how often it was started
} FakeSensor;

//------------------------------------------------------------------------------
// Variables

static char line[LINE_BYTES];
static uint8_t bytes[LINE_BYTES];
static FakeSensor sensor;
static AuraEdgeBridge bridge;
static AuraEdgeClock deviceClock;
static AuraEdgeByteQueue queue;
static char texts[3][256];

//------------------------------------------------------------------------------
// Functions

static const char *Word(void) {
    const char *const word = strtok(NULL, " \n");
    if (word == NULL) {
        fprintf(stderr, "core_host: a word is missing\n");
        exit(2);
    }
    return word;
}

static uint64_t Number(void) {
    return strtoull(Word(), NULL, 0);
}

static int16_t Count(void) {
    return (int16_t) strtol(Word(), NULL, 0);
}

static float Float(void) {
    return strtof(Word(), NULL);
}

static unsigned Digit(const char digit) {
    return (unsigned) ((digit <= '9') ? digit - '0' : digit - 'a' + 10);
}

static size_t Bytes(uint8_t *const to, const size_t space) {
    const char *const hex = Word();
    const size_t length = (hex[0] == '-') ? 0u : strlen(hex) / 2u;
    size_t index;
    if (length > space) {
        fprintf(stderr, "core_host: too many bytes\n");
        exit(2);
    }
    for (index = 0u; index < length; index++) {
        to[index] = (uint8_t) (Digit(hex[2u * index]) << 4 | Digit(hex[2u * index + 1u]));
    }
    return length;
}

static const char *Text(const unsigned index) {
    const size_t length = Bytes((uint8_t *) texts[index], sizeof(texts[index]) - 1u);
    texts[index][length] = '\0';
    return texts[index];
}

static void Print(const uint8_t *const data, const size_t length) {
    static const char digits[] = "0123456789abcdef";
    size_t index;
    if (length == 0u) {
        putchar('-');
    }
    for (index = 0u; index < length; index++) {
        putchar(digits[data[index] >> 4]);
        putchar(digits[data[index] & 15u]);
    }
    putchar('\n');
}

static void Scale(AuraEdgeScale *const scale) {
    scale->rate_hz = Float();
    scale->acc_m_s2_per_count = Float();
    scale->gyro_rad_s_per_count = Float();
    scale->acc_range_m_s2 = Float();
    scale->gyro_range_rad_s = Float();
}

static void Axes(int8_t axes[3]) {
    axes[0] = (int8_t) Count();
    axes[1] = (int8_t) Count();
    axes[2] = (int8_t) Count();
}

static bool Encode(AuraEdgeFrame *const frame) {
    static int16_t raw[256 * AURA_EDGE_CHANNELS];
    const char *const kind = Word();
    if (strcmp(kind, "Hello") == 0) {
        AuraEdgeHello hello = {0};
        hello.device_id = Text(0u);
        hello.firmware = Text(1u);
        hello.sensor = Text(2u);
        hello.boot = (uint32_t) Number();
        hello.time_us = Number();
        hello.next_sequence = (uint32_t) Number();
        hello.clock_hz = Float();
        Scale(&hello.scale);
        Axes(hello.axes);
        hello.samples_per_message = (uint8_t) Number();
        hello.fields = (uint16_t) Number();
        hello.flags = (uint8_t) Number();
        return AuraEdgeEncodeHello(frame, &hello);
    }
    if (strcmp(kind, "Samples") == 0) {
        AuraEdgeSamples samples = {0};
        size_t index;
        samples.sequence = (uint32_t) Number();
        samples.time_us = (uint32_t) Number();
        samples.interval_ns = (uint32_t) Number();
        samples.flags = (uint8_t) Number();
        samples.count = (uint8_t) Number();
        samples.raw = raw;
        for (index = 0u; index < (size_t) samples.count * AURA_EDGE_CHANNELS; index++) {
            raw[index] = Count();
        }
        return AuraEdgeEncodeSamples(frame, &samples);
    }
    if (strcmp(kind, "Status") == 0) {
        AuraEdgeStatus status = {0};
        status.boot = (uint32_t) Number();
        status.time_us = Number();
        status.produced = (uint32_t) Number();
        status.next_sequence = (uint32_t) Number();
        status.dropped_fifo = (uint32_t) Number();
        status.dropped_transmit = (uint32_t) Number();
        return AuraEdgeEncodeStatus(frame, &status);
    }
    if (strcmp(kind, "Event") == 0) {
        AuraEdgeEvent event = {0};
        event.what = (uint8_t) Number();
        event.time_us = Number();
        event.sequence = (uint32_t) Number();
        event.value = (uint32_t) Number();
        return AuraEdgeEncodeEvent(frame, &event);
    }
    if (strcmp(kind, "TimeResponse") == 0) {
        AuraEdgeTimeResponse response = {0};
        response.token = (uint32_t) Number();
        response.received_us = Number();
        response.sent_us = Number();
        return AuraEdgeEncodeTimeResponse(frame, &response);
    }
    {
        AuraEdgeAcknowledgement acknowledgement = {0};
        acknowledgement.token = (uint8_t) Number();
        acknowledgement.command = (uint8_t) Number();
        acknowledgement.answer = (uint8_t) Number();
        acknowledgement.value = Float();
        return AuraEdgeEncodeAcknowledgement(frame, &acknowledgement);
    }
}

static void Write(AuraEdgeFrame *const frame) {
    const size_t length = Bytes(bytes, sizeof(bytes));
    size_t index;
    AuraEdgeFrameBegin(frame, bytes[0] & 15u);
    for (index = 1u; index < length; index++) {
        AuraEdgeFramePutU8(frame, bytes[index]);
    }
    Print(frame->bytes, AuraEdgeFrameEnd(frame) ? frame->length : 0u);
}

static void Unstuff(void) {
    size_t length = Bytes(bytes, sizeof(bytes));
    if (AuraEdgeFrameUnstuff(bytes, length, &length)) {
        Print(bytes, length);
    } else {
        puts("wrong");
    }
}

static void PrintDiscards(const AuraEdgeReceiver *const receiver) {
    unsigned reason;
    printf("%lu", (unsigned long) receiver->frames);
    for (reason = 0u; reason < AuraEdgeDiscardReasons; reason++) {
        printf(" %lu", (unsigned long) receiver->discarded[reason]);
    }
    putchar('\n');
}

static void Receive(AuraEdgeReceiver *const receiver) {
    AuraEdgeHostMessage message;
    const size_t length = Bytes(bytes, sizeof(bytes));
    size_t index;
    for (index = 0u; index < length; index++) {
        if (!AuraEdgeReceiverUpdate(receiver, bytes[index], &message)) {
            continue;
        }
        if (message.kind == AuraEdgeKindTimeRequest) {
            printf("T:%lu ", (unsigned long) message.time_request.token);
        } else {
            printf("C:%u:%u:%.9g ", message.config.token, message.config.command, (double) message.config.value);
        }
    }
    putchar('\n');
}

static AuraEdgeAnswer Configure(void *context, AuraEdgeCommand command, float value, AuraEdgeScale *scale) {
    static const float ranges[3] = {20.0f, 40.0f, 80.0f};
    const FakeSensor *const fake = context;
    unsigned index = 0u;
    if (fake->fails) {
        scale->rate_hz = -1.0f; // must not be believed
        return AuraEdgeAnswerSensorFailed;
    }
    if (command == AuraEdgeCommandRate) {
        scale->rate_hz = (value < 152.0f) ? 104.0f : 208.0f;
        return AuraEdgeAnswerDone;
    }
    while (index < 3u && ranges[index] < value) {
        index++;
    }
    if (index == 3u) {
        return AuraEdgeAnswerImpossibleValue;
    }
    if (command == AuraEdgeCommandAccRange) {
        scale->acc_range_m_s2 = ranges[index];
        scale->acc_m_s2_per_count = ranges[index] / 32768.0f;
    } else {
        scale->gyro_range_rad_s = ranges[index];
        scale->gyro_rad_s_per_count = ranges[index] / 32768.0f;
    }
    return AuraEdgeAnswerDone;
}

static AuraEdgeAnswer Stream(void *context, bool streaming) {
    FakeSensor *const fake = context;
    if (fake->fails) {
        return AuraEdgeAnswerSensorFailed;
    }
    fake->streams += streaming ? 1u : 0u;
    return AuraEdgeAnswerDone;
}

static void Initialise(void) {
    AuraEdgeBridgeSettings settings = auraEdgeBridgeDefaultSettings;
    settings.device_id = Text(0u);
    settings.firmware = "core_host";
    settings.sensor = "fake";
    settings.boot = (uint32_t) Number();
    settings.samples_per_message = (uint8_t) Number();
    settings.fields = (uint16_t) Number();
    settings.streaming_from_start = Number() != 0u;
    settings.estimated_time = Number() != 0u;
    settings.configure = Configure;
    settings.stream = Stream;
    settings.context = &sensor;
    memset(&sensor, 0, sizeof(sensor));
    AuraEdgeBridgeInitialise(&bridge, &settings);
}

static void AddSamples(void) {
    static int16_t raw[4096 * AURA_EDGE_CHANNELS];
    const uint64_t time_us = Number();
    const uint32_t interval_ns = (uint32_t) Number();
    const size_t count = (size_t) Number();
    size_t index;
    for (index = 0u; index < count * AURA_EDGE_CHANNELS; index++) {
        raw[index] = Count();
    }
    if (interval_ns != 0u) {
        AuraEdgeBridgeAddSamples(&bridge, time_us, interval_ns, raw, count);
    } else {
        AuraEdgeBridgeAddSample(&bridge, time_us, raw);
    }
}

static void DriveBridge(const char *const verb) {
    const uint64_t now_us = Number();
    if (strcmp(verb, "receive") == 0) {
        AuraEdgeBridgeReceive(&bridge, now_us, bytes, Bytes(bytes, sizeof(bytes)));
    } else if (strcmp(verb, "update") == 0) {
        AuraEdgeBridgeUpdate(&bridge, now_us);
    } else if (strcmp(verb, "lost") == 0) {
        AuraEdgeBridgeFifoOverflow(&bridge, now_us, (uint32_t) Number());
    } else if (strcmp(verb, "bus") == 0) {
        AuraEdgeBridgeBusError(&bridge, now_us);
    } else if (strcmp(verb, "transmit") == 0) {
        const size_t space = (size_t) Number();
        uint8_t *const room = malloc(space + 1u); // of its own, so that the sanitizer sees a byte too many
        if (room != NULL) {
            Print(room, AuraEdgeBridgeTransmit(&bridge, now_us, room, space));
        }
        free(room);
        return;
    } else {
        fprintf(stderr, "core_host: %s?\n", verb);
        exit(2);
    }
    puts("ok");
}

static void DriveQueue(const char *const verb) {
    uint8_t byte;
    if (strcmp(verb, "queue") == 0) {
        AuraEdgeByteQueueInitialise(&queue);
    } else if (strcmp(verb, "put") == 0) {
        AuraEdgeByteQueuePut(&queue, (uint8_t) Number());
    } else if (AuraEdgeByteQueueTake(&queue, &byte)) {
        printf("%u ", byte);
    }
    printf("%lu %u\n", (unsigned long) AuraEdgeByteQueueSpace(&queue), queue.refused);
}

int main(void) {
    static AuraEdgeReceiver receiver;
    static AuraEdgeFrame frame;
    AuraEdgeReceiverInitialise(&receiver);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        const char *const verb = strtok(line, " \n");
        if (verb == NULL) {
            continue;
        }
        if (strcmp(verb, "encode") == 0) {
            Print(frame.bytes, Encode(&frame) ? frame.length : 0u);
        } else if (strcmp(verb, "write") == 0) {
            Write(&frame);
        } else if (strcmp(verb, "unstuff") == 0) {
            Unstuff();
        } else if (strcmp(verb, "listen") == 0) {
            AuraEdgeReceiverInitialise(&receiver);
            puts("ok");
        } else if (strcmp(verb, "hear") == 0) {
            Receive(&receiver);
        } else if (strcmp(verb, "heard") == 0) {
            PrintDiscards(&receiver);
        } else if (strcmp(verb, "clock") == 0) {
            const uint32_t ticks_hz = (uint32_t) Number();
            AuraEdgeClockInitialise(&deviceClock, ticks_hz, (uint32_t) Number());
            puts("ok");
        } else if (strcmp(verb, "ticks") == 0) {
            printf("%llu\n", (unsigned long long) AuraEdgeClockUpdate(&deviceClock, (uint32_t) Number()));
        } else if (strcmp(verb, "queue") == 0 || strcmp(verb, "put") == 0 || strcmp(verb, "take") == 0) {
            DriveQueue(verb);
        } else if (strcmp(verb, "bridge") == 0) {
            Initialise();
            puts("ok");
        } else if (strcmp(verb, "number") == 0) { // as if so many samples had been made
            bridge.ring.produced = (uint32_t) Number();
            puts("ok");
        } else if (strcmp(verb, "fail") == 0) {
            sensor.fails = Number() != 0u;
            puts("ok");
        } else if (strcmp(verb, "samples") == 0) {
            AddSamples();
            puts("ok");
        } else if (strcmp(verb, "told") == 0) {
            printf("%lu %u\n", (unsigned long) bridge.refused, sensor.streams);
        } else {
            DriveBridge(verb);
        }
        fflush(stdout);
    }
    return 0;
}

//------------------------------------------------------------------------------
// End of file
