/**
 * @file startup.c
 * @brief Vector table and what must happen before main(): memory has its contents.
 */

//------------------------------------------------------------------------------
// Includes

#include <stddef.h>
#include <stdint.h>

//------------------------------------------------------------------------------
// Definitions

#define SYSTEM_VECTORS (16u)
#define IRQ_VECTORS (2u) /* of UART 0; no other is enabled */

typedef void (*Handler)(void);

//------------------------------------------------------------------------------
// Function declarations

int main(void);
void Reset(void);
void SysTickHandler(void);
void Uart0ReceiveHandler(void);
void Uart0TransmitHandler(void);
static void Fault(void);

//------------------------------------------------------------------------------
// Variables

// from the linker script
extern uint32_t stack_top[];
extern uint32_t data_source[];
extern uint32_t data_start[];
extern uint32_t data_end[];
extern uint32_t bss_start[];
extern uint32_t bss_end[];

/**
 * @brief First the stack, then a handler for each exception.
 */
typedef struct {
    uint32_t *stack;
    Handler handlers[SYSTEM_VECTORS + IRQ_VECTORS - 1u];
} Vectors;

__attribute__((section(".vectors"), used)) static const Vectors vectors = {
    .stack = stack_top,
    .handlers =
        {
            [0] = Reset,
            [1] = Fault, // non-maskable
            [2] = Fault, // hard fault
            [3] = Fault, // memory
            [4] = Fault, // bus
            [5] = Fault, // usage
            [10] = Fault, // supervisor call
            [11] = Fault, // debug monitor
            [13] = Fault, // pending supervisor call
            [14] = SysTickHandler,
            [15] = Uart0ReceiveHandler,
            [16] = Uart0TransmitHandler,
        },
};

//------------------------------------------------------------------------------
// Functions

/**
 * @brief Starts here.
 */
void Reset(void) {
    const uint32_t *source = data_source;
    uint32_t *to;
    for (to = data_start; to < data_end; to++) {
        *to = *source;
        source++;
    }
    for (to = bss_start; to < bss_end; to++) {
        *to = 0u;
    }
    main();
    Fault(); // main() does not return
}

/**
 * @brief Stays here, for a debugger to see.
 */
static void Fault(void) {
    for (;;) {
    }
}

//------------------------------------------------------------------------------
// End of file
