/* The CUDA driver's library with a GPU made of host memory: what cuda-python, pycuda and ctypes pass arrives here by the C interface, and is
   checked. Only what the seam calls. Handles are pointers to things with a tag; queued work runs at once, or goes into a graph while its
   stream is captured. The only kernel is scale(float* x, float factor, int count): x[i] *= factor. AURA_STUB_* in the environment make it
   fail. Built by tests/test_cuda_library.py. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define API __attribute__((visibility("default"))) int
#define REQUIRE(fits, error) do { if (!(fits)) return error; } while (0)
enum { OK, INVALID_VALUE, OUT_OF_MEMORY, NO_DEVICE = 100, INVALID_HANDLE = 400, NOT_FOUND = 500, INVALID_IMAGE = 200, TOO_LARGE = 701,
       WRONG_CLUSTER = 912 };
enum { STREAM = 0x57, EVENT, GRAPH, EXECUTABLE, MODULE, FUNCTION, CONTEXT };
enum { ALIGNMENT = 256, MOST = 64, SHARED = 166912, MEMORY = 1 << 30 };

typedef struct { int kind; void* to; const void* from; size_t size; float factor; } Work;
typedef struct { int tag, capturing, count, shared; Work work[MOST]; } Thing;
typedef struct { unsigned id; char pad[4]; unsigned x, y, z; char rest[52]; } Attribute;
typedef struct { unsigned grid[3], block[3], shared; void* stream; Attribute* attributes; unsigned count; } Config;

static Thing context = {CONTEXT};
static int current, alive, now_ms;

static int number(const char* name, int fallback) { return getenv(name) ? atoi(getenv(name)) : fallback; }
static int is(const void* handle, int tag) { return handle && ((const Thing*)handle)->tag == tag; }
static int make(void** handle, int tag) {
    REQUIRE(current, 201);
    Thing* thing = calloc(1, sizeof(Thing));
    thing->tag = tag, thing->shared = 49152, *handle = thing, alive++;
    return OK;
}
static int end(void* handle, int tag) {
    REQUIRE(is(handle, tag), INVALID_HANDLE);
    ((Thing*)handle)->tag = 0, alive--; /* kept, so that giving back twice is noticed */
    return OK;
}
static void run(const Work* work) {
    if (work->kind == 0) memcpy(work->to, work->from, work->size);
    if (work->kind == 1) memset(work->to, (int)work->factor, work->size);
    if (work->kind == 2) for (size_t i = 0; i < work->size; i++) ((float*)work->to)[i] *= work->factor;
    if (work->kind == 3) ((Thing*)work->to)->count = now_ms += 2;
}
static int queue(void* stream, Work work) {
    Thing* to = stream;
    REQUIRE(is(stream, STREAM), INVALID_HANDLE);
    REQUIRE(to->count < MOST, OUT_OF_MEMORY);
    if (to->capturing) to->work[to->count++] = work; else run(&work);
    return OK;
}

