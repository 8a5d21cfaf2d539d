/**
 * @file AuraEdgeMpu6050.h
 * @brief InvenSense MPU-6050 (WHO_AM_I 0x68), I2C address 0x68, or 0x69 with AD0 high.
 *
 * Rates 1000 / n Hz, n = 1 to 256. FIFO 1024 bytes: 85 samples. It has no watermark; the driver reads the count instead.
 */

#ifndef AURA_EDGE_MPU6050_H
#define AURA_EDGE_MPU6050_H

#include "AuraEdgeSensor.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const AuraEdgeSensorChip auraEdgeMpu6050;

#ifdef __cplusplus
}
#endif

#endif
