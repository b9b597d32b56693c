#include <stdio.h>
#include <string.h>
#include "bench.h"

static const struct {
  const char *name;
  program run;
} programs[] = {
    {"matrix-float", matrix_float}, {"matrix-double", matrix_double}, {"nbody", nbody}, {"mandelbrot", mandelbrot},
    {"filter", filter},             {"memcpy", copy},                 {"sha256", sha256}, {"aes", aes},
#ifdef WITH_ZLIB
    {"zlib", zlib},
#endif
    {"qsort", sort},                {"interpreter", interpreter},     {"chase", chase},
};

/** Runs the programs named, and prints each one's digest. */
int main(int argc, char **argv) {
  for (int n = 1; n < argc; n++) {
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
      if (!strcmp(programs[i].name, argv[n]))
        printf("%s %016llx\n", argv[n], (unsigned long long)programs[i].run());
  }
  return 0;
}
