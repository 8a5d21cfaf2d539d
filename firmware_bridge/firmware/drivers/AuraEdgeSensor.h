/**
 * @file AuraEdgeSensor.h
 * @brief Reads an accelerometer and gyroscope through its FIFO, whatever the chip.
 *
 * What the four chips have in common: settings, time stamps, the number of samples lost, recovery from an overflow or a bus
 * error. What differs is behind AuraEdgeSensorChip, one constant for each chip. No allocation, no globals that change, no
 * hardware: the board gives three functions in AuraEdgeBus. Only Initialise, Restart and SetSettings wait, for at most 0.5 s.
 */

#ifndef AURA_EDGE_SENSOR_H
#define AURA_EDGE_SENSOR_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define AURA_EDGE_STANDARD_GRAVITY (9.80665f)          /* m/s2 per g */
#define AURA_EDGE_RADIANS_PER_DEGREE (0.017453292519943f) /* rad per degree */

/** @brief How the board reaches the sensor: I2C, or SPI if the functions add what the chip's SPI needs. */
typedef struct {
    void *context; /* given to each function */
    bool (*read)(void *context, uint8_t first_register, uint8_t *data, uint16_t length);        /* false: no answer */
    bool (*write)(void *context, uint8_t first_register, const uint8_t *data, uint16_t length); /* false: no answer */
    void (*delay_us)(void *context, uint32_t duration_us);
    uint16_t longest_transfer; /* bytes of data that one read or write can carry, at least 14; 0: no limit */
} AuraEdgeBus;

typedef enum {
    AuraEdgeSensorOk = 0,
    AuraEdgeSensorBusError,    /* no answer, or one that cannot be: look at the wires, the address, the pull-ups */
    AuraEdgeSensorWrongChip,   /* something answers, but its identity is not this chip's: see AuraEdgeSensor.identity */
    AuraEdgeSensorNotReady,    /* the chip did not come out of its reset, or did not take its configuration */
    AuraEdgeSensorBadSetting,  /* a rate or range that this chip does not have, or a transfer that is too short */
    AuraEdgeSensorNoFirmware,  /* BMI270: AuraEdgeSensorSettings.firmware is missing or of another length */
    AuraEdgeSensorStalled,     /* the chip answers but makes no samples, as after a loss of power: call Restart */
} AuraEdgeSensorResult;

/** @brief What is wanted. */
typedef struct {
    float rate_hz;          /* the chip's lowest rate at or above it (1 % below will do) */
    float acc_range_m_s2;   /* the chip's smallest range that holds it */
    float gyro_range_rad_s; /* likewise */
    uint16_t watermark;     /* samples that must wait in the FIFO before any is read; 1 to 40 */
    const uint8_t *firmware; /* BMI270 only: its configuration file, as published by Bosch Sensortec in BMI270_SensorAPI */
    uint16_t firmware_length; /* bytes */
} AuraEdgeSensorSettings;

/** @brief 200 Hz, 8 g, 2000 degrees/s, 10 samples. */
extern const AuraEdgeSensorSettings auraEdgeSensorDefaultSettings;

/** @brief What the chip does now: what a HELLO says. */
typedef struct {
    float rate_hz;              /* nominal; where the chip knows its own oscillator's trim, corrected by it */
    float acc_range_m_s2;       /* reading at the end of the scale */
    float gyro_range_rad_s;
    float acc_m_s2_per_count;
    float gyro_rad_s_per_count;
} AuraEdgeSensorInForce;

/** @brief One row: acc x, y, z, gyro x, y, z in the axes of the chip, as its registers had them. */
typedef int16_t AuraEdgeSensorRow[6];

/** @brief What one Read brought. */
typedef struct {
    uint16_t count;       /* rows */
    uint32_t lost;        /* samples that the chip made and nobody read, before the first row; never between rows */
    bool overflow;        /* the FIFO was found full; how many were lost is said together with the next rows */
    uint64_t time_us;     /* of the first row, on the clock of `now_us` */
    uint32_t interval_ns; /* between rows, as measured so far */
} AuraEdgeSensorBatch;

/** @brief One range of one of the two sensors in a chip. */
typedef struct {
    float range;     /* m/s2 or rad/s */
    float per_count; /* m/s2 or rad/s per count */
    uint8_t bits;    /* as the chip's register has them */
} AuraEdgeSensorRange;

struct AuraEdgeSensor;

