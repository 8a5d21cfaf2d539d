/**
 * @file AuraEdgeInvenSense.c
 * @brief See AuraEdgeInvenSense.h.
 *
 * The FIFO's size is no multiple of 12: one that overflows is torn in the middle of a sample, and stays so until it is reset. So it
 * is reset whenever the overflow bit is up, which is looked at after the rows were taken, since it may come up meanwhile.
 */

#include "AuraEdgeInvenSense.h"

#define ROW_BYTES (12u)
#define DEVICE_RESET (0x80u)
#define RESET_US (100000u)
#define CLOCK_GYRO (0x01u)
#define WAKE_US (50000u) /* the gyroscope starts within 30 ms, the ICM-20948's within 35 ms */

#define G AURA_EDGE_STANDARD_GRAVITY
#define DEG AURA_EDGE_RADIANS_PER_DEGREE

const AuraEdgeSensorRange auraEdgeInvenSenseAccRanges[AURA_EDGE_INVENSENSE_RANGES] = {
    {2.0f * G, G / 16384.0f, 0u},
    {4.0f * G, G / 8192.0f, 1u},
    {8.0f * G, G / 4096.0f, 2u},
    {16.0f * G, G / 2048.0f, 3u},
};

const AuraEdgeSensorRange auraEdgeInvenSenseGyroRanges[AURA_EDGE_INVENSENSE_RANGES] = {
    {250.0f * DEG, DEG / 131.0f, 0u},
    {500.0f * DEG, DEG / 65.5f, 1u},
    {1000.0f * DEG, DEG / 32.8f, 2u},
    {2000.0f * DEG, DEG / 16.4f, 3u},
};

uint32_t AuraEdgeInvenSenseDivider(const AuraEdgeInvenSense *chip, float wanted_hz) {
    const float divider = (chip->base_rate_hz * 1.01f) / wanted_hz;
    return (divider < 256.0f) ? (uint32_t)divider : 256u;
}

float AuraEdgeInvenSenseRate(const AuraEdgeInvenSense *chip, float wanted_hz) {
    const uint32_t divider = AuraEdgeInvenSenseDivider(chip, wanted_hz);
    return (divider == 0u) ? 0.0f : (chip->base_rate_hz / (float)divider);
}

uint8_t AuraEdgeInvenSenseLowPass(const float *bandwidths_hz, uint8_t count, float most_hz) {
    uint8_t index;
    for (index = 0; (index + 1u) < count; index++) {
        if (bandwidths_hz[index] <= most_hz) {
            break;
        }
    }
    return index;
}

AuraEdgeSensorResult AuraEdgeInvenSenseWake(AuraEdgeSensor *sensor, const AuraEdgeInvenSense *chip) {
    bool awake;
    if (!AuraEdgeSensorReadRegisters(sensor, chip->who_am_i_register, &sensor->identity, 1u)) {
        return AuraEdgeSensorBusError;
    }
    if (sensor->identity != chip->identity) {
        return AuraEdgeSensorWrongChip;
    }
    if (!AuraEdgeSensorWriteRegister(sensor, chip->power_register, DEVICE_RESET)) {
        return AuraEdgeSensorBusError;
    }
    sensor->bus.delay_us(sensor->bus.context, RESET_US);
    if (!AuraEdgeSensorPoll(sensor, chip->power_register, DEVICE_RESET, 0u, &awake)) {
        return AuraEdgeSensorBusError;
    }
    if (!awake) {
        return AuraEdgeSensorNotReady;
    }
    if (!AuraEdgeSensorWriteRegister(sensor, chip->power_register, CLOCK_GYRO)) {
        return AuraEdgeSensorBusError;
    }
    sensor->bus.delay_us(sensor->bus.context, WAKE_US);
    if (!AuraEdgeSensorWriteRegister(sensor, (uint8_t)(chip->power_register + 1u), 0u)) {
        return AuraEdgeSensorBusError;
    }
    return AuraEdgeSensorOk;
}

bool AuraEdgeInvenSenseWaiting(AuraEdgeSensor *sensor, const AuraEdgeInvenSense *chip, uint16_t *samples, bool *overflow) {
    uint8_t data[2];
    uint16_t bytes;
    if (!AuraEdgeSensorReadRegisters(sensor, chip->count_register, data, 2u)) {
        return false;
    }
    bytes = (uint16_t)(((uint16_t)(data[0] & chip->count_high_mask) << 8) | data[1]);
    if (bytes > chip->fifo_bytes) {
        sensor->bus_errors++;
        return false;
    }
    *overflow = (bytes == chip->fifo_bytes);
    *samples = (uint16_t)(bytes / ROW_BYTES);
    return true;
}

/* Rows as they lie in the FIFO: accelerometer, gyroscope, high byte first. */
bool AuraEdgeInvenSenseTake(AuraEdgeSensor *sensor, const AuraEdgeInvenSense *chip, AuraEdgeSensorRow *rows, uint16_t count,
                            uint16_t *taken) {
    uint8_t data[AURA_EDGE_SENSOR_CHUNK];
    const uint16_t chunk_rows = (uint16_t)(AuraEdgeSensorChunk(sensor, ROW_BYTES) / ROW_BYTES);
    *taken = 0u;
    while (*taken < count) {
        const uint16_t now = ((uint16_t)(count - *taken) < chunk_rows) ? (uint16_t)(count - *taken) : chunk_rows;
        uint16_t row;
        uint8_t channel;
        if (!AuraEdgeSensorReadRegisters(sensor, chip->fifo_register, data, (uint16_t)(now * ROW_BYTES))) {
            return false;
        }
        for (row = 0; row < now; row++) {
            for (channel = 0; channel < 6u; channel++) {
                const uint8_t *const bytes = &data[(row * ROW_BYTES) + (channel * 2u)];
                rows[*taken + row][channel] = (int16_t)(uint16_t)(((uint16_t)bytes[0] << 8) | bytes[1]);
            }
        }
        *taken = (uint16_t)(*taken + now);
    }
    return true;
}

bool AuraEdgeInvenSenseOverrun(AuraEdgeSensor *sensor, const AuraEdgeInvenSense *chip, bool *overflow) {
    uint8_t status;
    if (!AuraEdgeSensorReadRegisters(sensor, chip->status_register, &status, 1u)) {
        return false;
    }
    *overflow = ((status & chip->status_overflow) != 0u);
    return true;
}
