#include "sys/pipe.h"

#include <fcntl.h>

#include "sys/errno.h"

namespace sys {

int Pipe(Pair* pipe) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) return -errno;
  pipe->first = UniqueFd(ends[0]);
  pipe->second = UniqueFd(ends[1]);
  // A leash carries no data; the default of 16 pages would count against the user's pipe quota. A refusal
  // leaves a working pipe.
  (void)fcntl(ends[0], F_SETPIPE_SZ, 4096);
  return 0;
}

}  // namespace sys
