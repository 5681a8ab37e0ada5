#include "sys/socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "sys/errno.h"
#include "sys/fd.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

namespace sys {
namespace {

constexpr int kType = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK;

struct Address {
  struct sockaddr_un un {};
  socklen_t length = 0;
  const struct sockaddr* get() const { return reinterpret_cast<const struct sockaddr*>(&un); }
};

int MakeAddress(std::string_view name, Namespace where, Address* address) {
  // An empty name would make the kernel choose one.
  if (name.empty()) return -EINVAL;
  if (name.size() >= sizeof(address->un.sun_path)) return -ENAMETOOLONG;
  bool abstract = where == Namespace::kAbstract;
  if (!abstract && name.find('\0') != name.npos) return -EINVAL;
  address->un.sun_family = AF_UNIX;
  std::memcpy(address->un.sun_path + (abstract ? 1 : 0), name.data(), name.size());
  // One more either way: the NUL before an abstract name, or the one after a path.
  address->length = static_cast<socklen_t>(offsetof(struct sockaddr_un, sun_path) + name.size() + 1);
  return 0;
}

int64_t Milliseconds() {
  struct timespec now {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1000000;
}

}  // namespace

int Socket() {
  return Result(::socket(AF_UNIX, kType, 0));
}

int SocketPair(Pair* pair) {
  int ends[2];
  if (::socketpair(AF_UNIX, kType, 0, ends) < 0) return -errno;
  pair->first = UniqueFd(ends[0]);
  pair->second = UniqueFd(ends[1]);
  return 0;
}

int Bind(int fd, std::string_view name, Namespace where) {
  Address address;
  int result = MakeAddress(name, where, &address);
  return result < 0 ? result : Result(::bind(fd, address.get(), address.length));
}

int Listen(int fd, int backlog) {
  return Result(::listen(fd, backlog));
}

int Accept(int fd) {
  return Retry([&] { return ::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK); });
}

int Connect(int fd, std::string_view name, Namespace where) {
  Address address;
  int result = MakeAddress(name, where, &address);
  return result < 0 ? result : Retry([&] { return ::connect(fd, address.get(), address.length); });
}

int PeerCredentials(int fd, Credentials* credentials) {
  struct ucred peer {};
  socklen_t length = sizeof(peer);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) return -errno;
  *credentials = {peer.pid, static_cast<int32_t>(peer.uid), static_cast<int32_t>(peer.gid)};
  return 0;
}

int PassCredentials(int fd, bool on) {
  int value = on;
  return Result(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &value, sizeof(value)));
}

int PidfdOpen(int pid) {
  return Result(syscall(SYS_pidfd_open, pid, 0));
}

int PeerPidfd(int fd) {
  int pidfd = -1;
  socklen_t length = sizeof(pidfd);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length) == 0) return pidfd;
  if (errno == ENODATA) return -ESRCH;
  if (errno != ENOPROTOOPT) return -errno;
  Credentials peer{};
  int result = PeerCredentials(fd, &peer);
  if (result < 0) return result;
  return peer.pid > 0 ? PidfdOpen(peer.pid) : -ESRCH;
}

int ConnectDoor(int door, uint32_t timeout) {
  int64_t deadline = Milliseconds() + timeout;
  Facts facts;
  int result = InspectDoor(door, &facts);
  if (result < 0) return result;
  UniqueFd socket(Socket());
  if (!socket) return -errno;
  char path[32];
  std::snprintf(path, sizeof(path), "/proc/self/fd/%d", door);
  for (int wait = 1;; wait = std::min(wait * 2, 20)) {
    result = Connect(socket.get(), path, Namespace::kFileSystem);
    if (result == 0) return socket.Release();
    // EAGAIN is a full backlog; nothing tells when there is room, so ask again.
    if (result != -EAGAIN) return result;
    int64_t left = deadline - Milliseconds();
    if (left <= 0) return -ETIMEDOUT;
    ::poll(nullptr, 0, static_cast<int>(std::min<int64_t>(wait, left)));
  }
}

}  // namespace sys
