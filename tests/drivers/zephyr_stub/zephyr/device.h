/* Stand-ins with which main.c of the Zephyr sample is checked for its C; they do nothing. Signatures as documented by Zephyr. */
#ifndef STUB_DEVICE_H
#define STUB_DEVICE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#define CONFIG_BOARD "stub"
#define ARG_UNUSED(argument) (void)(argument)
struct device {
    const char *name;
};
extern const struct device stub_aura_imu;
extern const struct device stub_aura_uart;
#define DT_ALIAS(alias) alias
#define DEVICE_DT_GET(node) STUB_JOIN(node)
#define STUB_JOIN(node) (&stub_##node)
bool device_is_ready(const struct device *device);
#endif
