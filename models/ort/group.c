#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api.h"
#include "opgroup.h"

// The library that joins processes into a group: see vicreg_group.h.

static struct {
  void *library;
  const char *(*open)(int *, int *);
  const char *(*all_reduce)(float *, size_t);
  const char *(*all_gather)(const float *, size_t, float *);
  void (*close)(void);
  int rank, size;
} group;

static const char *const names[] = {"vicreg_group_open", "vicreg_group_all_reduce", "vicreg_group_all_gather",
                                    "vicreg_group_close"};

// load resolves the functions. An MPI library loads others that look up its symbols, which must
// therefore be global.
static char *load(const char *path) {
  void **functions[] = {(void **)&group.open, (void **)&group.all_reduce, (void **)&group.all_gather,
                        (void **)&group.close};
  group.library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
  if (group.library == NULL) return strdup(dlerror());
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    *functions[i] = dlsym(group.library, names[i]);
    if (*functions[i] == NULL) return vr_error("%s has no function %s", path, names[i]);
  }
  return NULL;
}

// The library's first error: after that it is not called, as the processes no longer know what
// the others wait for.
static const char *failed;

static char *copied(const char *message) {
  if (failed == NULL) failed = message;
  return message ? strdup(message) : NULL;
}

char *vr_group_open(const char *path, int *rank, int *size) {
  if (group.library != NULL) return strdup("this process is in a group already");
  char *error = load(path);
  if (error == NULL) error = copied(group.open(&group.rank, &group.size));
  if (error == NULL && (group.size < 1 || group.rank < 0 || group.rank >= group.size))
    error = vr_error("rank %d of %d processes", group.rank, group.size);
  if (error != NULL) group.size = 0;
  *rank = group.rank, *size = group.size;
  return error;
}

void vr_group_close(void) {
  if (group.size > 0 && failed == NULL) group.close();
  group.size = 0;
  failed = "this process has left the others";
}

int vr_group_size(void) { return group.size > 0 ? group.size : 1; }

int vr_group_rank(void) { return group.size > 0 ? group.rank : 0; }

// What has been exchanged since the last vr_take_exchanges.
static vr_exchanges exchanges;
static pthread_mutex_t exchanges_lock = PTHREAD_MUTEX_INITIALIZER;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + 1e-9 * t.tv_nsec;
}

static void note(int64_t count, size_t values, double begin) {
  pthread_mutex_lock(&exchanges_lock);
  exchanges.count += count;
  exchanges.values += values;
  exchanges.seconds += now() - begin;
  pthread_mutex_unlock(&exchanges_lock);
}

void vr_take_exchanges(vr_exchanges *all) {
  pthread_mutex_lock(&exchanges_lock);
  *all = exchanges;
  exchanges = (vr_exchanges){0};
  pthread_mutex_unlock(&exchanges_lock);
}

char *vr_group_gather(const float *mine, size_t count, float *all) {
  if (failed != NULL) return strdup(failed);
  if (group.size == 0) {
    memcpy(all, mine, count * sizeof *all);
    return NULL;
  }
  double begin = now();
  char *error = copied(group.all_gather(mine, count, all));
  note(1, count, begin);
  return error;
}

// Tensors of up to SMALL values are reduced together, in a buffer of up to BUCKET, because each
// exchange costs the latency of some messages, whatever its size. Larger ones are reduced in
// place, which saves copies. Sizes and order are the same in all processes.
enum { SMALL = 1 << 18, BUCKET = 25 << 18 };

static char *reduce_at(float *values, size_t count) {
  double begin = now();
  char *error = copied(group.all_reduce(values, count));
  note(1, count, begin);
  return error;
}

static char *reduce_alone(const vr_reduction *r) {
  if (r->to != r->from) memcpy(r->to, r->from, r->count * sizeof(float));
  return group.size > 0 ? reduce_at(r->to, r->count) : NULL;
}

// reduce_bucket reduces the small ones among n tensors, which have count values in all.
static char *reduce_bucket(const vr_reduction *r, size_t n, size_t count) {
  if (count == 0) return NULL;
  float *bucket = malloc(count * sizeof *bucket), *at = bucket;
  if (bucket == NULL) return vr_error("no memory for %zu values", count);
  for (size_t i = 0; i < n; at += r[i].count <= SMALL ? r[i].count : 0, i++)
    if (r[i].count <= SMALL) memcpy(at, r[i].from, r[i].count * sizeof *at);
  char *error = reduce_at(at = bucket, count);
  for (size_t i = 0; error == NULL && i < n; at += r[i].count <= SMALL ? r[i].count : 0, i++)
    if (r[i].count <= SMALL) memcpy(r[i].to, at, r[i].count * sizeof *at);
  free(bucket);
  return error;
}

char *vr_group_reduce(const vr_reduction *r, size_t n) {
  char *error = failed != NULL ? strdup(failed) : NULL;
  size_t first = 0, count = 0;
  for (size_t i = 0; error == NULL && i < n; i++) {
    if (group.size == 0 || r[i].count > SMALL) {
      error = reduce_alone(&r[i]);
      continue;
    }
    if (count + r[i].count > BUCKET) {
      error = reduce_bucket(r + first, i - first, count);
      first = i, count = 0;
    }
    count += r[i].count;
  }
  return error != NULL ? error : reduce_bucket(r + first, n - first, count);
}
