/**
 * @file AuraEdgeIcm20948.h
 * @brief InvenSense ICM-20948 (WHO_AM_I 0xEA), I2C address 0x68, or 0x69 with AD0 high. The magnetometer is left alone.
 *
 * Rates 1125 / n Hz, n = 1 to 256: for 200 Hz it makes 225 Hz. FIFO 512 bytes by its data sheet (42 samples), 4096 bytes found by
 * users; the driver relies on neither. The public registers have no watermark; the driver reads the count instead.
 */

#ifndef AURA_EDGE_ICM20948_H
#define AURA_EDGE_ICM20948_H

#include "AuraEdgeSensor.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const AuraEdgeSensorChip auraEdgeIcm20948;

#ifdef __cplusplus
}
#endif

#endif
