/* What the sketch uses of Arduino, on the host: time and serial port of main.cpp. */

#ifndef ARDUINO_H
#define ARDUINO_H

#include <stddef.h>
#include <stdint.h>

#define F_CPU 16000000ul
#define A0 0
#define F(text) (text)

unsigned long micros();
void delay(unsigned long duration_ms);
void delayMicroseconds(unsigned int duration_us);
int analogRead(int pin);

struct SerialPort {
    void begin(unsigned long bits_per_s);
    int available();
    int read();
    int availableForWrite();
    size_t write(const uint8_t *bytes, size_t length);
    void print(const char *text);
    void println(const char *text);
};

extern SerialPort Serial;

#endif
