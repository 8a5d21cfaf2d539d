/**
 * @file AuraEdgeBmi270.c
 * @brief BMI270 from its data sheet, BST-BMI270-DS000. See AuraEdgeBmi270.h.
 *
 * The FIFO holds frames with headers. It is never torn: when it is full the oldest frames go, and the next read begins with a frame
 * that says how many went. A frame read in part comes once more, whole, with the next transfer.
 */

#include "AuraEdgeBmi270.h"
#include "AuraEdgeSensorBus.h"
#include <stddef.h>

#define CHIP_ID (0x00u)
#define IDENTITY (0x24u)
#define ERR_REG (0x02u)
#define INTERNAL_STATUS (0x21u)
#define INTERNAL_MASK (0x0Fu)
#define INTERNAL_OK (0x01u)
#define FIFO_LENGTH_0 (0x24u)
#define FIFO_DATA (0x26u)
#define ACC_CONF (0x40u)
#define ACC_RANGE (0x41u)
#define GYR_CONF (0x42u)
#define GYR_RANGE (0x43u)
#define FIFO_WTM_0 (0x46u)
#define FIFO_WTM_1 (0x47u)
#define FIFO_CONFIG_0 (0x48u)
#define FIFO_CONFIG_1 (0x49u)
#define FIFO_HEADERS_ACC_GYRO (0xD0u)
#define INT1_IO_CTRL (0x53u)
#define INT1_OUTPUT_HIGH (0x0Au)
#define INT_MAP_DATA (0x58u)
#define INT1_WATERMARK (0x02u)
#define INIT_CTRL (0x59u)
#define INIT_ADDR_0 (0x5Bu)
#define INIT_DATA (0x5Eu)
#define PWR_CONF (0x7Cu)
#define PWR_CTRL (0x7Du)
#define ACC_GYRO_ON (0x06u)
#define CMD (0x7Eu)
#define CMD_SOFT_RESET (0xB6u)
#define CMD_FIFO_FLUSH (0xB0u)

#define ACC_FILTER (0xA0u)  /* performance mode, normal bandwidth */
#define GYRO_FILTER (0xE0u) /* likewise, low noise */

#define FRAME_BYTES (13u)
#define FIFO_BYTES (2048u)
#define HEADER_MASK (0xFCu)
#define HEADER_ACC_GYRO (0x8Cu)
#define HEADER_ACC (0x84u)
#define HEADER_GYRO (0x88u)
#define HEADER_SKIPPED (0x40u)
#define HEADER_TIME (0x44u)
#define HEADER_SETTINGS (0x48u)
#define HEADER_EMPTY (0x80u)
#define MOST_SKIPPED (0xFFu) /* as many or more */

#define G AURA_EDGE_STANDARD_GRAVITY
#define DEG AURA_EDGE_RADIANS_PER_DEGREE

static const AuraEdgeSensorRange accRanges[] = {
    {2.0f * G, G / 16384.0f, 0x00u},
    {4.0f * G, G / 8192.0f, 0x01u},
    {8.0f * G, G / 4096.0f, 0x02u},
    {16.0f * G, G / 2048.0f, 0x03u},
};

static const AuraEdgeSensorRange gyroRanges[] = {
    {125.0f * DEG, DEG / 262.144f, 0x04u},
    {250.0f * DEG, DEG / 131.072f, 0x03u},
    {500.0f * DEG, DEG / 65.536f, 0x02u},
    {1000.0f * DEG, DEG / 32.768f, 0x01u},
    {2000.0f * DEG, DEG / 16.384f, 0x00u},
};

/* Rate code 6 to 12: 25 to 1600 Hz; 0 for a rate that it does not have. */
static uint8_t RateCode(float wanted_hz, float *rate_hz) {
    uint8_t code;
    *rate_hz = 25.0f;
    for (code = 6u; code <= 12u; code++) {
        if ((*rate_hz * 1.01f) >= wanted_hz) {
            return code;
        }
        *rate_hz *= 2.0f;
    }
    *rate_hz = 0.0f;
    return 0u;
}

static float Rate(float wanted_hz) {
    float rate_hz;
    (void)RateCode(wanted_hz, &rate_hz);
    return rate_hz;
}

