#include "sys/fault.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <vector>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#include "sys/signal_chain.h"

namespace sys {

struct FaultSlot {
  std::atomic<uintptr_t> base{0};  // 0: free
  std::atomic<size_t> length{0};
  std::atomic<size_t> granularity{0};
  std::atomic<int> protection{0};
  std::atomic<int> handlers{0};
  std::atomic<bool> faulted{false};
  std::atomic<bool> suspended{false};
  std::atomic<bool> replaced{false};
  std::atomic<bool> retired{false};
  std::atomic<size_t> intact{0};
};

namespace {

// As many as the default vm.max_map_count, so that the kernel's limit is met first. Untouched slots cost
// address space only.
constexpr size_t kSlots = 65536;
FaultSlot slots[kSlots];
std::atomic<size_t> used_slots{0};
std::atomic<bool> installed{false};
struct sigaction previous;

static_assert(std::atomic<uintptr_t>::is_always_lock_free && std::atomic<bool>::is_always_lock_free,
              "a signal handler must not wait for a lock");

// For those who register; the handler takes no lock.
std::mutex mutex;
// Never destroyed: at process exit a worker thread may still give a slot back.
constinit std::vector<FaultSlot*>* free_slots = nullptr;

// Says nothing on kernels before 5.14.
bool IsIntact(void* page, const FaultSlot& slot) {
  bool writable = (slot.protection.load() & PROT_WRITE) != 0;
  return madvise(page, slot.granularity.load(), writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ) == 0;
}

bool RepairIn(FaultSlot& slot, uintptr_t address) {
  uintptr_t base = slot.base.load();
  size_t length = slot.length.load();
  if (base == 0 || address < base || address - base >= length) return false;
  if (slot.suspended.load()) {
    sched_yield();
    return true;
  }
  size_t from = (address - base) / slot.granularity.load() * slot.granularity.load();
  // The whole rest at once: page by page a hostile peer could exhaust vm.max_map_count.
  void* target = reinterpret_cast<void*>(base + from);
  // The signal of a fault on the pages that were here before may arrive only now.
  if (slot.replaced.load() && IsIntact(target, slot)) return true;
  void* page = mmap(target, length - from, slot.protection.load(),
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
  if (page == MAP_FAILED) return false;
  size_t intact = slot.intact.load();
  while (from < intact && !slot.intact.compare_exchange_weak(intact, from)) {
  }
  slot.faulted.store(true);
  return true;
}

bool Repair(uintptr_t address, bool retired) {
  size_t used = used_slots.load();
  for (size_t i = 0; i < used; ++i) {
    FaultSlot& slot = slots[i];
    uintptr_t base = slot.base.load(std::memory_order_relaxed);
    if (base == 0 || address < base || slot.retired.load(std::memory_order_relaxed) != retired) continue;
    // Announce first, look again afterwards: UnwatchRange waits for whoever got in before it cleared `base`.
    slot.handlers.fetch_add(1);
    bool repaired = RepairIn(slot, address);
    slot.handlers.fetch_sub(1);
    if (repaired) return true;
  }
  return false;
}

void OnBusError(int signal, siginfo_t* info, void* context) {
  int saved = errno;
  // si_code > 0 comes from the kernel; anybody may send the signal with an address of his choice.
  if (info->si_code <= 0 || !Repair(reinterpret_cast<uintptr_t>(info->si_addr), false))
    ChainSignal(previous, signal, info, context);
  errno = saved;
}

}  // namespace

void InstallFaultHandler() {
  std::lock_guard lock(mutex);
  if (installed.load()) return;
  // Read before ours is in place: the handler may run in another thread at once.
  if (sigaction(SIGBUS, nullptr, &previous) != 0) return;
  struct sigaction ours {};
  ours.sa_sigaction = OnBusError;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigemptyset(&ours.sa_mask);
  if (sigaction(SIGBUS, &ours, nullptr) == 0) installed.store(true);
}

bool FaultHandlerInstalled() {
  return installed.load();
}

bool FaultHandlerCurrent() {
  struct sigaction now {};
  return installed.load() && sigaction(SIGBUS, nullptr, &now) == 0 && (now.sa_flags & SA_SIGINFO) != 0 &&
         now.sa_sigaction == OnBusError;
}

namespace {

FaultSlot* TakeSlot() {
  FaultSlot* slot = nullptr;
  if (free_slots != nullptr && !free_slots->empty()) {
    slot = free_slots->back();
    free_slots->pop_back();
  } else if (size_t next = used_slots.load(); next < kSlots) {
    slot = &slots[next];
    used_slots.store(next + 1);
  } else {
    return nullptr;
  }
  slot->faulted.store(false);
  slot->suspended.store(false);
  slot->replaced.store(false);
  slot->retired.store(false);
  return slot;
}

/** `base` last: it makes the slot one that handlers look at. */
FaultSlot* Fill(FaultSlot* slot, void* address, size_t length, size_t granularity, int protection) {
  slot->length.store(length);
  slot->intact.store(length);
  slot->granularity.store(granularity);
  slot->protection.store(protection);
  slot->base.store(reinterpret_cast<uintptr_t>(address));
  return slot;
}

}  // namespace

FaultSlot* WatchRange(void* address, size_t length, size_t granularity, int protection) {
  std::lock_guard lock(mutex);
  FaultSlot* slot = TakeSlot();
  return slot == nullptr ? nullptr : Fill(slot, address, length, granularity, protection);
}

FaultSlot* WatchRetired(void* address, size_t length) {
  std::lock_guard lock(mutex);
  FaultSlot* slot = TakeSlot();
  if (slot == nullptr) return nullptr;
  slot->retired.store(true);
  return Fill(slot, address, length, sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE);
}

bool RepairRetired(uintptr_t address) {
  return Repair(address, true);
}

void UnwatchRange(FaultSlot* slot) {
  slot->base.store(0);
  while (slot->handlers.load() != 0) sched_yield();
  std::lock_guard lock(mutex);
  if (free_slots == nullptr) free_slots = new std::vector<FaultSlot*>;
  free_slots->push_back(slot);
}

void SuspendRepair(FaultSlot* slot) {
  slot->suspended.store(true);
  while (slot->handlers.load() != 0) sched_yield();
}

void ResumeRepair(FaultSlot* slot, bool replaced) {
  if (replaced) {
    slot->replaced.store(true);
    slot->intact.store(slot->length.load());
    slot->faulted.store(false);
  }
  slot->suspended.store(false);
}

void MarkFaulted(FaultSlot* slot, size_t intact) {
  slot->intact.store(intact);
  slot->faulted.store(true);
}

bool Faulted(const FaultSlot* slot) {
  return slot->faulted.load();
}

size_t IntactLength(const FaultSlot* slot) {
  return slot->intact.load();
}

}  // namespace sys
