#ifndef STUB_KERNEL_H
#define STUB_KERNEL_H
#include <zephyr/device.h>
typedef struct {
    int64_t ticks;
} k_timeout_t;
typedef long atomic_t;
typedef long atomic_val_t;
struct k_msgq {
    size_t size;
};
#define K_MSGQ_DEFINE(name, size, most, alignment) static struct k_msgq name = {(size) * (most) + (alignment)}
#define K_NO_WAIT ((k_timeout_t){0})
#define K_MSEC(ms) ((k_timeout_t){ms})
#define K_SECONDS(s) ((k_timeout_t){s})
int k_msgq_put(struct k_msgq *queue, const void *data, k_timeout_t timeout);
int k_msgq_get(struct k_msgq *queue, void *data, k_timeout_t timeout);
int32_t k_sleep(k_timeout_t timeout);
int64_t k_uptime_ticks(void);
uint64_t k_ticks_to_us_floor64(uint64_t ticks);
int sys_clock_hw_cycles_per_sec(void);
atomic_val_t atomic_inc(atomic_t *target);
atomic_val_t atomic_set(atomic_t *target, atomic_val_t value);
#endif
