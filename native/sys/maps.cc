#include "sys/maps.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <charconv>
#include <string>

#include "sys/errno.h"
#include "sys/unique_fd.h"

namespace sys {
namespace {

// linux/fs.h since 6.11.
struct MapQuery {
  uint64_t size = sizeof(MapQuery);
  uint64_t query_flags = 0;
  uint64_t address = 0;
  uint64_t start = 0, end = 0;
  uint64_t flags = 0;
  uint64_t page_size = 0;
  uint64_t offset = 0;
  uint64_t inode = 0;
  uint32_t device_major = 0, device_minor = 0;
  uint32_t name_size = 0, build_id_size = 0;
  uint64_t name = 0, build_id = 0;
};
static_assert(sizeof(MapQuery) == 104);
constexpr unsigned long kQuery = _IOWR('f', 17, MapQuery);
constexpr uint64_t kReadable = 1, kWritable = 2, kShared = 8;

int Query(int fd, uint64_t address, MapEntry* entry) {
  MapQuery query;
  query.address = address;
  int result = Result(ioctl(fd, kQuery, &query));
  if (result < 0) return result == -ENOENT ? -EFAULT : result;
  entry->start = query.start;
  entry->end = query.end;
  entry->offset = query.offset;
  entry->device = makedev(query.device_major, query.device_minor);
  entry->inode = query.inode;
  entry->readable = (query.flags & kReadable) != 0;
  entry->writable = (query.flags & kWritable) != 0;
  entry->shared = (query.flags & kShared) != 0;
  return 0;
}

int QueryAll(int fd, uint64_t address, uint64_t end, std::vector<MapEntry>* found) {
  while (address < end) {
    MapEntry entry;
    int result = Query(fd, address, &entry);
    if (result < 0) return result;
    found->push_back(entry);
    address = entry.end;
  }
  return 0;
}

int ReadAll(int fd, std::string* text) {
  char part[16384];
  for (;;) {
    int count = Retry([&] { return read(fd, part, sizeof part); });
    if (count <= 0) return count;
    text->append(part, static_cast<size_t>(count));
  }
}

// Takes a number and the character behind it.
template <typename T>
bool Take(const char** at, const char* end, int base, T* value) {
  auto [behind, error] = std::from_chars(*at, end, *value, base);
  if (error != std::errc{} || behind == end) return false;
  *at = behind + 1;
  return true;
}

// start-end rwxp offset major:minor inode
bool ParseLine(const char* at, const char* end, MapEntry* entry) {
  unsigned device_major = 0, device_minor = 0;
  if (!Take(&at, end, 16, &entry->start) || !Take(&at, end, 16, &entry->end) || end - at < 5) return false;
  entry->readable = at[0] == 'r';
  entry->writable = at[1] == 'w';
  entry->shared = at[3] == 's';
  at += 5;
  if (!Take(&at, end, 16, &entry->offset) || !Take(&at, end, 16, &device_major)) return false;
  if (!Take(&at, end, 16, &device_minor) || !Take(&at, end, 10, &entry->inode)) return false;
  entry->device = makedev(device_major, device_minor);
  return true;
}

int ParseAll(int fd, uint64_t address, uint64_t end, std::vector<MapEntry>* found) {
  std::string text;
  int result = ReadAll(fd, &text);
  if (result < 0) return result;
  for (size_t at = 0; at < text.size() && address < end; at = text.find('\n', at) + 1) {
    MapEntry entry;
    if (!ParseLine(text.data() + at, text.data() + text.size(), &entry)) return -EPROTO;
    if (entry.end <= address) continue;
    if (entry.start > address) return -EFAULT;
    found->push_back(entry);
    address = entry.end;
  }
  return address < end ? -EFAULT : 0;
}

}  // namespace

int FindMappings(uint64_t address, uint64_t length, MapsSource source, std::vector<MapEntry>* found) {
  UniqueFd maps(open("/proc/self/maps", O_RDONLY | O_CLOEXEC));
  if (maps.get() < 0) return -errno;
  found->clear();
  if (source == MapsSource::kQuery) {
    int result = QueryAll(maps.get(), address, address + length, found);
    if (result != -ENOTTY) return result;
  }
  return ParseAll(maps.get(), address, address + length, found);
}

bool IsMappedChunk(uint64_t address, uint64_t length) {
#ifdef __GLIBC__
  constexpr size_t kWord = sizeof(size_t), kAlignment = 2 * kWord;
  constexpr size_t kIsMapped = 2;
  auto page = static_cast<uint64_t>(getpagesize());
  if (address % page != kAlignment) return false;
  const auto* header = reinterpret_cast<const size_t*>(address) - 2;
  uint64_t chunk = (length + kWord + kAlignment - 1) / kAlignment * kAlignment;
  uint64_t mapped = (chunk + kWord + page - 1) / page * page;
  return header[0] == 0 && header[1] == (mapped | kIsMapped);
#else
  (void)address, (void)length;
  return false;
#endif
}

int ReadPagemap(uint64_t address, size_t count, uint64_t* words) {
  UniqueFd pagemap(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  if (pagemap.get() < 0) return -errno;
  auto page = static_cast<uint64_t>(getpagesize());
  auto at = static_cast<off_t>(address / page * sizeof(uint64_t));
  auto* target = reinterpret_cast<char*>(words);
  for (size_t left = count * sizeof(uint64_t); left > 0;) {
    int got = Retry([&] { return pread(pagemap.get(), target, left, at); });
    if (got < 0) return got;
    if (got == 0) return -EFAULT;
    left -= static_cast<size_t>(got);
    target += got;
    at += got;
  }
  return 0;
}

}  // namespace sys
