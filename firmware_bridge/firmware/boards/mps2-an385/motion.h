/**
 * @file motion.h
 * @brief The motion that this board plays instead of reading a sensor. make_motion.py writes motion.c from a recording.
 */

#ifndef MOTION_H
#define MOTION_H

//------------------------------------------------------------------------------
// Includes

#include "AuraEdgeMessages.h"

//------------------------------------------------------------------------------
// Variables

extern const uint32_t motionSamples;
extern const int16_t motion[][AURA_EDGE_CHANNELS]; // counts
extern const AuraEdgeScale motionScale;            // Hz, m/s2 per count, rad/s per count, m/s2, rad/s

#endif

//------------------------------------------------------------------------------
// End of file
