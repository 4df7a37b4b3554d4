// A driver of CUDA for tests without a GPU: memory is the host's, work is done when it is submitted, and the one kernel
// that it knows adds numbers. Every call wants the context of its device to be the thread's. What goes wrong, and when,
// stands in variables of the environment.
//
//   DRIVER_VERSION   what it says of itself (13000)     DRIVER_DEVICES   how many there are (1)
//   DRIVER_MEMORY    bytes of the card (1 GiB)          DRIVER_SPIN      turns of a loop that each launch takes (0)
//   DRIVER_FAILS_AT  the launch, counted from 1, that is refused
//   DRIVER_LOST_AT   the launch after which the device is lost: whoever waits is told
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS, INVALID_VALUE, OUT_OF_MEMORY, INVALID_CONTEXT = 201, ILLEGAL_ADDRESS = 700, OUT_OF_RESOURCES = 701 };
typedef int Status;
typedef uint64_t Address;

// The number of a variable, looked up once: launches are to cost nothing but what is asked for.
#define NUMBER(function, variable, otherwise)                                                                          \
  static uint64_t function(void) {                                                                                     \
    static uint64_t value, known;                                                                                      \
    if (!known) {                                                                                                      \
      const char *text = getenv(variable);                                                                             \
      value = text ? strtoull(text, NULL, 10) : otherwise;                                                             \
      known = 1;                                                                                                       \
    }                                                                                                                  \
    return value;                                                                                                      \
  }
NUMBER(version_number, "DRIVER_VERSION", 13000)
NUMBER(devices, "DRIVER_DEVICES", 1)
NUMBER(memory, "DRIVER_MEMORY", 1 << 30)
NUMBER(spin, "DRIVER_SPIN", 0)
NUMBER(fails_at, "DRIVER_FAILS_AT", 0)
NUMBER(lost_at, "DRIVER_LOST_AT", 0)

Status cuInit(unsigned flags) { return SUCCESS; }
Status cuDriverGetVersion(int *version) { *version = (int)version_number(); return SUCCESS; }
Status cuDeviceGetCount(int *count) { *count = (int)devices(); return SUCCESS; }
Status cuDeviceGet(int *device, int ordinal) { *device = ordinal; return SUCCESS; }
Status cuDeviceGetName(char *name, int length, int device) { strncpy(name, "A driver for tests", length); return SUCCESS; }
Status cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = memory(); return SUCCESS; }
Status cuDeviceGetAttribute(int *value, int attribute, int device) {
  enum { MULTIPROCESSORS = 16, MAJOR = 75, MINOR = 76, SHARED = 97 };
  *value = attribute == MULTIPROCESSORS ? 132 : attribute == MAJOR ? 8 : attribute == MINOR ? 0 : attribute == SHARED ? 99 << 10 : 0;
  return SUCCESS;
}

// Contexts, one a device; streams, events and functions hold theirs.
typedef struct { const void *context; } Owned;
static char contexts[64];
static __thread const void *current;
Status cuDevicePrimaryCtxRetain(void **context, int device) { *context = &contexts[device]; return SUCCESS; }
Status cuCtxSetCurrent(void *context) { current = context; return SUCCESS; }
static Status own(void **handle) {
  if (!current) return INVALID_CONTEXT;
  Owned *owned = malloc(sizeof *owned);
  owned->context = current;
  *handle = owned;
  return SUCCESS;
}
Status cuGetErrorString(Status status, const char **text) {
  *text = status == ILLEGAL_ADDRESS ? "an illegal memory access was encountered" : "a test wants it so";
  return SUCCESS;
}

// Memory: each block has its size before it.
static size_t in_use;
Status cuMemAlloc_v2(Address *address, size_t bytes) {
  if (!current) return INVALID_CONTEXT;
  if (__atomic_add_fetch(&in_use, bytes, __ATOMIC_SEQ_CST) > memory()) {
    __atomic_sub_fetch(&in_use, bytes, __ATOMIC_SEQ_CST);
    return OUT_OF_MEMORY;
  }
  char *block = NULL;
  if (posix_memalign((void **)&block, 256, bytes + 256)) return OUT_OF_MEMORY;
  *(size_t *)block = bytes;
  *address = (Address)(block + 256);
  return SUCCESS;
}
Status cuMemFree_v2(Address address) {
  char *block = (char *)address - 256;
  __atomic_sub_fetch(&in_use, *(size_t *)block, __ATOMIC_SEQ_CST);
  free(block);
  return SUCCESS;
}
Status cuMemHostAlloc(void **block, size_t bytes, unsigned flags) { *block = malloc(bytes); return *block ? SUCCESS : OUT_OF_MEMORY; }
Status cuMemFreeHost(void *block) { free(block); return SUCCESS; }

