/*
 * AuraEdgeStream: an accelerometer and gyroscope on I2C, streamed to aura-edge. README.md says what to copy and how to wire.
 *
 * Choose your sensor and, if its address pin is high, its address. Then: aura-edge stream --device /dev/ttyUSB0
 */

#include <AuraEdge.h>
#include <AuraEdgeBmi270.h>
#include <AuraEdgeIcm20948.h>
#include <AuraEdgeLsm6dso.h>
#include <AuraEdgeMpu6050.h>
#include <Wire.h>

#define AURA_EDGE_MPU6050 1
#define AURA_EDGE_ICM20948 2
#define AURA_EDGE_LSM6DSO 3
#define AURA_EDGE_BMI270 4

#ifndef AURA_EDGE_CHIP
#define AURA_EDGE_CHIP AURA_EDGE_MPU6050 /* one of the four above */
#endif

#ifndef AURA_EDGE_BAUD
#define AURA_EDGE_BAUD 115200 /* bits/s; USB ports ignore it */
#endif

#if AURA_EDGE_CHIP == AURA_EDGE_MPU6050
#define CHIP auraEdgeMpu6050
#define ADDRESS 0x68
#elif AURA_EDGE_CHIP == AURA_EDGE_ICM20948
#define CHIP auraEdgeIcm20948
#define ADDRESS 0x69 /* as most breakout boards have it */
#elif AURA_EDGE_CHIP == AURA_EDGE_LSM6DSO
#define CHIP auraEdgeLsm6dso
#define ADDRESS 0x6A
#elif AURA_EDGE_CHIP == AURA_EDGE_BMI270
#include "bmi270_config_file.h" /* yours: see README.md */
#define CHIP auraEdgeBmi270
#define ADDRESS 0x68
#else
#error "AURA_EDGE_CHIP is none of the four sensors"
#endif

/* Data bytes in one transfer: what the smallest Wire library holds, less the register's number. */
#if defined(ARDUINO_ARCH_ESP32) || defined(ARDUINO_ARCH_RP2040) || defined(ARDUINO_ARCH_SAMD)
static const uint16_t LONGEST_TRANSFER = 127;
#else
static const uint16_t LONGEST_TRANSFER = 31;
#endif

static const uint16_t MOST_ROWS = 10;        /* in one read */
static const uint32_t RETRY_US = 1000000ul;  /* between attempts to start a sensor that does not answer */

static AuraEdgeClock deviceClock;
static AuraEdgeSensor sensor;
static AuraEdgeBridge bridge;
static AuraEdgeSensorRow rows[MOST_ROWS];
static uint64_t nextRestart_us;

static uint64_t Now() {
    return AuraEdgeClockUpdate(&deviceClock, micros());
}

static bool WireRead(void *, uint8_t firstRegister, uint8_t *data, uint16_t length) {
    Wire.beginTransmission((uint8_t)ADDRESS);
    Wire.write(firstRegister);
    if (Wire.endTransmission(false) != 0) {
        return false;
    }
    if (Wire.requestFrom((uint8_t)ADDRESS, (uint8_t)length) != length) {
        while (Wire.available() > 0) {
            Wire.read();
        }
        return false;
    }
    for (uint16_t index = 0; index < length; index++) {
        data[index] = (uint8_t)Wire.read();
    }
    return true;
}

static bool WireWrite(void *, uint8_t firstRegister, const uint8_t *data, uint16_t length) {
    Wire.beginTransmission((uint8_t)ADDRESS);
    Wire.write(firstRegister);
    Wire.write(data, length);
    return Wire.endTransmission() == 0;
}

static void WaitMicroseconds(void *, uint32_t duration_us) {
    delay(duration_us / 1000ul);
    delayMicroseconds((unsigned int)(duration_us % 1000ul));
}

static void ReadScale(AuraEdgeScale *scale) {
    scale->rate_hz = sensor.in_force.rate_hz;
    scale->acc_m_s2_per_count = sensor.in_force.acc_m_s2_per_count;
    scale->gyro_rad_s_per_count = sensor.in_force.gyro_rad_s_per_count;
    scale->acc_range_m_s2 = sensor.in_force.acc_range_m_s2;
    scale->gyro_range_rad_s = sensor.in_force.gyro_range_rad_s;
}

/* The host wants another rate or range. */
static AuraEdgeAnswer Configure(void *, AuraEdgeCommand command, float value, AuraEdgeScale *scale) {
    const AuraEdgeSensorSettings before = sensor.settings;
    AuraEdgeSensorSettings wanted = before;
    if (command == AuraEdgeCommandRate) {
        wanted.rate_hz = value;
    } else if (command == AuraEdgeCommandAccRange) {
        wanted.acc_range_m_s2 = value;
    } else {
        wanted.gyro_range_rad_s = value;
    }
    const AuraEdgeSensorResult result = AuraEdgeSensorSetSettings(&sensor, &wanted);
    if (result == AuraEdgeSensorOk) {
        ReadScale(scale);
        return AuraEdgeAnswerDone;
    }
    sensor.settings = before; /* what a restart will bring back is what the host was told */
    return (result == AuraEdgeSensorBadSetting) ? AuraEdgeAnswerImpossibleValue : AuraEdgeAnswerSensorFailed;
}

