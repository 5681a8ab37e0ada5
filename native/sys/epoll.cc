#include "sys/epoll.h"

#include <sys/epoll.h>

#include "sys/errno.h"

namespace sys {

int EpollCreate() {
  return Result(epoll_create1(EPOLL_CLOEXEC));
}

int EpollArm(int epoll, int fd, uint32_t token, uint32_t events, Arm how) {
  struct epoll_event event {};
  event.events = events | EPOLLONESHOT;
  event.data.u64 = token;
  return Result(epoll_ctl(epoll, how == Arm::kAgain ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event));
}

int EpollRemove(int epoll, int fd) {
  struct epoll_event unused {};
  return Result(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, &unused));
}

int EpollTake(int epoll, uint32_t* tokens) {
  struct epoll_event events[kEpollBatch];
  int count = Retry([&] { return epoll_wait(epoll, events, kEpollBatch, 0); });
  for (int i = 0; i < count; ++i) tokens[i] = static_cast<uint32_t>(events[i].data.u64);
  return count;
}

}  // namespace sys
