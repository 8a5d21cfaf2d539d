/**
 * @file AuraEdgeLsm6dso.c
 * @brief LSM6DSO from its data sheet, DS12140 rev. 3, and application note AN5192. See AuraEdgeLsm6dso.h.
 *
 * A word is one tag and six bytes; gyroscope and accelerometer words with the same time slot in their tags are one sample. A read
 * that goes on past the last register of a word begins the next word, so transfers are whole words.
 */

#include "AuraEdgeLsm6dso.h"
#include "AuraEdgeSensorBus.h"

#define FIFO_CTRL1 (0x07u)
#define FIFO_CTRL2 (0x08u)
#define FIFO_CTRL3 (0x09u)
#define FIFO_CTRL4 (0x0Au)
#define FIFO_BYPASS (0x00u)
#define FIFO_CONTINUOUS (0x06u)
#define INT1_CTRL (0x0Du)
#define INT1_FIFO_TH (0x08u)
#define WHO_AM_I (0x0Fu)
#define IDENTITY (0x6Cu)
#define CTRL1_XL (0x10u)
#define CTRL2_G (0x11u)
#define CTRL3_C (0x12u)
#define SW_RESET (0x01u)
#define IF_INC_BDU (0x44u)
#define CTRL9_XL (0x18u)
#define I3C_DISABLE (0xE2u) /* the bit, and what a reset leaves in the others */
#define FIFO_STATUS1 (0x3Au)
#define FIFO_STATUS2 (0x3Bu)
#define OVERRUN (0x48u) /* now, or latched since the last look */
#define INTERNAL_FREQ_FINE (0x63u)
#define FIFO_DATA_OUT_TAG (0x78u)

#define FIFO_WORDS (512u)
#define WORD_BYTES (7u)
#define TAG_GYRO (0x01u)
#define TAG_ACC (0x02u)
#define HALF_GYRO (0x01u)
#define HALF_ACC (0x02u)
#define FASTEST_HZ (6667.0f)

#define MG (AURA_EDGE_STANDARD_GRAVITY / 1000.0f)
#define MDEG (AURA_EDGE_RADIANS_PER_DEGREE / 1000.0f)
#define G AURA_EDGE_STANDARD_GRAVITY
#define DEG AURA_EDGE_RADIANS_PER_DEGREE

static const AuraEdgeSensorRange accRanges[] = {
    {2.0f * G, 0.061f * MG, 0x00u},
    {4.0f * G, 0.122f * MG, 0x08u},
    {8.0f * G, 0.244f * MG, 0x0Cu},
    {16.0f * G, 0.488f * MG, 0x04u},
};

static const AuraEdgeSensorRange gyroRanges[] = {
    {125.0f * DEG, 4.375f * MDEG, 0x02u},
    {250.0f * DEG, 8.75f * MDEG, 0x00u},
    {500.0f * DEG, 17.5f * MDEG, 0x04u},
    {1000.0f * DEG, 35.0f * MDEG, 0x08u},
    {2000.0f * DEG, 70.0f * MDEG, 0x0Cu},
};

/* The rate code 1 to 10, 0 for a rate that it does not have. Code 10 is the fastest, 9 half of it, 1 a 512th. */
static uint8_t RateCode(float wanted_hz) {
    uint8_t code;
    float rate_hz = FASTEST_HZ / 512.0f;
    for (code = 1u; code <= 10u; code++) {
        if ((rate_hz * 1.01f) >= wanted_hz) {
            return code;
        }
        rate_hz *= 2.0f;
    }
    return 0u;
}

static float Rate(float wanted_hz) {
    const uint8_t code = RateCode(wanted_hz);
    return (code == 0u) ? 0.0f : (FASTEST_HZ / (float)(1u << (10u - code)));
}

static AuraEdgeSensorResult Configure(AuraEdgeSensor *sensor) {
    const uint8_t code = RateCode(sensor->settings.rate_hz);
    const uint16_t words = (uint16_t)(sensor->settings.watermark * 2u);
    uint8_t fine;
    bool awake;
    if (!AuraEdgeSensorReadRegisters(sensor, WHO_AM_I, &sensor->identity, 1u)) {
        return AuraEdgeSensorBusError;
    }
    if (sensor->identity != IDENTITY) {
        return AuraEdgeSensorWrongChip;
    }
    if (!AuraEdgeSensorWriteRegister(sensor, CTRL3_C, SW_RESET)) {
        return AuraEdgeSensorBusError;
    }
    sensor->bus.delay_us(sensor->bus.context, 1000u);
    if (!AuraEdgeSensorPoll(sensor, CTRL3_C, SW_RESET, 0u, &awake)) {
        return AuraEdgeSensorBusError;
    }
    if (!awake) {
        return AuraEdgeSensorNotReady;
    }
    if (!AuraEdgeSensorWriteRegister(sensor, CTRL3_C, IF_INC_BDU) ||
        !AuraEdgeSensorWriteRegister(sensor, CTRL9_XL, I3C_DISABLE) ||
        !AuraEdgeSensorWriteRegister(sensor, FIFO_CTRL4, FIFO_BYPASS) ||
        !AuraEdgeSensorWriteRegister(sensor, FIFO_CTRL1, (uint8_t)words) ||
        !AuraEdgeSensorWriteRegister(sensor, FIFO_CTRL2, (uint8_t)(words >> 8)) ||
        !AuraEdgeSensorWriteRegister(sensor, FIFO_CTRL3, (uint8_t)((code << 4) | code)) ||
        !AuraEdgeSensorWriteRegister(sensor, INT1_CTRL, INT1_FIFO_TH) ||
        !AuraEdgeSensorWriteRegister(sensor, CTRL1_XL, (uint8_t)((code << 4) | sensor->acc->bits)) ||
        !AuraEdgeSensorWriteRegister(sensor, CTRL2_G, (uint8_t)((code << 4) | sensor->gyro->bits)) ||
        !AuraEdgeSensorReadRegisters(sensor, INTERNAL_FREQ_FINE, &fine, 1u)) {
        return AuraEdgeSensorBusError;
    }
    sensor->bus.delay_us(sensor->bus.context, 100000u); /* the gyroscope settles within 80 ms */
    sensor->in_force.rate_hz *= 1.0f + (0.0015f * (float)(int8_t)fine); /* this piece's oscillator, as measured by ST */
    return AuraEdgeSensorOk;
}

