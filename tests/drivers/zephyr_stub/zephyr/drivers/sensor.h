#ifndef STUB_SENSOR_H
#define STUB_SENSOR_H
#include <zephyr/device.h>
enum sensor_channel { SENSOR_CHAN_ACCEL_XYZ, SENSOR_CHAN_GYRO_XYZ };
enum sensor_attribute { SENSOR_ATTR_SAMPLING_FREQUENCY, SENSOR_ATTR_FULL_SCALE };
enum sensor_trigger_type { SENSOR_TRIG_DATA_READY };
struct sensor_value {
    int32_t val1;
    int32_t val2;
};
struct sensor_trigger {
    enum sensor_trigger_type type;
    enum sensor_channel chan;
};
typedef void (*sensor_trigger_handler_t)(const struct device *device, const struct sensor_trigger *trigger);
int sensor_sample_fetch(const struct device *device);
int sensor_channel_get(const struct device *device, enum sensor_channel channel, struct sensor_value *value);
int sensor_attr_set(const struct device *device, enum sensor_channel channel, enum sensor_attribute attribute,
                    const struct sensor_value *value);
int sensor_trigger_set(const struct device *device, const struct sensor_trigger *trigger, sensor_trigger_handler_t handler);
void sensor_g_to_ms2(int32_t g, struct sensor_value *ms2);
void sensor_degrees_to_rad(int32_t degrees, struct sensor_value *rad);
#endif
