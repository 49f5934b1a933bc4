// The part of CUDA's runtime library that has to respond for a session to open and for copies to
// be made: one device of compute capability 9.0 whose memory is the host's. All else does nothing
// and succeeds. Arguments are as in CUDA's documentation of its runtime API; only those that
// matter have names.
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, OUT_OF_MEMORY = 2, NOT_IN_CAPTURE = 900, CAPTURE_INVALIDATED = 901, MULTIPROCESSORS = 132, TO_DEVICE = 1 };

static int object; // stands for events and the like

// VICREG_STANDIN_CAPABILITY overrides the major version.
static int capability(void) {
  const char *major = getenv("VICREG_STANDIN_CAPABILITY");
  return major ? atoi(major) : 9;
}

int cudaGetDeviceCount(int *count) { return *count = 1, SUCCESS; }
int cudaGetDevice(int *device) { return *device = 0, SUCCESS; }
int cudaDriverGetVersion(int *version) { return *version = 13000, SUCCESS; }
int cudaRuntimeGetVersion(int *version) { return *version = 13000, SUCCESS; }

// The fields of CUDA 13's struct cudaDeviceProp that are read.
int cudaGetDeviceProperties(char *p) {
  memset(p, 0, 1008);
  strcpy(p, "stand-in");
  *(uint64_t *)(p + 288) = 80ull << 30; // memory
  *(uint64_t *)(p + 296) = 49152;       // shared memory per block
  *(int *)(p + 304) = 65536;            // registers per block
  *(int *)(p + 308) = 32;               // threads per warp
  *(int *)(p + 320) = 1024;             // threads per block
  int most[6] = {1024, 1024, 64, 2147483647, 65535, 65535};
  memcpy(p + 324, most, sizeof most); // of a block and of a grid, by axis
  *(int *)(p + 360) = capability();
  *(int *)(p + 384) = MULTIPROCESSORS;
  *(int *)(p + 604) = 2048; // threads per multiprocessor
  return SUCCESS;
}

int cudaDeviceGetAttribute(int *value, int attribute) {
  switch (attribute) {
  case 1: *value = 1024; break;                // threads per block
  case 10: *value = 32; break;                 // threads per warp
  case 16: *value = MULTIPROCESSORS; break;
  case 75: *value = capability(); break;
  case 76: *value = 0; break;                  // minor
  case 8: case 97: *value = 49152; break;      // shared memory per block
  default: *value = 1;
  }
  return SUCCESS;
}

static int allocate(void **p, size_t bytes) {
  *p = NULL;
  return posix_memalign(p, 256, bytes ? bytes : 1) ? OUT_OF_MEMORY : SUCCESS;
}

// Copies to the device are made as late as CUDA may make them: when their stream is synchronised
// or does anything else. Until then pinned memory is not read; other memory is copied at once,
// since the call has to return with it read. Work in another stream sees the old content.
typedef struct copy {
  void *to;
  const void *from;
  size_t bytes;
  struct copy *next;
  void *staged; // NULL where from is pinned
} copy;
typedef struct stream {
  copy *first, **end;
  struct stream *next;
} stream;
typedef struct pinned {
  char *at;
  size_t bytes;
  struct pinned *next;
} pinned;
static stream *streams, *legacy; // legacy: its copies are complete on return
static pinned *pins;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int new_stream(stream **s) {
  pthread_mutex_lock(&lock);
  *s = calloc(1, sizeof **s);
  (*s)->end = &(*s)->first;
  (*s)->next = streams;
  streams = *s;
  pthread_mutex_unlock(&lock);
  return SUCCESS;
}
int cudaStreamCreateWithFlags(stream **s) { return new_stream(s); }
int cudaStreamCreateWithPriority(stream **s) { return new_stream(s); }
int cudaStreamCreate(stream **s) { return new_stream(s); }

static void flush_locked(stream *s) {
  for (copy *c; (c = s->first) != NULL; free(c)) {
    memmove(c->to, c->from, c->bytes);
    free(c->staged);
    s->first = c->next;
  }
  s->end = &s->first;
}
static int flush(stream *s) {
  if (s == legacy) return SUCCESS;
  pthread_mutex_lock(&lock);
  flush_locked(s);
  pthread_mutex_unlock(&lock);
  return SUCCESS;
}
int cudaDeviceSynchronize(void) {
  pthread_mutex_lock(&lock);
  for (stream *s = streams; s != NULL; s = s->next) flush_locked(s);
  pthread_mutex_unlock(&lock);
  return SUCCESS;
}
int cudaStreamSynchronize(stream *s) { return flush(s); }
int cudaStreamDestroy(stream *s) { return flush(s); } // and keep it: it is small
int cudaStreamQuery(stream *s) { return flush(s); }

