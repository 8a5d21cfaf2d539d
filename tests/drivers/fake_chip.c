/**
 * @file fake_chip.c
 * @brief See fake_chip.h. Written from the data sheets, apart from the drivers, so that both would have to err alike.
 */

#include "fake_chip.h"
#include <string.h>

void FakeChipRow(uint32_t sample, int16_t row[6]) {
    uint32_t mixed = sample * 2654435761u;
    int channel;
    row[0] = (int16_t)(uint16_t)sample;
    row[1] = (int16_t)(uint16_t)(sample >> 16);
    for (channel = 2; channel < 6; channel++) {
        mixed ^= mixed >> 15;
        mixed *= 2246822519u;
        row[channel] = (int16_t)(uint16_t)(mixed >> 8);
    }
}

void FakeChipFirmware(uint8_t firmware[8192]) {
    uint32_t index;
    for (index = 0; index < 8192u; index++) {
        firmware[index] = (uint8_t)((index * 31u) ^ (index >> 8));
    }
}

/* What a chip does when its power comes or it is reset: data sheets, columns "reset value". */
static void Reset(FakeChip *chip) {
    memset(chip->registers, 0, sizeof(chip->registers));
    chip->bank = 0;
    chip->fifo_length = 0;
    chip->overflow = false;
    chip->skipped = 0;
    chip->next_ns = 0;
    chip->half_ns = 0;
    chip->frozen = false;
    switch (chip->kind) {
        case FakeMpu6050:
            chip->registers[0][0x6B] = 0x40; /* asleep */
            break;
        case FakeIcm20948:
            chip->registers[0][0x06] = 0x41; /* asleep */
            chip->registers[2][0x01] = 0x01;
            chip->registers[2][0x14] = 0x01;
            break;
        case FakeLsm6dso:
            chip->registers[0][0x12] = 0x04; /* addresses advance */
            chip->registers[0][0x18] = 0xE0;
            chip->registers[0][0x63] = 7; /* +1.05 % */
            break;
        case FakeBmi270:
            chip->registers[0][0x40] = 0xA8;
            chip->registers[0][0x41] = 0x02;
            chip->registers[0][0x42] = 0xA9;
            chip->registers[0][0x48] = 0x02;
            chip->registers[0][0x49] = 0x10;
            chip->registers[0][0x7C] = 0x03; /* saves power: takes no firmware */
            memset(chip->firmware, 0, sizeof(chip->firmware));
            break;
    }
}

void FakeChipPowerOn(FakeChip *chip, FakeKind kind) {
    static const uint8_t identities[] = {0x68, 0xEA, 0x6C, 0x24};
    static const uint32_t capacities[] = {1024, 512, 512 * 7, 2048};
    memset(chip, 0, sizeof(*chip));
    chip->kind = kind;
    chip->now_ns = 1000000000u;
    chip->byte_ns = 22500u;
    chip->speed = 1.0;
    chip->half_delay_ns = 30000u;
    chip->identity = identities[kind];
    chip->fifo_capacity = capacities[kind];
    Reset(chip);
}

void FakeChipPowerCycle(FakeChip *chip) {
    Reset(chip);
}

/* Nominal rate in force, 0 while the sensors are off or do not agree. */
static double RateHz(const FakeChip *chip) {
    const uint8_t *const bank0 = chip->registers[0];
    const uint8_t *const bank2 = chip->registers[2];
    if (chip->frozen) {
        return 0.0;
    }
    switch (chip->kind) {
        case FakeMpu6050: {
            const uint8_t filter = bank0[0x1A] & 0x07;
            if ((bank0[0x6B] & 0xC0) || (bank0[0x6C] & 0x3F)) {
                return 0.0;
            }
            return (((filter == 0) || (filter == 7)) ? 8000.0 : 1000.0) / (1.0 + bank0[0x19]);
        }
        case FakeIcm20948:
            if ((bank0[0x06] & 0xC0) || (bank0[0x07] & 0x3F) || !(bank2[0x01] & 1) || !(bank2[0x14] & 1) ||
                (bank2[0x00] != bank2[0x11]) || (bank2[0x10] & 0x0F)) {
                return 0.0;
            }
            return 1125.0 / (1.0 + bank2[0x00]);
        case FakeLsm6dso: {
            const int acc = bank0[0x10] >> 4;
            const int gyro = bank0[0x11] >> 4;
            if ((acc != gyro) || (acc == 0) || (acc > 10) || (bank0[0x09] != ((gyro << 4) | acc))) {
                return 0.0;
            }
            return 6667.0 * (1.0 + 0.0015 * (int8_t)bank0[0x63]) / (double)(1 << (10 - acc));
        }
        case FakeBmi270: {
            const int acc = bank0[0x40] & 0x0F;
            if (((bank0[0x7D] & 0x06) != 0x06) || (bank0[0x21] != 1) || (acc != (bank0[0x42] & 0x0F)) || (acc < 1) || (acc > 12)) {
                return 0.0;
            }
            return 25.0 * (double)(1 << acc) / 64.0;
        }
    }
    return 0.0;
}

