#pragma once

#include <cstddef>

namespace sys {

/**
 * Addresses that native code may still hold after their view was detached. They stay inaccessible until much
 * more address space has been retired after them, and only then may the kernel hand them out again. A system
 * call fails there with EFAULT; a thread that works on its own (zlib, crypto) finds zero pages.
 */
struct Waiting {
  size_t bytes;
  size_t ranges;
};

constexpr size_t kQuarantineBytes = size_t{64} << 30;
constexpr size_t kQuarantineRanges = 4096;

/** Makes a range inaccessible and takes it over. Thread-safe. */
void Retire(void* address, size_t length);
/**
 * The oldest range, when it has waited long enough to be given up and fits: as long as asked for and so
 * aligned. It is the caller's from then on, and holds nothing that anybody needs. Saves a program that moves
 * mappings all the time three system calls each. Null otherwise.
 */
void* TakeRetired(size_t length, size_t alignment);
Waiting QuarantineState();

}  // namespace sys