// Time is simulated: the stand-in for cuDNN advances it.
float standin_clock;
int cudaEventCreate(float **event) { return *event = calloc(1, sizeof **event), SUCCESS; }
int cudaEventCreateWithFlags(float **event) { return cudaEventCreate(event); }
int cudaEventDestroy(float *event) { return free(event), SUCCESS; }
int cudaEventRecord(float *event, stream *s) { return *event = standin_clock, flush(s); }
int cudaEventElapsedTime(float *ms, const float *from, const float *to) { return *ms = *to - *from, SUCCESS; }

static int late(stream *s, void *to, const void *from, size_t bytes) {
  pthread_mutex_lock(&lock);
  copy *c = calloc(1, sizeof *c);
  *c = (copy){to, from, bytes, NULL, NULL};
  pinned *p = pins;
  while (p != NULL && ((char *)from < p->at || (char *)from >= p->at + p->bytes)) p = p->next;
  if (p == NULL) c->from = c->staged = memcpy(malloc(bytes ? bytes : 1), from, bytes);
  *s->end = c;
  s->end = &c->next;
  pthread_mutex_unlock(&lock);
  return SUCCESS;
}

int cudaHostAlloc(void **at, size_t bytes) {
  if (allocate(at, bytes) != SUCCESS) return OUT_OF_MEMORY;
  pthread_mutex_lock(&lock);
  pinned *p = malloc(sizeof *p);
  *p = (pinned){*at, bytes, pins};
  pins = p;
  pthread_mutex_unlock(&lock);
  return SUCCESS;
}
int cudaMallocHost(void **at, size_t bytes) { return cudaHostAlloc(at, bytes); }
int cudaFreeHost(void *at) {
  cudaDeviceSynchronize();
  pthread_mutex_lock(&lock);
  for (pinned *p = pins; p != NULL; p = p->next)
    if (p->at == at) p->bytes = 0;
  pthread_mutex_unlock(&lock);
  return free(at), SUCCESS;
}
int cudaMemGetInfo(size_t *unused, size_t *all) { return *unused = 79ull << 30, *all = 80ull << 30, SUCCESS; }

// The last error is found by whoever asks next.
static int last_error;
static int fail(int error) { return last_error = error; }
int cudaPeekAtLastError(void) { return last_error; }
int cudaGetLastError(void) {
  int error = last_error;
  return last_error = SUCCESS, error;
}

// Launches are captured once and replayed: copies, memsets and the kernels of the stand-in for
// the driver. Those of cuDNN compute while they are captured and are not replayed; others do
// nothing.
typedef struct work {
  void (*run)(void *with);
  void *with;
  struct work *next;
} work;
typedef struct {
  work *first, **end;
  stream *of;
} graph;
static graph *capturing; // one stream at a time

static int record(void (*run)(void *), void *with) {
  work *w = *capturing->end = malloc(sizeof *w);
  *w = (work){run, with, NULL};
  capturing->end = &w->next;
  return SUCCESS;
}

// standin_launch runs a launch on a stream and then frees its argument, or records it while the
// stream is captured.
int standin_launch(stream *s, void (*run)(void *), void *with) {
  if (capturing != NULL && s == capturing->of) return record(run, with);
  flush(s), run(with), free(with);
  return SUCCESS;
}

// The device's memory, which VICREG_STANDIN_MEMORY may limit.
static size_t taken;
int cudaMalloc(void **p, size_t bytes) {
  const char *most = getenv("VICREG_STANDIN_MEMORY");
  if (capturing != NULL) return fail(NOT_IN_CAPTURE);
  if (most != NULL && taken + bytes > strtoull(most, NULL, 10)) return *p = NULL, fail(OUT_OF_MEMORY);
  if (allocate(p, bytes) != SUCCESS) return fail(OUT_OF_MEMORY);
  __sync_fetch_and_add(&taken, malloc_usable_size(*p));
  return SUCCESS;
}
int cudaFree(void *p) {
  if (capturing != NULL) return fail(NOT_IN_CAPTURE);
  cudaDeviceSynchronize();
  __sync_fetch_and_sub(&taken, malloc_usable_size(p));
  return free(p), SUCCESS;
}
int cudaMallocFromPoolAsync(void **p, size_t bytes) { return cudaMalloc(p, bytes); }
int cudaFreeAsync(void *p) { return cudaFree(p); }

