// The table through which ONNX Runtime calls an operator of ours: the head of its struct
// OrtCustomOp, as it is since version 18 of the API. Optional entries may be NULL. What follows
// it in memory is ours.
#ifndef VICREG_OPTABLE_H
#define VICREG_OPTABLE_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
  uint32_t version;
  void *create_kernel_without_error;
  const char *(*name)(const void *table);
  const char *(*provider)(const void *table);
  int (*input_type)(const void *table, size_t i);
  size_t (*input_count)(const void *table);
  int (*output_type)(const void *table, size_t i);
  size_t (*output_count)(const void *table);
  void *compute_without_error;
  void (*destroy)(void *node);
  int (*input_characteristic)(const void *table, size_t i);
  int (*output_characteristic)(const void *table, size_t i);
  int (*input_memory)(const void *table, size_t i);
  int (*variadic[4])(const void *table);
  void *(*create)(const void *table, void *api, void *info, void **node);
  void *(*compute)(void *node, void *context);
  void *(*infer)(const void *table, void *inference);
  int (*versions[2])(const void *table);
  size_t (*may_share)(int **inputs, int **outputs); // inputs and outputs that may share memory, in pairs
  void (*release_shares)(int *inputs, int *outputs);
  void *aliases[2];
} vr_table;

#endif
