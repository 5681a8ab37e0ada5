#include <cerrno>

#include "binding/call.h"
#include "binding/mapping.h"
#include "binding/register.h"
#include "sys/maps.h"
#include "sys/page_block.h"
#include "sys/vmem.h"

namespace binding {
namespace {

// Of a Uint8Array over memory of any kind: Node-API knows no SharedArrayBuffer, but takes views of them.
napi_value AddressOf(napi_env env, napi_callback_info info) {
  Call call(env, info);
  napi_typedarray_type type = napi_int8_array;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, call.Value(0), &type, nullptr, &data, nullptr, nullptr) != napi_ok ||
      type != napi_uint8_array) {
    return call.TypeError("expected a Uint8Array");
  }
  return call.Number(reinterpret_cast<intptr_t>(data));
}

napi_value Describe(Call& call, const sys::MapEntry& entry) {
  napi_env env = call.env();
  napi_value object = nullptr;
  napi_create_object(env, &object);
  auto number = [&](const char* name, uint64_t value) {
    napi_set_named_property(env, object, name, call.Number(static_cast<int64_t>(value)));
  };
  auto boolean = [&](const char* name, bool value) {
    napi_value set = nullptr;
    napi_get_boolean(env, value, &set);
    napi_set_named_property(env, object, name, set);
  };
  number("start", entry.start);
  number("end", entry.end);
  number("offset", entry.offset);
  number("deviceLow", entry.device & UINT32_MAX);
  number("deviceHigh", entry.device >> 32);
  number("inodeLow", entry.inode & UINT32_MAX);
  number("inodeHigh", entry.inode >> 32);
  boolean("readable", entry.readable);
  boolean("writable", entry.writable);
  boolean("shared", entry.shared);
  return object;
}

napi_value MappingsOver(napi_env env, napi_callback_info info) {
  Call call(env, info);
  uint64_t address = call.Size(0), length = call.Size(1);
  auto source = call.Bool(2) ? sys::MapsSource::kText : sys::MapsSource::kQuery;
  if (!call.ok()) return call.Failure();
  std::vector<sys::MapEntry> found;
  int result = sys::FindMappings(address, length, source, &found);
  if (result < 0) return call.Number(result);
  napi_value array = nullptr;
  napi_create_array_with_length(env, found.size(), &array);
  for (uint32_t i = 0; i < found.size(); ++i) napi_set_element(env, array, i, Describe(call, found[i]));
  return array;
}

napi_value IsMappedChunk(napi_env env, napi_callback_info info) {
  Call call(env, info);
  uint64_t address = call.Size(0), length = call.Size(1);
  if (!call.ok()) return call.Failure();
  return call.Number(sys::IsMappedChunk(address, length));
}

napi_value IsPageBlock(napi_env env, napi_callback_info info) {
  Call call(env, info);
  uint64_t address = call.Size(0);
  if (!call.ok()) return call.Failure();
  return call.Number(sys::PageBlock::Around(address) != nullptr);
}

napi_value IsExported(napi_env env, napi_callback_info info) {
  Call call(env, info);
  uint64_t address = call.Size(0), length = call.Size(1);
  if (!call.ok()) return call.Failure();
  return call.Number(sys::Vmem::Exported(address, length));
}

napi_value Pagemap(napi_env env, napi_callback_info info) {
  Call call(env, info);
  napi_typedarray_type type = napi_int8_array;
  size_t length = 0;
  void* words = nullptr;
  Mapping* mapping = Mapping::Of(env, call.Value(0));
  if (mapping == nullptr) return call.TypeError("expected a Mapping");
  if (napi_get_typedarray_info(env, call.Value(1), &type, &length, &words, nullptr, nullptr) != napi_ok ||
      type != napi_biguint64_array) {
    return call.TypeError("expected a BigUint64Array");
  }
  sys::Region* region = mapping->region();
  if (region == nullptr) return call.Number(-EBADF);
  auto address = reinterpret_cast<uint64_t>(region->bytes());
  return call.Number(sys::ReadPagemap(address, length, static_cast<uint64_t*>(words)));
}

}  // namespace

void RegisterVmemFacts(napi_env env, napi_value exports) {
  Define(env, exports,
         {{"addressOf", AddressOf},
          {"mappingsOver", MappingsOver},
          {"isMappedChunk", IsMappedChunk},
          {"isPageBlock", IsPageBlock},
          {"isExported", IsExported},
          {"pagemap", Pagemap}});
}

}  // namespace binding
