/**
 * @file registers.h
 * @brief The registers of the MPS2 AN385 that this board uses: UART 0, timer 0, SysTick, and the interrupt controller.
 */

#ifndef REGISTERS_H
#define REGISTERS_H

//------------------------------------------------------------------------------
// Includes

#include <stdint.h>

//------------------------------------------------------------------------------
// Definitions

#define CORE_HZ (25000000u) /* of the core, SysTick, the timers and the UARTs */

/**
 * @brief CMSDK UART: one byte of buffer each way.
 */
typedef struct {
    volatile uint32_t data;
    volatile uint32_t state;
    volatile uint32_t control;
    volatile uint32_t interrupts; // write a bit to clear it
    volatile uint32_t divisor;    // CORE_HZ / baud
} Uart;

#define UART0 ((Uart *) 0x40004000u)
#define UART_STATE_TRANSMIT_FULL (1u << 0)
#define UART_STATE_RECEIVE_FULL (1u << 1)
#define UART_CONTROL_TRANSMIT (1u << 0)
#define UART_CONTROL_RECEIVE (1u << 1)
#define UART_CONTROL_TRANSMIT_INTERRUPT (1u << 2)
#define UART_CONTROL_RECEIVE_INTERRUPT (1u << 3)
#define UART_INTERRUPT_TRANSMIT (1u << 0)
#define UART_INTERRUPT_RECEIVE (1u << 1)
#define UART0_RECEIVE_IRQ (0u)
#define UART0_TRANSMIT_IRQ (1u)

/**
 * @brief CMSDK timer: counts down from `reload`.
 */
typedef struct {
    volatile uint32_t control;
    volatile uint32_t value;
    volatile uint32_t reload;
    volatile uint32_t interrupt;
} Timer;

#define TIMER0 ((Timer *) 0x40000000u)
#define TIMER_CONTROL_ENABLE (1u << 0)

/**
 * @brief SysTick: counts down from `reload`.
 */
typedef struct {
    volatile uint32_t control;
    volatile uint32_t reload;
    volatile uint32_t value;
} SysTick;

#define SYSTICK ((SysTick *) 0xE000E010u)
#define SYSTICK_CONTROL_ENABLE (1u << 0)
#define SYSTICK_CONTROL_INTERRUPT (1u << 1)
#define SYSTICK_CONTROL_CORE_CLOCK (1u << 2)

#define NVIC_ENABLE (*(volatile uint32_t *) 0xE000E100u)

#endif

//------------------------------------------------------------------------------
// End of file