static void Drop(FakeChip *chip, uint32_t bytes) {
    chip->fifo_length -= bytes;
    memmove(chip->fifo, &chip->fifo[bytes], chip->fifo_length);
}

static void Push(FakeChip *chip, const uint8_t *data, uint32_t length) {
    if (chip->kind == FakeBmi270) { /* whole frames go */
        while (chip->fifo_length + length > chip->fifo_capacity) {
            Drop(chip, (chip->fifo[0] == 0x8C) ? 13u : (chip->fifo[0] == 0x48) ? 5u : 7u);
            chip->skipped++;
            chip->overflow = true;
        }
    } else if (chip->fifo_length + length > chip->fifo_capacity) { /* the oldest bytes go, or the oldest word */
        Drop(chip, chip->fifo_length + length - chip->fifo_capacity);
        chip->overflow = true;
    }
    memcpy(&chip->fifo[chip->fifo_length], data, length);
    chip->fifo_length += length;
}

static void PushWord(FakeChip *chip, uint32_t sample, bool gyro) {
    int16_t row[6];
    uint8_t word[7];
    uint8_t bits;
    int index;
    if ((chip->registers[0][0x0A] & 0x07) != 6) {
        return;
    }
    FakeChipRow(sample, row);
    word[0] = (uint8_t)(((gyro ? 1u : 2u) << 3) | ((sample & 3u) << 1));
    for (bits = word[0], index = 0; bits != 0; bits &= (uint8_t)(bits - 1)) {
        index++;
    }
    word[0] |= (uint8_t)(index & 1); /* parity */
    for (index = 0; index < 3; index++) {
        const uint16_t value = (uint16_t)row[(gyro ? 3 : 0) + index];
        word[1 + 2 * index] = (uint8_t)value;
        word[2 + 2 * index] = (uint8_t)(value >> 8);
    }
    Push(chip, word, 7);
}

static void BigEndian(const int16_t *values, uint8_t *bytes) {
    int index;
    for (index = 0; index < 3; index++) {
        bytes[2 * index] = (uint8_t)((uint16_t)values[index] >> 8);
        bytes[2 * index + 1] = (uint8_t)values[index];
    }
}

/* One sample of an MPU or ICM: what FIFO_EN asks for, in the order of the data registers. */
static void PushRegisters(FakeChip *chip, uint32_t sample, bool acc, bool gyro) {
    int16_t row[6];
    uint8_t bytes[12];
    uint32_t length = 0;
    FakeChipRow(sample, row);
    if (acc) {
        BigEndian(&row[0], &bytes[length]);
        length += 6;
    }
    if (gyro) {
        BigEndian(&row[3], &bytes[length]);
        length += 6;
    }
    Push(chip, bytes, length);
}

static void PushFrame(FakeChip *chip, uint32_t sample) {
    int16_t row[6];
    uint8_t frame[13];
    int channel;
    FakeChipRow(sample, row);
    frame[0] = 0x8C;
    for (channel = 0; channel < 6; channel++) {
        const uint16_t value = (uint16_t)row[(channel + 3) % 6];
        frame[1 + 2 * channel] = (uint8_t)value;
        frame[2 + 2 * channel] = (uint8_t)(value >> 8);
    }
    Push(chip, frame, 13);
}

