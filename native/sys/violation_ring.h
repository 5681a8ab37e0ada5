#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "sys/touch.h"

namespace sys {

/** A touch of guarded memory that was not allowed. */
struct Violation {
  /** Which mapping, in the words of whoever guarded it. */
  uint64_t token;
  /** Counted from the first byte of the mapping. */
  int64_t offset;
  Touch touch;
  int32_t thread;
  /** CLOCK_MONOTONIC. */
  uint64_t nanoseconds;
};

/**
 * Violations on their way from the signal handler, in whatever thread it runs, to the one thread that takes
 * them out. Neither side waits for the other: what finds the ring full is counted and forgotten.
 */
class ViolationRing {
 public:
  static int Create(std::shared_ptr<ViolationRing>* out);
  ~ViolationRing();
  ViolationRing(const ViolationRing&) = delete;
  ViolationRing& operator=(const ViolationRing&) = delete;

  /** For the signal handler. */
  void Put(const Violation& violation);
  /** False when there is none. */
  bool Take(Violation* out);
  /** Readable (an eventfd) from the first violation on until `Quiet`. */
  int event() const { return event_; }
  void Quiet();
  uint32_t lost() const { return lost_.load(); }

 private:
  static constexpr uint32_t kEntries = 4096;
  struct Entry {
    /** One more than the number of the violation in it. */
    std::atomic<uint32_t> number{0};
    Violation violation{};
  };

  ViolationRing() = default;

  int event_ = -1;
  std::atomic<uint32_t> put_{0};
  std::atomic<uint32_t> taken_{0};
  std::atomic<uint32_t> lost_{0};
  Entry entries_[kEntries];
};

}  // namespace sys
