/**
 * @file fake_chip.h
 * @brief The four chips as their data sheets describe them: registers, banks, FIFO, time that passes on the bus.
 *
 * Sample k has a pattern of its own (FakeChipRow), so that whatever comes out of a driver says which samples it was.
 */

#ifndef FAKE_CHIP_H
#define FAKE_CHIP_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { FakeMpu6050, FakeIcm20948, FakeLsm6dso, FakeBmi270 } FakeKind;

typedef struct {
    FakeKind kind;
    uint64_t now_ns;          /* moves with FakeChipWait and with every byte on the bus */
    uint32_t byte_ns;         /* 22500: nine bits at 400 kHz */
    double speed;             /* of the chip's oscillator, 1 for nominal */
    uint8_t identity;
    bool frozen;              /* makes no more samples, until a reset */
    bool stuck;               /* the reset never ends, the firmware never starts */
    bool swapped;             /* LSM6DSO: accelerometer word before gyroscope word */
    uint32_t half_delay_ns;   /* LSM6DSO: from the first word of a sample to the second */
    uint32_t fail_in;         /* the transaction that is not answered, 1 for the next; 0 for none */
    uint32_t fail_count;      /* so many in a row */
    uint32_t fail_after;      /* bytes that pass before it */
    uint32_t transactions;
    uint8_t registers[4][128];
    uint8_t bank;
    uint64_t ready_ns;        /* end of a reset or of loading */
    uint8_t fifo[4096];
    uint32_t fifo_length;
    uint32_t fifo_capacity;   /* bytes */
    bool overflow;            /* latched until read */
    uint32_t skipped;         /* BMI270 frames overwritten since the last read */
    uint8_t firmware[8192];
    uint32_t made;            /* samples since power came: the next one is sample `made` */
    uint64_t next_ns;         /* when it comes, 0: the sensors are off */
    double next_fraction_ns;
    uint64_t half_ns;         /* LSM6DSO: when the second word of a sample comes, 0 for none */
} FakeChip;

void FakeChipPowerOn(FakeChip *chip, FakeKind kind);
void FakeChipPowerCycle(FakeChip *chip); /* registers and FIFO; time goes on */
void FakeChipWait(FakeChip *chip, uint64_t duration_ns);
void FakeChipRow(uint32_t sample, int16_t row[6]);
void FakeChipOddFrames(FakeChip *chip); /* BMI270: a change of settings and a lone accelerometer frame come into the FIFO */

/* What a bus does: false for no acknowledgement. */
bool FakeChipRead(void *chip, uint8_t first_register, uint8_t *data, uint16_t length);
bool FakeChipWrite(void *chip, uint8_t first_register, const uint8_t *data, uint16_t length);
void FakeChipDelay(void *chip, uint32_t duration_us);

/* The BMI270's firmware here: not Bosch's, a pattern that the fake knows. */
void FakeChipFirmware(uint8_t firmware[8192]);

#ifdef __cplusplus
}
#endif

#endif
