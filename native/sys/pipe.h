#pragma once

#include "sys/unique_fd.h"

namespace sys {

struct Pair {
  UniqueFd first, second;
};

/** A pipe of one page, non-blocking: `first` reads, `second` writes. */
int Pipe(Pair* pipe);

}  // namespace sys