/** @brief A kind of chip. Only AuraEdgeSensor.c calls these functions; AuraEdgeSensorBus.h helps them. */
typedef struct {
    const char *name;                /* as a HELLO says it */
    const AuraEdgeSensorRange *acc;  /* ascending */
    const AuraEdgeSensorRange *gyro; /* ascending */
    uint8_t acc_count;
    uint8_t gyro_count;
    float (*rate_hz)(float wanted_hz);                                /* in force for what is wanted, 0 for none */
    AuraEdgeSensorResult (*configure)(struct AuraEdgeSensor *sensor); /* all but starting the FIFO */
    bool (*flush)(struct AuraEdgeSensor *sensor);                     /* empties the FIFO and starts it on a sample's border */
    bool (*waiting)(struct AuraEdgeSensor *sensor, uint16_t *samples, bool *overflow);
    bool (*take)(struct AuraEdgeSensor *sensor, AuraEdgeSensorRow *rows, uint16_t count, uint16_t *taken);
    bool (*overrun)(struct AuraEdgeSensor *sensor, bool *overflow); /* asked after a take: did rows get torn meanwhile? */
} AuraEdgeSensorChip;

/** @brief One sensor on one bus. Read `in_force`, `identity` and the counters; the rest is the driver's. */
typedef struct AuraEdgeSensor {
    const AuraEdgeSensorChip *chip;
    AuraEdgeBus bus;
    AuraEdgeSensorSettings settings;
    AuraEdgeSensorInForce in_force;
    uint8_t identity;       /* what the chip said it is */
    uint32_t bus_errors;    /* since Initialise */
    uint32_t overflows;     /* since Initialise */
    const AuraEdgeSensorRange *acc; /* in force */
    const AuraEdgeSensorRange *gyro;
    bool running;           /* configured */
    bool dirty;             /* the FIFO must be emptied before rows can be believed */
    bool timed;             /* newest_ns is known */
    bool hole;              /* how many are missing follows from the time of the next rows */
    bool overwritten;       /* BMI270: the FIFO was full, but kept its newest samples whole */
    uint64_t newest_ns;     /* time of the last sample read or counted as lost */
    uint32_t doubt_ns;      /* it may be off by so much either way */
    uint64_t quiet_since_ns; /* when a new sample was last seen, 0: not yet looked */
    uint16_t left;          /* samples that waited in the FIFO after the last look */
    uint32_t nominal_ns;
    uint32_t interval_ns;
    bool anchored;          /* the interval is being measured: from anchor_ns, since_anchor samples ago */
    int64_t anchor_ns;
    uint32_t since_anchor;
    uint32_t next_lesson;   /* samples */
    uint32_t learned_from;  /* samples: how well interval_ns is known */
    uint32_t since_hole;    /* samples since the start or the last loss */
    uint32_t skipped;       /* BMI270: samples that the chip itself counted as overwritten */
    uint32_t lost;          /* to be told with the next rows */
    uint16_t waiting_bytes; /* BMI270: of the FIFO */
    bool torn;              /* BMI270: frames were overwritten while rows were taken */
    uint8_t half_tag;       /* LSM6DSO: which half of a sample has come, and its time slot */
    int16_t half[6];
} AuraEdgeSensor;

/** @brief Resets and configures the chip, and starts its FIFO. Settings NULL: the defaults. What is in force is in `in_force`. */
AuraEdgeSensorResult AuraEdgeSensorInitialise(AuraEdgeSensor *sensor, const AuraEdgeSensorChip *chip, const AuraEdgeBus *bus,
                                              const AuraEdgeSensorSettings *settings);

/** @brief The same once more, after errors; time and counters go on, so that what was missed is counted as lost. */
AuraEdgeSensorResult AuraEdgeSensorRestart(AuraEdgeSensor *sensor);

/** @brief Another rate or range. A setting that the chip does not have changes nothing. What was in the FIFO counts as lost. */
AuraEdgeSensorResult AuraEdgeSensorSetSettings(AuraEdgeSensor *sensor, const AuraEdgeSensorSettings *settings);

/**
 * @brief Takes what waits in the FIFO, at most `capacity` rows; none while fewer than the watermark wait.
 * @param now_us Microseconds of the board's clock, read just before the call.
 * @return Ok also when there was nothing. After BusError call it again: it finds its way back and counts what was lost.
 */
AuraEdgeSensorResult AuraEdgeSensorRead(AuraEdgeSensor *sensor, uint64_t now_us, AuraEdgeSensorRow *rows, uint16_t capacity,
                                        AuraEdgeSensorBatch *batch);

/** @brief A result in words, for a log or a display. */
const char *AuraEdgeSensorResultText(AuraEdgeSensorResult result);

#ifdef __cplusplus
}
#endif

#endif
