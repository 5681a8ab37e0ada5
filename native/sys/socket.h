#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "sys/pipe.h"

namespace sys {

/** The kernel's SCM_MAX_FD: descriptors in one message. */
constexpr int kMaxDescriptors = 253;
constexpr int kIncomingCapacity = 256;

struct Credentials {
  int32_t pid, uid, gid;
};

struct Packet {
  int byte_length = 0;
  int descriptors = 0;
  int flags = 0;
  bool has_credentials = false;
  Credentials credentials{};
};

enum class Namespace { kFileSystem, kAbstract };

int Socket();
int SocketPair(Pair* pair);
int Bind(int fd, std::string_view name, Namespace where);
int Listen(int fd, int backlog);
int Accept(int fd);
int Connect(int fd, std::string_view name, Namespace where);
int PeerCredentials(int fd, Credentials* credentials);
int PassCredentials(int fd, bool on);
int PidfdOpen(int pid);
int PeerPidfd(int fd);

/** One packet with descriptors; `with_credentials` adds this process's own. */
int Send(int fd, const void* data, size_t byte_length, const int32_t* descriptors, int count,
         bool with_credentials);
/** One packet; what its control data brought is owned by the caller, or closed already when truncated. */
int Receive(int fd, void* data, size_t capacity, int32_t* descriptors, Packet* packet);

/** Connects a new socket to the listening socket behind an O_PATH descriptor, until `timeout` ms are over. */
int ConnectDoor(int door, uint32_t timeout);

}  // namespace sys
