#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sys {

/** One line of /proc/self/maps. */
struct MapEntry {
  uint64_t start = 0;
  uint64_t end = 0;
  uint64_t offset = 0;  // of `start` in the file
  uint64_t device = 0;
  uint64_t inode = 0;  // 0: no file
  bool readable = false;
  bool writable = false;
  bool shared = false;
};

enum class MapsSource { kQuery, kText };

/** What is mapped over a range, in order; -EFAULT where a part of it is not. kText only reads the text, as on
 * old kernels. */
int FindMappings(uint64_t address, uint64_t length, MapsSource source, std::vector<MapEntry>* found);

/**
 * Whether malloc gave out `length` bytes at this address as pages of their own, which free() unmaps: only
 * then can nothing else come to lie in them. Told by glibc's chunk header, which is on the same page; other
 * libraries: false.
 */
bool IsMappedChunk(uint64_t address, uint64_t length);

/** Raw words of /proc/self/pagemap for `count` pages from `address`. Without privilege the frames in them are
 * 0. */
int ReadPagemap(uint64_t address, size_t count, uint64_t* words);

}  // namespace sys
