/**
 * @file AuraEdgeLsm6dso.h
 * @brief ST LSM6DSO (WHO_AM_I 0x6C), I2C address 0x6A, or 0x6B with SA0 high.
 *
 * Rates 13, 26, 52, 104, 208, 417, 833, 1667, 3333, 6667 Hz: for 200 Hz it makes 208 Hz. FIFO 512 tagged words of 7 bytes: 256
 * samples. Pin INT1 is high while the watermark is reached.
 */

#ifndef AURA_EDGE_LSM6DSO_H
#define AURA_EDGE_LSM6DSO_H

#include "AuraEdgeSensor.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const AuraEdgeSensorChip auraEdgeLsm6dso;

#ifdef __cplusplus
}
#endif

#endif
