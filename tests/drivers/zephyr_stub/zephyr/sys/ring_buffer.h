#ifndef STUB_RING_BUFFER_H
#define STUB_RING_BUFFER_H
#include <stdint.h>
struct ring_buf {
    uint32_t size;
};
#define RING_BUF_DECLARE(name, size) static struct ring_buf name = {size}
uint32_t ring_buf_put(struct ring_buf *ring, const uint8_t *data, uint32_t size);
uint32_t ring_buf_get(struct ring_buf *ring, uint8_t *data, uint32_t size);
uint32_t ring_buf_put_claim(struct ring_buf *ring, uint8_t **data, uint32_t size);
int ring_buf_put_finish(struct ring_buf *ring, uint32_t size);
uint32_t ring_buf_get_claim(struct ring_buf *ring, uint8_t **data, uint32_t size);
int ring_buf_get_finish(struct ring_buf *ring, uint32_t size);
#endif
