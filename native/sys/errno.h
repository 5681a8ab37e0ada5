#pragma once

#include <cerrno>

namespace sys {

/** The one convention for failure: a result that is not negative, or a negative errno. */
template <typename T>
int Result(T value) {
  return value < 0 ? -errno : static_cast<int>(value);
}

/** Repeats a system call that a signal interrupted. */
template <typename F>
int Retry(F call) {
  for (;;) {
    int result = Result(call());
    if (result != -EINTR) return result;
  }
}

}  // namespace sys
