#include "opnorm.h"

#include <stdlib.h>
#include <string.h>

#include "customop.h"

// Batch normalisation over the statistics of the batch, in training: with a residual z
// added where there is one, a relu applied where the attribute says so, and its
// gradients.
//
// BatchNorm(x, gamma, beta, z) gives y, the mean and 1/sqrt(variance + eps) of each
// channel, and the reserve: what cuDNN wants to find again in BatchNormGrad, of a size
// that it alone knows. Source: the documentation of cuDNN's ops library,
// cudnnBatchNormalizationForwardTrainingEx and cudnnBatchNormalizationBackwardEx.

enum { X, GAMMA, BETA, Z };
enum { Y, MEAN, ISTD, RESERVE };
enum { G_DY, G_X, G_Y, G_GAMMA, G_BETA, G_MEAN, G_ISTD, G_RESERVE };
enum { G_DX, G_DGAMMA, G_DBETA, G_DZ };

static int is_channel(const vr_shape *s, const vr_shape *x) { return s->rank == 1 && s->dims[0] == x->dims[3]; }

static int alike(const vr_shape *a, const vr_shape *b) {
  return a->rank == 4 && memcmp(a->dims, b->dims, 4 * sizeof *a->dims) == 0;
}

static char *norm_shapes(const vr_attributes *a, const vr_shape *in, vr_shape *out) {
  if (in[X].rank != 4) return strdup("x is not [N, H, W, C]");
  if (!is_channel(&in[GAMMA], &in[X]) || !is_channel(&in[BETA], &in[X])) return strdup("gamma or beta is not [C]");
  if (in[Z].rank != 0 && !a->relu) return strdup("z is added before a relu only");
  if (in[Z].rank != 0 && !alike(&in[Z], &in[X])) return strdup("z is not of the shape of x");
  out[Y] = in[X];
  vr_set_shape(&out[MEAN], 1, in[X].dims[3], 0, 0, 0);
  out[ISTD] = out[MEAN];
  return NULL;
}

static char *norm_grad_shapes(const vr_attributes *a, const vr_shape *in, vr_shape *out) {
  if (in[G_X].rank != 4 || !alike(&in[G_DY], &in[G_X])) return strdup("dy and x are not [N, H, W, C]");
  for (int i = G_GAMMA; i <= G_ISTD; i++)
    if (!is_channel(&in[i], &in[G_X])) return strdup("gamma, beta, mean or istd is not [C]");
  if (a->relu && !alike(&in[G_Y], &in[G_X])) return strdup("y is needed with relu=1, of the shape of x");
  out[G_DX] = in[G_X];
  vr_set_shape(&out[G_DGAMMA], 1, in[G_X].dims[3], 0, 0, 0);
  out[G_DBETA] = out[G_DGAMMA];
  if (a->residual) out[G_DZ] = in[G_X];
  return NULL;
}

// norm is what a node keeps: the descriptors for the shape of its last run.
typedef struct {
  vr_shape shape;
  void *x, *channel, *activation;
  vr_norm_form *form;
} norm;

static void forget_descriptors(norm *n) {
  if (n->x != NULL) vr_cudnn.cudnnDestroyTensorDescriptor(n->x);
  if (n->channel != NULL) vr_cudnn.cudnnDestroyTensorDescriptor(n->channel);
  if (n->activation != NULL) vr_cudnn.cudnnDestroyActivationDescriptor(n->activation);
  memset(n, 0, sizeof *n);
}

static void forget(void *state) {
  forget_descriptors(state);
  free(state);
}

static char *describe(vr_call *run, norm *n, const vr_shape *x) {
  char *error = vr_describe_activations(run, x, &n->x);
  if (error != NULL) return error;
  VR_TRY(cudnnCreateTensorDescriptor, &n->channel);
  VR_TRY(cudnnDeriveBNTensorDescriptor, n->channel, n->x, CUDNN_SPATIAL);
  VR_TRY(cudnnCreateActivationDescriptor, &n->activation);
  VR_TRY(cudnnSetActivationDescriptor, n->activation, CUDNN_RELU, CUDNN_PROPAGATE_NAN, 0);
  return vr_norm_form_of(run, x, n->x, n->channel, n->activation, &n->form);
}

