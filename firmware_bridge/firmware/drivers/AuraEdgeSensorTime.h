/**
 * @file AuraEdgeSensorTime.h
 * @brief When samples were taken, and how many are missing. Only AuraEdgeSensor.c calls these functions.
 */

#ifndef AURA_EDGE_SENSOR_TIME_H
#define AURA_EDGE_SENSOR_TIME_H

#include "AuraEdgeSensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/** @brief Takes up the rate in force; what was learned about the oscillator is kept while the nominal rate stays. */
void AuraEdgeSensorTimeStart(AuraEdgeSensor *sensor);

/** @brief Samples that wait at `now_ns` get their place in time; what is missing before them is counted as lost. */
void AuraEdgeSensorTimePlace(AuraEdgeSensor *sensor, uint64_t now_ns, uint16_t waiting);

/** @brief The clock counts so many samples on; with each one it is a little less sure. */
void AuraEdgeSensorTimeCountOn(AuraEdgeSensor *sensor, uint32_t samples);

#ifdef __cplusplus
}
#endif

#endif