static void MakeSample(FakeChip *chip) {
    const uint8_t *const registers = chip->registers[0];
    const uint32_t sample = chip->made++;
    switch (chip->kind) {
        case FakeMpu6050:
            if (registers[0x6A] & 0x40) {
                PushRegisters(chip, sample, (registers[0x23] & 0x08) != 0, (registers[0x23] & 0x70) == 0x70);
            }
            break;
        case FakeIcm20948:
            if ((registers[0x03] & 0x40) && !(registers[0x68] & 0x1F)) {
                PushRegisters(chip, sample, (registers[0x67] & 0x10) != 0, (registers[0x67] & 0x0E) == 0x0E);
            }
            break;
        case FakeLsm6dso:
            PushWord(chip, sample, !chip->swapped);
            chip->half_ns = chip->next_ns + chip->half_delay_ns;
            break;
        case FakeBmi270:
            if ((registers[0x49] & 0xD0) == 0xD0) {
                PushFrame(chip, sample);
            }
            break;
    }
}

void FakeChipWait(FakeChip *chip, uint64_t duration_ns) {
    chip->now_ns += duration_ns;
    for (;;) {
        const double rate_hz = RateHz(chip);
        const bool half = (chip->half_ns != 0) && (chip->half_ns <= chip->now_ns);
        if (half && ((chip->next_ns == 0) || (chip->half_ns <= chip->next_ns))) {
            chip->half_ns = 0;
            PushWord(chip, chip->made - 1, chip->swapped);
            continue;
        }
        if (rate_hz <= 0.0) {
            chip->next_ns = 0;
            return;
        }
        if (chip->next_ns == 0) {
            chip->next_fraction_ns = (double)chip->now_ns + 1e9 / (rate_hz * chip->speed);
            chip->next_ns = (uint64_t)chip->next_fraction_ns;
        }
        if (chip->next_ns > chip->now_ns) {
            return;
        }
        MakeSample(chip);
        chip->next_fraction_ns += 1e9 / (rate_hz * chip->speed);
        chip->next_ns = (uint64_t)chip->next_fraction_ns;
    }
}

void FakeChipOddFrames(FakeChip *chip) {
    static const uint8_t settings[5] = {0x48, 1, 2, 3, 4};
    static const uint8_t lone[7] = {0x84, 1, 2, 3, 4, 5, 6};
    Push(chip, settings, sizeof(settings));
    Push(chip, lone, sizeof(lone));
}

/* Time of the bytes, and whether the chip answers. */
static bool Begin(FakeChip *chip, uint32_t bytes) {
    chip->transactions++;
    FakeChipWait(chip, (uint64_t)bytes * chip->byte_ns);
    if (chip->fail_in > 0) {
        chip->fail_in--;
        if (chip->fail_in == 0) {
            if (chip->fail_count > 1) {
                chip->fail_count--;
                chip->fail_in = 1;
            }
            return false;
        }
    }
    return true;
}

static uint8_t ReadStatus(FakeChip *chip, uint8_t clear, uint8_t bit) {
    const uint8_t value = chip->overflow ? bit : 0;
    if (clear) {
        chip->overflow = false;
    }
    return value;
}

