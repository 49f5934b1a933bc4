#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "opconv.h"

// The choice among the kernels that cuDNN has for a convolution. Its heuristics list
// engines with settings, best guess first; the first few that work are timed on the
// real data, as torch.backends.cudnn.benchmark does it.

// FEW is up to how many candidates those that cuDNN keeps for what else would have none are
// asked for, too: they include plain loops, which can take a second for a large batch.
// ENOUGH is after how many candidates the first hopeless one ends a search, as what comes
// after it in the list is hardly better.
enum { MOST_CANDIDATES = 20, FEW = 3, ENOUGH = 8, MOST_CONFIGS = 64, TIMED_RUNS = 3 };
static const int64_t most_workspace = (int64_t)1 << 30;

typedef struct {
  vr_descriptors own;
  void *plan;
  int64_t workspace;
} candidate;

typedef struct {
  const vr_conv_shape *shape;
  vr_descriptors graph;
  void *operations;
  candidate all[MOST_CANDIDATES];
  int count;
} search;

// attribute reads an attribute into values, which has room for so many, and returns how many
// there are; -1 where it cannot be read.
static int64_t attribute(void *descriptor, int name, int type, int64_t room, void *values) {
  int64_t count = 0;
  return vr_cudnn.cudnnBackendGetAttribute(descriptor, name, type, room, &count, values) == 0 ? count : -1;
}

// rounds says whether the engine of a configuration rounds its operands further than
// the convolution allows; also where it does not say. Tensor cores take half precision as
// it is and float32 as TF32; what is converted down before loses more, as do sums of less than
// float32, and neither is ever meant.
static int rounds(void *config, int tf32) {
  vr_descriptors d = {0};
  int notes[CUDNN_NOTES], found = 1;
  void *engine = vr_descriptor_begin(&d, CUDNN_DESCRIBE_ENGINE);
  if (d.error == NULL && attribute(config, CUDNN_CONFIG_ENGINE, CUDNN_TYPE_DESCRIPTOR, 1, &engine) > 0) {
    int64_t count = attribute(engine, CUDNN_ENGINE_NUMERICAL_NOTES, CUDNN_TYPE_NUMERICAL_NOTE, CUDNN_NOTES, notes);
    found = count < 0 || count > CUDNN_NOTES;
    for (int64_t i = 0; !found && i < count; i++)
      found = notes[i] == CUDNN_NOTE_DOWN_CONVERT || notes[i] == CUDNN_NOTE_REDUCED_SUMS ||
              (!tf32 && notes[i] == CUDNN_NOTE_TENSOR_CORE);
  }
  vr_descriptors_free(&d);
  return found;
}

static char *make_plan(const vr_conv_shape *s, void *config, candidate *c) {
  c->plan = vr_descriptor_begin(&c->own, CUDNN_DESCRIBE_PLAN);
  vr_descriptor_set(&c->own, c->plan, CUDNN_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &s->cudnn);
  vr_descriptor_set(&c->own, c->plan, CUDNN_PLAN_CONFIG, CUDNN_TYPE_DESCRIPTOR, 1, &config);
  vr_descriptor_end(&c->own, c->plan);
  return c->own.error;
}

// consider makes a plan of a configuration and keeps it as a candidate, or frees both.
static void consider(search *s, void *config) {
  candidate c = {.own = {.all = {config}, .count = 1}};
  if (!rounds(config, s->shape->tf32) && make_plan(s->shape, config, &c) == NULL &&
      attribute(c.plan, CUDNN_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &c.workspace) == 1 && c.workspace <= most_workspace)
    s->all[s->count++] = c;
  else vr_descriptors_free(&c.own);
}

// results makes descriptors for what the heuristics found, and has them filled.
static int64_t results(void *heuristics, void *configs[MOST_CONFIGS]) {
  int64_t found = attribute(heuristics, CUDNN_HEURISTICS_RESULTS, CUDNN_TYPE_DESCRIPTOR, 0, NULL);
  if (found > MOST_CONFIGS) found = MOST_CONFIGS;
  int64_t made = 0, filled = 0;
  while (made < found && vr_cudnn.cudnnBackendCreateDescriptor(CUDNN_DESCRIBE_CONFIG, &configs[made]) == 0) made++;
  if (made > 0) filled = attribute(heuristics, CUDNN_HEURISTICS_RESULTS, CUDNN_TYPE_DESCRIPTOR, made, configs);
  if (filled < 0) filled = 0;
  if (filled > made) filled = made;
  for (int64_t i = filled; i < made; i++) vr_cudnn.cudnnBackendDestroyDescriptor(configs[i]);
  return filled;
}

// gather adds the candidates of one of the heuristics, which may have none.
static void gather(search *s, int heuristic) {
  vr_descriptors d = {0};
  void *configs[MOST_CONFIGS], *h = vr_descriptor_begin(&d, CUDNN_DESCRIBE_HEURISTICS);
  vr_descriptor_set(&d, h, CUDNN_HEURISTICS_GRAPH, CUDNN_TYPE_DESCRIPTOR, 1, &s->operations);
  vr_descriptor_set(&d, h, CUDNN_HEURISTICS_MODE, CUDNN_TYPE_HEURISTIC, 1, &heuristic);
  vr_descriptor_end(&d, h);
  int64_t count = d.error ? 0 : results(h, configs);
  for (int64_t i = 0; i < count; i++) {
    if (s->count < MOST_CANDIDATES) consider(s, configs[i]);
    else vr_cudnn.cudnnBackendDestroyDescriptor(configs[i]);
  }
  vr_descriptors_free(&d);
}

