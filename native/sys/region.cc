#include "sys/region.h"

#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>

#include "sys/errno.h"
#include "sys/quarantine.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

namespace sys {
namespace {

// Transparent huge pages, and moving whole page-table pages in mremap, both need this alignment.
constexpr size_t kHugeAlignment = size_t{2} << 20;
constexpr uint32_t kHugetlbMagic = 0x958458f6;
constexpr uint64_t kMaxLength = uint64_t{1} << 53;
constexpr int kReserved = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

int Protection(MapKind kind) {
  return kind == MapKind::kSharedReadOnly ? PROT_READ : PROT_READ | PROT_WRITE;
}

// mmap rounds a hugetlb length up to the huge page, also when MAP_FIXED makes it overwrite a neighbour.
size_t GranularityOf(int fd) {
  auto page = static_cast<size_t>(getpagesize());
  struct statfs system {};
  if (fstatfs(fd, &system) == 0 && static_cast<uint32_t>(system.f_type) == kHugetlbMagic) {
    page = std::max(page, static_cast<size_t>(system.f_bsize));
  }
  return page;
}

}  // namespace

int Region::Reserve(size_t length, size_t granularity) {
  size_t alignment = length >= kHugeAlignment ? std::max(granularity, kHugeAlignment) : granularity;
  if (void* retired = TakeRetired(length, alignment)) {
    base_ = static_cast<uint8_t*>(retired);
    length_ = length;
    granularity_ = granularity;
    return 0;
  }
  auto page = static_cast<size_t>(getpagesize());
  size_t slack = alignment - page;
  if (length > SIZE_MAX - slack) return -ENOMEM;
  void* found = mmap(nullptr, length + slack, PROT_NONE, kReserved, -1, 0);
  if (found == MAP_FAILED) return -errno;
  auto start = reinterpret_cast<uintptr_t>(found);
  uintptr_t aligned = (start + alignment - 1) / alignment * alignment;
  if (aligned > start) munmap(found, aligned - start);
  uintptr_t end = start + length + slack;
  if (end > aligned + length) munmap(reinterpret_cast<void*>(aligned + length), end - aligned - length);
  base_ = reinterpret_cast<uint8_t*>(aligned);
  length_ = length;
  granularity_ = granularity;
  return 0;
}

int Region::protection() const {
  return Protection(kind_);
}

int Region::Register() {
  slot_ = WatchRange(base_, length_, granularity_, protection());
  return slot_ == nullptr ? -ENOMEM : 0;
}

int Region::Map(int fd, uint64_t offset, uint64_t byte_length, MapKind kind, std::shared_ptr<Region>* out) {
  if (fd < 0) return -EBADF;
  if (byte_length == 0 || byte_length > kMaxLength || offset > kMaxLength - byte_length) return -EINVAL;
  InstallFaultHandler();
  size_t granularity = GranularityOf(fd);
  uint64_t first = offset / granularity * granularity;
  uint64_t last = (offset + byte_length + granularity - 1) / granularity * granularity;
  std::shared_ptr<Region> region(new Region);
  region->lead_ = offset - first;
  region->byte_length_ = byte_length;
  region->kind_ = kind;
  int result = region->Reserve(last - first, granularity);
  if (result < 0) return result;
  int flags = MAP_FIXED | (kind == MapKind::kPrivate ? MAP_PRIVATE : MAP_SHARED);
  void* mapped = mmap(region->base_, region->length_, Protection(kind), flags, fd, static_cast<off_t>(first));
  if (mapped == MAP_FAILED) return -errno;
  madvise(region->base_, region->length_, MADV_DONTFORK);
  result = region->Register();
  if (result == 0) *out = std::move(region);
  return result;
}

Region::~Region() {
  if (base_ == nullptr) return;
  uint8_t* base = base_;
  Disown();
  munmap(base, length_);
}

void Region::Disown() {
  if (slot_ != nullptr) {
    faulted_before_ = faulted();
    UnwatchRange(slot_);
    slot_ = nullptr;
  }
  // The rights stay: what goes on elsewhere may ask for them.
  if (guard_slot_ != nullptr) UnguardRange(guard_slot_);
  guard_slot_ = nullptr;
  base_ = nullptr;
}

void Region::Guard() {
  if (base_ == nullptr) return;
  uint8_t* base = base_;
  // The handler must not put zero pages over the guard.
  Disown();
  Retire(base, length_);
}

int Region::Move(std::shared_ptr<Region>* out) {
  if (base_ == nullptr) return -EBADF;
  std::shared_ptr<Region> target(new Region);
  target->lead_ = lead_;
  target->byte_length_ = byte_length_;
  target->kind_ = kind_;
  int result = target->Reserve(length_, granularity_);
  if (result == 0) result = target->Register();
  if (result < 0) return result;
  // Zero pages behind a truncation are another mapping, and mremap moves one at a time. They hold nothing:
  // the new place gets fresh ones.
  size_t head = std::min(IntactLength(slot_), length_);
  // A guard cuts the range into several, too.
  Lift();
  bool was_faulted = faulted();
  if (head > 0) {
    // DONTUNMAP leaves no hole that another thread's mmap could take before the guard is there. Some
    // drivers' mappings, and kernels before 5.13, refuse it.
    int flags = MREMAP_MAYMOVE | MREMAP_FIXED;
    void* moved = mremap(base_, head, head, flags | MREMAP_DONTUNMAP, target->base_);
    if (moved == MAP_FAILED) moved = mremap(base_, head, head, flags, target->base_);
    if (moved == MAP_FAILED) {
      result = -errno;
      Restrict();
      return result;
    }
  }
  if (head < length_) {
    mmap(target->base_ + head, length_ - head, Protection(kind_), kReserved | MAP_FIXED, -1, 0);
  }
  // What was moved is still kept from a fork; new zero pages are not.
  if (head < length_) madvise(target->base_ + head, length_ - head, MADV_DONTFORK);
  if (was_faulted) MarkFaulted(target->slot_, head);
  target->WatchAs(*this);
  Guard();
  *out = std::move(target);
  return 0;
}

int Region::Duplicate(uint64_t offset, uint64_t byte_length, std::shared_ptr<Region>* out) const {
  if (base_ == nullptr) return -EBADF;
  if (kind_ == MapKind::kPrivate) return -EINVAL;
  if (byte_length == 0 || byte_length > byte_length_ || offset > byte_length_ - byte_length) return -EINVAL;
  size_t begin = lead_ + offset;
  size_t first = begin / granularity_ * granularity_;
  size_t last = (begin + byte_length + granularity_ - 1) / granularity_ * granularity_;
  if (first >= IntactLength(slot_)) return -EFAULT;
  std::shared_ptr<Region> region(new Region);
  region->lead_ = begin - first;
  region->byte_length_ = byte_length;
  region->kind_ = kind_;
  region->faulted_before_ = faulted();
  int result = region->Reserve(last - first, granularity_);
  if (result < 0) return result;
  // An old size of 0 duplicates a shared mapping, also where a seal forbids to map the file once more.
  void* copy = mremap(base_ + first, 0, region->length_, MREMAP_MAYMOVE | MREMAP_FIXED, region->base_);
  if (copy == MAP_FAILED) return -errno;
  // It has come with the rights of the page that it was copied from.
  if (watched()) mprotect(region->base_, region->length_, protection());
  madvise(region->base_, region->length_, MADV_DONTFORK);
  result = region->Register();
  if (result == 0) *out = std::move(region);
  return result;
}

bool Region::huge() const {
  return granularity_ > static_cast<size_t>(getpagesize());
}

int Region::CanTakeOver(const Region& other) const {
  if (base_ == nullptr || other.base_ == nullptr) return -EBADF;
  bool same_shape = length_ == other.length_ && granularity_ == other.granularity_ && lead_ == other.lead_ &&
                    byte_length_ == other.byte_length_ && kind_ == other.kind_;
  if (this == &other || !same_shape) return -EINVAL;
  return other.faulted() ? -EFAULT : 0;
}

// The old pages at another place, so that a failure in the middle of TakeOver can be undone: a second mapping
// of shared ones, while private ones (which cannot be had twice) move there and their addresses show the file
// again. Null where there is nothing to save, or where the kernel can do neither: huge pages, private pages
// before Linux 5.13.
int Region::Spare(std::shared_ptr<Region>* out) const {
  if (faulted() || huge()) return 0;
  std::shared_ptr<Region> spare(new Region);
  int result = spare->Reserve(length_, granularity_);
  if (result < 0) return result;
  bool is_private = kind_ == MapKind::kPrivate;
  int flags = MREMAP_MAYMOVE | MREMAP_FIXED | (is_private ? MREMAP_DONTUNMAP : 0);
  void* copy = mremap(base_, is_private ? length_ : 0, length_, flags, spare->base_);
  if (copy != MAP_FAILED) {
    *out = std::move(spare);
  } else if (errno != EINVAL) {
    return -errno;
  }
  return 0;
}

void Region::Restore(Region* spare) {
  int flags = MREMAP_MAYMOVE | MREMAP_FIXED;
  if (spare != nullptr && mremap(spare->base_, length_, length_, flags, base_) != MAP_FAILED) {
    spare->base_ = nullptr;
    return;
  }
  // Most failures come before anything is unmapped. After the others zeros are better than no memory at all.
  void* zeros = mmap(base_, length_, Protection(kind_), kReserved | MAP_FIXED_NOREPLACE, -1, 0);
  if (zeros == base_) {
    madvise(base_, length_, MADV_DONTFORK);
    MarkFaulted(slot_, 0);
  } else if (zeros != MAP_FAILED) {
    munmap(zeros, length_);
  }
}

int Region::TakeOver(Region& other) {
  std::shared_ptr<Region> spare;
  int result = CanTakeOver(other);
  if (result < 0) return result;
  Lift();
  result = Spare(&spare);
  if (result < 0) {
    Restrict();
    return result;
  }
  SuspendRepair(slot_);
  SuspendRepair(other.slot_);
  // The kernel unmaps what is at the target and puts the other pages there without letting go of mmap_lock,
  // which every page fault and every system call that copies needs when it finds no page: so no thread sees
  // the gap, only the old pages or the new ones. MREMAP_DONTUNMAP would be refused after the target is gone
  // where the kernel does not know it for this mapping; the addresses of `other` are nobody's, and may go.
  // What the kernel checks (the number of mappings, sealed addresses) it checks before it unmaps; what is
  // left is lack of memory for its own tables.
  void* moved = mremap(other.base_, length_, length_, MREMAP_MAYMOVE | MREMAP_FIXED, base_);
  if (moved == MAP_FAILED) {
    result = -errno;
    Restore(spare.get());
  }
  ResumeRepair(slot_, result == 0);
  ResumeRepair(other.slot_, false);
  Restrict();
  if (result == 0) other.Disown();
  return result;
}

int Region::Advise(int advice) {
  return base_ == nullptr ? -EBADF : Retry([&] { return madvise(base_, length_, advice); });
}

int Region::Refresh() {
  // On a shared mapping it would be a no-op at best; the caller confused two buffers.
  return kind_ == MapKind::kPrivate ? Advise(MADV_DONTNEED) : -EINVAL;
}

int Region::Populate(bool for_writing) {
  return Advise(for_writing ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
}

int Region::AdviseHugePages() {
  return Advise(MADV_HUGEPAGE);
}

}  // namespace sys
