// A group of processes for tests, over a file that all of them map: VICREG_TEST_GROUP is
// FILE,RANK,SIZE. Source of the interface: models/ort/vicreg_group.h.
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 1 << 16, MOST = 8, PATIENCE = 60 };
static struct {
  atomic_ulong arrived;
  float values[MOST][CHUNK];
} *shared;
static int rank, size;
static unsigned long barriers;

// barrier waits until all processes have reached it as often as this one.
static const char *barrier(void) {
  time_t end = time(NULL) + PATIENCE;
  atomic_fetch_add(&shared->arrived, 1);
  for (barriers++; atomic_load(&shared->arrived) < barriers * size; sched_yield())
    if (time(NULL) > end) return "the other processes are gone";
  return NULL;
}

const char *vicreg_group_open(int *my_rank, int *my_size) {
  const char *text = getenv("VICREG_TEST_GROUP");
  char path[4096];
  if (text == NULL || sscanf(text, "%4095[^,],%d,%d", path, &rank, &size) != 3) return "VICREG_TEST_GROUP is not FILE,RANK,SIZE";
  int file = open(path, O_RDWR);
  if (file < 0 || ftruncate(file, sizeof *shared) != 0) return "the file of the group does not open";
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (shared == MAP_FAILED) return "the file of the group cannot be mapped";
  *my_rank = rank, *my_size = size;
  return NULL;
}

const char *vicreg_group_all_reduce(float *values, size_t count) {
  for (size_t n; count > 0; values += n, count -= n) {
    n = count < CHUNK ? count : CHUNK;
    memcpy(shared->values[rank], values, n * sizeof *values);
    const char *error = barrier();
    if (error != NULL) return error;
    for (size_t i = 0; i < n; i++) {
      values[i] = 0;
      for (int r = 0; r < size; r++) values[i] += shared->values[r][i];
    }
    if ((error = barrier()) != NULL) return error;
  }
  return NULL;
}

const char *vicreg_group_all_gather(const float *mine, size_t count, float *all) {
  for (size_t n, at = 0; at < count; at += n) {
    n = count - at < CHUNK ? count - at : CHUNK;
    memcpy(shared->values[rank], mine + at, n * sizeof *mine);
    const char *error = barrier();
    if (error != NULL) return error;
    for (int r = 0; r < size; r++) memcpy(all + r * count + at, shared->values[r], n * sizeof *mine);
    if ((error = barrier()) != NULL) return error;
  }
  return NULL;
}

void vicreg_group_close(void) {}
