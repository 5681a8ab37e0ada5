#include "sys/block_lock.h"

#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

namespace sys {
namespace {

constexpr int64_t kMillisecond = 1'000'000;
/** Long beside any pause of a thread that is alive. */
constexpr int64_t kPatience = 1000 * kMillisecond;
/** When it is used up, for each further lock: a hostile process that locks all of them delays, and no more.
 */
constexpr int64_t kLeast = kMillisecond / 10;

int64_t Now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000 * kMillisecond + time.tv_nsec;
}

// 0 until the first lock. Not a static variable of the function: its guard would bring exceptions along
// (floor.cc).
std::atomic<uint32_t> next_holder{0};

/** Process numbers are not unique among namespaces; times hardly ever coincide. */
uint32_t NextHolder() {
  uint32_t none = 0;
  if (next_holder.load(std::memory_order_relaxed) == 0) {
    const uint32_t first = static_cast<uint32_t>(Now()) ^ static_cast<uint32_t>(getpid()) << 16;
    next_holder.compare_exchange_strong(none, first);
  }
  const uint32_t holder = next_holder.fetch_add(1, std::memory_order_relaxed);
  return holder == 0 ? 1 : holder;
}

bool Take(uint32_t* word, uint32_t holder) {
  uint32_t free = 0;
  return __atomic_compare_exchange_n(word, &free, holder, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

}  // namespace

int64_t Patience::left() const {
  return std::max(kPatience - spent_, kLeast);
}

BlockLock::BlockLock(uint32_t* word, Patience& patience) : word_(word), holder_(NextHolder()) {
  if (Take(word_, holder_)) return;
  const int64_t since = Now();
  do {
    sched_yield();
    if (Take(word_, holder_)) return;
  } while (Now() - since < patience.left());
  __atomic_store_n(word_, holder_, __ATOMIC_SEQ_CST);
  patience.Spend(Now() - since);
}

bool BlockLock::Release() {
  // Two steps, because a locked instruction would wait for every store of the line. Whoever is stopped
  // between them for so long that the lock is taken over has no store under way any more but the last one,
  // and that one makes the other's release fail.
  if (__atomic_load_n(word_, __ATOMIC_RELAXED) != holder_) return false;
  __atomic_store_n(word_, 0, __ATOMIC_RELEASE);
  return true;
}

}  // namespace sys
