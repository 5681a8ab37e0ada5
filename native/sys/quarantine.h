#pragma once

#include <cstddef>

namespace sys {

/**
 * Addresses that native I/O may still hold after their view was detached. They stay guarded until much more
 * address space has been retired after them, and only then may the kernel hand them out again.
 */
struct Waiting {
  size_t bytes;
  size_t ranges;
};

constexpr size_t kQuarantineBytes = size_t{64} << 30;
constexpr size_t kQuarantineRanges = 4096;

/** Takes over a range that is already inaccessible. Thread-safe. */
void Retire(void* address, size_t length);
/**
 * The oldest range, when it has waited long enough to be given up and fits: as long as asked for and so
 * aligned. It is the caller's from then on, still guarded. Saves a program that moves mappings all the time
 * three system calls each. Null otherwise.
 */
void* TakeRetired(size_t length, size_t alignment);
Waiting QuarantineState();

}  // namespace sys
