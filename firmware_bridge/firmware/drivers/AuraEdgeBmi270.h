/**
 * @file AuraEdgeBmi270.h
 * @brief Bosch BMI270 (CHIP_ID 0x24), I2C address 0x68, or 0x69 with SDO high.
 *
 * Rates 25, 50, 100, 200, 400, 800, 1600 Hz. FIFO 2048 bytes: 157 samples. Pin INT1 is high while the watermark is reached.
 *
 * The chip does nothing before it was given a configuration file of 8192 bytes. It is Bosch Sensortec's and not part of aura-edge:
 * take `bmi270_config_file` from bmi270.c of github.com/boschsensortec/BMI270_SensorAPI (BSD-3-Clause), and give its address and
 * length in AuraEdgeSensorSettings. Without it Initialise answers AuraEdgeSensorNoFirmware.
 *
 * Registers are passed on as they are: the small correction of gyroscope x by gyroscope z that Bosch's software adds is not made.
 */

#ifndef AURA_EDGE_BMI270_H
#define AURA_EDGE_BMI270_H

#include "AuraEdgeSensor.h"

#ifdef __cplusplus
extern "C" {
#endif

#define AURA_EDGE_BMI270_FIRMWARE_LENGTH (8192u) /* bytes */

extern const AuraEdgeSensorChip auraEdgeBmi270;

#ifdef __cplusplus
}
#endif

#endif