static uint8_t ReadOne(FakeChip *chip, uint8_t address) {
    const uint8_t value = chip->registers[chip->bank][address & 0x7F];
    const bool resetting = (chip->now_ns < chip->ready_ns) || chip->stuck;
    uint32_t length = chip->fifo_length;
    switch (chip->kind) {
        case FakeMpu6050:
        case FakeIcm20948: {
            const bool mpu = chip->kind == FakeMpu6050;
            if (!mpu && (chip->bank != 0)) {
                return value;
            }
            if (address == (mpu ? 0x75 : 0x00)) {
                return chip->identity;
            }
            if (address == (mpu ? 0x6B : 0x06)) {
                return (uint8_t)(value | (resetting ? 0x80 : 0));
            }
            if (address == (mpu ? 0x3A : 0x1B)) {
                return ReadStatus(chip, 1, mpu ? 0x10 : 0x01);
            }
            if (address == (mpu ? 0x72 : 0x70)) {
                return (uint8_t)(length >> 8);
            }
            if (address == (mpu ? 0x73 : 0x71)) {
                return (uint8_t)length;
            }
            return value;
        }
        case FakeLsm6dso:
            length /= 7;
            if (address == 0x0F) {
                return chip->identity;
            }
            if (address == 0x12) {
                return (uint8_t)(value | (resetting ? 0x01 : 0));
            }
            if (address == 0x3A) {
                return (uint8_t)length;
            }
            if (address == 0x3B) {
                const uint32_t watermark = chip->registers[0][0x07] | ((chip->registers[0][0x08] & 1u) << 8);
                const uint8_t full = (length == 512) ? 0x20 : 0;
                return (uint8_t)((length >> 8) | full | ((length >= watermark) ? 0x80 : 0) | ReadStatus(chip, 1, 0x48));
            }
            return value;
        case FakeBmi270:
            length += chip->skipped ? 2 : 0;
            if (address == 0x00) {
                return chip->identity;
            }
            if (address == 0x21) {
                return resetting ? 0 : value;
            }
            if (address == 0x24) {
                return (uint8_t)length;
            }
            if (address == 0x25) {
                return (uint8_t)(length >> 8);
            }
            return value;
    }
    return 0;
}

/* FIFO bytes of an MPU or ICM go as they are read. */
static uint8_t PopByte(FakeChip *chip) {
    uint8_t value = 0xFF;
    if (chip->fifo_length > 0) {
        value = chip->fifo[0];
        Drop(chip, 1);
    }
    return value;
}

/* BMI270: frames that were read whole go; one read in part stays. */
static void ReadFrames(FakeChip *chip, uint8_t *data, uint16_t length) {
    uint32_t done = 0;
    while (done < length) {
        uint8_t frame[13];
        uint32_t size;
        uint32_t part;
        FakeChipWait(chip, 0);
        if (chip->skipped > 0) {
            frame[0] = 0x40;
            frame[1] = (uint8_t)((chip->skipped > 255) ? 255 : chip->skipped);
            size = 2;
        } else if (chip->fifo_length > 0) {
            size = (chip->fifo[0] == 0x8C) ? 13 : (chip->fifo[0] == 0x48) ? 5 : 7;
            memcpy(frame, chip->fifo, size);
        } else {
            frame[0] = 0x80;
            frame[1] = 0x00;
            size = 2;
        }
        part = (size < length - done) ? size : (length - done);
        memcpy(&data[done], frame, part);
        done += part;
        if (part < size) {
            return;
        }
        if (frame[0] == 0x40) {
            chip->skipped = 0;
        } else if (frame[0] != 0x80) {
            Drop(chip, size);
        }
    }
}

bool FakeChipRead(void *context, uint8_t first_register, uint8_t *data, uint16_t length) {
    FakeChip *const chip = (FakeChip *)context;
    const uint8_t fifo_register = (chip->kind == FakeMpu6050) ? 0x74 : 0x72;
    uint8_t address = first_register;
    uint32_t index;
    if (!Begin(chip, 3)) {
        for (index = 0; (index < length) && (index < chip->fail_after); index++) { /* what went over the wire before */
            if ((chip->kind <= FakeIcm20948) && (first_register == fifo_register)) {
                (void)PopByte(chip);
            }
        }
        return false;
    }
    if ((chip->kind == FakeBmi270) && (first_register == 0x26)) {
        ReadFrames(chip, data, length);
        FakeChipWait(chip, (uint64_t)length * chip->byte_ns);
        return true;
    }
    for (index = 0; index < length; index++) {
        FakeChipWait(chip, chip->byte_ns);
        if ((chip->kind <= FakeIcm20948) && (chip->bank == 0) && (address == fifo_register)) {
            data[index] = PopByte(chip); /* the address stays */
            continue;
        }
        if ((chip->kind == FakeLsm6dso) && (address >= 0x78) && (address <= 0x7E)) {
            data[index] = (chip->fifo_length >= 7) ? chip->fifo[address - 0x78] : 0;
            if (address == 0x7E) {
                if (chip->fifo_length >= 7) {
                    Drop(chip, 7);
                }
                address = 0x78;
                continue;
            }
        } else {
            data[index] = ReadOne(chip, address);
        }
        if ((chip->kind != FakeLsm6dso) || (chip->registers[0][0x12] & 0x04)) {
            address++;
        }
    }
    return true;
}