// Work, on streams and events of the thread's context.
static uint64_t launches;
static Status lost(void) { return lost_at() && launches >= lost_at() ? ILLEGAL_ADDRESS : SUCCESS; }
static Status state(void *of) { return ((Owned *)of)->context == current ? lost() : INVALID_CONTEXT; }
Status cuStreamCreate(void **stream, unsigned flags) { return own(stream); }
Status cuStreamSynchronize(void *stream) { return state(stream); }
Status cuStreamQuery(void *stream) { return state(stream); }

// A graph is a list of what was submitted while it was recorded: sums, and copies (no second term).
typedef struct { float *y; const float *a, *b; uint64_t n; } Step;
typedef struct { size_t count; Step steps[256]; } Graph;
static Graph *recording;
static Status submit(Step step) {
  if (recording) {
    if (recording->count == sizeof recording->steps / sizeof step) return OUT_OF_MEMORY;
    recording->steps[recording->count++] = step;
  } else if (step.b) {
    for (uint64_t i = 0; i < step.n; ++i) step.y[i] = step.a[i] + step.b[i];
  } else {
    memcpy(step.y, step.a, step.n);
  }
  return SUCCESS;
}
Status cuStreamIsCapturing(void *stream, int *is) { *is = recording != NULL; return SUCCESS; }
Status cuStreamBeginCapture_v2(void *stream, int mode) { recording = calloc(1, sizeof *recording); return state(stream); }
Status cuStreamEndCapture(void *stream, void **graph) { *graph = recording; recording = NULL; return state(stream); }
Status cuGraphInstantiateWithFlags(void **exec, void *graph, unsigned long long flags) {
  *exec = memcpy(malloc(sizeof(Graph)), graph, sizeof(Graph));
  return SUCCESS;
}
Status cuGraphLaunch(void *exec, void *stream) {
  for (size_t i = 0; i < ((Graph *)exec)->count; ++i) submit(((Graph *)exec)->steps[i]);
  return state(stream);
}
Status cuGraphDestroy(void *graph) { free(graph); return SUCCESS; }
Status cuGraphExecDestroy(void *exec) { free(exec); return SUCCESS; }
Status cuMemcpyDtoDAsync_v2(Address to, Address from, size_t bytes, void *stream) {
  return submit((Step){(float *)to, (float *)from, NULL, bytes}) ? OUT_OF_MEMORY : state(stream);
}
Status cuMemcpyDtoHAsync_v2(void *to, Address from, size_t bytes, void *stream) { memcpy(to, (void *)from, bytes); return state(stream); }
Status cuMemcpyHtoDAsync_v2(Address to, const void *from, size_t bytes, void *stream) { memcpy((void *)to, from, bytes); return state(stream); }
Status cuMemsetD8Async(Address to, unsigned char value, size_t bytes, void *stream) { memset((void *)to, value, bytes); return state(stream); }
Status cuMemsetD32Async(Address to, unsigned value, size_t count, void *stream) {
  for (size_t i = 0; i < count; ++i) ((unsigned *)to)[i] = value;
  return state(stream);
}
Status cuEventCreate(void **event, unsigned flags) { return own(event); }
Status cuEventDestroy_v2(void *event) { free(event); return SUCCESS; }
Status cuEventRecord(void *event, void *stream) { return state(event) ? state(event) : state(stream); }
// Any thread may wait for an event.
Status cuEventSynchronize(void *event) { return lost(); }
Status cuEventQuery(void *event) { return lost(); }

// Kernels: `add_f32(y, a, b, nd, n, straight)` of `binary.cu`, whose layouts here are always straight.
static const size_t ADD[] = {8, 8, 8, 232, 8, 4};
Status cuModuleLoadData(void **module, const void *image) { return own(module); }
Status cuModuleGetFunction(void **function, void *module, const char *name) {
  *function = module;
  return strcmp(name, "add_f32") == 0 ? SUCCESS : INVALID_VALUE;
}
Status cuModuleGetGlobal_v2(Address *address, size_t *bytes, void *module, const char *name) { return INVALID_VALUE; }
Status cuFuncGetAttribute(int *value, int attribute, void *function) { *value = 0; return SUCCESS; }
Status cuFuncSetAttribute(void *function, int attribute, int value) { return SUCCESS; }
Status cuFuncGetParamInfo(void *function, size_t index, size_t *offset, size_t *bytes) {
  if (index >= sizeof ADD / sizeof *ADD) return INVALID_VALUE;
  *bytes = ADD[index];
  return SUCCESS;
}
Status cuLaunchKernelEx(const void *config, void *function, void **arguments, void **extra) {
  void *stream = *(void **)((char *)config + 32);
  // The launch that a device is lost by is itself accepted.
  if (state(stream) || state(function)) return state(stream) ? state(stream) : state(function);
  if (++launches == fails_at()) return OUT_OF_RESOURCES;
  for (volatile uint64_t i = 0; i < spin(); ++i) continue;
  return submit((Step){*(float **)arguments[0], *(float **)arguments[1], *(float **)arguments[2], *(uint64_t *)arguments[4]});
}
