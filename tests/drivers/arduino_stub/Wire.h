/* What the sketch uses of Wire, on the host: a fake chip behind the 32 bytes of the smallest Wire library. */

#ifndef WIRE_H
#define WIRE_H

#include <stddef.h>
#include <stdint.h>

struct TwoWire {
    void begin();
    void setClock(uint32_t rate_hz);
    void beginTransmission(uint8_t address);
    size_t write(uint8_t byte);
    size_t write(const uint8_t *bytes, size_t length);
    uint8_t endTransmission(bool stop = true);
    uint8_t requestFrom(uint8_t address, uint8_t length);
    int available();
    int read();
};

extern TwoWire Wire;

#endif