// state gives what the node keeps, made anew for another shape.
static char *state(vr_call *run, const vr_shape *x, norm **to) {
  norm *n = *to = run->node->state;
  if (n == NULL) n = *to = run->node->state = calloc(1, sizeof *n);
  if (n->form != NULL && alike(&n->shape, x)) return NULL;
  forget_descriptors(n);
  char *error = describe(run, n, x);
  if (error != NULL) forget_descriptors(n);
  else n->shape = *x;
  return error;
}

static const float one = 1, zero = 0;

// normalise runs cuDNN's normalisation in the given form, with all that is fused there.
static int normalise(vr_call *run, norm *n, const vr_norm_way *way, void *workspace, void *reserve) {
  int add = way->ops == CUDNN_NORM_ADD_ACTIVATION, fused = way->ops != CUDNN_NORM;
  return vr_cudnn.cudnnBatchNormalizationForwardTrainingEx(
      run->cudnn, way->mode, way->ops, &one, &zero, n->x, run->x[X], add ? n->x : NULL, add ? run->x[Z] : NULL, n->x,
      run->y[Y], n->channel, run->x[GAMMA], run->x[BETA], 1, NULL, NULL, run->node->attributes.eps, run->y[MEAN],
      run->y[ISTD], fused ? n->activation : NULL, workspace, n->form->workspace, reserve, way->reserve);
}

// complete does, in place, what the form leaves out.
static char *complete(vr_call *run, norm *n, const vr_norm_way *way) {
  const vr_attributes *a = &run->node->attributes;
  if (way->ops != CUDNN_NORM) return NULL;
  if (a->residual) VR_TRY(cudnnAddTensor, run->cudnn, &one, n->x, run->x[Z], &one, n->x, run->y[Y]);
  if (a->relu) VR_TRY(cudnnActivationForward, run->cudnn, n->activation, &one, n->x, run->y[Y], &zero, n->x, run->y[Y]);
  return NULL;
}

static char *norm_with(vr_call *run, norm *n, void *workspace, void *reserve) {
  const vr_norm_way *way;
  int status;
  do {
    way = vr_norm_way_of(n->form);
    status = normalise(run, n, way, workspace, reserve);
  } while (vr_not_supported(status) && vr_norm_next(n->form, way));
  char *error = vr_cudnn_failed(status, "cudnnBatchNormalizationForwardTrainingEx");
  return error ? error : complete(run, n, way);
}

static char *norm_run(vr_call *run) {
  norm *n = NULL;
  void *workspace = NULL, *own = NULL;
  vr_shape reserve;
  // The gradient, which has no z, is told by an attribute.
  run->node->attributes.residual = run->x[Z] != NULL;
  char *error = state(run, &run->in[X], &n);
  if (error != NULL) return error;
  vr_set_shape(&reserve, 1, n->form->reserve, 0, 0, 0);
  error = vr_output(run, RESERVE, &reserve);
  if (error == NULL) error = vr_scratch(run, n->form->workspace, &workspace);
  // Where the graph has no gradient, nobody keeps the reserve.
  if (error == NULL && run->y[RESERVE] == NULL) error = vr_scratch(run, n->form->reserve, &own);
  if (error == NULL) error = norm_with(run, n, workspace, own ? own : run->y[RESERVE]);
  vr_release_scratch(run, own);
  vr_release_scratch(run, workspace);
  return error;
}

