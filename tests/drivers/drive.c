/**
 * @file drive.c
 * @brief A driver on a fake chip, told what to do by lines on standard input: test_firmware_drivers.py holds the other end.
 */

#include "AuraEdgeBmi270.h"
#include "AuraEdgeIcm20948.h"
#include "AuraEdgeLsm6dso.h"
#include "AuraEdgeMpu6050.h"
#include "fake_chip.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const AuraEdgeSensorChip *const chips[] = {&auraEdgeMpu6050, &auraEdgeIcm20948, &auraEdgeLsm6dso, &auraEdgeBmi270};

static void PrintState(const AuraEdgeSensor *sensor, AuraEdgeSensorResult result) {
    printf("%d %.9g %.9g %.9g %.9g %.9g %u\n", (int)result, (double)sensor->in_force.rate_hz, (double)sensor->in_force.acc_range_m_s2,
           (double)sensor->in_force.gyro_range_rad_s, (double)sensor->in_force.acc_m_s2_per_count,
           (double)sensor->in_force.gyro_rad_s_per_count, (unsigned)sensor->identity);
}

static AuraEdgeSensorSettings Settings(const char *line, const uint8_t *firmware) {
    AuraEdgeSensorSettings settings = auraEdgeSensorDefaultSettings;
    double rate_hz;
    double acc;
    double gyro;
    unsigned watermark;
    unsigned length;
    if (sscanf(line, "%lf %lf %lf %u %u", &rate_hz, &acc, &gyro, &watermark, &length) == 5) {
        settings.rate_hz = (float)rate_hz;
        settings.acc_range_m_s2 = (float)acc;
        settings.gyro_range_rad_s = (float)gyro;
        settings.watermark = (uint16_t)watermark;
        settings.firmware_length = (uint16_t)length;
        settings.firmware = (length > 0) ? firmware : NULL;
    }
    return settings;
}

static void Read(AuraEdgeSensor *sensor, FakeChip *fake, int capacity) {
    AuraEdgeSensorRow *const rows = calloc((size_t)(capacity > 0 ? capacity : 1), sizeof(*rows)); /* so that the sanitizer sees its end */
    AuraEdgeSensorBatch batch;
    const AuraEdgeSensorResult result = AuraEdgeSensorRead(sensor, fake->now_ns / 1000u, rows, (uint16_t)capacity, &batch);
    int row;
    int channel;
    printf("%d %u %lu %d %llu %lu ", (int)result, (unsigned)batch.count, (unsigned long)batch.lost, batch.overflow ? 1 : 0,
           (unsigned long long)batch.time_us, (unsigned long)batch.interval_ns);
    for (row = 0; row < batch.count; row++) {
        for (channel = 0; channel < 6; channel++) {
            printf("%04x", (unsigned)(uint16_t)rows[row][channel]);
        }
    }
    printf("\n");
    free(rows);
}

int main(int count, char **arguments) {
    const int kind = (count > 1) ? atoi(arguments[1]) : 0;
    static FakeChip fake;
    static uint8_t firmware[8192];
    static AuraEdgeSensor sensor;
    char line[200];
    AuraEdgeBus bus;
    FakeChipPowerOn(&fake, (FakeKind)kind);
    FakeChipFirmware(firmware);
    bus.context = &fake;
    bus.read = FakeChipRead;
    bus.write = FakeChipWrite;
    bus.delay_us = FakeChipDelay;
    bus.longest_transfer = (uint16_t)((count > 2) ? atoi(arguments[2]) : 0);
    if (count > 3) {
        fake.fifo_capacity = (uint32_t)atoi(arguments[3]);
    }
    while (fgets(line, sizeof(line), stdin) != NULL) {
        char word[20] = "";
        int used = 0;
        char *rest;
        long a;
        long b = 0;
        if (sscanf(line, "%19s%n", word, &used) != 1) {
            continue;
        }
        rest = &line[used];
        a = strtol(rest, &rest, 0);
        b = strtol(rest, NULL, 0);
        if (strcmp(word, "init") == 0) {
            const AuraEdgeSensorSettings settings = Settings(&line[used], firmware);
            PrintState(&sensor, AuraEdgeSensorInitialise(&sensor, chips[kind], &bus, &settings));
        } else if (strcmp(word, "set") == 0) {
            const AuraEdgeSensorSettings settings = Settings(&line[used], firmware);
            PrintState(&sensor, AuraEdgeSensorSetSettings(&sensor, &settings));
        } else if (strcmp(word, "restart") == 0) {
            PrintState(&sensor, AuraEdgeSensorRestart(&sensor));
        } else if (strcmp(word, "read") == 0) {
            Read(&sensor, &fake, (int)a);
        } else {
            if (strcmp(word, "wait") == 0) {
                FakeChipWait(&fake, (uint64_t)a * 1000u);
            } else if (strcmp(word, "fail") == 0) {
                fake.fail_in = (uint32_t)a;
                fake.fail_count = (uint32_t)b;
            } else if (strcmp(word, "cut") == 0) {
                fake.fail_after = (uint32_t)a;
            } else if (strcmp(word, "identity") == 0) {
                fake.identity = (uint8_t)a;
            } else if (strcmp(word, "stuck") == 0) {
                fake.stuck = (a != 0);
            } else if (strcmp(word, "swap") == 0) {
                fake.swapped = true;
            } else if (strcmp(word, "half") == 0) {
                fake.half_delay_ns = (uint32_t)a * 1000u;
            } else if (strcmp(word, "speed") == 0) {
                fake.speed = (double)a / 1e6;
            } else if (strcmp(word, "slow") == 0) {
                fake.byte_ns = (uint32_t)a;
            } else if (strcmp(word, "power") == 0) {
                FakeChipPowerCycle(&fake);
            } else if (strcmp(word, "freeze") == 0) {
                fake.frozen = true;
            } else if (strcmp(word, "odd") == 0) {
                FakeChipOddFrames(&fake);
            } else if (strcmp(word, "spoil") == 0) {
                firmware[a] ^= 1u;
            } else if (strcmp(word, "peek") == 0) {
                a = fake.registers[a & 3][b & 0x7F];
            }
            printf("%ld %lu %llu %lu %llu %lu\n", a, (unsigned long)fake.made, (unsigned long long)fake.now_ns,
                   (unsigned long)fake.transactions, (unsigned long long)fake.next_ns, (unsigned long)sensor.bus_errors);
        }
        fflush(stdout);
    }
    return 0;
}
