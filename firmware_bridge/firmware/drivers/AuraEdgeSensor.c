/**
 * @file AuraEdgeSensor.c
 * @brief Settings, time, losses and recovery, the same for every chip. See AuraEdgeSensor.h.
 *
 * Time. A sample that waits in the FIFO was taken at or before the moment of reading, and the next one is not there yet: so the
 * newest was taken within the last interval. Each look, also one that takes nothing, narrows where on this clock the samples lie;
 * the interval is measured over thousands of samples. A hole is as many samples as fit between the last one read and the first one
 * after it on this clock, so that sequence numbers and time agree for good.
 */

#include "AuraEdgeSensor.h"
#include <stddef.h>

#define STALL_INTERVALS (50u)
#define STALL_AT_LEAST_NS (250000000u)
#define POLLS (50u)
#define POLL_PERIOD_US (1000u)
#define MOST_WATERMARK (40u) /* 512 bytes, the smallest of the FIFOs, hold 42 samples */
#define SHORTEST_TRANSFER (14u)
#define GRACE (32u)   /* of an interval */
#define SETTLED (64u)  /* samples after a start or hole, from which the interval can be learned */
#define FIRST_LESSON (64u)  /* samples */
#define LAST_LESSON (8192u) /* samples */
#define DOUBT_PER_SAMPLE (4096u) /* one interval of doubt in so many samples: 244 ppm */

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
    if (!sensor->chip->flush(sensor)) {
        return AuraEdgeSensorBusError;
    }
    sensor->dirty = false;
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
    sensor->quiet_since_ns = 0u;
    result = Flush(sensor);
    sensor->running = (result == AuraEdgeSensorOk);
    return result;
}

/* The interval of the rate in force; what was learned about the oscillator is kept while the nominal rate stays. */
static void SetInterval(AuraEdgeSensor *sensor) {
    const uint32_t nominal_ns = (uint32_t)((1e9f / sensor->in_force.rate_hz) + 0.5f);
    if (nominal_ns != sensor->nominal_ns) {
        sensor->nominal_ns = nominal_ns;
        sensor->interval_ns = nominal_ns;
        sensor->learned_from = 0u;
        sensor->anchored = false;
    }
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
        SetInterval(sensor);
    }
    return result;
}

/* Learns the interval from ever more samples, as long as none is missing; a short stretch never replaces a long one. */
static void LearnInterval(AuraEdgeSensor *sensor, int64_t newest_ns, uint16_t waiting) {
    const int64_t nominal_ns = (int64_t)sensor->nominal_ns;
    const uint32_t samples = sensor->since_anchor + waiting;
    int64_t interval_ns;
    if (!sensor->anchored) {
        if (sensor->since_hole >= SETTLED) {
            sensor->anchored = true;
            sensor->anchor_ns = newest_ns;
            sensor->since_anchor = 0u - waiting; /* these will be counted on once more */
            sensor->next_lesson = FIRST_LESSON;
        }
        return;
    }
    if (samples < sensor->next_lesson) {
        return;
    }
    if (samples >= (sensor->learned_from / 2u)) {
        interval_ns = (newest_ns - sensor->anchor_ns) / (int64_t)samples;
        interval_ns = (interval_ns > (nominal_ns + (nominal_ns / 16))) ? (nominal_ns + (nominal_ns / 16)) : interval_ns;
        interval_ns = (interval_ns < (nominal_ns - (nominal_ns / 16))) ? (nominal_ns - (nominal_ns / 16)) : interval_ns;
        sensor->interval_ns = (uint32_t)interval_ns;
        sensor->learned_from = samples;
    }
    sensor->next_lesson = samples * 2u;
    sensor->anchored = (samples < LAST_LESSON); /* then once more from here, as it drifts with temperature */
}

