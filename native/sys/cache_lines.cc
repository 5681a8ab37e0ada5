#include "sys/cache_lines.h"

#include <cstring>

namespace sys {
namespace {

constexpr size_t kLeast = 16;
// Most of a buffer is clean, and memcmp has the machine's best vectors; on longer blocks one dirty line costs
// more.
constexpr size_t kBlock = 256;

// In the compiler's own vectors and without a branch inside: a call of memcmp for each line costs more than
// its bytes.
template <size_t bytes>
bool EqualBlock(const uint8_t* a, const uint8_t* b) {
  uint64_t difference = 0;
  for (size_t at = 0; at < bytes; at += sizeof(uint64_t)) {
    uint64_t x, y;
    std::memcpy(&x, a + at, sizeof x);
    std::memcpy(&y, b + at, sizeof y);
    difference |= x ^ y;
  }
  return difference == 0;
}

// Lines are powers of two, of 16 bytes at least.
bool EqualLine(const uint8_t* a, const uint8_t* b, size_t line_size) {
  if (line_size == 64) return EqualBlock<64>(a, b);
  for (size_t at = 0; at < line_size; at += kLeast) {
    if (!EqualBlock<kLeast>(a + at, b + at)) return false;
  }
  return true;
}

}  // namespace

size_t CacheLines::Clean(size_t first, size_t last) const {
  size_t cleaned = 0;
  const size_t step = kBlock / line_size;
  for (size_t line = first; line < last; ++line) {
    size_t at = line * line_size;
    if (step > 1 && at % kBlock == 0 && line + step <= last &&
        std::memcmp(cache + at, twin + at, kBlock) == 0) {
      line += step - 1;
      continue;
    }
    if (EqualLine(cache + at, twin + at, line_size)) continue;
    // By way of the twin: a store that comes in between makes the line dirty again, and is not lost.
    std::memcpy(twin + at, cache + at, line_size);
    std::memcpy(memory + at, twin + at, line_size);
    states[line] = 1;
    ++cleaned;
  }
  return cleaned;
}

size_t CacheLines::Invalidate(size_t first, size_t last) const {
  size_t lost = 0;
  for (size_t line = first; line < last; ++line) {
    size_t at = line * line_size;
    bool dirty = !EqualLine(cache + at, twin + at, line_size);
    lost += dirty;
    // Most lines hold what memory holds, and storing costs more than comparing.
    if (dirty || !EqualLine(twin + at, memory + at, line_size)) Fill(at);
  }
  std::memset(states + first, 0, last - first);
  return lost;
}

void CacheLines::Show(size_t first, size_t last) const {
  for (size_t line = first; line < last; ++line) {
    if (states[line] != 0) continue;
    size_t at = line * line_size;
    if (EqualLine(cache + at, twin + at, line_size))
      Fill(at);
    else
      states[line] = 1;
  }
}

void CacheLines::Fill(size_t at) const {
  std::memcpy(twin + at, memory + at, line_size);
  std::memcpy(cache + at, twin + at, line_size);
}

}  // namespace sys
