/**
 * @file AuraEdgeIcm20948.c
 * @brief ICM-20948 from its data sheet, DS-000189 rev. 1.3. See AuraEdgeIcm20948.h.
 *
 * Registers lie in four banks; between calls bank 0 is chosen. Like its ancestor's, its FIFO is torn by an overflow.
 */

#include "AuraEdgeIcm20948.h"

#define REG_BANK_SEL (0x7Fu)
#define BANK_0 (0x00u)
#define BANK_2 (0x20u)

/* bank 0 */
#define WHO_AM_I (0x00u)
#define IDENTITY (0xEAu)
#define USER_CTRL (0x03u)
#define USER_FIFO_EN (0x40u)
#define PWR_MGMT_1 (0x06u)
#define DEVICE_RESET (0x80u)
#define CLOCK_BEST (0x01u)
#define PWR_MGMT_2 (0x07u)
#define INT_ENABLE_2 (0x12u)
#define INT_STATUS_2 (0x1Bu)
#define FIFO_OVERFLOW (0x1Fu)
#define FIFO_EN_1 (0x66u)
#define FIFO_EN_2 (0x67u)
#define FIFO_EN_ACC_GYRO (0x1Eu)
#define FIFO_RST (0x68u)
#define FIFO_MODE (0x69u)
#define FIFO_STREAM (0x00u)
#define FIFO_COUNTH (0x70u)
#define FIFO_R_W (0x72u)

/* bank 2 */
#define GYRO_SMPLRT_DIV (0x00u)
#define GYRO_CONFIG_1 (0x01u)
#define ODR_ALIGN_EN (0x09u)
#define ACCEL_SMPLRT_DIV_1 (0x10u)
#define ACCEL_SMPLRT_DIV_2 (0x11u)
#define ACCEL_CONFIG (0x14u)
#define FILTER_ON (0x01u)

#define FIFO_BYTES (4096u)
#define ROW_BYTES (12u)
#define BASE_RATE_HZ (1125.0f)

#define G AURA_EDGE_STANDARD_GRAVITY
#define DEG AURA_EDGE_RADIANS_PER_DEGREE

static const AuraEdgeSensorRange accRanges[] = {
    {2.0f * G, G / 16384.0f, 0x00u},
    {4.0f * G, G / 8192.0f, 0x02u},
    {8.0f * G, G / 4096.0f, 0x04u},
    {16.0f * G, G / 2048.0f, 0x06u},
};

static const AuraEdgeSensorRange gyroRanges[] = {
    {250.0f * DEG, DEG / 131.0f, 0x00u},
    {500.0f * DEG, DEG / 65.5f, 0x02u},
    {1000.0f * DEG, DEG / 32.8f, 0x04u},
    {2000.0f * DEG, DEG / 16.4f, 0x06u},
};

/* The widest low-pass filter of both sensors below half the rate: their DLPFCFG 2 to 6 are alike within 10 %. */
static uint8_t LowPass(float rate_hz) {
    static const float bandwidth_hz[] = {119.5f, 51.2f, 23.9f, 11.6f, 5.7f}; /* DLPFCFG 2 to 6 of the gyroscope */
    uint8_t index;
    for (index = 0; index < 4u; index++) {
        if (bandwidth_hz[index] <= (rate_hz / 1.8f)) {
            break;
        }
    }
    return (uint8_t)((uint8_t)(index + 2u) << 3);
}

/* 1 to 256, 0 for a rate that it does not have. */
static uint32_t Divider(float wanted_hz) {
    const float divider = (BASE_RATE_HZ * 1.01f) / wanted_hz;
    return (divider < 256.0f) ? (uint32_t)divider : 256u;
}

static float Rate(float wanted_hz) {
    const uint32_t divider = Divider(wanted_hz);
    return (divider == 0u) ? 0.0f : (BASE_RATE_HZ / (float)divider);
}

static bool WriteBank2(AuraEdgeSensor *sensor, uint32_t divider) {
    const uint8_t filter = (uint8_t)(LowPass(BASE_RATE_HZ / (float)divider) | FILTER_ON);
    return AuraEdgeSensorWriteRegister(sensor, REG_BANK_SEL, BANK_2) &&
           AuraEdgeSensorWriteRegister(sensor, ODR_ALIGN_EN, 0x01u) && /* both sensors start together */
           AuraEdgeSensorWriteRegister(sensor, GYRO_SMPLRT_DIV, (uint8_t)(divider - 1u)) &&
           AuraEdgeSensorWriteRegister(sensor, GYRO_CONFIG_1, (uint8_t)(filter | sensor->gyro->bits)) &&
           AuraEdgeSensorWriteRegister(sensor, ACCEL_SMPLRT_DIV_1, 0u) &&
           AuraEdgeSensorWriteRegister(sensor, ACCEL_SMPLRT_DIV_2, (uint8_t)(divider - 1u)) &&
           AuraEdgeSensorWriteRegister(sensor, ACCEL_CONFIG, (uint8_t)(filter | sensor->acc->bits)) &&
           AuraEdgeSensorWriteRegister(sensor, REG_BANK_SEL, BANK_0);
}

