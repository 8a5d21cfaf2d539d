// Where a fibre stands, and how one gives way to another.
//
// On x86-64 by a few instructions of our own; elsewhere, and where AURA_UCONTEXT is defined, by the C library, which asks the kernel each time.
#pragma once
#include <cstddef>

#if defined(__x86_64__) && !defined(AURA_UCONTEXT)
#define AURA_OWN_SWITCH
#else
#include <ucontext.h>
#endif

namespace emulator {

constexpr size_t STACK_BYTES = 128 * 1024;

#ifdef AURA_OWN_SWITCH
// Saves what a call must keep, and goes on where the other one stopped: some nanoseconds, where swapcontext asks the kernel.
extern "C" void aura_emulator_switch(void** from, void* to);
asm(R"(
.text
.weak aura_emulator_switch
.type aura_emulator_switch,@function
aura_emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp,(%rdi)
    movq %rsi,%rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size aura_emulator_switch,.-aura_emulator_switch
)");
struct Context {
    void* stack = nullptr;
    void start(char* memory, void (*entry)()) {
        void** top = reinterpret_cast<void**>(memory + STACK_BYTES - 64);
        *--top = nullptr;
        *--top = reinterpret_cast<void*>(entry);
        for (int i = 0; i < 6; i++) *--top = nullptr;
        stack = top;
    }
    void go(Context& other) { aura_emulator_switch(&stack, other.stack); }
};
#else
struct Context {
    ucontext_t inner;
    void start(char* memory, void (*entry)()) {
        getcontext(&inner);
        inner.uc_stack.ss_sp = memory;
        inner.uc_stack.ss_size = STACK_BYTES;
        inner.uc_link = nullptr;
        makecontext(&inner, entry, 0);
    }
    void go(Context& other) { swapcontext(&inner, &other.inner); }
};
#endif

}  // namespace emulator
