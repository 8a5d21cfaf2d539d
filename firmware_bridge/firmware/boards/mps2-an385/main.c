/**
 * @file main.c
 * @brief A board that plays a recorded motion at 200 Hz over UART 0, for runs in an emulator and for a first look at a host.
 *
 * SysTick ends the sleep of the main loop 200 times a second, timer 0 is the device clock, and interrupts carry bytes between UART 0
 * and two queues. A board with a sensor differs in TakeSamples and Configure only.
 */

//------------------------------------------------------------------------------
// Includes

#include "AuraEdge.h"
#include "motion.h"
#include "registers.h"

//------------------------------------------------------------------------------
// Definitions

#define RATE_HZ (200u)
#define PERIOD_US (1000000u / RATE_HZ)
#define BAUD (115200u)
#define CHUNK_BYTES (32u)

//------------------------------------------------------------------------------
// Variables

static AuraEdgeBridge bridge;
static AuraEdgeClock deviceClock;
static AuraEdgeByteQueue received;
static AuraEdgeByteQueue transmitting;
static volatile bool ticked; // SysTick came since the main loop looked
static uint64_t newestUs;    // when the imagined sensor made its newest sample, device clock
static uint32_t position;    // of the next one, in the motion

//------------------------------------------------------------------------------
// Function declarations

void SysTickHandler(void);
void Uart0ReceiveHandler(void);
void Uart0TransmitHandler(void);
static uint64_t NowUs(void);
static AuraEdgeAnswer Configure(void *context, AuraEdgeCommand command, float value, AuraEdgeScale *scale);
static void TakeSamples(const uint64_t now_us);
static void TakeBytes(const uint64_t now_us);
static void GiveBytes(const uint64_t now_us);

//------------------------------------------------------------------------------
// Functions

/**
 * @brief Runs the board.
 */
int main(void) {
    AuraEdgeBridgeSettings settings = auraEdgeBridgeDefaultSettings;
    settings.device_id = "mps2-an385";
    settings.firmware = "aura-edge mps2-an385";
    settings.sensor = "recorded motion";
    settings.clock_hz = (float) CORE_HZ;
    settings.scale = motionScale;
    settings.configure = Configure;
    AuraEdgeBridgeInitialise(&bridge, &settings);
    AuraEdgeByteQueueInitialise(&received);
    AuraEdgeByteQueueInitialise(&transmitting);

    TIMER0->reload = 0xFFFFFFFFu;
    TIMER0->value = 0xFFFFFFFFu;
    TIMER0->control = TIMER_CONTROL_ENABLE;
    AuraEdgeClockInitialise(&deviceClock, CORE_HZ, ~TIMER0->value);

    UART0->divisor = CORE_HZ / BAUD;
    UART0->control = UART_CONTROL_TRANSMIT | UART_CONTROL_RECEIVE | UART_CONTROL_TRANSMIT_INTERRUPT |
                     UART_CONTROL_RECEIVE_INTERRUPT;
    NVIC_ENABLE = (1u << UART0_RECEIVE_IRQ) | (1u << UART0_TRANSMIT_IRQ);

    SYSTICK->reload = CORE_HZ / RATE_HZ - 1u;
    SYSTICK->value = 0u;
    newestUs = NowUs();
    SYSTICK->control = SYSTICK_CONTROL_ENABLE | SYSTICK_CONTROL_INTERRUPT | SYSTICK_CONTROL_CORE_CLOCK;

    for (;;) {
        uint64_t now_us;
        ticked = false;
        now_us = NowUs();
        TakeBytes(now_us);
        TakeSamples(now_us);
        AuraEdgeBridgeUpdate(&bridge, now_us);
        GiveBytes(NowUs());
        // with interrupts held back, one that comes after the question still ends the sleep
        __asm volatile("cpsid i" ::: "memory");
        if (!ticked && received.put == received.taken) {
            __asm volatile("wfi" ::: "memory");
        }
        __asm volatile("cpsie i" ::: "memory");
    }
}

