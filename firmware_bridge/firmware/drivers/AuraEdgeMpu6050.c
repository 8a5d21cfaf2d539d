/**
 * @file AuraEdgeMpu6050.c
 * @brief MPU-6050 from its register map, RM-MPU-6000A rev. 4.2. See AuraEdgeMpu6050.h.
 */

#include "AuraEdgeMpu6050.h"
#include "AuraEdgeInvenSense.h"

#define SMPLRT_DIV (0x19u)
#define CONFIG (0x1Au)
#define GYRO_CONFIG (0x1Bu)
#define ACCEL_CONFIG (0x1Cu)
#define FIFO_EN (0x23u)
#define FIFO_EN_ACC_GYRO (0x78u)
#define INT_ENABLE (0x38u)
#define INT_STATUS (0x3Au)
#define FIFO_OFLOW (0x10u)
#define USER_CTRL (0x6Au)
#define USER_FIFO_EN (0x40u)
#define USER_FIFO_RESET (0x04u)
#define PWR_MGMT_1 (0x6Bu)
#define FIFO_COUNTH (0x72u)
#define FIFO_R_W (0x74u)
#define WHO_AM_I (0x75u)
#define IDENTITY (0x68u)

#define FIFO_BYTES (1024u)
#define COUNTH_MASK (0xFFu)
#define RANGE_SHIFT (3u) /* FS_SEL and AFS_SEL */

static const AuraEdgeInvenSense common = {
    .base_rate_hz = 1000.0f, /* Hz, of both sensors while the low-pass filter is on */
    .fifo_bytes = FIFO_BYTES,
    .identity = IDENTITY,
    .who_am_i_register = WHO_AM_I,
    .power_register = PWR_MGMT_1,
    .status_register = INT_STATUS,
    .status_overflow = FIFO_OFLOW,
    .count_register = FIFO_COUNTH,
    .count_high_mask = COUNTH_MASK,
    .fifo_register = FIFO_R_W,
};

/* The widest low-pass filter below half the rate, so that nothing folds back that the filter could take out. */
static uint8_t LowPass(float rate_hz) {
    static const float bandwidth_hz[] = {184.0f, 94.0f, 44.0f, 21.0f, 10.0f, 5.0f}; /* DLPF_CFG 1 to 6 */
    return (uint8_t)(AuraEdgeInvenSenseLowPass(bandwidth_hz, 6u, rate_hz / 2.0f) + 1u);
}

static float Rate(float wanted_hz) {
    return AuraEdgeInvenSenseRate(&common, wanted_hz);
}

static AuraEdgeSensorResult Configure(AuraEdgeSensor *sensor) {
    const uint32_t divider = AuraEdgeInvenSenseDivider(&common, sensor->settings.rate_hz);
    const AuraEdgeSensorResult woken = AuraEdgeInvenSenseWake(sensor, &common);
    if (woken != AuraEdgeSensorOk) {
        return woken;
    }
    if (!AuraEdgeSensorWriteRegister(sensor, CONFIG, LowPass(common.base_rate_hz / (float)divider)) ||
        !AuraEdgeSensorWriteRegister(sensor, SMPLRT_DIV, (uint8_t)(divider - 1u)) ||
        !AuraEdgeSensorWriteRegister(sensor, GYRO_CONFIG, (uint8_t)(sensor->gyro->bits << RANGE_SHIFT)) ||
        !AuraEdgeSensorWriteRegister(sensor, ACCEL_CONFIG, (uint8_t)(sensor->acc->bits << RANGE_SHIFT)) ||
        !AuraEdgeSensorWriteRegister(sensor, INT_ENABLE, FIFO_OFLOW)) {
        return AuraEdgeSensorBusError;
    }
    return AuraEdgeSensorOk;
}

static bool Flush(AuraEdgeSensor *sensor) {
    uint8_t status;
    return AuraEdgeSensorWriteRegister(sensor, FIFO_EN, 0u) &&
           AuraEdgeSensorWriteRegister(sensor, USER_CTRL, 0u) && /* the reset works only while the FIFO is off */
           AuraEdgeSensorWriteRegister(sensor, USER_CTRL, USER_FIFO_RESET) &&
           AuraEdgeSensorReadRegisters(sensor, INT_STATUS, &status, 1u) && /* reading clears the overflow bit */
           AuraEdgeSensorWriteRegister(sensor, USER_CTRL, USER_FIFO_EN) &&
           AuraEdgeSensorWriteRegister(sensor, FIFO_EN, FIFO_EN_ACC_GYRO);
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

const AuraEdgeSensorChip auraEdgeMpu6050 = {
    "MPU-6050",
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
