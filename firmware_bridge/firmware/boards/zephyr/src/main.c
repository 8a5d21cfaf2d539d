/**
 * @file main.c
 * @brief Streams any accelerometer and gyroscope that Zephyr's sensor API knows, one sample for each "data ready".
 *
 * The driver's thread puts samples into a queue; this file's main loop gives them to the core and the core's bytes to the UART,
 * whose interrupt takes them from a ring. Nothing waits for the UART. Zephyr gives values in m/s2 and rad/s: they are sent as
 * counts of a scale that holds 16 g and 2000 degrees/s, so that the registers of the chip are matched to about half a count.
 */

#include "AuraEdge.h"
#include <zephyr/device.h>
#include <zephyr/drivers/sensor.h>
#include <zephyr/drivers/uart.h>
#include <zephyr/kernel.h>
#include <zephyr/random/random.h>
#include <zephyr/sys/ring_buffer.h>

#define RATE_HZ (208) /* one that the sensor has: the LSM6DSO's next to 200 */
#define ACC_RANGE_G (16)
#define GYRO_RANGE_DEGREES_S (2000)
#define MICRO_PER_COUNT_ACC (4788)   /* 16 g over 32768 counts is 4788.4 um/s2 */
#define MICRO_PER_COUNT_GYRO (1066)  /* 2000 degrees/s over 32768 counts is 1065.3 urad/s */
#define QUEUE_SAMPLES (40)           /* 0.2 s */

struct sample {
    uint64_t time_us;
    uint32_t lost; /* samples that found the queue full, before this one */
    int16_t raw[AURA_EDGE_CHANNELS];
};

K_MSGQ_DEFINE(samples, sizeof(struct sample), QUEUE_SAMPLES, 8);
RING_BUF_DECLARE(received, 128);
RING_BUF_DECLARE(transmitted, 512);

static const struct device *const imu = DEVICE_DT_GET(DT_ALIAS(aura_imu));
static const struct device *const uart = DEVICE_DT_GET(DT_ALIAS(aura_uart));
static AuraEdgeBridge bridge;
static atomic_t failures; /* reads of the sensor that failed and were not told yet */

static uint64_t Now(void) {
    return k_ticks_to_us_floor64((uint64_t)k_uptime_ticks());
}

static int16_t Counts(const struct sensor_value *value, int64_t micro_per_count) {
    const int64_t micro = ((int64_t)value->val1 * 1000000) + value->val2;
    const int64_t half = (micro < 0) ? -(micro_per_count / 2) : (micro_per_count / 2);
    const int64_t counts = (micro + half) / micro_per_count;
    if (counts > INT16_MAX) {
        return INT16_MAX;
    }
    return (counts < INT16_MIN) ? INT16_MIN : (int16_t)counts;
}

/* In the driver's thread, once for each sample. */
static void DataReady(const struct device *device, const struct sensor_trigger *trigger) {
    static uint32_t lost;
    struct sensor_value acc[3];
    struct sensor_value gyro[3];
    struct sample sample;
    int axis;
    ARG_UNUSED(trigger);
    sample.time_us = Now();
    if ((sensor_sample_fetch(device) != 0) || (sensor_channel_get(device, SENSOR_CHAN_ACCEL_XYZ, acc) != 0) ||
        (sensor_channel_get(device, SENSOR_CHAN_GYRO_XYZ, gyro) != 0)) {
        atomic_inc(&failures);
        lost++;
        return;
    }
    for (axis = 0; axis < 3; axis++) {
        sample.raw[axis] = Counts(&acc[axis], MICRO_PER_COUNT_ACC);
        sample.raw[axis + 3] = Counts(&gyro[axis], MICRO_PER_COUNT_GYRO);
    }
    sample.lost = lost;
    lost = (k_msgq_put(&samples, &sample, K_NO_WAIT) == 0) ? 0u : (lost + 1u);
}

static void UartEvent(const struct device *device, void *context) {
    uint8_t bytes[16];
    uint8_t *from;
    ARG_UNUSED(context);
    while (uart_irq_update(device) && uart_irq_is_pending(device)) {
        if (uart_irq_rx_ready(device)) {
            const int length = uart_fifo_read(device, bytes, sizeof(bytes));
            if (length > 0) {
                (void)ring_buf_put(&received, bytes, (uint32_t)length);
            }
        }
        if (uart_irq_tx_ready(device)) {
            const uint32_t length = ring_buf_get_claim(&transmitted, &from, 64u);
            const int taken = (length > 0u) ? uart_fifo_fill(device, from, (int)length) : 0;
            (void)ring_buf_get_finish(&transmitted, (taken > 0) ? (uint32_t)taken : 0u);
            if (length == 0u) {
                uart_irq_tx_disable(device);
            }
        }
    }
}