static void WriteInvenSense(FakeChip *chip, uint8_t address, uint8_t value) {
    const bool mpu = chip->kind == FakeMpu6050;
    if (!mpu && (address == 0x7F)) {
        chip->bank = (value >> 4) & 3;
        return;
    }
    if ((mpu || chip->bank == 0) && (address == (mpu ? 0x6B : 0x06)) && (value & 0x80)) {
        Reset(chip);
        chip->ready_ns = chip->now_ns + 50000000u;
        return;
    }
    if (chip->now_ns < chip->ready_ns) {
        return; /* still in its reset */
    }
    chip->registers[chip->bank][address] = value;
    if (mpu && (address == 0x6A)) {
        if ((value & 0x04) && !(value & 0x40)) {
            chip->fifo_length = 0;
        }
        chip->registers[0][0x6A] = (uint8_t)(value & ~0x04);
    }
    if (!mpu && (chip->bank == 0) && (address == 0x68) && (value & 0x1F)) {
        chip->fifo_length = 0;
    }
}

static void WriteLsm6dso(FakeChip *chip, uint8_t address, uint8_t value) {
    if ((address == 0x12) && (value & 0x01)) {
        Reset(chip);
        chip->ready_ns = chip->now_ns + 50000u;
        return;
    }
    if (chip->now_ns < chip->ready_ns) {
        return;
    }
    chip->registers[0][address] = value;
    if ((address == 0x0A) && ((value & 0x07) == 0)) {
        chip->fifo_length = 0;
    }
}

static void WriteBmi270(FakeChip *chip, uint8_t address, uint8_t value) {
    if (address == 0x7E) {
        if (value == 0xB6) {
            Reset(chip);
            chip->ready_ns = chip->now_ns + 2000000u;
        } else if (value == 0xB0) {
            chip->fifo_length = 0;
            chip->skipped = 0;
        }
        return;
    }
    if (chip->now_ns < chip->ready_ns) {
        return;
    }
    chip->registers[0][address] = value;
    if ((address == 0x59) && (value & 1)) {
        uint8_t right[8192];
        FakeChipFirmware(right);
        chip->registers[0][0x21] = (memcmp(right, chip->firmware, sizeof(right)) == 0) ? 1 : 2;
        chip->ready_ns = chip->now_ns + 15000000u;
    }
}

static void LoadFirmware(FakeChip *chip, const uint8_t *data, uint16_t length) {
    const uint32_t start = 2u * ((chip->registers[0][0x5B] & 0x0Fu) | ((uint32_t)chip->registers[0][0x5C] << 4));
    const bool open = ((chip->registers[0][0x7C] & 1) == 0) && ((chip->registers[0][0x59] & 1) == 0);
    uint32_t index;
    for (index = 0; open && (index < length) && (start + index < sizeof(chip->firmware)); index++) {
        chip->firmware[start + index] = data[index];
    }
}

bool FakeChipWrite(void *context, uint8_t first_register, const uint8_t *data, uint16_t length) {
    FakeChip *const chip = (FakeChip *)context;
    uint32_t index;
    if (!Begin(chip, 2u + length)) {
        return false;
    }
    if ((chip->kind == FakeBmi270) && (first_register == 0x5E)) {
        LoadFirmware(chip, data, length);
        return true;
    }
    for (index = 0; index < length; index++) {
        const uint8_t address = (uint8_t)(first_register + index);
        switch (chip->kind) {
            case FakeMpu6050:
            case FakeIcm20948:
                WriteInvenSense(chip, address, data[index]);
                break;
            case FakeLsm6dso:
                WriteLsm6dso(chip, address, data[index]);
                break;
            case FakeBmi270:
                WriteBmi270(chip, address, data[index]);
                break;
        }
    }
    FakeChipWait(chip, 0);
    return true;
}

void FakeChipDelay(void *context, uint32_t duration_us) {
    FakeChipWait((FakeChip *)context, (uint64_t)duration_us * 1000u);
}
