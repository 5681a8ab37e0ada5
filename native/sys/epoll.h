#pragma once

#include <cstdint>

namespace sys {

constexpr int kEpollBatch = 256;

int EpollCreate();
enum class Arm { kAdd, kAgain };
/** One-shot interest: the descriptor stays in the set, asleep, until it is armed again. */
int EpollArm(int epoll, int fd, uint32_t token, uint32_t events, Arm how);
int EpollRemove(int epoll, int fd);
/** Ready tokens, at most kEpollBatch; never waits. */
int EpollTake(int epoll, uint32_t* tokens);

}  // namespace sys
