#include <sys/mman.h>

#include "sys/errno.h"
#include "sys/region.h"
#include "sys/segv.h"

namespace sys {

int Region::Watch(std::shared_ptr<ViolationRing> ring, uint64_t token) {
  if (base_ == nullptr) return -EBADF;
  if (!SegvReady()) return -EDEADLK;
  Unwatch();
  guard_slot_ = GuardRange({base_, length_, protection(), bytes(), token, ring.get()});
  if (guard_slot_ == nullptr) return -ENOMEM;
  ring_ = std::move(ring);
  token_ = token;
  int result = Restrict();
  if (result < 0) Unwatch();
  return result;
}

int Region::Allow(std::vector<PageRights> rights) {
  if (base_ == nullptr || !watched()) return -EBADF;
  for (const PageRights& part : rights) {
    if (part.offset % granularity_ != 0 || part.length % granularity_ != 0) return -EINVAL;
    if (part.length > length_ || part.offset > length_ - part.length) return -EINVAL;
  }
  rights_ = std::move(rights);
  return Restrict();
}

void Region::Unwatch() {
  Lift();
  if (guard_slot_ != nullptr) UnguardRange(guard_slot_);
  guard_slot_ = nullptr;
  rights_.clear();
  ring_.reset();
}

void Region::WatchAs(const Region& other) {
  if (!other.watched() || Watch(other.ring_, other.token_) < 0) return;
  Allow(other.rights_);
}

void Region::Lift() {
  if (base_ != nullptr && watched()) mprotect(base_, length_, protection());
}

// One that the handler would not give back must not be taken away; nor can one page have rights of its own
// when the process may have no more mappings. The memory is then as it is without a guard.
int Region::Restrict() {
  if (base_ == nullptr || !watched()) return 0;
  int result = SegvReady() ? 0 : -EDEADLK;
  size_t end = 0;
  auto protect = [&](size_t until, int rights) {
    if (result < 0 || until <= end) return;
    if (mprotect(base_ + end, until - end, rights & protection()) != 0) result = -errno;
    end = until;
  };
  for (const PageRights& part : rights_) {
    protect(part.offset, PROT_NONE);
    protect(part.offset + part.length, part.protection);
  }
  protect(length_, PROT_NONE);
  if (result < 0) Lift();
  return result;
}

}  // namespace sys
