#pragma once

#include <node_api.h>

#include <cstdint>
#include <initializer_list>
#include <string>

namespace binding {

struct Environment;

/** The bytes of a Uint8Array, valid during the call. */
struct Bytes {
  uint8_t* data = nullptr;
  size_t length = 0;
};

/**
 * One call from JavaScript: its arguments, taken out in order. The first that does not fit decides: a wrong
 * type is a TypeError, a number out of range is -EINVAL. Check `ok()` once after taking all of them.
 */
class Call {
 public:
  Call(napi_env env, napi_callback_info info) : env_(env) {
    if (napi_get_cb_info(env, info, &count_, values_, &self_, nullptr) != napi_ok) thrown_ = true;
  }

  int32_t Int(size_t index) { return static_cast<int32_t>(Integer(index, INT32_MIN, INT32_MAX)); }
  uint32_t Uint(size_t index) { return static_cast<uint32_t>(Integer(index, 0, UINT32_MAX)); }
  /** A count of bytes: any integer that a double holds exactly. */
  uint64_t Size(size_t index) { return static_cast<uint64_t>(Integer(index, 0, 9007199254740992.0)); }
  bool Bool(size_t index);
  Bytes Uint8Array(size_t index);
  /** -ENAMETOOLONG beyond the longest path there is. */
  std::string Text(size_t index);
  /** As Text, for what the kernel takes as a C string. */
  std::string Path(size_t index);
  napi_value Value(size_t index) const { return index < count_ ? values_[index] : nullptr; }

  bool ok() const { return error_ == 0 && !thrown_; }
  napi_value Failure() const { return thrown_ ? nullptr : Number(error_); }
  napi_value Number(int64_t value) const;
  napi_value TypeError(const char* message);
  void Fail(int error) {
    if (ok()) error_ = error;
  }

  napi_env env() const { return env_; }
  napi_value self() const { return self_; }
  Environment& environment() const;

 private:
  static constexpr size_t kMaxArguments = 6;

  double Integer(size_t index, double lowest, double highest);

  napi_env env_;
  napi_value self_ = nullptr;
  size_t count_ = kMaxArguments;
  napi_value values_[kMaxArguments];
  int error_ = 0;
  bool thrown_ = false;
};

struct Method {
  const char* name;
  napi_callback function;
};
void Define(napi_env env, napi_value object, std::initializer_list<Method> methods);

}  // namespace binding
