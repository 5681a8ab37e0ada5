#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "sys/errno.h"
#include "sys/socket.h"

#ifndef SCM_CREDENTIALS
#error "_GNU_SOURCE is needed for SCM_CREDENTIALS"
#endif

namespace sys {
namespace {

// Descriptors, credentials, a pidfd, and room for what later kernels may add, so that MSG_CTRUNC means that
// the descriptor table is full or a security module objected, never that this buffer was small.
constexpr size_t kControlBytes = CMSG_SPACE(kMaxDescriptors * sizeof(int)) +
                                 CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int)) + 256;
constexpr int kScmPidfd = 4;

template <typename Each>
void EachDescriptor(const struct cmsghdr* header, Each each) {
  // By cmsg_len: an odd number of descriptors may be padded with one more.
  size_t bytes = header->cmsg_len - CMSG_LEN(0);
  const unsigned char* data = CMSG_DATA(header);
  for (size_t at = 0; at + sizeof(int) <= bytes; at += sizeof(int)) {
    int fd;
    std::memcpy(&fd, data + at, sizeof(fd));
    if (fd >= 0) each(fd);
  }
}

void TakeControl(const struct cmsghdr* header, int32_t* descriptors, Packet* packet) {
  if (header->cmsg_len < CMSG_LEN(0) || header->cmsg_level != SOL_SOCKET) return;
  if (header->cmsg_type == SCM_RIGHTS) {
    EachDescriptor(header, [&](int fd) {
      if (packet->descriptors < kIncomingCapacity) {
        descriptors[packet->descriptors++] = fd;
      } else {
        ::close(fd);
      }
    });
  } else if (header->cmsg_type == kScmPidfd) {
    EachDescriptor(header, [](int fd) { ::close(fd); });
  } else if (header->cmsg_type == SCM_CREDENTIALS && header->cmsg_len >= CMSG_LEN(sizeof(struct ucred))) {
    struct ucred sender;
    std::memcpy(&sender, CMSG_DATA(header), sizeof(sender));
    packet->has_credentials = true;
    packet->credentials = {sender.pid, static_cast<int32_t>(sender.uid), static_cast<int32_t>(sender.gid)};
  }
}

}  // namespace

int Send(int fd, const void* data, size_t byte_length, const int32_t* descriptors, int count,
         bool with_credentials) {
  if (count < 0 || count > kMaxDescriptors) return -EINVAL;
  alignas(struct cmsghdr) char control[kControlBytes];
  struct iovec vector {
    const_cast<void*>(data), byte_length
  };
  struct msghdr message {};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  char* at = control;
  auto append = [&](int type, const void* payload, size_t length) {
    std::memset(at, 0, CMSG_SPACE(length));
    auto* header = reinterpret_cast<struct cmsghdr*>(at);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = type;
    header->cmsg_len = CMSG_LEN(length);
    std::memcpy(CMSG_DATA(header), payload, length);
    at += CMSG_SPACE(length);
  };
  if (count > 0) append(SCM_RIGHTS, descriptors, static_cast<size_t>(count) * sizeof(int));
  if (with_credentials) {
    struct ucred own {
      getpid(), getuid(), getgid()
    };
    append(SCM_CREDENTIALS, &own, sizeof(own));
  }
  if (at != control) {
    message.msg_control = control;
    message.msg_controllen = static_cast<size_t>(at - control);
  }
  return Retry([&] { return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT); });
}

int Receive(int fd, void* data, size_t capacity, int32_t* descriptors, Packet* packet) {
  *packet = Packet{};
  alignas(struct cmsghdr) char control[kControlBytes];
  struct iovec vector {
    data, capacity
  };
  struct msghdr message {};
  int length = Retry([&] {
    message = {};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    return recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  });
  if (length < 0) return length;
  for (struct cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    TakeControl(header, descriptors, packet);
  }
  packet->byte_length = length;
  packet->flags = message.msg_flags & (MSG_TRUNC | MSG_CTRUNC);
  if (message.msg_flags & MSG_CTRUNC) {
    // Some are missing and nobody can say which: a part of them is of no use.
    for (int i = 0; i < packet->descriptors; ++i) ::close(descriptors[i]);
    packet->descriptors = 0;
  }
  return length;
}

}  // namespace sys