/* Narrows where the newest of `waiting` samples can lie: within the interval before now. */
static void FollowClock(AuraEdgeSensor *sensor, uint64_t now_ns, uint16_t waiting) {
    const int64_t interval_ns = (int64_t)sensor->interval_ns;
    const int64_t newest_ns = (int64_t)sensor->newest_ns + ((int64_t)waiting * interval_ns);
    const int64_t grace_ns = interval_ns / (int64_t)GRACE;
    const int64_t latest_ns = (int64_t)now_ns + grace_ns; /* the count is read a little after now */
    const int64_t earliest_ns = (int64_t)now_ns - interval_ns;
    int64_t low_ns = newest_ns - (int64_t)sensor->doubt_ns;
    int64_t high_ns = newest_ns + (int64_t)sensor->doubt_ns;
    int64_t first_ns;
    if (low_ns > latest_ns) {
        low_ns = latest_ns - (2 * grace_ns);
    } else if (high_ns < earliest_ns) {
        high_ns = earliest_ns + (2 * grace_ns);
    }
    low_ns = (low_ns < earliest_ns) ? earliest_ns : low_ns;
    high_ns = (high_ns > latest_ns) ? latest_ns : high_ns;
    LearnInterval(sensor, (low_ns + high_ns) / 2, waiting);
    first_ns = ((low_ns + high_ns) / 2) - ((int64_t)waiting * (int64_t)sensor->interval_ns);
    sensor->newest_ns = (first_ns > 0) ? (uint64_t)first_ns : 0u; /* the board's clock may just have begun */
    sensor->doubt_ns = (uint32_t)((high_ns - low_ns) / 2);
}

/* The clock counts so many samples on; with each one it is a little less sure. */
static void CountOn(AuraEdgeSensor *sensor, uint32_t samples) {
    const uint32_t most_ns = sensor->interval_ns / 2u;
    const uint64_t doubt_ns = sensor->doubt_ns + (((uint64_t)samples * sensor->interval_ns) / DOUBT_PER_SAMPLE);
    sensor->newest_ns += (uint64_t)samples * sensor->interval_ns;
    sensor->doubt_ns = (doubt_ns < most_ns) ? (uint32_t)doubt_ns : most_ns;
    sensor->since_hole += samples;
    sensor->since_anchor += samples;
}