// timed gives the time of some runs together.
static char *timed(vr_call *run, const search *s, const candidate *c, const vr_conv_data *data, void *workspace,
                   void *events[2], int runs, float *ms) {
  char *error = NULL;
  int failed = vr_cudnn.cudaEventRecord(events[0], run->stream) != 0;
  for (int i = 0; error == NULL && i < runs; i++) error = vr_execute(s->shape, c->plan, data, workspace);
  if (error != NULL) return error;
  failed = failed || vr_cudnn.cudaEventRecord(events[1], run->stream) != 0 ||
           vr_cudnn.cudaEventSynchronize(events[1]) != 0 ||
           vr_cudnn.cudaEventElapsedTime(ms, events[0], events[1]) != 0;
  return failed ? strdup("CUDA's events fail") : NULL;
}

// hopeless tells whether a kernel's first run takes so much longer than the least time that
// it needs no other one: ten times, and what loading the kernel may take.
static int hopeless(float ms, float least) { return ms > 10 * least + 50; }

// measure gives the time of a run, the mean of a few after one that warms up. One that
// takes more than twice the least time so far is left at that, and a hopeless one at the
// first: slow kernels are what the time of a search goes to.
static char *measure(vr_call *run, const search *s, const candidate *c, const vr_conv_data *data, void *workspace,
                     void *events[2], float least, float *ms) {
  float rest = 0;
  char *error = timed(run, s, c, data, workspace, events, 1, ms);
  if (error != NULL || hopeless(*ms, least)) return error;
  error = timed(run, s, c, data, workspace, events, 1, ms);
  if (error != NULL || *ms > 2 * least) return error;
  error = timed(run, s, c, data, workspace, events, TIMED_RUNS - 1, &rest);
  *ms = (*ms + rest) / TIMED_RUNS;
  return error;
}

// try_memory allocates memory of the device past the runtime's arena, which would keep
// for good what a search needs once; NULL where there is not so much. As searching
// does altogether, it belongs to a run that is not captured.
static void *try_memory(size_t bytes) {
  void *memory = NULL;
  if (vr_cudnn.cudaMalloc(&memory, bytes) == 0) return memory;
  vr_cudnn.cudaGetLastError(); // or the next kernel of the runtime finds it
  return NULL;
}

// workspace_for allocates enough for all candidates, or gives up the greediest.
static void *workspace_for(search *s) {
  for (;;) {
    int most = 0;
    for (int i = 1; i < s->count; i++)
      if (s->all[i].workspace > s->all[most].workspace) most = i;
    void *memory = s->count && s->all[most].workspace ? try_memory(s->all[most].workspace) : NULL;
    if (memory != NULL || s->count == 0 || s->all[most].workspace == 0) return memory;
    vr_descriptors_free(&s->all[most].own);
    memmove(&s->all[most], &s->all[most + 1], (--s->count - most) * sizeof *s->all);
  }
}

// fastest gives the candidate that takes the least time, -1 with an error for none.
static int fastest(vr_call *run, const search *s, const vr_conv_data *data, void *workspace, void *events[2],
                   char **error) {
  int best = -1;
  float least = FLT_MAX;
  for (int i = 0; i < s->count; i++) {
    float ms = 0;
    char *failed = measure(run, s, &s->all[i], data, workspace, events, least, &ms);
    if (failed != NULL) {
      vr_cudnn.cudaGetLastError(); // or the next kernel of the runtime finds it
      free(*error);
      *error = failed;
    } else if (ms < least) {
      best = i, least = ms;
    } else if (i >= ENOUGH && hopeless(ms, least)) {
      break;
    }
  }
  if (best >= 0) free(*error), *error = NULL;
  return best;
}

static int choose(vr_call *run, search *s, const vr_conv_data *data, char **error) {
  void *events[2] = {0}, *workspace = workspace_for(s);
  int best = -1;
  if (s->count == 0) *error = strdup("the device has no memory left to work in");
  else if (vr_cudnn.cudaEventCreate(&events[0]) != 0 || vr_cudnn.cudaEventCreate(&events[1]) != 0)
    *error = strdup("CUDA's events fail");
  else best = fastest(run, s, data, workspace, events, error);
  for (int i = 0; i < 2; i++)
    if (events[i] != NULL) vr_cudnn.cudaEventDestroy(events[i]);
  // The last candidate may be at work yet, where it failed; cudaFree waits for it.
  if (workspace != NULL) vr_cudnn.cudaFree(workspace);
  return best;
}

char *vr_plan_search(vr_call *run, const vr_conv_shape *shape, const vr_conv_data *data, vr_plan *plan) {
  search s = {.shape = shape};
  s.operations = vr_describe_conv(&s.graph, shape);
  if (s.graph.error == NULL) {
    gather(&s, CUDNN_HEURISTIC_B);
    // A knows convolutions that B does not, and otherwise the same.
    if (s.count == 0) gather(&s, CUDNN_HEURISTIC_A);
    if (s.count <= FEW) gather(&s, CUDNN_HEURISTIC_FALLBACK);
  }
  char *error = s.graph.error;
  s.graph.error = NULL;
  if (error == NULL && s.count == 0) error = strdup("cuDNN has no kernel for this convolution");
  int best = error ? -1 : choose(run, &s, data, &error);
  for (int i = 0; i < s.count; i++)
    if (i != best) vr_descriptors_free(&s.all[i].own);
  if (best < 0) {
    vr_descriptors_free(&s.graph);
    return error;
  }
  *plan = (vr_plan){.shape = *shape,
                    .graph = s.graph,
                    .own = s.all[best].own,
                    .plan = s.all[best].plan,
                    .workspace = s.all[best].workspace};
  return NULL;
}
