/**
 * @file AuraEdgeSensorBus.h
 * @brief Registers over whatever bus the board has, for the chips. A transfer without an answer is counted.
 */

#ifndef AURA_EDGE_SENSOR_BUS_H
#define AURA_EDGE_SENSOR_BUS_H

#include "AuraEdgeSensor.h"

#ifdef __cplusplus
extern "C" {
#endif

#define AURA_EDGE_SENSOR_CHUNK (84u) /* bytes on the stack: 7 rows of 12, 12 words of 7, 6 frames of 13 */

bool AuraEdgeSensorReadRegisters(AuraEdgeSensor *sensor, uint8_t first_register, uint8_t *data, uint16_t length);
bool AuraEdgeSensorWriteRegisters(AuraEdgeSensor *sensor, uint8_t first_register, const uint8_t *data, uint16_t length);
bool AuraEdgeSensorWriteRegister(AuraEdgeSensor *sensor, uint8_t one_register, uint8_t value);

/** @brief Bytes of the largest whole number of units that a transfer and the local buffer hold. */
uint16_t AuraEdgeSensorChunk(const AuraEdgeSensor *sensor, uint16_t unit);

/** @brief Looks until the bits under the mask are as wanted, for at most 50 ms. False: no answer. */
bool AuraEdgeSensorPoll(AuraEdgeSensor *sensor, uint8_t one_register, uint8_t mask, uint8_t wanted, bool *reached);

#ifdef __cplusplus
}
#endif

#endif
