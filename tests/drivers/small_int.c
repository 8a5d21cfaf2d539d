/**
 * @file small_int.c
 * @brief Sensor and bridge over ten seconds, told as numbers: a processor whose int has 16 bits must say what the host says.
 *
 * The chip here is a counter: its oscillator is 1.5 % fast, and no bus lies between.
 */

#include "AuraEdge.h"
#include "AuraEdgeSensor.h"
#include <stdio.h>

#define STEPS (400u)
#define STEP_US (23456u)
#define TRUE_NS (4926108u)

static uint64_t nowUs = 100000u;
static uint64_t takenFromChip;
static AuraEdgeSensor sensor;
static AuraEdgeBridge bridge;

static float Rate(float wanted_hz) {
    return wanted_hz;
}

static AuraEdgeSensorResult Configure(AuraEdgeSensor *of) {
    (void)of;
    return AuraEdgeSensorOk;
}

static bool Flush(AuraEdgeSensor *of) {
    (void)of;
    takenFromChip = nowUs * 1000u / TRUE_NS;
    return true;
}

static bool Waiting(AuraEdgeSensor *of, uint16_t *samples, bool *overflow) {
    (void)of;
    *samples = (uint16_t)(nowUs * 1000u / TRUE_NS - takenFromChip);
    *overflow = *samples > 80u;
    return true;
}

static bool Take(AuraEdgeSensor *of, AuraEdgeSensorRow *rows, uint16_t count, uint16_t *taken) {
    uint8_t channel;
    (void)of;
    for (*taken = 0u; *taken < count; (*taken)++) {
        for (channel = 0u; channel < 6u; channel++) {
            rows[*taken][channel] = (int16_t)(uint16_t)(takenFromChip * 7919u + channel);
        }
        takenFromChip++;
    }
    return true;
}

static bool Overrun(AuraEdgeSensor *of, bool *overflow) {
    (void)of;
    *overflow = false;
    return true;
}

static void Run(void (*tell)(const char *line)) {
    static const AuraEdgeSensorRange range = {1000.0f, 0.001f, 0u};
    static const AuraEdgeSensorChip chip = {"counter", &range, &range, 1u, 1u, Rate, Configure, Flush, Waiting, Take, Overrun};
    static const AuraEdgeBus bus;
    static AuraEdgeSensorRow rows[10];
    AuraEdgeBridgeSettings settings = auraEdgeBridgeDefaultSettings;
    AuraEdgeSensorSettings wanted = auraEdgeSensorDefaultSettings;
    AuraEdgeSensorBatch batch;
    uint16_t crc = AURA_EDGE_CRC_START;
    uint16_t step;
    char line[80];
    wanted.watermark = 3u;
    settings.device_id = "small";
    settings.streaming_from_start = true;
    AuraEdgeBridgeInitialise(&bridge, &settings);
    (void)AuraEdgeSensorInitialise(&sensor, &chip, &bus, &wanted);
    for (step = 0u; step < STEPS; step++) {
        uint8_t bytes[100];
        size_t length;
        nowUs += (step == 200u) ? 3000000u : STEP_US;
        (void)AuraEdgeSensorRead(&sensor, nowUs, rows, 10u, &batch);
        if (batch.lost > 0u) {
            AuraEdgeBridgeFifoOverflow(&bridge, nowUs, batch.lost);
        }
        AuraEdgeBridgeAddSamples(&bridge, batch.time_us, batch.interval_ns, &rows[0][0], batch.count);
        AuraEdgeBridgeUpdate(&bridge, nowUs);
        length = AuraEdgeBridgeTransmit(&bridge, nowUs, bytes, (step % 50u < 40u) ? sizeof(bytes) : 10u);
        while (length > 0u) {
            length--;
            crc = AuraEdgeCrc(crc, bytes[length]);
        }
        if (step % 10u == 9u) {
            (void)sprintf(line, "%u %lu %lu %lu %u", (unsigned)step, (unsigned long)batch.interval_ns,
                          (unsigned long)batch.time_us, (unsigned long)bridge.ring.produced, (unsigned)crc);
            tell(line);
        }
    }
}

#ifdef __AVR__
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>

static void Tell(const char *line) {
    for (;; line++) {
        while ((UCSR0A & (1u << UDRE0)) == 0u) {
        }
        UDR0 = (uint8_t)((*line == '\0') ? '\n' : *line);
        if (*line == '\0') {
            return;
        }
    }
}

int main(void) {
    UCSR0B = 1u << TXEN0;
    Run(Tell);
    cli();
    sleep_enable();
    sleep_cpu(); /* without interrupts: the simulator ends */
    return 0;
}
#else
static void Tell(const char *line) {
    (void)puts(line);
}

int main(void) {
    Run(Tell);
    return 0;
}
#endif
