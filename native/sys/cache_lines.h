#pragma once

#include <cstddef>
#include <cstdint>

#include "sys/block_lock.h"

namespace sys {

/**
 * The parts of a non-coherent buffer, as src/memory/cache/layout.ts lays them out. All of it is shared with
 * processes that may store into it and do the same to it at any moment: a line is changed by whoever has its
 * block locked, and what is compared and kept of it is one copy. What is stored meanwhile makes the line
 * dirty, because its signature is that of the copy.
 */
struct CacheLines {
  /** Lines are locked together in blocks of so many bytes. */
  static constexpr size_t kBlock = 4096;

  uint8_t* cache;
  uint8_t* memory;
  uint64_t* signatures;
  uint32_t* locks;
  uint8_t* states;
  size_t line_size;

  /** How many of [first, last) are dirty. */
  size_t Dirty(size_t first, size_t last) const;
  /** Writes the dirty lines of [first, last) back; how many. */
  size_t Clean(size_t first, size_t last) const;
  /** Writes dirty lines back and drops all; how many were written. A store that comes meanwhile is kept. */
  size_t Evict(size_t first, size_t last) const;
  /** Drops lines; how many were dirty. */
  size_t Invalidate(size_t first, size_t last) const;
  /** Lets lines that are not in the cache show memory. */
  void Show(size_t first, size_t last) const;
};

}  // namespace sys
