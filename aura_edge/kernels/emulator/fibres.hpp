// Runs a kernel on a CPU, thread by thread: every CUDA thread is a fibre, and whatever threads do together is a place where they meet.
//
// Fibres are switched only where they meet, in an order that the schedule says: what is right under every schedule does not depend on luck.
// Shared memory is filled with NaN before each block and ends at a page that nobody may touch. Blocks of a cluster run side by side; clusters one
// after the other.
#pragma once
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <vector>

#include "context.hpp"

namespace emulator {

constexpr int WARP = 32;
constexpr size_t PAGE_BYTES = 65536;

// Memory that ends at a page which nobody may touch, behind a stretch of NaN that must stay as it is.
class Guarded {
   public:
    explicit Guarded(size_t bytes) : size_((bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES + PAGE_BYTES), bytes_(bytes) {
        void* found = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (found == MAP_FAILED) std::abort();
        base_ = static_cast<unsigned char*>(found);
        mprotect(base_ + size_ - PAGE_BYTES, PAGE_BYTES, PROT_NONE);
        for (unsigned char* p = base_; p < data(); p++) *p = 0xff;
    }
    ~Guarded() { munmap(base_, size_); }
    Guarded(const Guarded&) = delete;
    Guarded& operator=(const Guarded&) = delete;
    // Whether nothing was written before the begin.
    bool intact() const {
        for (const unsigned char* p = base_; p < data(); p++)
            if (*p != 0xff) return false;
        return true;
    }
    // Aligned to 16 bytes, as vector loads need it: up to 15 bytes behind the end go unnoticed.
    unsigned char* data() const { return base_ + size_ - PAGE_BYTES - (bytes_ + 15) / 16 * 16; }

   private:
    size_t size_, bytes_;
    unsigned char* base_;
};

// Copies of cp.async land late in the first three, at once in the fourth, and by chance in the last.
enum Schedule { FORWARD = 0, REVERSE = 1, GREEDY = 2, GREEDY_REVERSE = 3, SHUFFLED = 4 };

struct Counts {
    long mmas, matrix_loads, bank_conflicts, barriers;
};

struct Warp {
    int arrived = 0;
    uint64_t meetings = 0;
    int purpose = 0;
    uint32_t in[WARP][6], out[WARP][4];
    float sums[WARP][4];
    const void* address[WARP];
};

struct Barrier {
    int arrived = 0;
    uint64_t meetings = 0;
};

struct Pending {  // of cp.async: a copy, or the end of a group
    void* to;
    unsigned char data[16];
};

struct Machine {
    int threads, blocks, grid[3], first[3];
    Schedule schedule;
    std::function<void()> kernel;
    std::vector<Context> fibres;
    std::vector<char> done;
    Context scheduler;
    int current = 0, left = 0;
    long progress = 0;
    std::vector<Warp> warps;
    std::vector<Barrier> barriers;
    Barrier cluster;
    std::vector<unsigned char*> shared;
    size_t shared_bytes;
    std::vector<std::vector<Pending>> pending;
    Counts counts{};
    const char* error = nullptr;
    uint32_t random = 12345;
};

inline Machine* machine = nullptr;

inline void yield() { machine->fibres[machine->current].go(machine->scheduler); }

[[noreturn]] inline void fail(const char* message) {
    if (!machine->error) machine->error = message;
    for (;;) yield();
}

inline void run_fibre() {
    machine->kernel();
    machine->done[machine->current] = 1;
    machine->left--;
    machine->progress++;
    for (;;) yield();
}

// A write or read behind the end of a buffer: the launch ends with an error, not the process.
inline void on_fault(int) {
    if (!machine) _exit(139);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGSEGV);
    sigprocmask(SIG_UNBLOCK, &set, nullptr);
    fail("memory outside of a buffer, or not aligned for its vector load");
}

inline uint32_t draw() {
    machine->random = machine->random * 1664525u + 1013904223u;
    return machine->random >> 8;
}

inline bool lands_at_once() { return machine->schedule == GREEDY_REVERSE || (machine->schedule == SHUFFLED && draw() % 2); }

inline Warp& warp() { return machine->warps[machine->current / WARP]; }

// The lanes of a warp meet; the last one does what they came for, which `purpose` names.
template <class Action>
void meet(int purpose, Action action) {
    Warp& own = warp();
    if (own.arrived == 0) own.purpose = purpose;
    if (own.purpose != purpose) fail("lanes of one warp meet for different things");
    const uint64_t meeting = own.meetings;
    if (++own.arrived == WARP) {
        own.arrived = 0;
        action(own);
        own.meetings++;
        machine->progress++;
    } else {
        while (own.meetings == meeting) yield();
    }
}

inline void meet_at(Barrier& barrier, int expected) {
    const uint64_t meeting = barrier.meetings;
    if (++barrier.arrived == expected) {
        barrier.arrived = 0;
        barrier.meetings++;
        machine->progress++;
        machine->counts.barriers++;
    } else {
        while (barrier.meetings == meeting) yield();
    }
}

inline bool backwards() { return machine->schedule == REVERSE || machine->schedule == GREEDY_REVERSE; }

inline void run_warp(int which) {
    for (int i = 0; i < WARP; i++) {
        machine->current = which * WARP + (backwards() ? WARP - 1 - i : i);
        if (!machine->done[machine->current]) machine->scheduler.go(machine->fibres[machine->current]);
    }
}

// A block, and in it a warp, runs as far as it can before another one does.
inline void run_block(int block) {
    const int warps = machine->threads / WARP;
    long before;
    do {
        before = machine->progress;
        for (int i = 0; i < warps; i++) {
            long step;
            do {
                step = machine->progress;
                run_warp(block * warps + (backwards() ? warps - 1 - i : i));
            } while (machine->progress != step && !machine->error);
        }
    } while (machine->progress != before && !machine->error);
}

// Every warp once, or every block; drawn by chance, some more often than others.
inline void sweep() {
    const int warps = machine->threads / WARP * machine->blocks;
    const long before = machine->progress;
    if (machine->schedule == GREEDY || machine->schedule == GREEDY_REVERSE) {
        for (int i = 0; i < machine->blocks; i++) run_block(backwards() ? machine->blocks - 1 - i : i);
        return;
    }
    if (machine->schedule == SHUFFLED)
        for (int i = 0; i < warps; i++) run_warp(static_cast<int>(draw() % warps));
    if (machine->progress == before)
        for (int i = 0; i < warps; i++) run_warp(backwards() ? warps - 1 - i : i);
}

// `grid` blocks of `threads`, `blocks` of them in a cluster along x. What went wrong, or null; what was counted in `counts`.
inline const char* launch(int gx, int gy, int gz, int blocks, int threads, size_t shared_bytes, Schedule schedule, std::function<void()> kernel,
                          Counts* counts) {
    Machine m;
    machine = &m;
    m.threads = threads;
    m.blocks = blocks;
    m.grid[0] = gx, m.grid[1] = gy, m.grid[2] = gz;
    m.schedule = schedule;
    m.kernel = kernel;
    m.shared_bytes = shared_bytes;
    const int all = threads * blocks;
    const std::unique_ptr<char[]> stacks(new char[all * STACK_BYTES + 64]);  // not filled: most of it is never touched
    char* stack = stacks.get() + (64 - reinterpret_cast<uintptr_t>(stacks.get()) % 64);
    std::vector<Guarded*> memory;
    for (int b = 0; b < blocks; b++) memory.push_back(new Guarded(shared_bytes));
    for (Guarded* each : memory) m.shared.push_back(each->data());
    struct sigaction handler = {}, before_segv, before_bus;
    handler.sa_handler = on_fault;
    sigaction(SIGSEGV, &handler, &before_segv);
    sigaction(SIGBUS, &handler, &before_bus);
    for (int z = 0; z < gz; z++)
        for (int y = 0; y < gy; y++)
            for (int x = 0; x < gx && !m.error; x += blocks) {
                m.first[0] = x, m.first[1] = y, m.first[2] = z;
                m.fibres.assign(all, Context());
                m.done.assign(all, 0);
                m.warps.assign(all / WARP, Warp());
                m.barriers.assign(blocks, Barrier());
                m.cluster = Barrier();
                m.pending.assign(all, {});
                m.left = all;
                for (unsigned char* shared : m.shared)
                    for (size_t i = 0; i < shared_bytes; i++) shared[i] = 0xff;  // NaN, in FP16 and in FP32
                for (int t = 0; t < all; t++) m.fibres[t].start(stack + t * STACK_BYTES, run_fibre);
                while (m.left && !m.error) {
                    const long before = m.progress;
                    sweep();
                    if (m.progress == before && m.left && !m.error) m.error = "deadlock: some threads wait where others never come";
                }
            }
    sigaction(SIGSEGV, &before_segv, nullptr);
    sigaction(SIGBUS, &before_bus, nullptr);
    for (Guarded* each : memory) delete each;
    if (counts) *counts = m.counts;
    machine = nullptr;
    return m.error;
}

}  // namespace emulator
