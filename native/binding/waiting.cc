#include "binding/call.h"
#include "binding/environment.h"
#include "binding/mapping.h"
#include "binding/register.h"
#include "sys/epoll.h"
#include "sys/fd.h"

namespace binding {
namespace {

/** `worker.terminate()` cannot interrupt it. */
constexpr uint32_t kLongestSlice = 50;

napi_value PollNow(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int fd = call.Int(0);
  uint32_t events = call.Uint(1);
  if (events > INT16_MAX) call.Fail(-EINVAL);
  if (!call.ok()) return call.Failure();
  return call.Number(sys::PollFor(fd, static_cast<short>(events), 0));
}

napi_value PollFor(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int fd = call.Int(0);
  uint32_t events = call.Uint(1), milliseconds = call.Uint(2);
  if (events > INT16_MAX || milliseconds > kLongestSlice) call.Fail(-EINVAL);
  if (!call.ok()) return call.Failure();
  return call.Number(sys::PollFor(fd, static_cast<short>(events), static_cast<int>(milliseconds)));
}

napi_value StoreAtEnd(napi_env env, napi_callback_info info) {
  Call call(env, info);
  Mapping* mapping = Mapping::Of(env, call.Value(0));
  uint32_t word = call.Uint(1);
  if (mapping == nullptr) call.Fail(-EINVAL);
  if (!call.ok()) return call.Failure();
  return call.Number(call.environment().StoreAtEnd(mapping->shared_region(), word));
}

napi_value EpollCreate(napi_env env, napi_callback_info info) {
  Call call(env, info);
  return call.Number(call.environment().Keep(sys::EpollCreate()));
}

napi_value EpollArm(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int epoll = call.Int(0), fd = call.Int(1);
  uint32_t token = call.Uint(2), events = call.Uint(3);
  bool again = call.Bool(4);
  if (!call.ok()) return call.Failure();
  return call.Number(sys::EpollArm(epoll, fd, token, events, again ? sys::Arm::kAgain : sys::Arm::kAdd));
}

napi_value EpollRemove(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int epoll = call.Int(0), fd = call.Int(1);
  if (!call.ok()) return call.Failure();
  return call.Number(sys::EpollRemove(epoll, fd));
}

napi_value EpollTake(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int epoll = call.Int(0);
  if (!call.ok()) return call.Failure();
  return call.Number(sys::EpollTake(epoll, call.environment().scratch.tokens));
}

}  // namespace

void RegisterWaiting(napi_env env, napi_value exports) {
  Define(env, exports,
         {{"pollNow", PollNow},
          {"pollFor", PollFor},
          {"storeAtEnd", StoreAtEnd},
          {"epollCreate", EpollCreate},
          {"epollArm", EpollArm},
          {"epollRemove", EpollRemove},
          {"epollTake", EpollTake}});
}

}  // namespace binding
