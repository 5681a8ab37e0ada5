#include <cerrno>

#include "binding/call.h"
#include "binding/environment.h"
#include "binding/mapping.h"
#include "binding/register.h"
#include "sys/fault.h"
#include "sys/memfd.h"
#include "sys/quarantine.h"

namespace binding {
namespace {

napi_value MemfdCreate(napi_env env, napi_callback_info info) {
  Call call(env, info);
  std::string name = call.Path(0);
  uint32_t shift = call.Uint(1);
  if (shift > 63) call.Fail(-EINVAL);
  if (!call.ok()) return call.Failure();
  return call.Number(call.environment().Keep(sys::MemfdCreate(name.c_str(), shift)));
}

napi_value Allocate(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int fd = call.Int(0);
  uint64_t byte_length = call.Size(1);
  if (!call.ok()) return call.Failure();
  return call.Number(sys::Allocate(fd, byte_length));
}

napi_value Truncate(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int fd = call.Int(0);
  uint64_t byte_length = call.Size(1);
  if (!call.ok()) return call.Failure();
  return call.Number(sys::Truncate(fd, byte_length));
}

napi_value Reserve(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int fd = call.Int(0);
  uint64_t offset = call.Size(1), byte_length = call.Size(2);
  if (!call.ok()) return call.Failure();
  return call.Number(sys::Reserve(fd, offset, byte_length));
}

napi_value AddSeals(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int fd = call.Int(0);
  uint32_t seals = call.Uint(1);
  if (!call.ok()) return call.Failure();
  return call.Number(sys::AddSeals(fd, seals));
}

napi_value GetSeals(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int fd = call.Int(0);
  if (!call.ok()) return call.Failure();
  return call.Number(sys::GetSeals(fd));
}

napi_value Map(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int fd = call.Int(0);
  uint64_t offset = call.Size(1), byte_length = call.Size(2);
  uint32_t kind = call.Uint(3);
  if (kind > static_cast<uint32_t>(sys::MapKind::kPrivate)) call.Fail(-EINVAL);
  if (!call.ok()) return call.Failure();
  std::shared_ptr<sys::Region> region;
  int result = sys::Region::Map(fd, offset, byte_length, static_cast<sys::MapKind>(kind), &region);
  return result < 0 ? call.Number(result) : Mapping::New(env, std::move(region));
}

napi_value AdjustExternalMemory(napi_env env, napi_callback_info info) {
  Call call(env, info);
  double delta = 0;
  if (call.Value(0) == nullptr || napi_get_value_double(env, call.Value(0), &delta) != napi_ok) {
    return call.TypeError("expected a number");
  }
  // V8 aborts when its sum overflows; no machine has more than this either.
  constexpr double kMost = double{1LL << 50};
  int64_t sum = 0;
  if (delta >= -kMost && delta <= kMost) napi_adjust_external_memory(env, static_cast<int64_t>(delta), &sum);
  return nullptr;
}

napi_value Quarantine(napi_env env, napi_callback_info info) {
  Call call(env, info);
  sys::Waiting waiting = sys::QuarantineState();
  napi_value pair = nullptr;
  napi_create_array_with_length(env, 2, &pair);
  napi_set_element(env, pair, 0, call.Number(static_cast<int64_t>(waiting.bytes)));
  napi_set_element(env, pair, 1, call.Number(static_cast<int64_t>(waiting.ranges)));
  return pair;
}

napi_value FaultHandler(napi_env env, napi_callback_info) {
  napi_value pair = nullptr, installed = nullptr, current = nullptr;
  napi_create_array_with_length(env, 2, &pair);
  napi_get_boolean(env, sys::FaultHandlerInstalled(), &installed);
  napi_get_boolean(env, sys::FaultHandlerCurrent(), &current);
  napi_set_element(env, pair, 0, installed);
  napi_set_element(env, pair, 1, current);
  return pair;
}

}  // namespace

void RegisterMemory(napi_env env, napi_value exports) {
  Define(env, exports,
         {{"memfdCreate", MemfdCreate},
          {"allocate", Allocate},
          {"truncate", Truncate},
          {"reserve", Reserve},
          {"addSeals", AddSeals},
          {"getSeals", GetSeals},
          {"map", Map},
          {"adjustExternalMemory", AdjustExternalMemory},
          {"quarantine", Quarantine},
          {"faultHandler", FaultHandler}});
}

}  // namespace binding
