// The operators AllGather and AllReduce, each on a list of float32 tensors of any shapes. Source:
// ONNX Runtime's C API, struct OrtCustomOp.
#include "opgroup.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "optable.h"

#define DOMAIN "vicreg.collectives"
enum { FLOAT = 1 };

typedef struct {
  vr_table table;
  const char *name;
  int gathers;
} registered;

// node is one of a session: the size of the group that the graph was made for, and 1 if the last
// input is not exchanged but only orders this node after another.
typedef struct {
  const registered *of;
  int64_t size, after;
} node;

static void *status(const registered *r, char *message) { return vr_status(r->name, DOMAIN, message); }

static const char *name(const void *r) { return ((const registered *)r)->name; }
static const char *provider(const void *r) { return "CPUExecutionProvider"; }
static int type(const void *r, size_t i) { return FLOAT; }
static size_t one(const void *r) { return 1; }
static int none(const void *r, size_t i) { return 0; }
enum { VARIADIC = 2 };
static int listed(const void *r, size_t i) { return VARIADIC; }
// A list has at least one element, and all are of one type.
static int least(const void *r) { return 1; }
static int version(const void *r) { return 1; }

static void *create(const void *r, void *api, void *info, void **to) {
  node *n = calloc(1, sizeof *n);
  n->of = r;
  char *error = vr_failed(STATUS(NODE_INT, void *, const char *, int64_t *)(info, "size", &n->size));
  if (error == NULL && n->size != vr_group_size())
    error = vr_error("the graph is for %lld processes, and here are %d", (long long)n->size, vr_group_size());
  int64_t rank = 0; // whose rows the gradient takes
  if (error == NULL && n->of->gathers)
    error = vr_failed(STATUS(NODE_INT, void *, const char *, int64_t *)(info, "rank", &rank));
  if (error == NULL && n->of->gathers && rank != vr_group_rank())
    error = vr_error("the graph is for process %lld, and this is %d", (long long)rank, vr_group_rank());
  if (error == NULL) free(vr_failed(STATUS(NODE_INT, void *, const char *, int64_t *)(info, "after", &n->after))); // 0 without
  if (error != NULL) free(n), n = NULL;
  *to = n;
  return status(r, error);
}

static void destroy(void *n) { free(n); }

// look finds input i and allocates its output.
static char *look(const node *n, void *context, size_t i, vr_reduction *r) {
  void *value = NULL;
  vr_shape shape;
  char *error = vr_failed(STATUS(RUN_INPUT, void *, size_t, void **)(context, i, &value));
  if (error == NULL) error = vr_look(value, &shape, (void **)&r->from);
  if (error != NULL) return error;
  r->count = 1;
  for (size_t d = 0; d < shape.rank; d++) r->count *= shape.dims[d];
  if (n->of->gathers && shape.rank > 0) shape.dims[0] *= n->size;
  error = vr_failed(STATUS(RUN_OUTPUT, void *, size_t, const int64_t *, size_t, void **)(context, i, shape.dims,
                                                                                         shape.rank, &value));
  return error != NULL ? error : vr_failed(STATUS(TENSOR_DATA, void *, void **)(value, (void **)&r->to));
}

static char *exchange(const node *n, void *context) {
  size_t inputs = 0, used = 0;
  char *error = vr_failed(STATUS(RUN_INPUT_COUNT, void *, size_t *)(context, &inputs));
  if (error != NULL) return error;
  inputs -= n->after;
  vr_reduction *all = calloc(inputs, sizeof *all);
  for (size_t i = 0; error == NULL && i < inputs; i++) {
    error = look(n, context, i, &all[used]);
    if (all[used].count > 0) used++;
  }
  if (error == NULL && !n->of->gathers) error = vr_group_reduce(all, used);
  for (size_t i = 0; error == NULL && n->of->gathers && i < used; i++)
    error = vr_group_gather(all[i].from, all[i].count, all[i].to);
  free(all);
  return error;
}

static void *compute(void *n, void *context) { return status(((node *)n)->of, exchange(n, context)); }

// The first SHARES sums may share memory with their inputs; the others are copied.
enum { SHARES = 1024 };
static int shares[SHARES];
static size_t may_share(int **inputs, int **outputs) {
  for (int i = 0; i < SHARES; i++) shares[i] = i;
  *inputs = *outputs = shares;
  return SHARES;
}
static size_t shares_nothing(int **inputs, int **outputs) { return 0; }
static void release_shares(int *inputs, int *outputs) {}

static void *domain;
static char *domain_error;

static void make_domain(void) {
  static registered all[] = {{.name = "AllGather", .gathers = 1}, {.name = "AllReduce"}};
  domain_error = vr_failed(STATUS(CREATE_OPERATOR_DOMAIN, const char *, void **)(DOMAIN, &domain));
  for (int i = 0; domain_error == NULL && i < 2; i++) {
    all[i].table = (vr_table){.version = API_VERSION,
                              .name = name,
                              .provider = provider,
                              .input_type = type,
                              .input_count = one,
                              .output_type = type,
                              .output_count = one,
                              .destroy = destroy,
                              .input_characteristic = listed,
                              .output_characteristic = listed,
                              .input_memory = none,
                              .variadic = {least, least, least, least},
                              .create = create,
                              .compute = compute,
                              .versions = {version, NULL},
                              .may_share = all[i].gathers ? shares_nothing : may_share,
                              .release_shares = release_shares};
    domain_error = vr_failed(STATUS(ADD_OPERATOR, void *, vr_table *)(domain, &all[i].table));
  }
}

char *vr_add_collectives(void *options) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_domain);
  if (domain_error != NULL) return strdup(domain_error);
  return vr_failed(STATUS(ADD_OPERATOR_DOMAIN, void *, void *)(options, domain));
}