API cuInit(unsigned flags) { return flags ? INVALID_VALUE : number("AURA_STUB_INIT", OK); }
API cuDriverGetVersion(int* version) { *version = number("AURA_STUB_VERSION", 13020); return OK; }
API cuDeviceGetCount(int* count) { *count = number("AURA_STUB_DEVICES", 1); return OK; }
API cuDeviceGet(int* device, int ordinal) { *device = 7; return ordinal ? 101 : OK; }
API cuDeviceGetName(char* name, int size, int device) { strncpy(name, "Stub GPU", size); return device == 7 ? OK : 101; }
API cuDeviceTotalMem_v2(size_t* bytes, int device) { *bytes = MEMORY; return device == 7 ? OK : 101; }
API cuDeviceGetUuid_v2(unsigned char* uuid, int device) {
    for (int i = 0; i < 16; i++) uuid[i] = i;
    return device == 7 ? OK : 101;
}
API cuDeviceGetUuid(unsigned char* uuid, int device) { return cuDeviceGetUuid_v2(uuid, device); }
API cuDeviceGetAttribute(int* value, int attribute, int device) {
    *value = attribute == 16 ? 24 : attribute == 38 ? 4194304 : attribute == 75 ? 9 : attribute == 76 ? 0 : attribute == 97 ? SHARED : attribute == 120;
    return device == 7 ? OK : 101;
}
API cuDevicePrimaryCtxRetain(void** handle, int device) { *handle = &context, alive++; return device == 7 ? OK : 101; }
API cuDevicePrimaryCtxRelease_v2(int device) { alive--; return device == 7 ? OK : 101; }
API cuCtxSetCurrent(void* handle) { current = is(handle, CONTEXT); return current ? OK : 201; }
API cuMemAlloc_v2(char** address, size_t size) {
    REQUIRE(current, 201);
    REQUIRE(size > 0, INVALID_VALUE);
    REQUIRE(size <= MEMORY, OUT_OF_MEMORY);
    alive++;
    return posix_memalign((void**)address, ALIGNMENT, size) ? OUT_OF_MEMORY : OK;
}
API cuMemFree_v2(char* address) { REQUIRE(address && (size_t)address % ALIGNMENT == 0, INVALID_VALUE); free(address); alive--; return OK; }
API cuMemHostAlloc(void** address, size_t size, unsigned flags) { return flags ? INVALID_VALUE : cuMemAlloc_v2((char**)address, size); }
API cuMemFreeHost(char* address) { return cuMemFree_v2(address); }
API cuMemcpyHtoDAsync_v2(void* to, const void* from, size_t size, void* stream) { return queue(stream, (Work){0, to, from, size}); }
API cuMemcpyDtoHAsync_v2(void* to, const void* from, size_t size, void* stream) { return queue(stream, (Work){0, to, from, size}); }
API cuMemsetD8Async(void* to, unsigned char byte, size_t size, void* stream) { return queue(stream, (Work){1, to, NULL, size, byte}); }
API cuStreamCreate(void** stream, unsigned flags) { return flags == 1 ? make(stream, STREAM) : INVALID_VALUE; }
API cuStreamSynchronize(void* stream) { REQUIRE(is(stream, STREAM), INVALID_HANDLE); return ((Thing*)stream)->capturing ? 900 : OK; }
API cuStreamDestroy_v2(void* stream) { return end(stream, STREAM); }
API cuEventCreate(void** event, unsigned flags) { return flags ? INVALID_VALUE : make(event, EVENT); }
API cuEventRecord(void* event, void* stream) { REQUIRE(is(event, EVENT), INVALID_HANDLE); return queue(stream, (Work){3, event}); }
API cuEventSynchronize(void* event) { return is(event, EVENT) ? OK : INVALID_HANDLE; }
API cuEventElapsedTime(float* time_ms, void* start, void* stop) {
    REQUIRE(is(start, EVENT) && is(stop, EVENT), INVALID_HANDLE);
    *time_ms = ((Thing*)stop)->count - ((Thing*)start)->count;
    return OK;
}
API cuEventElapsedTime_v2(float* time_ms, void* start, void* stop) { return cuEventElapsedTime(time_ms, start, stop); }
API cuEventDestroy_v2(void* event) { return end(event, EVENT); }
API cuStreamBeginCapture_v2(void* stream, int mode) {
    REQUIRE(is(stream, STREAM) && mode == 1 && !((Thing*)stream)->capturing, INVALID_HANDLE);
    ((Thing*)stream)->capturing = 1, ((Thing*)stream)->count = 0;
    return OK;
}
API cuStreamEndCapture(void* stream, void** graph) {
    REQUIRE(is(stream, STREAM) && ((Thing*)stream)->capturing, INVALID_HANDLE);
    int status = make(graph, GRAPH);
    memcpy(((Thing*)*graph)->work, ((Thing*)stream)->work, sizeof(context.work));
    ((Thing*)*graph)->count = ((Thing*)stream)->count, ((Thing*)stream)->capturing = ((Thing*)stream)->count = 0;
    return status;
}
API cuGraphInstantiateWithFlags(void** ready, void* graph, unsigned long long flags) {
    REQUIRE(is(graph, GRAPH) && !flags, INVALID_HANDLE);
    int status = make(ready, EXECUTABLE);
    memcpy(((Thing*)*ready)->work, ((Thing*)graph)->work, sizeof(context.work));
    ((Thing*)*ready)->count = ((Thing*)graph)->count;
    return status;
}
API cuGraphLaunch(void* graph, void* stream) {
    REQUIRE(is(graph, EXECUTABLE), INVALID_HANDLE);
    int status = OK;
    for (int i = 0; i < ((Thing*)graph)->count && !status; i++) status = queue(stream, ((Thing*)graph)->work[i]);
    return status;
}
API cuGraphDestroy(void* graph) { return end(graph, GRAPH); }
API cuGraphExecDestroy(void* graph) { return end(graph, EXECUTABLE); }
API cuModuleLoadData(void** module, const char* image) { return strcmp(image, "// ptx") ? INVALID_IMAGE : make(module, MODULE); }
API cuModuleUnload(void* module) { return end(module, MODULE); }
API cuModuleGetFunction(void** function, void* module, const char* name) {
    REQUIRE(is(module, MODULE), INVALID_HANDLE);
    REQUIRE(!strcmp(name, "scale"), NOT_FOUND);
    alive--; /* goes with its module */
    return make(function, FUNCTION);
}
API cuFuncGetAttribute(int* value, int attribute, void* function) { *value = attribute == 4 ? 42 : 0; return is(function, FUNCTION) ? OK : INVALID_HANDLE; }
API cuFuncSetAttribute(void* function, int attribute, int value) {
    REQUIRE(is(function, FUNCTION) && attribute == 8 && value <= SHARED, INVALID_VALUE);
    ((Thing*)function)->shared = value;
    return OK;
}
API cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void* stream,
                   void** arguments, void** extra) {
    REQUIRE(is(function, FUNCTION) && !extra, INVALID_HANDLE);
    REQUIRE(gx && gy && gz && bx * by * bz <= 1024 && (int)shared <= ((Thing*)function)->shared, TOO_LARGE);
    return queue(stream, (Work){2, *(void**)arguments[0], NULL, *(int*)arguments[2], *(float*)arguments[1]});
}
API cuLaunchKernelEx(const Config* config, void* function, void** arguments, void** extra) {
    REQUIRE(config->count == 1 && config->attributes->id == 4, INVALID_VALUE);
    const Attribute* cluster = config->attributes;
    REQUIRE(cluster->x == 8 && cluster->y == 1 && cluster->z == 1 && config->grid[0] % cluster->x == 0, WRONG_CLUSTER);
    const unsigned *grid = config->grid, *block = config->block;
    return cuLaunchKernel(function, grid[0], grid[1], grid[2], block[0], block[1], block[2], config->shared, config->stream, arguments, extra);
}
API cuGetErrorName(int status, const char** name) {
    *name = status == INVALID_VALUE ? "CUDA_ERROR_INVALID_VALUE" : status == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : status == NO_DEVICE ? "CUDA_ERROR_NO_DEVICE"
          : status == INVALID_HANDLE ? "CUDA_ERROR_INVALID_HANDLE" : status == NOT_FOUND ? "CUDA_ERROR_NOT_FOUND" : status == INVALID_IMAGE ? "CUDA_ERROR_INVALID_IMAGE"
          : status == WRONG_CLUSTER ? "CUDA_ERROR_INVALID_CLUSTER_SIZE" : "CUDA_ERROR_OTHER";
    return OK;
}
API cuGetErrorString(int status, const char** text) {
    *text = status == OUT_OF_MEMORY ? "out of memory" : status == NO_DEVICE ? "no CUDA-capable device is detected" : "something went wrong";
    return OK;
}
/* cuda-python asks for every function of the driver by its plain name; what is not here it gets as missing. */
typedef struct { const char* name; void* function; } Known;
#define KNOWN(name) {#name, (void*)name}
#define LATER(name, version) {#name, (void*)name##version}
API cuGetProcAddress_v2(const char* name, void** function, int version, unsigned long long flags, int* status);
static const Known known[] = {
    KNOWN(cuInit), KNOWN(cuDriverGetVersion), KNOWN(cuDeviceGetCount), KNOWN(cuDeviceGet), KNOWN(cuDeviceGetName), LATER(cuDeviceTotalMem, _v2),
    LATER(cuDeviceGetUuid, _v2), KNOWN(cuDeviceGetAttribute), KNOWN(cuDevicePrimaryCtxRetain), LATER(cuDevicePrimaryCtxRelease, _v2),
    KNOWN(cuCtxSetCurrent), LATER(cuMemAlloc, _v2), LATER(cuMemFree, _v2), KNOWN(cuMemHostAlloc), KNOWN(cuMemFreeHost),
    LATER(cuMemcpyHtoDAsync, _v2), LATER(cuMemcpyDtoHAsync, _v2), KNOWN(cuMemsetD8Async), KNOWN(cuStreamCreate), KNOWN(cuStreamSynchronize),
    LATER(cuStreamDestroy, _v2), KNOWN(cuEventCreate), KNOWN(cuEventRecord), KNOWN(cuEventSynchronize), LATER(cuEventElapsedTime, _v2),
    LATER(cuEventDestroy, _v2), LATER(cuStreamBeginCapture, _v2), KNOWN(cuStreamEndCapture), {"cuGraphInstantiate", (void*)cuGraphInstantiateWithFlags},
    KNOWN(cuGraphInstantiateWithFlags), KNOWN(cuGraphLaunch), KNOWN(cuGraphDestroy), KNOWN(cuGraphExecDestroy), KNOWN(cuModuleLoadData), KNOWN(cuModuleUnload), KNOWN(cuModuleGetFunction),
    KNOWN(cuFuncGetAttribute), KNOWN(cuFuncSetAttribute), KNOWN(cuLaunchKernel), KNOWN(cuLaunchKernelEx), KNOWN(cuGetErrorName), KNOWN(cuGetErrorString),
    LATER(cuGetProcAddress, _v2),
};
API cuGetProcAddress_v2(const char* name, void** function, int version, unsigned long long flags, int* status) {
    (void)version, (void)flags;
    *function = NULL;
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) if (!strcmp(known[i].name, name)) *function = known[i].function;
    if (status) *status = *function ? 0 : 1;
    return *function ? OK : NOT_FOUND;
}
API cuGetProcAddress(const char* name, void** function, int version, unsigned long long flags) {
    return cuGetProcAddress_v2(name, function, version, flags, NULL);
}
API aura_stub_alive(void) { return alive; }
