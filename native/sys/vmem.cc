#include "sys/vmem.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>

#include "sys/errno.h"
#include "sys/exchange.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace sys {
namespace {

std::mutex mutex;
// Never destroyed: at process exit a worker thread may still end an export.
constinit std::vector<Vmem*>* exports = nullptr;

bool MainThread() {
  return syscall(SYS_gettid) == getpid();
}

// Others may store into both sides meanwhile: each byte is read once.
uint8_t Read(const uint8_t* byte) {
  return __atomic_load_n(byte, __ATOMIC_RELAXED);
}
void Write(uint8_t* byte, uint8_t value) {
  __atomic_store_n(byte, value, __ATOMIC_RELAXED);
}

}  // namespace

int Vmem::Map(int fd, const VmemPlace& place, std::unique_ptr<Vmem>* out) {
  auto page = static_cast<uintptr_t>(getpagesize());
  std::unique_ptr<Vmem> vmem(new Vmem);
  auto begin = reinterpret_cast<uintptr_t>(place.bytes);
  uintptr_t first = begin / page * page;
  uintptr_t end = (begin + place.byte_length + page - 1) / page * page;
  auto live = reinterpret_cast<uintptr_t>(place.live);
  if (live < first || live % page != 0 || place.live_length % page != 0 || live + place.live_length > end) {
    return -EINVAL;
  }
  vmem->place_ = place;
  vmem->first_ = reinterpret_cast<uint8_t*>(first);
  void* window = mmap(nullptr, end - first, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (window == MAP_FAILED) return -errno;
  vmem->window_ = static_cast<uint8_t*>(window);
  vmem->window_length_ = end - first;
  madvise(window, end - first, MADV_DONTFORK);
  vmem->block_ = PageBlock::Around(live);
  uint8_t* bytes_end = place.bytes + place.byte_length;
  vmem->AddSide(place.bytes, std::min(place.live, bytes_end));
  vmem->AddSide(place.live + place.live_length, bytes_end);
  *out = std::move(vmem);
  return 0;
}

void Vmem::AddSide(uint8_t* from, uint8_t* to) {
  if (from >= to) return;
  // The twin is zeros, as the file is: the first step carries the bytes over.
  sides_.push_back({from, window_ + (from - first_), std::vector<uint8_t>(static_cast<size_t>(to - from))});
}

Vmem::~Vmem() {
  // A worker ends and other threads go on with the memory. When the process ends, its pages go with it.
  if (shared_ && (place_.survives || block_ != nullptr) && !MainThread()) End(place_.live_length);
  Abandon();
}

int Vmem::Lock() {
  if (window_ == nullptr) return -EBADF;
  return Retry([&] { return mlock(window_, window_length_); });
}

int Vmem::Populate() {
  if (window_ == nullptr) return -EBADF;
  return Retry([&] { return madvise(window_, window_length_, MADV_POPULATE_WRITE); });
}

int Vmem::Share(int fd) {
  if (window_ == nullptr || shared_) return -EBADF;
  if (!Register()) return -EBUSY;
  uint8_t* window = window_ + (place_.live - first_);
  auto offset = static_cast<uint64_t>(place_.live - first_);
  size_t done = 0;
  int result = ShareRange(place_.live, place_.live_length, fd, offset, window, &done);
  if (result < 0) {
    size_t undone = 0;
    PrivatizeRange(place_.live, done, window, &undone);
    Unregister();
    return result;
  }
  shared_ = true;
  Step();
  return 0;
}

void Vmem::Step() {
  for (Side& side : sides_) {
    for (size_t i = 0; i < side.twin.size(); ++i) {
      uint8_t own = Read(side.own + i), shared = Read(side.shared + i);
      if (own != side.twin[i]) {
        Write(side.shared + i, own);
        side.twin[i] = own;
      } else if (shared != own) {
        Write(side.own + i, shared);
        side.twin[i] = shared;
      }
    }
  }
}

int Vmem::End(size_t accessible) {
  if (!shared_) return 0;
  if (accessible % static_cast<size_t>(getpagesize()) != 0) return -EINVAL;
  accessible = std::min(accessible, place_.live_length);
  if (private_ < accessible) {
    uint8_t* from = place_.live + private_;
    size_t done = 0;
    int result = PrivatizeRange(from, accessible - private_, window_ + (from - first_), &done);
    private_ += done;
    if (result < 0) return result;
  }
  if (accessible < place_.live_length) {
    constexpr int kNothing = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    void* rest = mmap(place_.live + accessible, place_.live_length - accessible, PROT_NONE, kNothing, -1, 0);
    if (rest == MAP_FAILED) return -errno;
  }
  Abandon();
  return 0;
}

void Vmem::Abandon() {
  if (shared_) Unregister();
  shared_ = false;
  block_.reset();
  sides_.clear();
  if (window_ != nullptr) munmap(window_, window_length_);
  window_ = nullptr;
}

bool Vmem::Register() {
  std::lock_guard lock(mutex);
  if (exports == nullptr) exports = new std::vector<Vmem*>;
  // Before the exchange: another thread may be about to export the same memory.
  if (Overlaps(reinterpret_cast<uint64_t>(place_.live), place_.live_length)) return false;
  exports->push_back(this);
  return true;
}

void Vmem::Unregister() {
  std::lock_guard lock(mutex);
  exports->erase(std::find(exports->begin(), exports->end(), this));
}

bool Vmem::Exported(uint64_t address, uint64_t length) {
  std::lock_guard lock(mutex);
  return exports != nullptr && Overlaps(address, length);
}

bool Vmem::Overlaps(uint64_t address, uint64_t length) {
  return std::any_of(exports->begin(), exports->end(), [&](const Vmem* vmem) {
    auto base = reinterpret_cast<uint64_t>(vmem->place_.live);
    return address < base + vmem->place_.live_length && base < address + length;
  });
}

}  // namespace sys