static int gradient(vr_call *run, norm *n, const vr_norm_way *way, const void *dy, void *workspace) {
  int add = way->ops == CUDNN_NORM_ADD_ACTIVATION, fused = way->ops != CUDNN_NORM;
  return vr_cudnn.cudnnBatchNormalizationBackwardEx(
      run->cudnn, way->mode, way->ops, &one, &zero, &one, &zero, n->x, run->x[G_X], fused ? n->x : NULL,
      fused ? run->x[G_Y] : NULL, n->x, dy, add ? n->x : NULL, add ? run->y[G_DZ] : NULL, n->x, run->y[G_DX],
      n->channel, run->x[G_GAMMA], fused ? run->x[G_BETA] : NULL, run->y[G_DGAMMA], run->y[G_DBETA],
      run->node->attributes.eps, run->x[G_MEAN], run->x[G_ISTD], fused ? n->activation : NULL, workspace,
      n->form->workspace, run->x[G_RESERVE], way->reserve);
}

// relu_gradient gives what passes the relu: y and what went into it are above 0 at the
// same places. It is the gradient of the residual, too.
static char *relu_gradient(vr_call *run, norm *n, void *passed) {
  VR_TRY(cudnnActivationBackward, run->cudnn, n->activation, &one, n->x, run->x[G_Y], n->x, run->x[G_DY], n->x,
         run->x[G_Y], &zero, n->x, passed);
  return NULL;
}

static size_t bytes_of(const vr_call *run, const vr_shape *s) {
  return s->dims[0] * s->dims[1] * s->dims[2] * s->dims[3] * (run->node->type == CUDNN_HALF ? 2 : 4);
}

// norm_grad_with goes one way; status is what cuDNN says of its normalisation.
static char *norm_grad_with(vr_call *run, norm *n, const vr_norm_way *way, void *workspace, int *status) {
  static const char *const function = "cudnnBatchNormalizationBackwardEx";
  *status = 0;
  if (way->ops != CUDNN_NORM || !run->node->attributes.relu)
    return vr_cudnn_failed(*status = gradient(run, n, way, run->x[G_DY], workspace), function);
  void *own = NULL, *passed = run->y[G_DZ];
  char *error = passed ? NULL : vr_scratch(run, bytes_of(run, &run->in[G_X]), &own);
  if (passed == NULL) passed = own;
  if (error == NULL) error = relu_gradient(run, n, passed);
  if (error == NULL) error = vr_cudnn_failed(*status = gradient(run, n, way, passed, workspace), function);
  vr_release_scratch(run, own);
  return error;
}

// norm_grad goes on to another way where cuDNN refuses one, though the forward pass went
// it: the gradient in steps needs nothing of that but y, the mean and istd.
static char *norm_grad(vr_call *run, norm *n, void *workspace) {
  for (;;) {
    int status;
    const vr_norm_way *way = vr_norm_way_of(n->form);
    char *error = norm_grad_with(run, n, way, workspace, &status);
    if (!vr_not_supported(status) || !vr_norm_next_gradient(n->form, way)) return error;
    free(error);
  }
}

static char *norm_grad_run(vr_call *run) {
  norm *n = NULL;
  void *workspace = NULL;
  if (run->node->attributes.residual && run->y[G_DZ] == NULL) return strdup("dz is left out with residual=1");
  char *error = state(run, &run->in[G_X], &n);
  if (error == NULL && run->in[G_RESERVE].dims[0] != n->form->reserve) error = strdup("the reserve is of another node");
  if (error == NULL) error = vr_scratch(run, n->form->workspace, &workspace);
  if (error == NULL) error = norm_grad(run, n, workspace);
  vr_release_scratch(run, workspace);
  return error;
}

const vr_operator vr_batch_norm = {"BatchNorm", "tffT", "tFFB", VR_EPS, norm_shapes, norm_run, forget};
const vr_operator vr_batch_norm_grad = {"BatchNormGrad",  "ttTffffb",    "tffT", VR_EPS,
                                        norm_grad_shapes, norm_grad_run, forget};
