// Compiles the kernels of a file and launches them through the stand-ins, as vicreg does: launch
// FILE WHAT. It prints their results.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void *handle;
int nvrtcCreateProgram(handle *, const char *, const char *, int, const char *const *, const char *const *);
int nvrtcCompileProgram(handle, int, const char *const *);
int nvrtcGetProgramLogSize(handle, size_t *), nvrtcGetProgramLog(handle, char *);
int nvrtcGetCUBINSize(handle, size_t *), nvrtcGetCUBIN(handle, char *), nvrtcDestroyProgram(handle *);
const char *nvrtcGetErrorString(int);
int cuInit(unsigned), cuGetErrorString(int, const char **), cuLibraryUnload(handle);
int cuLibraryLoadData(handle *, const void *, handle, handle, unsigned, handle, handle, unsigned);
int cuLibraryGetKernel(handle *, handle, const char *);
int cuLaunchKernel(handle, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, handle, void **, void **);
int cudaStreamCreate(handle *), cudaStreamSynchronize(handle), cudaHostAlloc(void **, size_t, unsigned);
int cudaStreamBeginCapture(handle, int), cudaStreamEndCapture(handle, handle *);
int cudaGraphInstantiate(handle *, handle, long long), cudaGraphLaunch(handle, handle);
int cudaMemcpyAsync(void *, const void *, size_t, int, handle), cudaMemsetAsync(void *, int, size_t, handle);

static void check(const char *what, int error) {
  const char *text = "?";
  if (error == 0) return;
  cuGetErrorString(error, &text);
  printf("%s: %d %s\n", what, error, text);
  exit(0);
}

static char *read_all(const char *path) {
  static char text[1 << 16];
  FILE *f = fopen(path, "r");
  return fread(text, 1, sizeof text - 1, f), fclose(f), text;
}

static handle compiled(const char *source, const char *option) {
  handle p, library;
  const char *options[] = {"--gpu-architecture=sm_90", "--std=c++17", option};
  check("create", nvrtcCreateProgram(&p, source, "kernels.cu", 0, NULL, NULL));
  int error = nvrtcCompileProgram(p, option ? 3 : 2, options);
  size_t size;
  nvrtcGetProgramLogSize(p, &size);
  char *log = malloc(size);
  nvrtcGetProgramLog(p, log);
  if (error != 0) printf("%s: %s", nvrtcGetErrorString(error), log), exit(0);
  nvrtcGetCUBINSize(p, &size);
  char *code = malloc(size);
  check("code", nvrtcGetCUBIN(p, code));
  check("destroy", nvrtcDestroyProgram(&p));
  check("load", cuLibraryLoadData(&library, code, NULL, NULL, 0, NULL, NULL, 0));
  return free(log), free(code), library;
}

static handle kernel(handle library, const char *name) {
  handle k;
  check(name, cuLibraryGetKernel(&k, library, name));
  return k;
}

static void launch(handle k, handle stream, int blocks, int threads, void *args) {
  check("launch", cuLaunchKernel(k, blocks, 1, 1, threads, 1, 1, 0, stream, &args, NULL));
}

enum { BLOCKS = 5, THREADS = 64, N = BLOCKS * THREADS - 10 };
typedef struct {
  const float *x;
  float *sums;
  unsigned *ended;
  int n;
} sum_args;
typedef struct {
  unsigned *y, add;
} place_args;
typedef struct {
  const void *x;
  float *y;
} vector_args;

static sum_args numbers(float scale) {
  float *x = malloc(N * sizeof *x);
  for (int i = 0; i < N; i++) x[i] = scale * i;
  return (sum_args){x, calloc(BLOCKS + 1, sizeof *x), calloc(1, sizeof(unsigned)), N};
}

static void print(const sum_args *a) {
  for (int i = 0; i <= BLOCKS; i++) printf("%g ", a->sums[i]);
  printf("%u\n", *a->ended);
}

static void sums(handle library) {
  handle k = kernel(library, "sum");
  sum_args a = numbers(1);
  for (int i = 0; i < 2; i++) launch(k, NULL, BLOCKS, THREADS, &a), print(&a);
}

static void places(handle library) {
  unsigned y[2 * 3 * 4 * 5 * 3 * 2] = {0};
  place_args a = {y, 7};
  void *args = &a;
  check("places", cuLaunchKernel(kernel(library, "places"), 2, 3, 4, 5, 3, 2, 0, NULL, &args, NULL));
  for (unsigned i = 0; i < sizeof y / sizeof *y; i++)
    if (y[i] != i + 7) printf("%u at %u\n", y[i], i);
  printf("done\n");
}

static void vectors(handle library, int off) {
  static unsigned x[8] __attribute__((aligned(16))) = {2, 8, 3, 5};
  float y;
  vector_args a = {x + off, &y};
  launch(kernel(library, "vectors"), NULL, 1, 1, &a);
  printf("%g\n", y);
}

static void unwritten(handle library) {
  float y[2] = {0};
  vector_args a = {NULL, y};
  launch(kernel(library, "unwritten"), NULL, 2, 1, &a);
  printf("%d %d\n", y[0] != y[0], y[1] != y[1]);
}

static void apart(handle library) {
  unsigned y[THREADS];
  place_args a = {y, 1};
  launch(kernel(library, "apart"), NULL, 1, THREADS, &a);
}