static bool StartSensor(void) {
    static const struct sensor_trigger trigger = {.type = SENSOR_TRIG_DATA_READY, .chan = SENSOR_CHAN_ACCEL_XYZ};
    struct sensor_value rate = {.val1 = RATE_HZ, .val2 = 0};
    struct sensor_value range;
    if (!device_is_ready(imu)) {
        return false;
    }
    /* A driver that cannot change one of these at run time takes it from the devicetree: not an error. */
    (void)sensor_attr_set(imu, SENSOR_CHAN_ACCEL_XYZ, SENSOR_ATTR_SAMPLING_FREQUENCY, &rate);
    (void)sensor_attr_set(imu, SENSOR_CHAN_GYRO_XYZ, SENSOR_ATTR_SAMPLING_FREQUENCY, &rate);
    sensor_g_to_ms2(ACC_RANGE_G, &range);
    (void)sensor_attr_set(imu, SENSOR_CHAN_ACCEL_XYZ, SENSOR_ATTR_FULL_SCALE, &range);
    sensor_degrees_to_rad(GYRO_RANGE_DEGREES_S, &range);
    (void)sensor_attr_set(imu, SENSOR_CHAN_GYRO_XYZ, SENSOR_ATTR_FULL_SCALE, &range);
    return sensor_trigger_set(imu, &trigger, DataReady) == 0;
}

static void StartBridge(void) {
    AuraEdgeBridgeSettings settings = auraEdgeBridgeDefaultSettings;
    settings.device_id = CONFIG_BOARD;
    settings.firmware = "aura-edge zephyr 0.1.0";
    settings.sensor = imu->name;
    settings.boot = sys_rand32_get();
    settings.clock_hz = (float)sys_clock_hw_cycles_per_sec();
    settings.scale.rate_hz = (float)RATE_HZ;
    settings.scale.acc_m_s2_per_count = (float)MICRO_PER_COUNT_ACC * 1e-6f;
    settings.scale.gyro_rad_s_per_count = (float)MICRO_PER_COUNT_GYRO * 1e-6f;
    settings.scale.acc_range_m_s2 = (float)ACC_RANGE_G * 9.80665f;
    settings.scale.gyro_range_rad_s = (float)GYRO_RANGE_DEGREES_S * 0.0174532925f;
    settings.gravity_included = true;
    settings.estimated_time = false; /* taken at the sensor's interrupt */
    AuraEdgeBridgeInitialise(&bridge, &settings);
}

static void Transmit(void) {
    uint8_t *to;
    const uint32_t space = ring_buf_put_claim(&transmitted, &to, 256u);
    const size_t length = (space > 0u) ? AuraEdgeBridgeTransmit(&bridge, Now(), to, space) : 0u;
    (void)ring_buf_put_finish(&transmitted, (uint32_t)length);
    if (length > 0u) {
        uart_irq_tx_enable(uart);
    }
}

int main(void) {
    struct sample sample;
    uint8_t bytes[32];
    uint32_t length;
    if (!device_is_ready(uart) || (uart_irq_callback_user_data_set(uart, UartEvent, NULL) != 0)) {
        return 0;
    }
    while (!StartSensor()) {
        k_sleep(K_SECONDS(1));
    }
    StartBridge();
    uart_irq_rx_enable(uart);
    for (;;) {
        if (k_msgq_get(&samples, &sample, K_MSEC(5)) == 0) {
            if (sample.lost > 0u) {
                AuraEdgeBridgeFifoOverflow(&bridge, sample.time_us, sample.lost);
            }
            AuraEdgeBridgeAddSample(&bridge, sample.time_us, sample.raw);
        }
        if (atomic_set(&failures, 0) != 0) {
            AuraEdgeBridgeBusError(&bridge, Now());
        }
        length = ring_buf_get(&received, bytes, sizeof(bytes));
        if (length > 0u) {
            AuraEdgeBridgeReceive(&bridge, Now(), bytes, length);
        }
        AuraEdgeBridgeUpdate(&bridge, Now());
        Transmit();
    }
}
