// The table through which ONNX Runtime calls an operator, and the domain that holds the
// operators. Source: its C API, struct OrtCustomOp and CreateCustomOpDomain.
#include "customop.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "optable.h"

// An operator's table for the runtime, followed by our own fields.
typedef struct {
  vr_table table;
  const vr_operator *operator;
  int type;
} registered;

static void *status(const vr_operator *op, char *message) { return vr_status(op->name, VR_DOMAIN, message); }

static const registered *of(const void *table) { return table; }

static const char *name(const void *r) { return of(r)->operator->name; }
static const char *provider(const void *r) { return "CUDAExecutionProvider"; }
static int input_type(const void *r, size_t i) { return vr_type(of(r)->operator->inputs[i], of(r)->type); }
static size_t input_count(const void *r) { return vr_places(of(r)->operator->inputs); }
static int output_type(const void *r, size_t i) { return vr_type(of(r)->operator->outputs[i], of(r)->type); }
static size_t output_count(const void *r) { return vr_places(of(r)->operator->outputs); }
enum { REQUIRED = 0, OPTIONAL = 1, VARIADIC = 2 };
static int characteristic(const char *letters, size_t i) {
  return vr_listed(letters, i) ? VARIADIC : letters[i] < 'a' ? OPTIONAL : REQUIRED;
}
static int input_characteristic(const void *r, size_t i) { return characteristic(of(r)->operator->inputs, i); }
static int output_characteristic(const void *r, size_t i) { return characteristic(of(r)->operator->outputs, i); }
// A list has at least one element, and all are of one type.
static int one(const void *r) { return 1; }
static int on_device(const void *r, size_t i) { return 0; }
static int version(const void *r) { return 1; }

static void *create(const void *r, void *api, void *info, void **node) {
  return status(of(r)->operator, vr_node_make(of(r)->operator, of(r)->type, info, (vr_node **)node));
}

static void *compute(void *node, void *context) {
  return status(((vr_node *)node)->operator, vr_node_run(node, context));
}

static void destroy(void *node) { vr_node_forget(node); }

static void *infer(const void *r, void *inference) {
  vr_infer(of(r)->operator, inference);
  return NULL;
}

static void *domain;
static char *domain_error;

// The domain is created once per process and never freed, as sessions refer to it.
static void make_domain(void) {
  static const vr_operator *const operators[] = {
      &vr_conv,     &vr_conv_input_grad, &vr_conv_weight_grad, &vr_conv_moments, &vr_batch_norm, &vr_batch_norm_grad,
      &vr_normalize, &vr_max_pool,       &vr_max_pool_grad,    &vr_dots,         &vr_momentum,   &vr_adam,
      &vr_blend,    &vr_pixels,          &vr_sums,             &vr_halves};
  static const int types[] = {VR_FLOAT, VR_FLOAT16, VR_BFLOAT16};
  enum { N = sizeof operators / sizeof *operators, TYPES = sizeof types / sizeof *types };
  static registered all[TYPES * N]; // each operator for each type
  domain_error = vr_failed(STATUS(CREATE_OPERATOR_DOMAIN, const char *, void **)(VR_DOMAIN, &domain));
  for (int i = 0; domain_error == NULL && i < TYPES * N; i++) {
    // An operator without activations is the same for all types.
    if (i % TYPES > 0 && strpbrk(operators[i / TYPES]->inputs, "tT") == NULL) continue;
    all[i] = (registered){.table = {.version = API_VERSION,
                                    .name = name,
                                    .provider = provider,
                                    .input_type = input_type,
                                    .input_count = input_count,
                                    .output_type = output_type,
                                    .output_count = output_count,
                                    .destroy = destroy,
                                    .input_characteristic = input_characteristic,
                                    .output_characteristic = output_characteristic,
                                    .input_memory = on_device,
                                    .variadic = {one, one, one, one},
                                    .create = create,
                                    .compute = compute,
                                    .infer = infer,
                                    .versions = {version, NULL}},
                          .operator = operators[i / TYPES],
                          .type = types[i % TYPES]};
    domain_error = vr_failed(STATUS(ADD_OPERATOR, void *, registered *)(domain, &all[i]));
  }
}

char *vr_add_operators(void *options) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_domain);
  if (domain_error != NULL) return strdup(domain_error);
  return vr_failed(STATUS(ADD_OPERATOR_DOMAIN, void *, void *)(options, domain));
}