static bool Load(AuraEdgeSensor *sensor) {
    const uint16_t length = sensor->settings.firmware_length;
    const uint16_t chunk = (sensor->bus.longest_transfer == 0u) ? length : (uint16_t)(sensor->bus.longest_transfer & 0xFFFEu);
    uint16_t done = 0u;
    while (done < length) {
        const uint16_t now = ((uint16_t)(length - done) < chunk) ? (uint16_t)(length - done) : chunk;
        const uint16_t word = (uint16_t)(done / 2u);
        uint8_t address[2];
        address[0] = (uint8_t)(word & 0x0Fu);
        address[1] = (uint8_t)(word >> 4);
        if (!AuraEdgeSensorWriteRegisters(sensor, INIT_ADDR_0, address, 2u) ||
            !AuraEdgeSensorWriteRegisters(sensor, INIT_DATA, &sensor->settings.firmware[done], now)) {
            return false;
        }
        done = (uint16_t)(done + now);
    }
    return true;
}

static AuraEdgeSensorResult Configure(AuraEdgeSensor *sensor) {
    float rate_hz;
    const uint8_t code = RateCode(sensor->settings.rate_hz, &rate_hz);
    const uint16_t watermark = (uint16_t)(sensor->settings.watermark * FRAME_BYTES);
    uint8_t error;
    bool ready;
    if ((sensor->settings.firmware == NULL) || (sensor->settings.firmware_length != AURA_EDGE_BMI270_FIRMWARE_LENGTH)) {
        return AuraEdgeSensorNoFirmware;
    }
    if (!AuraEdgeSensorReadRegisters(sensor, CHIP_ID, &sensor->identity, 1u)) {
        return AuraEdgeSensorBusError;
    }
    if (sensor->identity != IDENTITY) {
        return AuraEdgeSensorWrongChip;
    }
    if (!AuraEdgeSensorWriteRegister(sensor, CMD, CMD_SOFT_RESET)) {
        return AuraEdgeSensorBusError;
    }
    sensor->bus.delay_us(sensor->bus.context, 2000u);
    if (!AuraEdgeSensorWriteRegister(sensor, PWR_CONF, 0u)) { /* no power saving while loading, nor later */
        return AuraEdgeSensorBusError;
    }
    sensor->bus.delay_us(sensor->bus.context, 450u);
    if (!AuraEdgeSensorWriteRegister(sensor, INIT_CTRL, 0u) || !Load(sensor) ||
        !AuraEdgeSensorWriteRegister(sensor, INIT_CTRL, 1u)) {
        return AuraEdgeSensorBusError;
    }
    sensor->bus.delay_us(sensor->bus.context, 20000u);
    if (!AuraEdgeSensorPoll(sensor, INTERNAL_STATUS, INTERNAL_MASK, INTERNAL_OK, &ready)) {
        return AuraEdgeSensorBusError;
    }
    if (!ready) {
        return AuraEdgeSensorNotReady;
    }
    if (!AuraEdgeSensorWriteRegister(sensor, PWR_CTRL, ACC_GYRO_ON) ||
        !AuraEdgeSensorWriteRegister(sensor, ACC_CONF, (uint8_t)(ACC_FILTER | code)) ||
        !AuraEdgeSensorWriteRegister(sensor, ACC_RANGE, sensor->acc->bits) ||
        !AuraEdgeSensorWriteRegister(sensor, GYR_CONF, (uint8_t)(GYRO_FILTER | code)) ||
        !AuraEdgeSensorWriteRegister(sensor, GYR_RANGE, sensor->gyro->bits) ||
        !AuraEdgeSensorWriteRegister(sensor, FIFO_WTM_0, (uint8_t)watermark) ||
        !AuraEdgeSensorWriteRegister(sensor, FIFO_WTM_1, (uint8_t)(watermark >> 8)) ||
        !AuraEdgeSensorWriteRegister(sensor, FIFO_CONFIG_0, 0u) || /* the oldest go first; no time frames */
        !AuraEdgeSensorWriteRegister(sensor, FIFO_CONFIG_1, FIFO_HEADERS_ACC_GYRO) ||
        !AuraEdgeSensorWriteRegister(sensor, INT1_IO_CTRL, INT1_OUTPUT_HIGH) ||
        !AuraEdgeSensorWriteRegister(sensor, INT_MAP_DATA, INT1_WATERMARK)) {
        return AuraEdgeSensorBusError;
    }
    sensor->bus.delay_us(sensor->bus.context, 80000u); /* the gyroscope starts within 45 ms */
    if (!AuraEdgeSensorReadRegisters(sensor, ERR_REG, &error, 1u)) {
        return AuraEdgeSensorBusError;
    }
    return (error == 0u) ? AuraEdgeSensorOk : AuraEdgeSensorNotReady;
}

