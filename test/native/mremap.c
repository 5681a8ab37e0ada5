/*
 * Preloaded into a process whose mremap(2) shall fail as a kernel without memory would: one letter of the
 * variable MREMAP, from when it was set, for each call with MREMAP_FIXED. "." works, "e" fails before
 * anything is unmapped, "l" after the target is gone.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

void* mremap(void* old, size_t old_size, size_t new_size, int flags, ...) {
  static char last[16];
  static size_t calls;
  va_list arguments;
  va_start(arguments, flags);
  void* target = flags & MREMAP_FIXED ? va_arg(arguments, void*) : NULL;
  va_end(arguments);
  const char* plan = getenv("MREMAP");
  if (plan == NULL) plan = "";
  if (strncmp(plan, last, sizeof(last) - 1) != 0) {
    strncpy(last, plan, sizeof(last) - 1);
    calls = 0;
  }
  char fate = '.';
  if (target != NULL && last[calls] != '\0') fate = last[calls++];
  if (fate == 'l') munmap(target, new_size);
  if (fate != '.') {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  return (void*)syscall(SYS_mremap, old, old_size, new_size, flags, target);
}
