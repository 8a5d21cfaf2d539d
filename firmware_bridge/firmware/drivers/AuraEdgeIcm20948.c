/**
 * @file AuraEdgeIcm20948.c
 * @brief ICM-20948 from its data sheet, DS-000189 rev. 1.3. See AuraEdgeIcm20948.h.
 *
 * Registers lie in four banks; between calls bank 0 is chosen.
 */

#include "AuraEdgeIcm20948.h"
#include "AuraEdgeInvenSense.h"

#define REG_BANK_SEL (0x7Fu)
#define BANK_0 (0x00u)
#define BANK_2 (0x20u)

/* bank 0 */
#define WHO_AM_I (0x00u)
#define IDENTITY (0xEAu)
#define USER_CTRL (0x03u)
#define USER_FIFO_EN (0x40u)
#define PWR_MGMT_1 (0x06u)
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
#define COUNTH_MASK (0x1Fu)
#define RANGE_SHIFT (1u) /* GYRO_FS_SEL and ACCEL_FS_SEL */

static const AuraEdgeInvenSense common = {
    .base_rate_hz = 1125.0f, /* Hz */
    .fifo_bytes = FIFO_BYTES,
    .identity = IDENTITY,
    .who_am_i_register = WHO_AM_I,
    .power_register = PWR_MGMT_1,
    .status_register = INT_STATUS_2,
    .status_overflow = FIFO_OVERFLOW,
    .count_register = FIFO_COUNTH,
    .count_high_mask = COUNTH_MASK,
    .fifo_register = FIFO_R_W,
};

/* The widest low-pass filter of both sensors below half the rate: their DLPFCFG 2 to 6 are alike within 10 %. */
static uint8_t LowPass(float rate_hz) {
    static const float bandwidth_hz[] = {119.5f, 51.2f, 23.9f, 11.6f, 5.7f}; /* DLPFCFG 2 to 6 of the gyroscope */
    return (uint8_t)((AuraEdgeInvenSenseLowPass(bandwidth_hz, 5u, rate_hz / 1.8f) + 2u) << 3);
}

static float Rate(float wanted_hz) {
    return AuraEdgeInvenSenseRate(&common, wanted_hz);
}

static bool WriteBank2(AuraEdgeSensor *sensor, uint32_t divider) {
    const uint8_t filter = (uint8_t)(LowPass(common.base_rate_hz / (float)divider) | FILTER_ON);
    return AuraEdgeSensorWriteRegister(sensor, REG_BANK_SEL, BANK_2) &&
           AuraEdgeSensorWriteRegister(sensor, ODR_ALIGN_EN, 0x01u) && /* both sensors start together */
           AuraEdgeSensorWriteRegister(sensor, GYRO_SMPLRT_DIV, (uint8_t)(divider - 1u)) &&
           AuraEdgeSensorWriteRegister(sensor, GYRO_CONFIG_1, (uint8_t)(filter | (sensor->gyro->bits << RANGE_SHIFT))) &&
           AuraEdgeSensorWriteRegister(sensor, ACCEL_SMPLRT_DIV_1, 0u) &&
           AuraEdgeSensorWriteRegister(sensor, ACCEL_SMPLRT_DIV_2, (uint8_t)(divider - 1u)) &&
           AuraEdgeSensorWriteRegister(sensor, ACCEL_CONFIG, (uint8_t)(filter | (sensor->acc->bits << RANGE_SHIFT))) &&
           AuraEdgeSensorWriteRegister(sensor, REG_BANK_SEL, BANK_0);
}

static AuraEdgeSensorResult Configure(AuraEdgeSensor *sensor) {
    const uint32_t divider = AuraEdgeInvenSenseDivider(&common, sensor->settings.rate_hz);
    AuraEdgeSensorResult woken;
    if (!AuraEdgeSensorWriteRegister(sensor, REG_BANK_SEL, BANK_0)) {
        return AuraEdgeSensorBusError;
    }
    woken = AuraEdgeInvenSenseWake(sensor, &common);
    if (woken != AuraEdgeSensorOk) {
        return woken;
    }
    if (!WriteBank2(sensor, divider) || !AuraEdgeSensorWriteRegister(sensor, FIFO_EN_1, 0u) ||
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
    return AuraEdgeInvenSenseWaiting(sensor, &common, samples, overflow);
}

static bool Take(AuraEdgeSensor *sensor, AuraEdgeSensorRow *rows, uint16_t count, uint16_t *taken) {
    return AuraEdgeInvenSenseTake(sensor, &common, rows, count, taken);
}

static bool Overrun(AuraEdgeSensor *sensor, bool *overflow) {
    return AuraEdgeInvenSenseOverrun(sensor, &common, overflow);
}

const AuraEdgeSensorChip auraEdgeIcm20948 = {
    "ICM-20948",
    auraEdgeInvenSenseAccRanges,
    auraEdgeInvenSenseGyroRanges,
    AURA_EDGE_INVENSENSE_RANGES,
    AURA_EDGE_INVENSENSE_RANGES,
    Rate,
    Configure,
    Flush,
    Waiting,
    Take,
    Overrun,
};
