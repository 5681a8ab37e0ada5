#include <cerrno>
#include <memory>

#include "binding/call.h"
#include "binding/environment.h"
#include "binding/register.h"
#include "sys/fd.h"
#include "sys/socket.h"
#include "sys/unique_fd.h"

namespace binding {
namespace {

/**
 * One connection attempt. A path on a hostile file system can hang the thread, so the promise settles by
 * whichever comes first, the thread or the deadline; the job itself lives until the thread is back.
 */
struct Knock {
  Environment* environment = nullptr;
  napi_async_work work = nullptr;
  napi_deferred deferred = nullptr;  // null: settled
  Handle* deadline = nullptr;
  sys::UniqueFd door;
  uint32_t timeout = 0;
  int result = -ECANCELED;

  /** False when nobody gets the result any more. */
  bool Settle(int value) {
    if (deferred == nullptr) return false;
    napi_env env = environment->env;
    napi_handle_scope scope = nullptr;
    napi_value number = nullptr;
    if (napi_open_handle_scope(env, &scope) != napi_ok) return false;
    bool settled = napi_create_int32(env, value, &number) == napi_ok &&
                   napi_resolve_deferred(env, deferred, number) == napi_ok;
    napi_close_handle_scope(env, scope);
    deferred = nullptr;
    return settled;
  }
};

void Execute(napi_env, void* data) {
  auto* knock = static_cast<Knock*>(data);
  knock->result = sys::ConnectDoor(knock->door.get(), knock->timeout);
}

void Complete(napi_env env, napi_status, void* data) {
  std::unique_ptr<Knock> knock(static_cast<Knock*>(data));
  if (knock->deadline != nullptr) knock->deadline->Close();
  napi_delete_async_work(env, knock->work);
  sys::UniqueFd socket(knock->result);
  Environment& environment = *knock->environment;
  if (environment.closing || !knock->Settle(knock->result)) return;
  environment.Keep(socket.Release());
}

void TimedOut(void* owner, int) {
  auto* knock = static_cast<Knock*>(owner);
  Environment& environment = *knock->environment;
  if (environment.closing) return;
  napi_handle_scope scope = nullptr;
  napi_callback_scope turn = nullptr;
  napi_value resource = nullptr;
  napi_env env = environment.env;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  // A callback scope, or nobody would run the promise's reactions in this turn.
  napi_create_object(env, &resource);
  bool opened = napi_open_callback_scope(env, resource, environment.context, &turn) == napi_ok;
  knock->Settle(-ETIMEDOUT);
  if (opened) napi_close_callback_scope(env, turn);
  napi_close_handle_scope(env, scope);
}

napi_value ConnectDoor(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int door = call.Int(0);
  uint32_t timeout = call.Uint(1);
  napi_value promise = nullptr;
  auto knock = std::make_unique<Knock>();
  if (!call.ok() && call.Failure() == nullptr) return nullptr;
  if (napi_create_promise(env, &knock->deferred, &promise) != napi_ok) return nullptr;
  knock->environment = &call.environment();
  knock->timeout = timeout;
  // Our own descriptor: the caller may close his at once.
  int copy = call.ok() ? sys::Duplicate(door) : -EINVAL;
  if (copy < 0) {
    knock->Settle(copy);
    return promise;
  }
  knock->door = sys::UniqueFd(copy);
  napi_value name = nullptr;
  napi_create_string_utf8(env, "dmabuf.connectDoor", NAPI_AUTO_LENGTH, &name);
  if (napi_create_async_work(env, nullptr, name, Execute, Complete, knock.get(), &knock->work) != napi_ok) {
    knock->Settle(-ENOMEM);
    return promise;
  }
  if (napi_queue_async_work(env, knock->work) != napi_ok) {
    napi_delete_async_work(env, knock->work);
    knock->Settle(-ENOMEM);
    return promise;
  }
  Knock* started = knock.release();
  Handle::Deadline(started->environment->loop, timeout, TimedOut, started, &started->deadline);
  return promise;
}

napi_value InspectDoor(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int door = call.Int(0);
  if (!call.ok()) return call.Failure();
  sys::Facts facts;
  int result = sys::InspectDoor(door, &facts);
  call.environment().scratch.Put(facts);
  return call.Number(result);
}

}  // namespace

void RegisterDoor(napi_env env, napi_value exports) {
  Define(env, exports, {{"connectDoor", ConnectDoor}, {"inspectDoor", InspectDoor}});
}

}  // namespace binding