/* A number that differs from start to start: chance where the chip has some, else the noise of an open analog pin. */
static uint32_t BootNumber() {
#if defined(ARDUINO_ARCH_ESP32)
    return esp_random();
#elif defined(ARDUINO_ARCH_RP2040) && !defined(ARDUINO_ARCH_MBED)
    return rp2040.hwrand32();
#else
    uint32_t number = micros();
    for (uint8_t turn = 0; turn < 64; turn++) {
        number = (number ^ (uint32_t)analogRead(A0)) * 2654435761ul;
        number ^= number >> 13;
    }
    return number;
#endif
}

static AuraEdgeSensorResult StartSensor() {
    AuraEdgeSensorSettings settings = auraEdgeSensorDefaultSettings;
    settings.watermark = 5; /* 25 ms */
#if AURA_EDGE_CHIP == AURA_EDGE_BMI270
    settings.firmware = bmi270_config_file;
    settings.firmware_length = sizeof(bmi270_config_file);
#endif
    AuraEdgeBus bus;
    bus.context = NULL;
    bus.read = WireRead;
    bus.write = WireWrite;
    bus.delay_us = WaitMicroseconds;
    bus.longest_transfer = LONGEST_TRANSFER;
    return AuraEdgeSensorInitialise(&sensor, &CHIP, &bus, &settings);
}

void setup() {
    Serial.begin(AURA_EDGE_BAUD);
    Wire.begin();
    Wire.setClock(400000ul);
#ifdef WIRE_HAS_TIMEOUT
    Wire.setWireTimeout(5000, true); /* us: a wire that is held low must not stop the loop */
#endif
    AuraEdgeClockInitialise(&deviceClock, 1000000ul, micros());
    AuraEdgeSensorResult result = StartSensor();
    while (result != AuraEdgeSensorOk) { /* for a person at a terminal; a host passes it over */
        if (Serial.availableForWrite() > 60) {
            Serial.print(F("aura-edge: "));
            Serial.println(AuraEdgeSensorResultText(result));
        }
        delay(RETRY_US / 1000ul);
        result = StartSensor();
    }
    AuraEdgeBridgeSettings settings = auraEdgeBridgeDefaultSettings;
    settings.device_id = "arduino";
    settings.firmware = "AuraEdgeStream 0.1.0";
    settings.sensor = sensor.chip->name;
    settings.boot = BootNumber();
    settings.clock_hz = (float)F_CPU;
    settings.samples_per_message = 10;
    settings.gravity_included = true;
    settings.estimated_time = true;
    settings.configure = Configure;
    ReadScale(&settings.scale);
    AuraEdgeBridgeInitialise(&bridge, &settings);
}

static void ReadSensor(uint64_t now_us) {
    AuraEdgeSensorBatch batch;
    const AuraEdgeSensorResult result = AuraEdgeSensorRead(&sensor, now_us, rows, MOST_ROWS, &batch);
    if (result == AuraEdgeSensorBusError) {
        AuraEdgeBridgeBusError(&bridge, now_us);
    } else if ((result == AuraEdgeSensorStalled) && (now_us >= nextRestart_us)) {
        nextRestart_us = now_us + RETRY_US;
        if (AuraEdgeSensorRestart(&sensor) != AuraEdgeSensorOk) {
            AuraEdgeBridgeBusError(&bridge, now_us);
        }
    }
    if (batch.lost > 0) {
        AuraEdgeBridgeFifoOverflow(&bridge, now_us, batch.lost);
    }
    if (batch.count > 0) {
        AuraEdgeBridgeAddSamples(&bridge, batch.time_us, batch.interval_ns, &rows[0][0], batch.count);
    }
}

void loop() {
    uint8_t bytes[32];
    uint8_t count = 0;
    while ((count < sizeof(bytes)) && (Serial.available() > 0)) {
        bytes[count++] = (uint8_t)Serial.read();
    }
    if (count > 0) {
        AuraEdgeBridgeReceive(&bridge, Now(), bytes, count);
    }
    ReadSensor(Now());
    AuraEdgeBridgeUpdate(&bridge, Now());
    const int room = Serial.availableForWrite(); /* never more than this, so that write() cannot wait */
    if (room > 0) {
        const size_t length = AuraEdgeBridgeTransmit(&bridge, Now(), bytes, ((size_t)room < sizeof(bytes)) ? (size_t)room : sizeof(bytes));
        if (length > 0) {
            Serial.write(bytes, length);
        }
    }
}
