/**
 * @file AuraEdgeSensor.c
 * @brief Settings, reading and recovery, the same for every chip. See AuraEdgeSensor.h.
 */

#include "AuraEdgeSensorTime.h"
#include <stddef.h>

#define STALL_INTERVALS (50u)
#define STALL_AT_LEAST_NS (250000000u)
#define MOST_WATERMARK (40u) /* 512 bytes, the smallest of the FIFOs, hold 42 samples */
#define SHORTEST_TRANSFER (14u)

const AuraEdgeSensorSettings auraEdgeSensorDefaultSettings = {
    200.0f, /* Hz */
    8.0f * AURA_EDGE_STANDARD_GRAVITY,      /* m/s2 */
    2000.0f * AURA_EDGE_RADIANS_PER_DEGREE, /* rad/s */
    10u, /* samples */
    NULL,
    0u,
};

static const AuraEdgeSensorRange *SmallestThatHolds(const AuraEdgeSensorRange *ranges, uint8_t count, float wanted) {
    uint8_t index;
    if (!(wanted > 0.0f)) { /* also what is not a number */
        return NULL;
    }
    for (index = 0; index < count; index++) {
        if (ranges[index].range * 1.001f >= wanted) {
            return &ranges[index];
        }
    }
    return NULL;
}

static AuraEdgeSensorResult Flush(AuraEdgeSensor *sensor) {
    sensor->dirty = true;
    sensor->half_tag = 0u;
    sensor->skipped = 0u;
    sensor->left = 0u;
    if (!sensor->chip->flush(sensor)) {
        return AuraEdgeSensorBusError;
    }
    sensor->dirty = false;
    sensor->quiet_since_ns = 0u;
    sensor->hole = sensor->timed;
    return AuraEdgeSensorOk;
}

static AuraEdgeSensorResult Start(AuraEdgeSensor *sensor, const AuraEdgeSensorSettings *settings) {
    const AuraEdgeSensorChip *const chip = sensor->chip;
    const AuraEdgeSensorRange *const acc = SmallestThatHolds(chip->acc, chip->acc_count, settings->acc_range_m_s2);
    const AuraEdgeSensorRange *const gyro = SmallestThatHolds(chip->gyro, chip->gyro_count, settings->gyro_range_rad_s);
    const uint16_t longest = sensor->bus.longest_transfer;
    const float rate_hz = (settings->rate_hz > 0.0f) ? chip->rate_hz(settings->rate_hz) : 0.0f;
    AuraEdgeSensorResult result;
    if ((acc == NULL) || (gyro == NULL) || !(rate_hz > 0.0f) || (settings->watermark < 1u) ||
        (settings->watermark > MOST_WATERMARK) || ((longest != 0u) && (longest < SHORTEST_TRANSFER))) {
        return AuraEdgeSensorBadSetting;
    }
    sensor->settings = *settings;
    sensor->acc = acc;
    sensor->gyro = gyro;
    sensor->in_force.rate_hz = rate_hz;
    sensor->running = false;
    result = chip->configure(sensor);
    if (result != AuraEdgeSensorOk) {
        return result;
    }
    sensor->in_force.acc_range_m_s2 = acc->range;
    sensor->in_force.gyro_range_rad_s = gyro->range;
    sensor->in_force.acc_m_s2_per_count = acc->per_count;
    sensor->in_force.gyro_rad_s_per_count = gyro->per_count;
    result = Flush(sensor);
    sensor->running = (result == AuraEdgeSensorOk);
    return result;
}

AuraEdgeSensorResult AuraEdgeSensorInitialise(AuraEdgeSensor *sensor, const AuraEdgeSensorChip *chip, const AuraEdgeBus *bus,
                                              const AuraEdgeSensorSettings *settings) {
    static const AuraEdgeSensor empty;
    *sensor = empty;
    sensor->chip = chip;
    sensor->bus = *bus;
    sensor->settings = (settings == NULL) ? auraEdgeSensorDefaultSettings : *settings;
    return AuraEdgeSensorRestart(sensor);
}

AuraEdgeSensorResult AuraEdgeSensorRestart(AuraEdgeSensor *sensor) {
    const AuraEdgeSensorSettings settings = sensor->settings;
    return AuraEdgeSensorSetSettings(sensor, &settings);
}

AuraEdgeSensorResult AuraEdgeSensorSetSettings(AuraEdgeSensor *sensor, const AuraEdgeSensorSettings *settings) {
    const AuraEdgeSensorResult result = Start(sensor, settings);
    if (result == AuraEdgeSensorOk) {
        AuraEdgeSensorTimeStart(sensor);
    }
    return result;
}

