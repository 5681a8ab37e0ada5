#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "sys/page_block.h"

namespace sys {

/** Where the exported bytes are, and which of their pages can be shared as they stand. */
struct VmemPlace {
  uint8_t* bytes;
  size_t byte_length;
  /** Whole pages that hold nothing else. */
  uint8_t* live;
  size_t live_length;
  /** The memory cannot go away as long as this process runs its threads, whatever becomes of the exporter's.
   */
  bool survives;
};

/**
 * Memory of this process whose pages lie in a file. The file begins with the page of the first byte. Pages
 * that hold other bytes too are not given away: the file has *side pages* for them, brought in step by
 * `Step`.
 */
class Vmem {
 public:
  /** Maps the file's pages beside the memory; nothing is shared yet. `fd` is borrowed. */
  static int Map(int fd, const VmemPlace& place, std::unique_ptr<Vmem>* out);
  ~Vmem();
  Vmem(const Vmem&) = delete;
  Vmem& operator=(const Vmem&) = delete;

  /** Locks the file's pages into memory, by RLIMIT_MEMLOCK. */
  int Lock();
  /** Touches them, so that the exchange is quick. */
  int Populate();
  /** Exchanges the pages. On failure all is as before; -EBUSY when another export has some of them. */
  int Share(int fd);
  /**
   * Carries bytes that changed on one side to the other, in both directions; where both changed, the memory's
   * win. The memory must be there.
   */
  void Step();
  /**
   * Private pages again, with the contents of this moment. The memory must be there; its pages from
   * `accessible` bytes on are made inaccessible, as they were. 0 when it is done already.
   */
  int End(size_t accessible);
  /** Forgets the memory, which is not there any more, or out of reach. */
  void Abandon();

  /** Whether any thread of this process exports a byte of the range. */
  static bool Exported(uint64_t address, uint64_t length);

 private:
  struct Side {
    uint8_t* own;
    uint8_t* shared;
    std::vector<uint8_t> twin;  // as both were when last in step
  };
  Vmem() = default;
  /** Under the lock. */
  static bool Overlaps(uint64_t address, uint64_t length);
  void AddSide(uint8_t* from, uint8_t* to);
  /** False when a part of the pages is exported already. */
  bool Register();
  void Unregister();

  VmemPlace place_{};
  /** Kept from being unmapped. */
  std::shared_ptr<PageBlock> block_;
  uint8_t* first_ = nullptr;   // page of the first byte
  uint8_t* window_ = nullptr;  // where the whole file is mapped
  size_t window_length_ = 0;
  std::vector<Side> sides_;
  bool shared_ = false;
  size_t private_ = 0;  // bytes of the live pages that are private again
};

}  // namespace sys
