/**
 * @file AuraEdgeInvenSense.h
 * @brief What the MPU-6050 and its descendants have in common: ranges, waking up, a FIFO of bare rows that an overflow tears.
 */

#ifndef AURA_EDGE_INVENSENSE_H
#define AURA_EDGE_INVENSENSE_H

#include "AuraEdgeSensorBus.h"

#ifdef __cplusplus
extern "C" {
#endif

#define AURA_EDGE_INVENSENSE_RANGES (4u) /* of each sensor; their `bits` are 0 to 3, where in a register the chip knows */

extern const AuraEdgeSensorRange auraEdgeInvenSenseAccRanges[AURA_EDGE_INVENSENSE_RANGES];
extern const AuraEdgeSensorRange auraEdgeInvenSenseGyroRanges[AURA_EDGE_INVENSENSE_RANGES];

/** @brief Where one of these chips has what they have in common. */
typedef struct {
    float base_rate_hz;           /* which a divider of 1 to 256 divides */
    uint16_t fifo_bytes;          /* a count beyond them is a bus that floats */
    uint8_t identity;             /* what WHO_AM_I says */
    uint8_t who_am_i_register;
    uint8_t power_register;       /* PWR_MGMT_1; PWR_MGMT_2 follows it */
    uint8_t status_register;      /* of the interrupt that says the FIFO overflowed */
    uint8_t status_overflow;      /* its bits */
    uint8_t count_register;       /* FIFO_COUNTH; FIFO_COUNTL follows it */
    uint8_t count_high_mask;      /* the bits of FIFO_COUNTH that count */
    uint8_t fifo_register;        /* FIFO_R_W */
} AuraEdgeInvenSense;

/** @brief The divider for a wanted rate: 1 to 256, 0 for a rate that the chip does not have. */
uint32_t AuraEdgeInvenSenseDivider(const AuraEdgeInvenSense *chip, float wanted_hz);

/** @brief The rate in force for a wanted one, 0 for none. */
float AuraEdgeInvenSenseRate(const AuraEdgeInvenSense *chip, float wanted_hz);

/** @brief The first, so widest, of `count` descending bandwidths within `most_hz`; the last when there is none. */
uint8_t AuraEdgeInvenSenseLowPass(const float *bandwidths_hz, uint8_t count, float most_hz);

/** @brief Looks who it is, resets it and wakes both its sensors, on the gyroscope's steadier clock. */
AuraEdgeSensorResult AuraEdgeInvenSenseWake(AuraEdgeSensor *sensor, const AuraEdgeInvenSense *chip);

/** @brief For `waiting`, `take` and `overrun` of AuraEdgeSensorChip. */
bool AuraEdgeInvenSenseWaiting(AuraEdgeSensor *sensor, const AuraEdgeInvenSense *chip, uint16_t *samples, bool *overflow);
bool AuraEdgeInvenSenseTake(AuraEdgeSensor *sensor, const AuraEdgeInvenSense *chip, AuraEdgeSensorRow *rows, uint16_t count,
                            uint16_t *taken);
bool AuraEdgeInvenSenseOverrun(AuraEdgeSensor *sensor, const AuraEdgeInvenSense *chip, bool *overflow);

#ifdef __cplusplus
}
#endif

#endif
