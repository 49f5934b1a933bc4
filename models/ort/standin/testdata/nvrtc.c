// Stands in for libnvrtc.so.13: a program is compiled by the machine's C compiler, after
// kernel.h, which lies beside this library. In place of a device's machine code there is a shared
// library, after a mark and its size, which the stand-in for the driver loads. Signatures and
// numbers are from NVIDIA's documentation of NVRTC.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cubin.h"

enum { SUCCESS = 0, CREATION = 2, INVALID_INPUT = 3, INVALID_PROGRAM = 4, INVALID_OPTION = 5, COMPILATION = 6, BUILTIN = 7 };

typedef struct {
  char *name, *source, *log;
  cubin *code; // NULL unless compiled for a device
} program;

int nvrtcVersion(int *major, int *minor) { return *major = 13, *minor = 0, SUCCESS; }
const char *nvrtcGetErrorString(int error) {
  static const char *const texts[] = {"SUCCESS", "OUT_OF_MEMORY", "PROGRAM_CREATION_FAILURE", "INVALID_INPUT",
                                      "INVALID_PROGRAM", "INVALID_OPTION", "COMPILATION", "BUILTIN_OPERATION_FAILURE"};
  return error < 0 || error > BUILTIN ? "unknown" : texts[error];
}

int nvrtcCreateProgram(program **p, const char *source, const char *name, int headers) {
  if (source == NULL || headers != 0) return INVALID_INPUT; // nothing of ours is included
  *p = calloc(1, sizeof **p);
  **p = (program){strdup(name ? name : "default_program"), strdup(source), strdup(""), NULL};
  return SUCCESS;
}

int nvrtcDestroyProgram(program **p) {
  if (p == NULL || *p == NULL) return INVALID_PROGRAM;
  free((*p)->name), free((*p)->source), free((*p)->log), free((*p)->code);
  return free(*p), *p = NULL, SUCCESS;
}

// content reads a file, leaving room before it, and terminates it with a NUL.
static char *content(const char *path, size_t before, size_t *size) {
  FILE *file = fopen(path, "r");
  if (file == NULL) return NULL;
  fseek(file, 0, SEEK_END);
  *size = ftell(file);
  rewind(file);
  char *all = calloc(1, before + *size + 1);
  *size = fread(all + before, 1, *size, file);
  return fclose(file), all;
}

// execute runs a program with its output in a file, and returns whether it succeeded.
static int execute(const char *const *words, const char *output) {
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_adddup2(&files, 1, 2);
  pid_t child;
  int status = 1, failed = posix_spawn(&child, words[0], &files, NULL, (char *const *)words, environ);
  posix_spawn_file_actions_destroy(&files);
  if (failed) return 0;
  while (waitpid(child, &status, 0) < 0)
    ;
  return status == 0;
}

static int begins(const char *text, const char *with) { return strncmp(text, with, strlen(with)) == 0; }

// Of NVRTC's options macros are passed on and the architecture is read; those that change only
// the speed of the code, or how C++ is parsed, are ignored.
static const char *const ignored[] = {"--std=", "-std=", "--fmad=", "-fmad=", "--use_fast_math", "-use_fast_math", "-lineinfo",
                                      "--generate-line-info", "-default-device", "--device-as-default-execution-space", NULL};
static int take(program *p, const char *option, const char **macro, int *real) {
  *macro = NULL;
  if (begins(option, "-D")) return *macro = option, SUCCESS;
  if (begins(option, "--gpu-architecture=") || begins(option, "-arch="))
    return *real = begins(strchr(option, '=') + 1, "sm_"), SUCCESS;
  for (const char *const *i = ignored; *i != NULL; i++)
    if (begins(option, *i)) return SUCCESS;
  free(p->log);
  if (asprintf(&p->log, "nvrtc: error: invalid value for option %s\n", option) < 0) abort();
  return INVALID_OPTION;
}

// translate compiles source into library. What GPUs reject and CPUs tolerate ends the process:
// misaligned vectors, indices out of bounds.
static int translate(const char *source, const char *library, const char *log, int macros, const char *const *macro) {
  Dl_info self;
  char prelude[4096];
  if (!dladdr(translate, &self)) abort();
  const char *slash = strrchr(self.dli_fname, '/');
  snprintf(prelude, sizeof prelude, "%.*skernel.h", slash ? (int)(slash + 1 - self.dli_fname) : 0, self.dli_fname);
  const char *fixed[] = {COMPILER, "-std=gnu11", "-O2", "-shared", "-fPIC", "-fno-strict-aliasing", "-fsanitize=alignment,bounds",
                         "-fsanitize-undefined-trap-on-error", "-Werror=implicit-function-declaration", "-Werror=incompatible-pointer-types",
                         "-Werror=int-conversion", "-Wl,-z,defs", "-o", library, "-include", prelude, "-x", "c", source, "-lm"};
  enum { FIXED = sizeof fixed / sizeof *fixed };
  const char **words = calloc(FIXED + macros + 1, sizeof *words);
  memcpy(words, fixed, sizeof fixed);
  memcpy(words + FIXED, macro, macros * sizeof *words);
  int well = execute(words, log);
  return free(words), well;
}

// compile works in a temporary folder, which it removes.
static int compile(program *p, int real, int macros, const char *const *macro) {
  const char *tmp = getenv("TMPDIR");
  char dir[4000], source[4096], library[4096], log[4096];
  snprintf(dir, sizeof dir, "%s/nvrtc-XXXXXX", tmp && *tmp ? tmp : "/tmp");
  if (mkdtemp(dir) == NULL) return BUILTIN;
  snprintf(source, sizeof source, "%s/source", dir);
  snprintf(library, sizeof library, "%s/library", dir);
  snprintf(log, sizeof log, "%s/log", dir);
  FILE *file = fopen(source, "w");
  fprintf(file, "#line 1 \"%s\"\n%s", p->name, p->source);
  fclose(file);
  int well = translate(source, library, log, macros, macro);
  size_t size;
  char *text = content(log, 0, &size);
  if (text != NULL) free(p->log), p->log = text;
  if (well && real) {
    p->code = (cubin *)content(library, sizeof *p->code, &size);
    memcpy(p->code->mark, MARK, sizeof MARK);
    p->code->size = size;
  }
  unlink(source), unlink(library), unlink(log), rmdir(dir);
  return well ? SUCCESS : COMPILATION;
}

int nvrtcCompileProgram(program *p, int count, const char *const *options) {
  int real = 0, macros = 0, status = SUCCESS;
  const char **macro = calloc(count + 1, sizeof *macro);
  for (int i = 0; i < count && status == SUCCESS; i++) {
    status = take(p, options[i], &macro[macros], &real);
    macros += macro[macros] != NULL;
  }
  if (status == SUCCESS) status = compile(p, real, macros, macro);
  return free(macro), status;
}

int nvrtcGetProgramLogSize(program *p, size_t *size) { return *size = strlen(p->log) + 1, SUCCESS; }
int nvrtcGetProgramLog(program *p, char *log) { return strcpy(log, p->log), SUCCESS; }
// Programs for a virtual architecture, and those that did not compile, have none.
int nvrtcGetCUBINSize(program *p, size_t *size) { return *size = p->code ? sizeof *p->code + p->code->size : 0, SUCCESS; }
int nvrtcGetCUBIN(program *p, void *code) {
  if (p->code == NULL) return INVALID_PROGRAM;
  return memcpy(code, p->code, sizeof *p->code + p->code->size), SUCCESS;
}
