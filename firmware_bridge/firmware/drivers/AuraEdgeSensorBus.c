/**
 * @file AuraEdgeSensorBus.c
 * @brief Registers over whatever bus the board has. See AuraEdgeSensorBus.h.
 */

#include "AuraEdgeSensorBus.h"

#define POLLS (50u)
#define POLL_PERIOD_US (1000u)

bool AuraEdgeSensorReadRegisters(AuraEdgeSensor *sensor, uint8_t first_register, uint8_t *data, uint16_t length) {
    if (!sensor->bus.read(sensor->bus.context, first_register, data, length)) {
        sensor->bus_errors++;
        return false;
    }
    return true;
}

bool AuraEdgeSensorWriteRegisters(AuraEdgeSensor *sensor, uint8_t first_register, const uint8_t *data, uint16_t length) {
    if (!sensor->bus.write(sensor->bus.context, first_register, data, length)) {
        sensor->bus_errors++;
        return false;
    }
    return true;
}

bool AuraEdgeSensorWriteRegister(AuraEdgeSensor *sensor, uint8_t one_register, uint8_t value) {
    return AuraEdgeSensorWriteRegisters(sensor, one_register, &value, 1u);
}

uint16_t AuraEdgeSensorChunk(const AuraEdgeSensor *sensor, uint16_t unit) {
    uint16_t longest = AURA_EDGE_SENSOR_CHUNK;
    if ((sensor->bus.longest_transfer != 0u) && (sensor->bus.longest_transfer < longest)) {
        longest = sensor->bus.longest_transfer;
    }
    return (uint16_t)(longest - (longest % unit));
}

bool AuraEdgeSensorPoll(AuraEdgeSensor *sensor, uint8_t one_register, uint8_t mask, uint8_t wanted, bool *reached) {
    uint8_t value;
    uint8_t poll;
    *reached = false;
    for (poll = 0; poll < POLLS; poll++) {
        if (!AuraEdgeSensorReadRegisters(sensor, one_register, &value, 1u)) {
            return false;
        }
        if ((value & mask) == wanted) {
            *reached = true;
            return true;
        }
        sensor->bus.delay_us(sensor->bus.context, POLL_PERIOD_US);
    }
    return true;
}
