// Inputs and outputs of the normalisations of opnorm.c: their indices and their shapes.
#ifndef VICREG_OPNORMSHAPES_H
#define VICREG_OPNORMSHAPES_H

#include "opnorm.h"

// Of BatchNorm, of Normalize (N_) and of BatchNormGrad (G_).
enum { X, GAMMA, BETA, Z };
enum { N_X, N_GAMMA, N_BETA, N_MEAN, N_ISTD, N_Z };
enum { N_Y, N_MASK };
enum { Y, MEAN, VARIANCE, ISTD, MASK };
enum { G_DY, G_MORE, G_X, G_GAMMA, G_BETA, G_MEAN, G_ISTD, G_MASK };
enum { G_DX, G_DGAMMA, G_DBETA, G_DZ };

// The channels of x, and its rows.
int64_t vr_channels(const vr_shape *x);
int64_t vr_rows(const vr_shape *x);

// vr_masked returns how many elements of a type share a byte of the mask.
int vr_masked(int type, int64_t channels);

char *vr_norm_shapes(const vr_attributes *a, const vr_shape *in, vr_shape *out);
char *vr_normalize_shapes(const vr_attributes *a, const vr_shape *in, vr_shape *out);
char *vr_norm_grad_shapes(const vr_attributes *a, const vr_shape *in, vr_shape *out);

#endif
