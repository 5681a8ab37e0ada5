#include "sys/violation_ring.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

namespace sys {

static_assert(std::atomic<uint32_t>::is_always_lock_free, "a signal handler must not wait for a lock");

int ViolationRing::Create(std::shared_ptr<ViolationRing>* out) {
  std::shared_ptr<ViolationRing> ring(new ViolationRing);
  ring->event_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (ring->event_ < 0) return -errno;
  *out = std::move(ring);
  return 0;
}

ViolationRing::~ViolationRing() {
  if (event_ >= 0) close(event_);
}

void ViolationRing::Put(const Violation& violation) {
  uint32_t number = put_.load();
  do {
    if (number - taken_.load() >= kEntries) {
      lost_.fetch_add(1);
      return;
    }
  } while (!put_.compare_exchange_weak(number, number + 1));
  Entry& entry = entries_[number % kEntries];
  entry.violation = violation;
  entry.number.store(number + 1, std::memory_order_release);
  uint64_t one = 1;
  // Full or gone: whoever takes violations out looks at other times, too.
  if (write(event_, &one, sizeof(one)) < 0) return;
}

bool ViolationRing::Take(Violation* out) {
  uint32_t number = taken_.load();
  const Entry& entry = entries_[number % kEntries];
  if (entry.number.load(std::memory_order_acquire) != number + 1) return false;
  *out = entry.violation;
  taken_.store(number + 1);
  return true;
}

void ViolationRing::Quiet() {
  uint64_t count = 0;
  if (read(event_, &count, sizeof(count)) < 0) return;
}

}  // namespace sys