static bool Flush(AuraEdgeSensor *sensor) {
    uint8_t status;
    return AuraEdgeSensorWriteRegister(sensor, FIFO_CTRL4, FIFO_BYPASS) &&
           AuraEdgeSensorReadRegisters(sensor, FIFO_STATUS2, &status, 1u) && /* reading clears the latched overrun */
           AuraEdgeSensorWriteRegister(sensor, FIFO_CTRL4, FIFO_CONTINUOUS);
}

static bool Waiting(AuraEdgeSensor *sensor, uint16_t *samples, bool *overflow) {
    uint8_t data[2];
    uint16_t words;
    if (!AuraEdgeSensorReadRegisters(sensor, FIFO_STATUS1, data, 2u)) {
        return false;
    }
    words = (uint16_t)(((uint16_t)(data[1] & 0x03u) << 8) | data[0]);
    if (words > FIFO_WORDS) { /* a bus that floats */
        sensor->bus_errors++;
        return false;
    }
    *overflow = ((data[1] & OVERRUN) != 0u);
    *samples = (uint16_t)((words + ((sensor->half_tag != 0u) ? 1u : 0u)) / 2u);
    return true;
}

/* Adds one word; true when it completes a sample in `half`. */
static bool AddWord(AuraEdgeSensor *sensor, const uint8_t *word) {
    const uint8_t kind = (uint8_t)(word[0] >> 3);
    const uint8_t slot = (uint8_t)((word[0] & 0x06u) << 1);
    const uint8_t half = (kind == TAG_GYRO) ? HALF_GYRO : ((kind == TAG_ACC) ? HALF_ACC : 0u);
    const uint8_t first = (half == HALF_GYRO) ? 3u : 0u;
    uint8_t axis;
    if (half == 0u) { /* a change of settings, a temperature: nothing of ours */
        return false;
    }
    for (axis = 0; axis < 3u; axis++) {
        sensor->half[first + axis] = (int16_t)(uint16_t)(((uint16_t)word[2u + (2u * axis)] << 8) | word[1u + (2u * axis)]);
    }
    if (sensor->half_tag == (uint8_t)(slot | (half ^ 0x03u))) {
        sensor->half_tag = 0u;
        return true;
    }
    sensor->half_tag = (uint8_t)(slot | half); /* the first half, or one whose other half never came */
    return false;
}

static bool Take(AuraEdgeSensor *sensor, AuraEdgeSensorRow *rows, uint16_t count, uint16_t *taken) {
    uint8_t data[AURA_EDGE_SENSOR_CHUNK];
    const uint16_t chunk_words = (uint16_t)(AuraEdgeSensorChunk(sensor, WORD_BYTES) / WORD_BYTES);
    uint16_t words = (uint16_t)((count * 2u) - ((sensor->half_tag != 0u) ? 1u : 0u));
    uint16_t word;
    uint8_t channel;
    *taken = 0u;
    while (words > 0u) {
        const uint16_t now = (words < chunk_words) ? words : chunk_words;
        if (!AuraEdgeSensorReadRegisters(sensor, FIFO_DATA_OUT_TAG, data, (uint16_t)(now * WORD_BYTES))) {
            return false;
        }
        for (word = 0; word < now; word++) {
            if (AddWord(sensor, &data[word * WORD_BYTES])) {
                for (channel = 0; channel < 6u; channel++) {
                    rows[*taken][channel] = sensor->half[channel];
                }
                (*taken)++;
            }
        }
        words = (uint16_t)(words - now);
    }
    return true;
}

static bool Overrun(AuraEdgeSensor *sensor, bool *overflow) {
    uint8_t status;
    if (!AuraEdgeSensorReadRegisters(sensor, FIFO_STATUS2, &status, 1u)) {
        return false;
    }
    *overflow = ((status & OVERRUN) != 0u);
    return true;
}

const AuraEdgeSensorChip auraEdgeLsm6dso = {
    "LSM6DSO", accRanges, gyroRanges, 4u, 5u, Rate, Configure, Flush, Waiting, Take, Overrun,
};
