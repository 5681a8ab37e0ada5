// A plain peer of dmabuf in C11 and libc: takes one frame from a Node producer, waits for its fences, sends
// its negative back in memory of its own. The protocol is docs/protocol.md, sections 1 to 3 and 10.1.
//
//     cc -O2 -o /tmp/plain-peer examples/plain-peer.c
//     npx tsx examples/plain-peer-host.ts /tmp/frames.sock & /tmp/plain-peer /tmp/frames.sock
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { MAGIC = 0x42414d44, VERSION = 1, HELLO = 1, MESSAGE = 2, STORAGE = 1, LEASH = 2, BARE = 32 };
enum { SIGNALLED = 1, KERNEL = 2 };
enum { SEALED = F_SEAL_SHRINK | F_SEAL_GROW, HEADER_BYTES = 32, MAX_PACKET = 196608 };

// A message with one buffer, as it lies in a packet: C puts every field where the protocol has it.
struct message {
  uint32_t magic;
  uint8_t version, type;
  uint16_t flags;
  uint32_t json_bytes;
  uint16_t handles, parts;
  uint32_t descriptors, argument;
  uint16_t fences, zero;
  uint32_t none;
  struct handle {
    uint32_t flags, exporter, record, generation;
    uint64_t id, size, offset;
    uint32_t name, zero;
    char exporter_name[16], label[32];
  } handle;
  char rest[MAX_PACKET - 128];  // fences, lengths of parts, JSON, parts
};

struct fence {
  uint16_t file, flags;
  uint32_t slot;
  uint64_t context;
  uint32_t number, error;
  uint64_t time;
  char timeline[32], file_name[32];
};

// The packet in hand, received or to be sent, and its descriptors (SCM_RIGHTS).
static struct message packet = {.magic = MAGIC, .version = VERSION, .type = HELLO};
static _Alignas(struct cmsghdr) char control[CMSG_SPACE(128 * sizeof(int))];
static struct cmsghdr* const rights = (struct cmsghdr*)control;
static struct iovec data = {&packet, MAX_PACKET};
static struct msghdr msg = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control};

static void must(int condition, const char* what) {
  if (condition) return;
  fprintf(stderr, "%s: %m\n", what);
  exit(1);
}

// Waits for the fences of the packet in hand: each has two descriptors, or one, or none, the last of which
// tells. Closes all of them.
static void wait_for_fences(const int* fds, size_t count) {
  const struct fence* fence = (const struct fence*)packet.rest;
  size_t used = 0;
  for (int n = 0; n < packet.fences; n++) {
    if (fence[n].flags & SIGNALLED) continue;
    used += fence[n].flags & KERNEL ? 1 : 2;
    must(used <= count, "descriptors of fences");
    struct pollfd end = {.fd = fds[used - 1], .events = POLLIN};
    must(poll(&end, 1, -1) == 1, "waiting for a fence");
  }
  for (size_t n = 0; n < count; n++) close(fds[n]);
}

// Receives until a message with one buffer comes: its storage and its leash. The host's hello has no
// descriptors, and to a plain peer nothing else is sent.
static void receive_buffer(int sock, int buffer[2]) {
  ssize_t length;
  do {
    msg.msg_controllen = sizeof control;
    must((length = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC)) >= HEADER_BYTES, "receiving");
    must(packet.magic == MAGIC && packet.version == VERSION, "a dmabuf peer of this version");
  } while (packet.type != MESSAGE);
  must(!(msg.msg_flags & MSG_CTRUNC) && msg.msg_controllen > 0, "descriptors");
  must(rights->cmsg_type == SCM_RIGHTS && rights->cmsg_len >= CMSG_LEN(2 * sizeof(int)), "two descriptors");
  must(packet.handles == 1 && (size_t)length >= 128 + packet.fences * sizeof(struct fence), "one buffer");
  must((packet.handle.flags & (STORAGE | LEASH)) == (STORAGE | LEASH), "a buffer and its leash");
  int fds[128];
  const size_t bytes = rights->cmsg_len - CMSG_LEN(0);
  memcpy(fds, CMSG_DATA(rights), bytes);
  memcpy(buffer, fds, 2 * sizeof(int));
  wait_for_fences(fds + 2, bytes / sizeof(int) - 2);
}

static void send_buffer(int sock, const char* json, int storage, uint64_t size) {
  packet =
      (struct message){.magic = MAGIC, .version = VERSION, .type = MESSAGE, .handles = 1, .descriptors = 1};
  packet.json_bytes = strlen(json);
  packet.handle = (struct handle){.flags = STORAGE | BARE, .size = size, .label = "negative"};
  memcpy(packet.rest, json, packet.json_bytes);
  data.iov_len = HEADER_BYTES + sizeof packet.handle + packet.json_bytes;
  *rights = (struct cmsghdr){
      .cmsg_len = CMSG_LEN(sizeof storage), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  memcpy(CMSG_DATA(rights), &storage, sizeof storage);
  msg.msg_controllen = CMSG_SPACE(sizeof storage);
  must(sendmsg(sock, &msg, MSG_NOSIGNAL) > 0, "sending");
}

int main(int argc, char** argv) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fds[2], sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  must(argc == 2 && strlen(argv[1]) < sizeof address.sun_path, "usage: plain-peer SOCKET");
  strcpy(address.sun_path, argv[1]);
  must(connect(sock, (struct sockaddr*)&address, sizeof address) == 0, "connecting");
  must(send(sock, &packet, HEADER_BYTES, MSG_NOSIGNAL) == HEADER_BYTES, "saying hello");
  receive_buffer(sock, fds);
  const uint64_t size = packet.handle.size, offset = packet.handle.offset;

  // The kernel is asked, not the handle: memory that cannot shrink and is as large as they say.
  struct stat file;
  must((fcntl(fds[0], F_GET_SEALS) & SEALED) == SEALED && fstat(fds[0], &file) == 0, "sealed memory");
  must(offset <= (uint64_t)file.st_size && size <= file.st_size - offset, "a size within the memory");
  const uint8_t* frame = mmap(NULL, offset + size, PROT_READ, MAP_PRIVATE, fds[0], 0);
  int mine = memfd_create("dmabuf:negative", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  must(frame != MAP_FAILED && mine >= 0 && ftruncate(mine, size) == 0, "memory");
  uint8_t* negative = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, mine, 0);
  must(negative != MAP_FAILED, "memory");
  for (uint64_t at = 0; at < size; at++) negative[at] = 255 - frame[offset + at];

  munmap((void*)frame, offset + size);
  close(fds[0]);
  close(fds[1]);           // the leash: done with the frame, the exporter may use its memory again
  munmap(negative, size);  // F_SEAL_WRITE wants no writer left
  must(fcntl(mine, F_ADD_SEALS, SEALED | F_SEAL_WRITE | F_SEAL_SEAL) == 0, "sealing");
  send_buffer(sock, "{\"from\":\"c\"}", mine, size);
}
