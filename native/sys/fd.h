#pragma once

#include <cstdint>
#include <string>

namespace sys {

constexpr uint32_t kNoSeals = 0xffffffff;

/** What the gate asks of a descriptor. Inode words are 0 when they were not asked. */
struct Facts {
  uint32_t seals = kNoSeals;
  uint32_t file_system = 0;
  uint32_t mode = 0;
  uint32_t links = 0;
  uint64_t size = 0;
  uint64_t device = 0;
  uint64_t inode = 0;
  uint32_t status_flags = 0;
};

enum class StatAnyway { kNo, kYes };

int Close(int fd);
int Duplicate(int fd);
int SetCloseOnExec(int fd, bool on);
int Reopen(int fd, int flags);
int Open(const char* path, int flags, uint32_t mode);

/** Asks in the order that cannot hang: a file with seals is memory, so only then are its inode words safe. */
int Inspect(int fd, StatAnyway anyway, Facts* facts);

/** Device and inode of an O_PATH descriptor of a socket file, from the cache: no server is asked. */
int InspectDoor(int fd, Facts* facts);

int LinkTarget(int fd, std::string* target);
/** The access mode (O_RDONLY, O_WRONLY, O_RDWR) of one end of a pipe; -EBADF for everything else. Asks no
 * file system. */
int PipeAccess(int fd);
int SameFile(int a, int b);
int Lock(int fd);
/** `milliseconds` 0: without waiting. 0 when they passed. */
int PollFor(int fd, short events, int milliseconds);
int DmaBufSync(int fd, uint64_t flags);
int DmaBufExportSyncFile(int fd, uint32_t flags);
int DmaBufImportSyncFile(int fd, uint32_t flags, int sync_file);
/** `sync_file_info` and behind it room for so many `sync_fence_info`; how many there are. 0 of room: only
 * that is asked. */
int SyncFileInfo(int fd, uint8_t* bytes, uint32_t room);
int SyncFileSetDeadline(int fd, uint64_t microseconds);

}  // namespace sys
