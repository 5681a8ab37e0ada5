#include <cerrno>

#include "binding/call.h"
#include "binding/mapping.h"
#include "binding/register.h"
#include "sys/cache_lines.h"

namespace binding {
namespace {

// Bytes of the words behind cache and memory; HEADER_BYTES of src/memory/cache/layout.ts.
constexpr uint64_t kHeaderBytes = 64;
constexpr uint64_t kBlock = sys::CacheLines::kBlock;
constexpr uint64_t kLeastLine = 16, kMostLine = kBlock;

// mapping, bytes of a region, bytes of a line, first line, last line (exclusive)
template <int64_t (*operation)(const sys::CacheLines&, size_t first, size_t last)>
napi_value OnLines(napi_env env, napi_callback_info info) {
  Call call(env, info);
  uint64_t region = call.Size(1), line_size = call.Size(2), first = call.Size(3), last = call.Size(4);
  Mapping* mapping = Mapping::Of(env, call.Value(0));
  if (mapping == nullptr) return call.TypeError("expected a Mapping");
  if (!call.ok()) return call.Failure();
  sys::Region* file = mapping->region();
  if (file == nullptr) return call.Number(-EBADF);
  bool fits = line_size >= kLeastLine && line_size <= kMostLine && (line_size & (line_size - 1)) == 0 &&
              region % kBlock == 0 && region <= mapping->byte_length() / 2;
  if (!fits) return call.Number(-EINVAL);
  uint64_t lines = region / line_size, blocks = region / kBlock;
  uint64_t signatures = 2 * region + kHeaderBytes, locks = signatures + lines * sizeof(uint64_t);
  uint64_t states = locks + blocks * sizeof(uint32_t);
  uint8_t* base = file->bytes();
  bool holds = first <= last && last <= lines && states + lines <= mapping->byte_length() &&
               reinterpret_cast<uintptr_t>(base) % sizeof(uint64_t) == 0;
  if (!holds) return call.Number(-EINVAL);
  if (file->kind() != sys::MapKind::kShared) return call.Number(-EACCES);
  sys::CacheLines all{base,
                      base + region,
                      reinterpret_cast<uint64_t*>(base + signatures),
                      reinterpret_cast<uint32_t*>(base + locks),
                      base + states,
                      line_size};
  int64_t result = operation(all, first, last);
  return call.Number(file->faulted() ? -EFAULT : result);
}

int64_t Dirty(const sys::CacheLines& lines, size_t first, size_t last) {
  return static_cast<int64_t>(lines.Dirty(first, last));
}

int64_t Clean(const sys::CacheLines& lines, size_t first, size_t last) {
  return static_cast<int64_t>(lines.Clean(first, last));
}

int64_t Evict(const sys::CacheLines& lines, size_t first, size_t last) {
  return static_cast<int64_t>(lines.Evict(first, last));
}

int64_t Invalidate(const sys::CacheLines& lines, size_t first, size_t last) {
  return static_cast<int64_t>(lines.Invalidate(first, last));
}

int64_t Show(const sys::CacheLines& lines, size_t first, size_t last) {
  lines.Show(first, last);
  return 0;
}

}  // namespace

void RegisterCache(napi_env env, napi_value exports) {
  Define(env, exports,
         {{"dirtyLines", OnLines<Dirty>},
          {"evictLines", OnLines<Evict>},
          {"cleanLines", OnLines<Clean>},
          {"invalidateLines", OnLines<Invalidate>},
          {"showLines", OnLines<Show>}});
}

}  // namespace binding
