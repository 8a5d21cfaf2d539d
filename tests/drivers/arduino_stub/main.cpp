/*
 * Runs the sketch with a fake chip behind Wire. Arguments: kind of chip, its address, seconds, and how many bytes of standard input
 * come at which millisecond (pairs); "-fN" at a millisecond: N transfers from then on are not answered; "-p": the chip
 * loses its power for a moment. What the sketch writes goes to standard output; a write that would wait, a transfer that is
 * too long or a wrong order of calls ends the program. On standard error: samples made by the chip, and the longest loop in us.
 */

#include "Arduino.h"
#include "Wire.h"
#include "fake_chip.h"
#include <stdio.h>
#include <stdlib.h>

static const int WIRE_BYTES = 32;
static const int PORT_BYTES = 64;

static FakeChip chip;
static uint8_t chipAddress;
static uint64_t portEmpty_ns; /* when the last byte in the port's buffer has gone */
static uint64_t portByte_ns;
static uint8_t sent[32];
static int sentLength = -1;
static int chosenRegister = -1;
static uint8_t received[32];
static int receivedLength;
static int receivedNext;
static uint8_t input[4096];
static int inputArrived;
static int inputNext;
static uint64_t end_ns;

static void Fail(const char *why) {
    fprintf(stderr, "%s\n", why);
    exit(3);
}

SerialPort Serial;
TwoWire Wire;

unsigned long micros() {
    FakeChipWait(&chip, 4000); /* a call takes its time, so that a loop that waits by it ends */
    return (unsigned long)(uint32_t)(chip.now_ns / 1000u);
}

void delay(unsigned long duration_ms) {
    if (chip.now_ns > end_ns) { /* a setup() that tries for ever */
        fflush(stdout);
        fprintf(stderr, "0 0\n");
        exit(0);
    }
    FakeChipWait(&chip, (uint64_t)duration_ms * 1000000u);
}

void delayMicroseconds(unsigned int duration_us) {
    FakeChipWait(&chip, (uint64_t)duration_us * 1000u);
}

int analogRead(int) {
    return (int)(micros() % 1024u);
}

void SerialPort::begin(unsigned long bits_per_s) {
    portByte_ns = 10000000000ull / bits_per_s;
}

int SerialPort::available() {
    return inputArrived - inputNext;
}

int SerialPort::read() {
    return (inputNext < inputArrived) ? input[inputNext++] : -1;
}

int SerialPort::availableForWrite() {
    const uint64_t left_ns = (portEmpty_ns > chip.now_ns) ? (portEmpty_ns - chip.now_ns) : 0u;
    const int room = PORT_BYTES - 1 - (int)((left_ns + portByte_ns - 1u) / portByte_ns);
    return (room > 0) ? room : 0;
}

size_t SerialPort::write(const uint8_t *bytes, size_t length) {
    if ((int)length > availableForWrite()) {
        Fail("the sketch would have waited for the serial port");
    }
    if (portEmpty_ns < chip.now_ns) {
        portEmpty_ns = chip.now_ns;
    }
    portEmpty_ns += (uint64_t)length * portByte_ns;
    fwrite(bytes, 1, length, stdout);
    return length;
}

void SerialPort::print(const char *text) {
    fputs(text, stdout);
}

void SerialPort::println(const char *text) {
    puts(text);
}

void TwoWire::begin() {
    sentLength = -1;
}

void TwoWire::setClock(uint32_t rate_hz) {
    chip.byte_ns = (uint32_t)(9000000000ull / rate_hz);
}

void TwoWire::beginTransmission(uint8_t address) {
    sentLength = (address == chipAddress) ? 0 : -1;
}

size_t TwoWire::write(uint8_t byte) {
    return write(&byte, 1);
}

size_t TwoWire::write(const uint8_t *bytes, size_t length) {
    for (size_t index = 0; index < length; index++) {
        if (sentLength >= WIRE_BYTES) {
            Fail("more bytes than Wire holds");
        }
        if (sentLength >= 0) {
            sent[sentLength++] = bytes[index];
        }
    }
    return length;
}

uint8_t TwoWire::endTransmission(bool stop) {
    if (sentLength < 1) {
        return 2; /* nobody at this address */
    }
    if (!stop) {
        chosenRegister = sent[0];
        return 0;
    }
    return FakeChipWrite(&chip, sent[0], &sent[1], (uint16_t)(sentLength - 1)) ? 0 : 3;
}

uint8_t TwoWire::requestFrom(uint8_t address, uint8_t length) {
    if ((length > WIRE_BYTES) || (chosenRegister < 0) || (address != chipAddress)) {
        Fail("a request that Wire cannot carry");
    }
    receivedNext = 0;
    receivedLength = FakeChipRead(&chip, (uint8_t)chosenRegister, received, length) ? length : 0;
    chosenRegister = -1;
    return (uint8_t)receivedLength;
}

int TwoWire::available() {
    return receivedLength - receivedNext;
}

int TwoWire::read() {
    return (receivedNext < receivedLength) ? received[receivedNext++] : -1;
}

void setup();
void loop();

int main(int count, char **arguments) {
    if (count < 4) {
        return 2;
    }
    FakeChipPowerOn(&chip, (FakeKind)atoi(arguments[1]));
    chipAddress = (uint8_t)atoi(arguments[2]);
    end_ns = chip.now_ns + (uint64_t)(atof(arguments[3]) * 1e9);
    const uint64_t start_ns = chip.now_ns;
    if (fread(input, 1, sizeof(input), stdin) == sizeof(input)) {
        return 2;
    }
    uint64_t longest_ns = 0;
    int next = 4;
    setup();
    while (chip.now_ns < end_ns) {
        if ((next + 1 < count) && (chip.now_ns - start_ns >= (uint64_t)atoi(arguments[next + 1]) * 1000000u)) {
            const char *const what = arguments[next];
            if (what[0] != '-') {
                inputArrived += atoi(what);
            } else if (what[1] == 'p') {
                FakeChipPowerCycle(&chip);
            } else {
                chip.fail_in = 1;
                chip.fail_count = (uint32_t)atoi(&what[2]);
            }
            next += 2;
        }
        const uint64_t before_ns = chip.now_ns;
        loop();
        const uint64_t taken_ns = chip.now_ns - before_ns;
        longest_ns = (taken_ns > longest_ns) ? taken_ns : longest_ns;
    }
    fprintf(stderr, "%lu %lu\n", (unsigned long)chip.made, (unsigned long)(longest_ns / 1000u));
    return 0;
}