int cudaStreamBeginCapture(stream *s) {
  flush(s);
  capturing = calloc(1, sizeof *capturing);
  capturing->end = &capturing->first;
  capturing->of = s;
  return SUCCESS;
}
int cudaStreamIsCapturing(void *stream, int *status) { return *status = capturing != NULL, SUCCESS; }
// VICREG_STANDIN_CAPTURE=0 makes captures fail, as if they contained something that cannot be
// captured.
int cudaStreamEndCapture(void *stream, graph **g) {
  const char *legal = getenv("VICREG_STANDIN_CAPTURE");
  *g = legal && *legal == '0' ? NULL : capturing;
  capturing = NULL;
  return *g ? SUCCESS : CAPTURE_INVALIDATED;
}
int cudaGraphInstantiate(graph **launchable, graph *g) { return *launchable = g, SUCCESS; }
int cudaGraphLaunch(graph *g, stream *s) {
  flush(s);
  for (work *w = g->first; w != NULL; w = w->next) w->run(w->with);
  return SUCCESS;
}

int cudaMemcpy(void *to, const void *from, size_t bytes) { return memmove(to, from, bytes), SUCCESS; }
static void run_copy(void *with) {
  const copy *c = with;
  memmove(c->to, c->from, c->bytes);
}
int cudaMemcpyAsync(void *to, const void *from, size_t bytes, int kind, stream *s) {
  if (capturing != NULL) {
    copy *c = malloc(sizeof *c);
    *c = (copy){to, from, bytes, NULL, NULL};
    return record(run_copy, c);
  }
  if (kind == TO_DEVICE && s != legacy) return late(s, to, from, bytes);
  return flush(s), cudaMemcpy(to, from, bytes);
}
int cudaMemset(void *p, int value, size_t bytes) { return memset(p, value, bytes), SUCCESS; }
typedef struct {
  void *at;
  int value;
  size_t bytes;
} setting;
static void run_setting(void *with) {
  const setting *set = with;
  memset(set->at, set->value, set->bytes);
}
int cudaMemsetAsync(void *p, int value, size_t bytes, stream *s) {
  setting *set = malloc(sizeof *set);
  *set = (setting){p, value, bytes};
  return standin_launch(s, run_setting, set);
}
int cudaMemcpy2DAsync(char *to, size_t to_pitch, const char *from, size_t from_pitch, size_t width, size_t rows, int kind, stream *s) {
  flush(s);
  for (size_t i = 0; i < rows; i++) memmove(to + i * to_pitch, from + i * from_pitch, width);
  return SUCCESS;
}

int cudaLibraryLoadData(void **library) { return *library = &object, SUCCESS; }
int cudaLibraryGetKernel(void **kernel) { return *kernel = &object, SUCCESS; }
int __cudaGetKernel(void **kernel) { return *kernel = &object, SUCCESS; }
void *__cudaRegisterFatBinary(void) { return &object; }
int cudaLaunchHostFunc(stream *s, void (*f)(void *), void *with) { return flush(s), f(with), SUCCESS; }
int cudaMemPoolGetAttribute(void *pool, int attribute, uint64_t *value) { return *value = 0, SUCCESS; }
int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks) { return *blocks = 1, SUCCESS; }
int cudaFuncGetAttributes(void *attributes) { return memset(attributes, 0, 64), SUCCESS; }
int cudaGetDriverEntryPointByVersion(const char *name, void **f) { return *f = NULL, SUCCESS; }
const char *cudaGetErrorName(int error) { return "stand-in"; }
const char *cudaGetErrorString(int error) { return "stand-in"; }

// All memory is reported as a device's.
int cudaPointerGetAttributes(char *attributes, void *p) {
  memset(attributes, 0, 32);
  *(int *)attributes = 2;
  *(void **)(attributes + 8) = p;
  return SUCCESS;
}