static AuraEdgeSensorResult Failed(AuraEdgeSensor *sensor) {
    sensor->dirty = true;
    return AuraEdgeSensorBusError;
}

static AuraEdgeSensorResult Overflowed(AuraEdgeSensor *sensor, AuraEdgeSensorBatch *batch) {
    sensor->overflows++;
    batch->overflow = true;
    return Flush(sensor);
}

/* Whether the chip has fallen silent: no samples, or those that wait are the ones that waited before. */
static AuraEdgeSensorResult Quiet(AuraEdgeSensor *sensor, uint64_t now_ns, uint16_t waiting) {
    const uint64_t patience_ns = ((uint64_t)STALL_INTERVALS * sensor->interval_ns) + STALL_AT_LEAST_NS;
    if ((waiting > sensor->left) || (sensor->quiet_since_ns == 0u)) {
        sensor->quiet_since_ns = now_ns;
    }
    sensor->left = waiting;
    return ((now_ns - sensor->quiet_since_ns) > patience_ns) ? AuraEdgeSensorStalled : AuraEdgeSensorOk;
}

/* The newest sample is within the last interval only while the chip makes any. */
static bool StillFresh(const AuraEdgeSensor *sensor, uint64_t now_ns) {
    return (now_ns - sensor->quiet_since_ns) <= (2u * (uint64_t)sensor->interval_ns);
}

AuraEdgeSensorResult AuraEdgeSensorRead(AuraEdgeSensor *sensor, uint64_t now_us, AuraEdgeSensorRow *rows, uint16_t capacity,
                                        AuraEdgeSensorBatch *batch) {
    static const AuraEdgeSensorBatch nothing;
    const uint64_t now_ns = now_us * 1000u;
    uint16_t waiting = 0u;
    uint16_t taken = 0u;
    bool overflow = false;
    AuraEdgeSensorResult quiet;
    *batch = nothing;
    batch->interval_ns = sensor->interval_ns;
    if (!sensor->running) {
        return AuraEdgeSensorStalled;
    }
    if (sensor->dirty) {
        return Flush(sensor);
    }
    if (!sensor->chip->waiting(sensor, &waiting, &overflow)) {
        return Failed(sensor);
    }
    if (overflow) {
        return Overflowed(sensor, batch);
    }
    quiet = Quiet(sensor, now_ns, waiting);
    if (waiting == 0u) {
        return quiet;
    }
    if (waiting < sensor->settings.watermark) { /* far from full, so that nothing was overwritten */
        if (StillFresh(sensor, now_ns)) {
            AuraEdgeSensorTimePlace(sensor, now_ns, waiting);
        }
        return quiet;
    }
    if (capacity == 0u) {
        return AuraEdgeSensorOk;
    }
    if (!sensor->chip->take(sensor, rows, (waiting < capacity) ? waiting : capacity, &taken)) {
        return Failed(sensor);
    }
    if (!sensor->chip->overrun(sensor, &overflow)) {
        return Failed(sensor);
    }
    if (overflow) {
        return Overflowed(sensor, batch);
    }
    if (taken == 0u) {
        return AuraEdgeSensorOk;
    }
    batch->overflow = sensor->overwritten;
    sensor->overflows += sensor->overwritten ? 1u : 0u;
    sensor->overwritten = false;
    AuraEdgeSensorTimePlace(sensor, now_ns, waiting);
    batch->lost = sensor->lost;
    sensor->lost = 0u;
    batch->count = taken;
    sensor->left = (uint16_t)(waiting - taken);
    batch->interval_ns = sensor->interval_ns;
    batch->time_us = (sensor->newest_ns + sensor->interval_ns) / 1000u;
    AuraEdgeSensorTimeCountOn(sensor, taken);
    return AuraEdgeSensorOk;
}

const char *AuraEdgeSensorResultText(AuraEdgeSensorResult result) {
    switch (result) {
        case AuraEdgeSensorOk:
            return "ok";
        case AuraEdgeSensorBusError:
            return "no answer from the sensor: check wires, address and pull-ups";
        case AuraEdgeSensorWrongChip:
            return "another chip answers at this address: choose its driver";
        case AuraEdgeSensorNotReady:
            return "the sensor did not start: check its supply, switch it off and on";
        case AuraEdgeSensorBadSetting:
            return "the sensor has no such rate or range, or transfers are too short";
        case AuraEdgeSensorNoFirmware:
            return "the BMI270 needs its 8192-byte configuration file from Bosch: see the README";
        case AuraEdgeSensorStalled:
            return "the sensor makes no samples: restart it";
    }
    return "unknown";
}
