#include "sys/page_block.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <vector>

namespace sys {
namespace {

struct Known {
  uint64_t base;
  std::weak_ptr<PageBlock> block;
};

std::mutex mutex;
// In order of addresses. Never destroyed: at process exit a worker thread may still give a block back.
constinit std::vector<Known>* blocks = nullptr;

// The first one that begins behind `address`.
std::vector<Known>::iterator Behind(uint64_t address) {
  return std::upper_bound(blocks->begin(), blocks->end(), address,
                          [](uint64_t value, const Known& known) { return value < known.base; });
}

}  // namespace

int PageBlock::Allocate(uint64_t byte_length, std::shared_ptr<PageBlock>* out) {
  auto page = static_cast<uint64_t>(getpagesize());
  if (byte_length == 0 || byte_length > uint64_t{1} << 53) return -EINVAL;
  std::shared_ptr<PageBlock> block(new PageBlock);
  size_t length = (byte_length + page - 1) / page * page;
  void* base = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return -errno;
  block->base_ = static_cast<uint8_t*>(base);
  block->length_ = length;
  std::lock_guard lock(mutex);
  if (blocks == nullptr) blocks = new std::vector<Known>;
  auto address = reinterpret_cast<uint64_t>(base);
  blocks->insert(Behind(address), {address, block});
  *out = std::move(block);
  return 0;
}

std::shared_ptr<PageBlock> PageBlock::Around(uint64_t address) {
  std::lock_guard lock(mutex);
  if (blocks == nullptr) return nullptr;
  auto found = Behind(address);
  if (found == blocks->begin()) return nullptr;
  std::shared_ptr<PageBlock> block = std::prev(found)->block.lock();
  return block != nullptr && address - std::prev(found)->base < block->length_ ? block : nullptr;
}

PageBlock::~PageBlock() {
  if (base_ == nullptr) return;
  {
    // Out of the list first: the next mapping may get the same address.
    std::lock_guard lock(mutex);
    auto found = Behind(reinterpret_cast<uint64_t>(base_));
    blocks->erase(std::prev(found));
  }
  munmap(base_, length_);
}

}  // namespace sys