static bool Flush(AuraEdgeSensor *sensor) {
    return AuraEdgeSensorWriteRegister(sensor, CMD, CMD_FIFO_FLUSH);
}

static bool Waiting(AuraEdgeSensor *sensor, uint16_t *samples, bool *overflow) {
    uint8_t data[2];
    uint16_t bytes;
    if (!AuraEdgeSensorReadRegisters(sensor, FIFO_LENGTH_0, data, 2u)) {
        return false;
    }
    bytes = (uint16_t)(((uint16_t)(data[1] & 0x3Fu) << 8) | data[0]);
    if (bytes > (FIFO_BYTES + FRAME_BYTES)) { /* a bus that floats */
        sensor->bus_errors++;
        return false;
    }
    *overflow = false; /* the FIFO says it itself */
    sensor->waiting_bytes = bytes;
    *samples = (uint16_t)(bytes / FRAME_BYTES);
    return true;
}

/* Bytes of the frame with this header, 0 for none. */
static uint16_t FrameLength(uint8_t header) {
    switch (header & HEADER_MASK) {
        case HEADER_ACC_GYRO:
            return FRAME_BYTES;
        case HEADER_ACC:
        case HEADER_GYRO:
            return 7u;
        case HEADER_SKIPPED:
            return 2u;
        case HEADER_TIME:
            return 4u;
        case HEADER_SETTINGS:
            return 5u;
        default:
            return 0u;
    }
}

static void Unpack(const uint8_t *frame, int16_t *row) {
    uint8_t channel;
    for (channel = 0; channel < 6u; channel++) { /* gyroscope first in the frame, accelerometer first in the row */
        const uint8_t *const bytes = &frame[1u + (2u * ((channel < 3u) ? (channel + 3u) : (channel - 3u)))];
        row[channel] = (int16_t)(uint16_t)(((uint16_t)bytes[1] << 8) | bytes[0]);
    }
}

static bool Take(AuraEdgeSensor *sensor, AuraEdgeSensorRow *rows, uint16_t count, uint16_t *taken) {
    uint8_t data[AURA_EDGE_SENSOR_CHUNK];
    const uint16_t chunk = AuraEdgeSensorChunk(sensor, FRAME_BYTES);
    uint16_t bytes = sensor->waiting_bytes;
    sensor->torn = false;
    *taken = 0u;
    while ((*taken < count) && (bytes > 0u) && !sensor->torn) {
        const uint16_t room = (uint16_t)((count - *taken) * FRAME_BYTES);
        uint16_t now = (bytes < chunk) ? bytes : chunk;
        uint16_t done = 0u;
        now = (room < now) ? room : now;
        if (!AuraEdgeSensorReadRegisters(sensor, FIFO_DATA, data, now)) {
            return false;
        }
        while (done < now) {
            const uint8_t *const frame = &data[done];
            const uint16_t length = FrameLength(frame[0]);
            if ((length == 0u) || ((done + length) > now)) {
                break;
            }
            if ((frame[0] & HEADER_MASK) == HEADER_SKIPPED) {
                sensor->torn = (bytes != sensor->waiting_bytes) || (done > 0u); /* overwritten while we read */
                sensor->overwritten = !sensor->torn;
                sensor->skipped = (frame[1] == MOST_SKIPPED) ? 0u : frame[1];
                sensor->hole = (frame[1] == MOST_SKIPPED) ? sensor->timed : sensor->hole;
            } else if (length == FRAME_BYTES) {
                Unpack(frame, rows[*taken]);
                (*taken)++;
            }
            done = (uint16_t)(done + length);
        }
        if (done == 0u) { /* no frame where one must begin */
            sensor->bus_errors += (data[0] == HEADER_EMPTY) ? 0u : 1u;
            return data[0] == HEADER_EMPTY;
        }
        bytes = (uint16_t)(bytes - done);
    }
    return true;
}

static bool Overrun(AuraEdgeSensor *sensor, bool *overflow) {
    *overflow = sensor->torn;
    return true;
}

const AuraEdgeSensorChip auraEdgeBmi270 = {
    "BMI270", accRanges, gyroRanges, 4u, 5u, Rate, Configure, Flush, Waiting, Take, Overrun,
};