// Captures a copy, a memset and two launches, with their arguments at that time.
static void capture(handle library) {
  handle stream, other, graph, run, k = kernel(library, "sum"), p = kernel(library, "places");
  sum_args a = numbers(1);
  float *input, *x = (float *)a.x;
  unsigned y[4] = {0}, elsewhere[1] = {0};
  place_args b = {y, 10}, c = {elsewhere, 1};
  cudaHostAlloc((void **)&input, N * sizeof *input, 0);
  memcpy(input, x, N * sizeof *input);
  cudaStreamCreate(&stream), cudaStreamCreate(&other);
  check("begin", cudaStreamBeginCapture(stream, 0));
  cudaMemcpyAsync(x, input, N * sizeof *x, 1, stream);
  cudaMemsetAsync(a.ended, 0, sizeof *a.ended, stream);
  launch(k, stream, BLOCKS, THREADS, &a);
  launch(p, stream, 1, 4, &b);
  launch(p, other, 1, 1, &c);
  check("end", cudaStreamEndCapture(stream, &graph));
  check("instantiate", cudaGraphInstantiate(&run, graph, 0));
  printf("captured %g %u, elsewhere %u\n", a.sums[BLOCKS], y[3], elsewhere[0]);
  sum_args kept = a;
  a = (sum_args){NULL}, b = (place_args){NULL};
  for (int i = 1; i <= 2; i++) {
    for (int j = 0; j < N; j++) input[j] = i;
    *kept.ended = 99;
    check("replay", cudaGraphLaunch(run, stream));
    cudaStreamSynchronize(stream);
    print(&kept);
    printf("%u %u\n", y[0], y[3]);
  }
}

// A launch comes after the delayed copies of its stream.
static void late(handle library) {
  handle stream;
  sum_args a = numbers(0);
  float *input;
  cudaHostAlloc((void **)&input, N * sizeof *input, 0);
  cudaStreamCreate(&stream);
  cudaMemcpyAsync((float *)a.x, input, N * sizeof *input, 1, stream);
  for (int j = 0; j < N; j++) input[j] = 1;
  launch(kernel(library, "sum"), stream, BLOCKS, THREADS, &a);
  print(&a);
}

static void *sum_often(void *k) {
  sum_args a = numbers(2);
  for (int i = 0; i < 200; i++) {
    a.sums[BLOCKS] = 0;
    launch(k, NULL, BLOCKS, THREADS, &a);
    if (a.sums[BLOCKS] != N * (N - 1) || *a.ended != 0) return "wrong";
  }
  return "right";
}

static void together(handle library) {
  enum { MANY = 4 };
  pthread_t threads[MANY];
  handle k = kernel(library, "sum");
  for (int i = 0; i < MANY; i++) pthread_create(&threads[i], NULL, sum_often, k);
  for (int i = 0; i < MANY; i++) {
    void *how;
    pthread_join(threads[i], &how);
    printf("%s\n", (char *)how);
  }
}

// What is rejected, each with its status.
static void refused(handle library, const char *source) {
  handle k = kernel(library, "sum"), none, p;
  void *args = &(sum_args){0};
  printf("%d ", cuLibraryGetKernel(&none, library, "absent"));
  printf("%d ", cuLibraryGetKernel(&none, library, "sum_body"));
  printf("%d ", cuLibraryLoadData(&none, "something else", NULL, NULL, 0, NULL, NULL, 0));
  printf("%d ", cuLaunchKernel(k, 0, 1, 1, 64, 1, 1, 0, NULL, &args, NULL));
  printf("%d ", cuLaunchKernel(k, 1, 65536, 1, 64, 1, 1, 0, NULL, &args, NULL));
  printf("%d ", cuLaunchKernel(k, 1, 1, 1, 512, 4, 1, 0, NULL, &args, NULL));
  size_t size;
  nvrtcCreateProgram(&p, source, "virtual.cu", 0, NULL, NULL);
  nvrtcCompileProgram(p, 1, (const char *const[]){"-arch=compute_90"});
  nvrtcGetCUBINSize(p, &size);
  printf("%zu ", size);
  handle stream;
  cudaStreamCreate(&stream);
  cudaStreamBeginCapture(stream, 0);
  printf("%d\n", cuLibraryLoadData(&none, "in a capture", NULL, NULL, 0, NULL, NULL, 0));
}

int main(int argc, char **argv) {
  const char *source = read_all(argv[1]), *what = argv[2];
#define IS(name) (strcmp(what, name) == 0)
  check("init", cuInit(0));
  if (IS("error")) compiled("typedef int t;\nint f(int x) {\n  return y;\n}\n", NULL);
  if (IS("undeclared")) compiled("int f(int x) { return g(x); }\n", NULL);
  if (IS("option")) compiled(source, "--no-such-option");
  handle library = compiled(source, IS("macro") ? "-DTHREADS=0" : NULL);
  if (IS("sums")) sums(library);
  if (IS("places")) places(library);
  if (IS("vectors")) vectors(library, 0);
  if (IS("unaligned")) vectors(library, 1);
  if (IS("unwritten")) unwritten(library);
  if (IS("apart")) apart(library);
  if (IS("capture")) capture(library);
  if (IS("late")) late(library);
  if (IS("together")) together(library);
  if (IS("refused")) refused(library, source);
  check("unload", cuLibraryUnload(library));
  return 0;
}
