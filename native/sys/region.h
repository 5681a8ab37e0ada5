#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "sys/access_guard.h"
#include "sys/fault.h"

namespace sys {

enum class MapKind { kShared = 0, kSharedReadOnly = 1, kPrivate = 2 };

/** Rights of whole pages of a guarded region, counted from the first byte of its first page. */
struct PageRights {
  size_t offset;
  size_t length;
  int protection;
};

/**
 * One mapped range of addresses. It never changes its place: what moves the pages makes a new Region and
 * leaves this one empty, so whoever still holds it (the finalizer of an old view) has nothing to unmap.
 */
class Region {
 public:
  static int Map(int fd, uint64_t offset, uint64_t byte_length, MapKind kind, std::shared_ptr<Region>* out);
  ~Region();
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  uint8_t* bytes() const { return base_ + lead_; }
  size_t byte_length() const { return byte_length_; }
  MapKind kind() const { return kind_; }
  /** Of a file of huge pages. */
  bool huge() const;
  bool faulted() const { return faulted_before_ || (slot_ != nullptr && Faulted(slot_)); }

  /** How many ArrayBuffers were made over it whose backing store is not freed yet. One thread only. */
  int views = 0;

  /** Makes the addresses inaccessible and gives them to the quarantine. */
  void Guard();
  /** The same pages, with the same private copies, at fresh addresses; a guard stays here. */
  int Move(std::shared_ptr<Region>* out);
  /**
   * Puts the pages of `other`, which is empty afterwards, at the addresses of this one, where the old ones
   * go. Nobody may know an address of `other`. On failure both are as before.
   */
  int TakeOver(Region& other);
  /** 0 where the pages of `other` could be put here. */
  int CanTakeOver(const Region& other) const;
  /** A second mapping of a range of the same pages; shared kinds only. */
  int Duplicate(uint64_t offset, uint64_t byte_length, std::shared_ptr<Region>* out) const;
  int Refresh();
  int Populate(bool for_writing);
  int AdviseHugePages();

  /**
   * From now on only what `Allow` says may be touched, which is nothing to begin with. What touches more is
   * put into the ring, under the token, and has all rights until the next `Allow`. `-EDEADLK` without the
   * handler that sees to that.
   */
  int Watch(std::shared_ptr<ViolationRing> ring, uint64_t token);
  /** All that is allowed from now on; cut down to the rights of the mapping. On failure everything is. */
  int Allow(std::vector<PageRights> rights);
  void Unwatch();
  bool watched() const { return ring_ != nullptr; }
  size_t granularity() const { return granularity_; }
  /** The same guard and rights for a region that takes the place of the other one. */
  void WatchAs(const Region& other);

 private:
  Region() = default;
  int Reserve(size_t length, size_t granularity);
  int Register();
  int protection() const;
  /** All rights, so that the kernel sees one mapping; `Restrict` ends that. */
  void Lift();
  int Restrict();
  int Spare(std::shared_ptr<Region>* out) const;
  void Restore(Region* spare);
  void Disown();
  int Advise(int advice);

  uint8_t* base_ = nullptr;  // null: nothing owned
  size_t length_ = 0;        // whole pages
  size_t granularity_ = 0;   // 4096, or the huge page of a hugetlb file
  size_t lead_ = 0;          // bytes of the first page before the range
  size_t byte_length_ = 0;
  MapKind kind_ = MapKind::kShared;
  FaultSlot* slot_ = nullptr;
  bool faulted_before_ = false;
  std::shared_ptr<ViolationRing> ring_;  // null: not watched
  uint64_t token_ = 0;
  GuardSlot* guard_slot_ = nullptr;
  std::vector<PageRights> rights_;
};

}  // namespace sys