/**
 * @brief It is time for the next sample.
 */
void SysTickHandler(void) {
    ticked = true;
}

/**
 * @brief A byte came.
 */
void Uart0ReceiveHandler(void) {
    UART0->interrupts = UART_INTERRUPT_RECEIVE;
    while ((UART0->state & UART_STATE_RECEIVE_FULL) != 0u) {
        AuraEdgeByteQueuePut(&received, (uint8_t) UART0->data);
    }
}

/**
 * @brief A byte went: the next ones go, as many as the UART takes.
 */
void Uart0TransmitHandler(void) {
    uint8_t byte;
    UART0->interrupts = UART_INTERRUPT_TRANSMIT;
    while ((UART0->state & UART_STATE_TRANSMIT_FULL) == 0u && AuraEdgeByteQueueTake(&transmitting, &byte)) {
        UART0->data = byte;
    }
}

/**
 * @brief The device clock. Timer 0 counts down.
 */
static uint64_t NowUs(void) {
    return AuraEdgeClockUpdate(&deviceClock, ~TIMER0->value);
}

/**
 * @brief The motion was recorded as it is: nothing but what is in force is possible.
 */
static AuraEdgeAnswer Configure(void *context, AuraEdgeCommand command, float value, AuraEdgeScale *scale) {
    float greatest;
    (void) context;
    switch (command) {
        case AuraEdgeCommandRate:
            return AuraEdgeAnswerDone; // this rate is the closest
        case AuraEdgeCommandAccRange:
            greatest = scale->acc_range_m_s2;
            break;
        case AuraEdgeCommandGyroRange:
            greatest = scale->gyro_range_rad_s;
            break;
        case AuraEdgeCommandSayHello:
        case AuraEdgeCommandStart:
        case AuraEdgeCommandStop:
        default:
            return AuraEdgeAnswerSensorFailed; // the bridge never asks for these
    }
    return (value <= greatest) ? AuraEdgeAnswerDone : AuraEdgeAnswerImpossibleValue;
}

/**
 * @brief Takes the samples that were made since the last call: sample n of a start is sample n of the motion, played in a circle.
 * The clock says how many there are, so that an interrupt that does not come costs none: an emulator whose time runs faster than
 * the clock leaves some out.
 */
static void TakeSamples(const uint64_t now_us) {
    while (now_us - newestUs >= PERIOD_US) {
        newestUs += PERIOD_US;
        if (AuraEdgeBridgeStreaming(&bridge)) {
            AuraEdgeBridgeAddSample(&bridge, newestUs, motion[position]);
            position = (position + 1u < motionSamples) ? position + 1u : 0u;
        }
    }
}

/**
 * @brief Gives what was received to the bridge.
 */
static void TakeBytes(const uint64_t now_us) {
    uint8_t byte;
    while (AuraEdgeByteQueueTake(&received, &byte)) {
        AuraEdgeBridgeReceive(&bridge, now_us, &byte, 1u);
    }
}

/**
 * @brief Gives the queue as much as it takes, and wakes the UART if it waits for something to do.
 */
static void GiveBytes(const uint64_t now_us) {
    uint8_t bytes[CHUNK_BYTES];
    size_t length;
    do {
        const size_t space = AuraEdgeByteQueueSpace(&transmitting);
        size_t index;
        length = AuraEdgeBridgeTransmit(&bridge, now_us, bytes, (space < CHUNK_BYTES) ? space : CHUNK_BYTES);
        for (index = 0u; index < length; index++) {
            AuraEdgeByteQueuePut(&transmitting, bytes[index]);
        }
        __asm volatile("cpsid i" ::: "memory"); // this and the interrupt both take from the queue
        Uart0TransmitHandler();
        __asm volatile("cpsie i" ::: "memory");
    } while (length > 0u);
}

//------------------------------------------------------------------------------
// End of file