static AuraEdgeSensorResult Configure(AuraEdgeSensor *sensor) {
    const uint32_t divider = Divider(sensor->settings.rate_hz);
    bool awake;
    if (!AuraEdgeSensorWriteRegister(sensor, REG_BANK_SEL, BANK_0) ||
        !AuraEdgeSensorReadRegisters(sensor, WHO_AM_I, &sensor->identity, 1u)) {
        return AuraEdgeSensorBusError;
    }
    if (sensor->identity != IDENTITY) {
        return AuraEdgeSensorWrongChip;
    }
    if (!AuraEdgeSensorWriteRegister(sensor, PWR_MGMT_1, DEVICE_RESET)) {
        return AuraEdgeSensorBusError;
    }
    sensor->bus.delay_us(sensor->bus.context, 100000u);
    if (!AuraEdgeSensorPoll(sensor, PWR_MGMT_1, DEVICE_RESET, 0u, &awake)) {
        return AuraEdgeSensorBusError;
    }
    if (!awake) {
        return AuraEdgeSensorNotReady;
    }
    if (!AuraEdgeSensorWriteRegister(sensor, PWR_MGMT_1, CLOCK_BEST)) { /* awake; low-power mode off */
        return AuraEdgeSensorBusError;
    }
    sensor->bus.delay_us(sensor->bus.context, 50000u); /* the gyroscope starts within 35 ms */
    if (!AuraEdgeSensorWriteRegister(sensor, PWR_MGMT_2, 0u) || !WriteBank2(sensor, divider) ||
        !AuraEdgeSensorWriteRegister(sensor, FIFO_EN_1, 0u) ||
        !AuraEdgeSensorWriteRegister(sensor, FIFO_MODE, FIFO_STREAM) ||
        !AuraEdgeSensorWriteRegister(sensor, INT_ENABLE_2, 0x01u) ||
        !AuraEdgeSensorWriteRegister(sensor, USER_CTRL, USER_FIFO_EN)) {
        return AuraEdgeSensorBusError;
    }
    return AuraEdgeSensorOk;
}

static bool Flush(AuraEdgeSensor *sensor) {
    uint8_t status;
    return AuraEdgeSensorWriteRegister(sensor, FIFO_EN_2, 0u) && AuraEdgeSensorWriteRegister(sensor, FIFO_RST, 0x1Fu) &&
           AuraEdgeSensorWriteRegister(sensor, FIFO_RST, 0x00u) &&
           AuraEdgeSensorReadRegisters(sensor, INT_STATUS_2, &status, 1u) && /* reading clears the overflow bit */
           AuraEdgeSensorWriteRegister(sensor, FIFO_EN_2, FIFO_EN_ACC_GYRO);
}

static bool Waiting(AuraEdgeSensor *sensor, uint16_t *samples, bool *overflow) {
    uint8_t data[2];
    uint16_t bytes;
    if (!AuraEdgeSensorReadRegisters(sensor, FIFO_COUNTH, data, 2u)) {
        return false;
    }
    bytes = (uint16_t)(((uint16_t)(data[0] & 0x1Fu) << 8) | data[1]);
    if (bytes > FIFO_BYTES) { /* a bus that floats */
        sensor->bus_errors++;
        return false;
    }
    *overflow = (bytes == FIFO_BYTES);
    *samples = (uint16_t)(bytes / ROW_BYTES);
    return true;
}

static bool Take(AuraEdgeSensor *sensor, AuraEdgeSensorRow *rows, uint16_t count, uint16_t *taken) {
    *taken = count;
    return AuraEdgeSensorTakeBigEndian(sensor, FIFO_R_W, rows, count);
}

static bool Overrun(AuraEdgeSensor *sensor, bool *overflow) {
    uint8_t status;
    if (!AuraEdgeSensorReadRegisters(sensor, INT_STATUS_2, &status, 1u)) {
        return false;
    }
    *overflow = ((status & FIFO_OVERFLOW) != 0u);
    return true;
}

const AuraEdgeSensorChip auraEdgeIcm20948 = {
    "ICM-20948", accRanges, gyroRanges, 4u, 4u, Rate, Configure, Flush, Waiting, Take, Overrun,
};
