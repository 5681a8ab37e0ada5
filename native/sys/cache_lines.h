#pragma once

#include <cstddef>
#include <cstdint>

namespace sys {

/**
 * The parts of a non-coherent buffer, as src/memory/cache/layout.ts lays them out. All of it is shared with
 * processes that may store into it at any moment; nothing here depends on a byte staying what it was.
 */
struct CacheLines {
  uint8_t* cache;
  uint8_t* twin;
  uint8_t* memory;
  uint8_t* states;
  size_t line_size;

  /** Writes the dirty lines of [first, last) back; how many. */
  size_t Clean(size_t first, size_t last) const;
  /** Drops lines; how many were dirty. */
  size_t Invalidate(size_t first, size_t last) const;
  /** Lets lines that are not in the cache show memory. */
  void Show(size_t first, size_t last) const;
  /** The line that begins at this byte shows memory. */
  void Fill(size_t at) const;
};

}  // namespace sys
