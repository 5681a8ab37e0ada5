#include <cerrno>

#include "binding/call.h"
#include "binding/mapping.h"
#include "binding/register.h"
#include "sys/cache_lines.h"

namespace binding {
namespace {

// Words before the line states; HEADER_BYTES of src/memory/cache/layout.ts.
constexpr uint64_t kHeaderBytes = 64;
constexpr uint64_t kLeastLine = 16, kMostLine = 4096;

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
              region % kMostLine == 0 && region <= mapping->byte_length() / 3;
  if (!fits) return call.Number(-EINVAL);
  uint64_t lines = region / line_size;
  if (first > last || last > lines || mapping->byte_length() - 3 * region < kHeaderBytes + lines)
    return call.Number(-EINVAL);
  if (file->kind() != sys::MapKind::kShared) return call.Number(-EACCES);
  uint8_t* base = file->bytes();
  sys::CacheLines all{base, base + region, base + 2 * region, base + 3 * region + kHeaderBytes, line_size};
  int64_t result = operation(all, first, last);
  return call.Number(file->faulted() ? -EFAULT : result);
}

int64_t Clean(const sys::CacheLines& lines, size_t first, size_t last) {
  return static_cast<int64_t>(lines.Clean(first, last));
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
         {{"cleanLines", OnLines<Clean>},
          {"invalidateLines", OnLines<Invalidate>},
          {"showLines", OnLines<Show>}});
}

}  // namespace binding
