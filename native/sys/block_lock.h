#pragma once

#include <cstdint>

namespace sys {

/**
 * How long an operation waits for others that have locked what it needs: nobody holds a lock for longer than
 * it takes to copy 4096 bytes, so whoever still has it then has died or has been stopped in the middle.
 */
class Patience {
 public:
  /** Nanoseconds that one lock is waited for now. */
  int64_t left() const;
  /** So many were waited for a lock that then had to be taken over. */
  void Spend(int64_t nanoseconds) { spent_ += nanoseconds; }

 private:
  int64_t spent_ = 0;
};

/**
 * The right to change one block of lines, for a moment, among all processes that have mapped them. The word
 * is 0, or a number that tells the holder from others.
 */
class BlockLock {
 public:
  BlockLock(uint32_t* word, Patience& patience);
  BlockLock(const BlockLock&) = delete;
  BlockLock& operator=(const BlockLock&) = delete;

  /** Gives it back. False: somebody else has taken it over, and changed the block meanwhile. */
  bool Release();

 private:
  uint32_t* word_;
  uint32_t holder_;
};

}  // namespace sys