/* Samples that wait at `now_ns` get their place in time; what is missing before them is counted. */
static void PlaceInTime(AuraEdgeSensor *sensor, uint64_t now_ns, uint16_t waiting) {
    const uint64_t back_ns = ((uint64_t)waiting * sensor->interval_ns) + (sensor->interval_ns / 2u);
    uint32_t missing = sensor->skipped;
    sensor->skipped = 0u;
    if (!sensor->timed) {
        sensor->newest_ns = (now_ns > back_ns) ? (now_ns - back_ns) : 0u;
        sensor->doubt_ns = sensor->interval_ns / 2u;
        sensor->timed = true;
        sensor->since_hole = 0u;
    } else if (sensor->hole) {
        const uint64_t elapsed_ns = (now_ns > sensor->newest_ns) ? (now_ns - sensor->newest_ns + (sensor->interval_ns / GRACE)) : 0u;
        const uint32_t made = (uint32_t)(elapsed_ns / sensor->interval_ns);
        missing = (made > waiting) ? (made - waiting) : 0u;
    }
    CountOn(sensor, missing);
    sensor->lost += missing;
    if (sensor->hole || (missing > 0u)) {
        sensor->since_hole = 0u;
        sensor->anchored = false; /* across it the count may be off by one: it says nothing about the interval */
    }
    sensor->hole = false;
    FollowClock(sensor, now_ns, waiting);
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

static AuraEdgeSensorResult Quiet(AuraEdgeSensor *sensor, uint64_t now_ns) {
    const uint64_t patience_ns = ((uint64_t)STALL_INTERVALS * sensor->interval_ns) + STALL_AT_LEAST_NS;
    if (sensor->quiet_since_ns == 0u) {
        sensor->quiet_since_ns = now_ns;
    }
    return ((now_ns - sensor->quiet_since_ns) > patience_ns) ? AuraEdgeSensorStalled : AuraEdgeSensorOk;
}

AuraEdgeSensorResult AuraEdgeSensorRead(AuraEdgeSensor *sensor, uint64_t now_us, AuraEdgeSensorRow *rows, uint16_t capacity,
                                        AuraEdgeSensorBatch *batch) {
    static const AuraEdgeSensorBatch nothing;
    const uint64_t now_ns = now_us * 1000u;
    uint16_t waiting = 0u;
    uint16_t taken = 0u;
    bool overflow = false;
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
    if (waiting == 0u) {
        return Quiet(sensor, now_ns);
    }
    sensor->quiet_since_ns = 0u;
    if (waiting < sensor->settings.watermark) { /* far from full, so that nothing was overwritten */
        PlaceInTime(sensor, now_ns, waiting);
        return AuraEdgeSensorOk;
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
    PlaceInTime(sensor, now_ns, waiting);
    batch->lost = sensor->lost;
    sensor->lost = 0u;
    batch->count = taken;
    batch->interval_ns = sensor->interval_ns;
    batch->time_us = (sensor->newest_ns + sensor->interval_ns) / 1000u;
    CountOn(sensor, taken);
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

bool AuraEdgeSensorReadRegisters(AuraEdgeSensor *sensor, uint8_t first_register, uint8_t *data, uint16_t length) {
    if (!sensor->bus.read(sensor->bus.context, first_register, data, length)) {
        sensor->bus_errors++;
        return false;
    }
    return true;
}

bool AuraEdgeSensorWriteRegisters(AuraEdgeSensor *sensor, uint8_t first_register, const uint8_t *data, uint16_t length) {
    if (!sensor->bus.write(sensor->bus.context, first_register, data, length)) {
        sensor->bus_errors++;
        return false;
    }
    return true;
}

bool AuraEdgeSensorWriteRegister(AuraEdgeSensor *sensor, uint8_t one_register, uint8_t value) {
    return AuraEdgeSensorWriteRegisters(sensor, one_register, &value, 1u);
}

uint16_t AuraEdgeSensorChunk(const AuraEdgeSensor *sensor, uint16_t unit) {
    uint16_t longest = AURA_EDGE_SENSOR_CHUNK;
    if ((sensor->bus.longest_transfer != 0u) && (sensor->bus.longest_transfer < longest)) {
        longest = sensor->bus.longest_transfer;
    }
    return (uint16_t)(longest - (longest % unit));
}

bool AuraEdgeSensorPoll(AuraEdgeSensor *sensor, uint8_t one_register, uint8_t mask, uint8_t wanted, bool *reached) {
    uint8_t value;
    uint8_t poll;
    *reached = false;
    for (poll = 0; poll < POLLS; poll++) {
        if (!AuraEdgeSensorReadRegisters(sensor, one_register, &value, 1u)) {
            return false;
        }
        if ((value & mask) == wanted) {
            *reached = true;
            return true;
        }
        sensor->bus.delay_us(sensor->bus.context, POLL_PERIOD_US);
    }
    return true;
}

bool AuraEdgeSensorTakeBigEndian(AuraEdgeSensor *sensor, uint8_t fifo_register, AuraEdgeSensorRow *rows, uint16_t count) {
    uint8_t data[AURA_EDGE_SENSOR_CHUNK];
    const uint16_t chunk_rows = (uint16_t)(AuraEdgeSensorChunk(sensor, 12u) / 12u);
    uint16_t done = 0u;
    while (done < count) {
        const uint16_t now = ((uint16_t)(count - done) < chunk_rows) ? (uint16_t)(count - done) : chunk_rows;
        uint16_t row;
        uint8_t channel;
        if (!AuraEdgeSensorReadRegisters(sensor, fifo_register, data, (uint16_t)(now * 12u))) {
            return false;
        }
        for (row = 0; row < now; row++) {
            for (channel = 0; channel < 6u; channel++) {
                const uint8_t *const bytes = &data[(row * 12u) + (channel * 2u)];
                rows[done + row][channel] = (int16_t)(uint16_t)(((uint16_t)bytes[0] << 8) | bytes[1]);
            }
        }
        done = (uint16_t)(done + now);
    }
    return true;
}
