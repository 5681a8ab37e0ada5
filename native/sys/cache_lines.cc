#include "sys/cache_lines.h"

#include <algorithm>
#include <cstring>

#include "sys/line_signature.h"

namespace sys {
namespace {

constexpr size_t kUsual = 64;
/** Of a line that has to count as dirty. Lines have it by a chance of 2^-64. */
constexpr uint64_t kUnknown = 0x8000000000000001;

// A call for each line costs more than its bytes.
inline void Copy(uint8_t* to, const uint8_t* from, size_t size) {
  if (size == kUsual)
    std::memcpy(to, from, kUsual);
  else
    std::memcpy(to, from, size);
}

inline bool Equal(const uint8_t* a, const uint8_t* b, size_t size) {
  return std::memcmp(a, b, size) == 0;
}

/** What a line held at one time; the compiler must not look at the line again instead. */
class Snapshot {
 public:
  Snapshot(const uint8_t* line, size_t size) {
    Copy(bytes_, line, size);
    asm volatile("" : "+m"(bytes_));
    signature_ = LineSignature(bytes_, size);
  }

  const uint8_t* bytes() const { return bytes_; }
  uint64_t signature() const { return signature_; }

 private:
  alignas(kUsual) uint8_t bytes_[CacheLines::kBlock];
  uint64_t signature_;
};

/** One line, whose block is locked. */
class Line {
 public:
  Line(const CacheLines& lines, size_t line)
      : lines_(lines), line_(line), at_(line * lines.line_size), cached_(cache(), lines.line_size) {}

  bool dirty() const {
    return __atomic_load_n(lines_.signatures + line_, __ATOMIC_ACQUIRE) != cached_.signature();
  }

  /** Memory first: whoever finds the signature finds memory written. */
  void WriteBack() {
    Copy(memory(), cached_.bytes(), size());
    Sign(cached_);
  }

  bool shows_memory() const { return Equal(cached_.bytes(), memory(), size()); }

  void Fill() {
    Snapshot filling(memory(), size());
    Copy(cache(), filling.bytes(), size());
    Sign(filling);
  }

  /** As Fill, of a clean line that somebody may rightly be storing into: what has changed stays. */
  void FillAround() {
    Snapshot filling(memory(), size());
    for (size_t at = 0; at < size(); at += sizeof(uint64_t)) {
      uint64_t was, becomes;
      std::memcpy(&was, cached_.bytes() + at, sizeof was);
      std::memcpy(&becomes, filling.bytes() + at, sizeof becomes);
      if (was == becomes) continue;
      auto* word = reinterpret_cast<uint64_t*>(cache() + at);
      __atomic_compare_exchange_n(word, &was, becomes, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    }
    Sign(filling);
  }

 private:
  size_t size() const { return lines_.line_size; }
  uint8_t* cache() const { return lines_.cache + at_; }
  uint8_t* memory() const { return lines_.memory + at_; }

  void Sign(const Snapshot& held) {
    __atomic_store_n(lines_.signatures + line_, held.signature(), __ATOMIC_RELEASE);
  }

  const CacheLines& lines_;
  size_t line_;
  size_t at_;
  Snapshot cached_;
};

inline size_t InBlock(const CacheLines& lines) {
  return CacheLines::kBlock / lines.line_size;
}

/**
 * Does `work` to the lines of [first, last) that need it, of which `next(from, to)` tells the first, or `to`:
 * blocks that need nothing are not locked. `work` says whether there was anything to do; then the line behind
 * is looked at at once, since what is done to lines is mostly done to many in a row.
 */
template <typename Next, typename Work>
void ForEach(const CacheLines& lines, size_t first, size_t last, Next next, Work work) {
  Patience patience;
  for (size_t line = next(first, last); line < last; line = next(line, last)) {
    const size_t block = line / InBlock(lines), from = line;
    const size_t end = std::min(last, (block + 1) * InBlock(lines));
    BlockLock lock(lines.locks + block, patience);
    while (line < end) {
      __builtin_prefetch(lines.cache + line * lines.line_size + kFetchAhead);
      Line one(lines, line);
      const bool worked = work(one, lines.states[line]);
      line = worked ? line + 1 : next(line + 1, end);
    }
    if (lock.Release()) continue;
    for (size_t robbed = from; robbed < end; ++robbed)
      __atomic_store_n(lines.signatures + robbed, kUnknown, __ATOMIC_RELEASE);
  }
}

}  // namespace

size_t CacheLines::Dirty(size_t first, size_t last) const {
  size_t dirty = 0;
  for (size_t line = first;; ++line, ++dirty) {
    line = FirstChanged(cache, signatures, line_size, line, last);
    if (line >= last) return dirty;
  }
}

size_t CacheLines::Clean(size_t first, size_t last) const {
  const auto next = [&](size_t from, size_t to) {
    return FirstChanged(cache, signatures, line_size, from, to);
  };
  size_t cleaned = 0;
  ForEach(*this, first, last, next, [&](Line& line, uint8_t& state) {
    if (!line.dirty()) return false;
    line.WriteBack();
    state = 1;
    ++cleaned;
    return true;
  });
  return cleaned;
}

size_t CacheLines::Evict(size_t first, size_t last) const {
  const auto all = [](size_t from, size_t) { return from; };
  size_t cleaned = 0;
  ForEach(*this, first, last, all, [&](Line& line, uint8_t& state) {
    if (line.dirty()) {
      line.WriteBack();
      ++cleaned;
    } else if (!line.shows_memory()) {
      line.FillAround();
    }
    state = 0;
    return true;
  });
  return cleaned;
}

size_t CacheLines::Invalidate(size_t first, size_t last) const {
  // Most lines hold what memory holds, and storing costs more than comparing.
  const auto next = [&](size_t line, size_t to) {
    while (line < to) {
      const size_t end = std::min(to, (line / InBlock(*this) + 1) * InBlock(*this));
      const size_t changed = FirstChanged(cache, signatures, line_size, line, end);
      for (; line < changed; ++line) {
        const size_t at = line * line_size;
        if (!Equal(cache + at, memory + at, line_size)) return line;
      }
      if (changed < end) return changed;
    }
    return to;
  };
  size_t lost = 0;
  ForEach(*this, first, last, next, [&](Line& line, uint8_t&) {
    const bool dirty = line.dirty();
    if (!dirty && line.shows_memory()) return false;
    line.Fill();
    lost += dirty;
    return true;
  });
  std::memset(states + first, 0, last - first);
  return lost;
}

void CacheLines::Show(size_t first, size_t last) const {
  const auto next = [&](size_t from, size_t to) {
    const void* absent = from < to ? std::memchr(states + from, 0, to - from) : nullptr;
    return absent == nullptr ? to : static_cast<size_t>(static_cast<const uint8_t*>(absent) - states);
  };
  ForEach(*this, first, last, next, [](Line& line, uint8_t& state) {
    if (state != 0) return false;
    // Stored into without anybody's knowing: it must have been loaded for that.
    if (line.dirty())
      state = 1;
    else if (!line.shows_memory())
      line.Fill();
    return true;
  });
}

}  // namespace sys
