/**
 * @file AuraEdgeMpu6050.c
 * @brief MPU-6050 from its register map, RM-MPU-6000A rev. 4.2. See AuraEdgeMpu6050.h.
 *
 * 1024 is no multiple of 12: a FIFO that overflows is torn in the middle of a sample, and stays so until it is reset. So it is
 * reset whenever the overflow bit is up, which is looked at after the rows were taken, since it may come up meanwhile.
 */

#include "AuraEdgeMpu6050.h"

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
#define DEVICE_RESET (0x80u)
#define CLOCK_GYRO_X (0x01u)
#define PWR_MGMT_2 (0x6Cu)
#define FIFO_COUNTH (0x72u)
#define FIFO_R_W (0x74u)
#define WHO_AM_I (0x75u)
#define IDENTITY (0x68u)

#define FIFO_BYTES (1024u)
#define ROW_BYTES (12u)
#define BASE_RATE_HZ (1000.0f) /* of both sensors while the low-pass filter is on */

#define G AURA_EDGE_STANDARD_GRAVITY
#define DEG AURA_EDGE_RADIANS_PER_DEGREE

static const AuraEdgeSensorRange accRanges[] = {
    {2.0f * G, G / 16384.0f, 0x00u},
    {4.0f * G, G / 8192.0f, 0x08u},
    {8.0f * G, G / 4096.0f, 0x10u},
    {16.0f * G, G / 2048.0f, 0x18u},
};

static const AuraEdgeSensorRange gyroRanges[] = {
    {250.0f * DEG, DEG / 131.0f, 0x00u},
    {500.0f * DEG, DEG / 65.5f, 0x08u},
    {1000.0f * DEG, DEG / 32.8f, 0x10u},
    {2000.0f * DEG, DEG / 16.4f, 0x18u},
};

/* The widest low-pass filter below half the rate, so that nothing folds back that the filter could take out. */
static uint8_t LowPass(float rate_hz) {
    static const float bandwidth_hz[] = {184.0f, 94.0f, 44.0f, 21.0f, 10.0f, 5.0f}; /* DLPF_CFG 1 to 6 */
    uint8_t index;
    for (index = 0; index < 5u; index++) {
        if (bandwidth_hz[index] <= (rate_hz / 2.0f)) {
            break;
        }
    }
    return (uint8_t)(index + 1u);
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

static AuraEdgeSensorResult Configure(AuraEdgeSensor *sensor) {
    const uint32_t divider = Divider(sensor->settings.rate_hz);
    bool awake;
    if (!AuraEdgeSensorReadRegisters(sensor, WHO_AM_I, &sensor->identity, 1u)) {
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
    if (!AuraEdgeSensorWriteRegister(sensor, PWR_MGMT_1, CLOCK_GYRO_X)) { /* awake, on the gyroscope's steadier clock */
        return AuraEdgeSensorBusError;
    }
    sensor->bus.delay_us(sensor->bus.context, 50000u); /* the gyroscope starts within 30 ms */
    if (!AuraEdgeSensorWriteRegister(sensor, PWR_MGMT_2, 0u) ||
        !AuraEdgeSensorWriteRegister(sensor, CONFIG, LowPass(BASE_RATE_HZ / (float)divider)) ||
        !AuraEdgeSensorWriteRegister(sensor, SMPLRT_DIV, (uint8_t)(divider - 1u)) ||
        !AuraEdgeSensorWriteRegister(sensor, GYRO_CONFIG, sensor->gyro->bits) ||
        !AuraEdgeSensorWriteRegister(sensor, ACCEL_CONFIG, sensor->acc->bits) ||
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
    uint8_t data[2];
    uint16_t bytes;
    if (!AuraEdgeSensorReadRegisters(sensor, FIFO_COUNTH, data, 2u)) {
        return false;
    }
    bytes = (uint16_t)(((uint16_t)data[0] << 8) | data[1]);
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
    if (!AuraEdgeSensorReadRegisters(sensor, INT_STATUS, &status, 1u)) {
        return false;
    }
    *overflow = ((status & FIFO_OFLOW) != 0u);
    return true;
}

const AuraEdgeSensorChip auraEdgeMpu6050 = {
    "MPU-6050", accRanges, gyroRanges, 4u, 4u, Rate, Configure, Flush, Waiting, Take, Overrun,
};
