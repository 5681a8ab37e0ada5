#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "binding/call.h"
#include "binding/environment.h"
#include "binding/guard.h"
#include "binding/mapping.h"
#include "binding/register.h"
#include "sys/violation_ring.h"

namespace binding {
namespace {

/** Numbers that one violation takes in the array of `takeViolations`. */
constexpr size_t kWords = 5;

int Ring(Environment& environment, std::shared_ptr<sys::ViolationRing>* out) {
  int result = environment.violations == nullptr ? sys::ViolationRing::Create(&environment.violations) : 0;
  *out = environment.violations;
  return result;
}

// The numbers of a Float64Array, null for an empty one; false with a TypeError pending.
bool Numbers(Call& call, double** numbers, size_t* count) {
  bool is_typed_array = false;
  napi_typedarray_type type = napi_int8_array;
  void* data = nullptr;
  napi_value array = call.Value(0);
  if (array != nullptr) napi_is_typedarray(call.env(), array, &is_typed_array);
  if (is_typed_array) napi_get_typedarray_info(call.env(), array, &type, count, &data, nullptr, nullptr);
  if (type != napi_float64_array) {
    call.TypeError("expected a Float64Array");
    return false;
  }
  *numbers = static_cast<double*>(data);
  return true;
}

napi_value ViolationEvent(napi_env env, napi_callback_info info) {
  Call call(env, info);
  std::shared_ptr<sys::ViolationRing> ring;
  int result = Ring(call.environment(), &ring);
  return call.Number(result < 0 ? result : ring->event());
}

napi_value TakeViolations(napi_env env, napi_callback_info info) {
  Call call(env, info);
  size_t room = 0;
  double* out = nullptr;
  if (!Numbers(call, &out, &room)) return nullptr;
  const std::shared_ptr<sys::ViolationRing>& ring = call.environment().violations;
  int64_t taken = 0;
  sys::Violation violation{};
  for (; ring != nullptr && room >= kWords && ring->Take(&violation); room -= kWords, ++taken) {
    *out++ = static_cast<double>(violation.token);
    *out++ = static_cast<double>(violation.offset);
    *out++ = static_cast<double>(violation.touch);
    *out++ = violation.thread;
    *out++ = static_cast<double>(violation.nanoseconds);
  }
  return call.Number(taken);
}

napi_value QuietViolations(napi_env env, napi_callback_info) {
  if (auto& ring = Environment::Of(env).violations; ring != nullptr) ring->Quiet();
  return nullptr;
}

napi_value LostViolations(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const std::shared_ptr<sys::ViolationRing>& ring = call.environment().violations;
  return call.Number(ring == nullptr ? 0 : ring->lost());
}

napi_value ThreadNumber(napi_env env, napi_callback_info info) {
  Call call(env, info);
  return call.Number(syscall(SYS_gettid));
}

napi_value ExitNow(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int status = call.Int(0);
  if (call.ok()) _exit(status);
  return call.Failure();
}

// The receiver's region, or null with an answer in `failure`.
sys::Region* Self(Call& call, napi_value* failure) {
  Mapping* self = Mapping::Of(call.env(), call.self());
  *failure = nullptr;
  if (self == nullptr) {
    *failure = call.TypeError("Illegal invocation");
    return nullptr;
  }
  if (self->region() == nullptr) *failure = call.Number(-EBADF);
  return self->region();
}

}  // namespace

napi_value MappingGuard(napi_env env, napi_callback_info info) {
  Call call(env, info);
  napi_value failure = nullptr;
  sys::Region* region = Self(call, &failure);
  if (region == nullptr) return failure;
  uint64_t token = call.Size(0);
  if (!call.ok()) return call.Failure();
  std::shared_ptr<sys::ViolationRing> ring;
  int result = Ring(call.environment(), &ring);
  if (result == 0) result = region->Watch(std::move(ring), token);
  return call.Number(result < 0 ? result : static_cast<int64_t>(region->granularity()));
}

napi_value MappingAllow(napi_env env, napi_callback_info info) {
  Call call(env, info);
  napi_value failure = nullptr;
  sys::Region* region = Self(call, &failure);
  if (region == nullptr) return failure;
  size_t count = 0;
  double* parts = nullptr;
  if (!Numbers(call, &parts, &count)) return nullptr;
  size_t used = call.Size(1);
  if (used > count / 3) call.Fail(-EINVAL);
  if (!call.ok()) return call.Failure();
  constexpr int kRights[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE};
  std::vector<sys::PageRights> rights;
  for (; used > 0; --used, parts += 3) {
    bool sane = parts[0] >= 0 && parts[1] >= 0 && parts[0] + parts[1] <= 9007199254740992.0 &&
                parts[2] >= 0 && parts[2] <= 2;
    if (!sane) return call.Number(-EINVAL);
    rights.push_back(
        {static_cast<size_t>(parts[0]), static_cast<size_t>(parts[1]), kRights[static_cast<int>(parts[2])]});
  }
  return call.Number(region->Allow(std::move(rights)));
}

napi_value MappingUnguard(napi_env env, napi_callback_info info) {
  Call call(env, info);
  napi_value failure = nullptr;
  if (sys::Region* region = Self(call, &failure)) region->Unwatch();
  return failure;
}

void RegisterGuard(napi_env env, napi_value exports) {
  Define(env, exports,
         {{"violationEvent", ViolationEvent},
          {"takeViolations", TakeViolations},
          {"quietViolations", QuietViolations},
          {"lostViolations", LostViolations},
          {"threadNumber", ThreadNumber},
          {"exitNow", ExitNow}});
}

}  // namespace binding
