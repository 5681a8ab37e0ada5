#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace sys {

/**
 * Private pages made to be exported. They are unmapped when nobody has the block any more: neither an
 * ArrayBuffer, in whatever thread it ended up, nor an export.
 */
class PageBlock {
 public:
  static int Allocate(uint64_t byte_length, std::shared_ptr<PageBlock>* out);
  /** The block around an address, or null. */
  static std::shared_ptr<PageBlock> Around(uint64_t address);
  ~PageBlock();
  PageBlock(const PageBlock&) = delete;
  PageBlock& operator=(const PageBlock&) = delete;

  uint8_t* base() const { return base_; }
  /** Whole pages. */
  size_t length() const { return length_; }

 private:
  PageBlock() = default;
  uint8_t* base_ = nullptr;
  size_t length_ = 0;
};

}  // namespace sys
