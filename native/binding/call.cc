#include "binding/call.h"

#include <cerrno>
#include <cmath>

#include "binding/environment.h"

namespace binding {

constexpr size_t kLongestText = 4096;

double Call::Integer(size_t index, double lowest, double highest) {
  double value = 0;
  if (!ok()) return 0;
  if (index >= count_ || napi_get_value_double(env_, values_[index], &value) != napi_ok) {
    TypeError("expected a number");
    return 0;
  }
  // Written so that NaN fails too.
  if (!(value >= lowest && value <= highest) || value != std::trunc(value)) {
    Fail(-EINVAL);
    return 0;
  }
  return value;
}

bool Call::Bool(size_t index) {
  bool value = false;
  if (ok() && (index >= count_ || napi_get_value_bool(env_, values_[index], &value) != napi_ok)) {
    TypeError("expected a boolean");
  }
  return value;
}

Bytes Call::Uint8Array(size_t index) {
  if (!ok()) return {};
  bool is_typed_array = false;
  napi_typedarray_type type = napi_int8_array;
  size_t length = 0;
  void* data = nullptr;
  napi_value array = Value(index);
  if (array != nullptr) napi_is_typedarray(env_, array, &is_typed_array);
  if (is_typed_array) napi_get_typedarray_info(env_, array, &type, &length, &data, nullptr, nullptr);
  if (type == napi_uint8_array) return {static_cast<uint8_t*>(data), length};
  TypeError("expected a Uint8Array");
  return {};
}

std::string Call::Text(size_t index) {
  if (!ok()) return {};
  size_t length = 0;
  if (index >= count_ || napi_get_value_string_utf8(env_, values_[index], nullptr, 0, &length) != napi_ok) {
    TypeError("expected a string");
    return {};
  }
  if (length > kLongestText) {
    Fail(-ENAMETOOLONG);
    return {};
  }
  std::string text(length, '\0');
  napi_get_value_string_utf8(env_, values_[index], text.data(), length + 1, &length);
  return text;
}

std::string Call::Path(size_t index) {
  std::string text = Text(index);
  if (text.find('\0') != text.npos) Fail(-EINVAL);
  return text;
}

napi_value Call::Number(int64_t value) const {
  napi_value result = nullptr;
  if (value >= INT32_MIN && value <= INT32_MAX) {
    napi_create_int32(env_, static_cast<int32_t>(value), &result);
  } else {
    napi_create_double(env_, static_cast<double>(value), &result);
  }
  return result;
}

napi_value Call::TypeError(const char* message) {
  if (!thrown_) napi_throw_type_error(env_, "ERR_INVALID_ARG_TYPE", message);
  thrown_ = true;
  return nullptr;
}

Environment& Call::environment() const {
  return Environment::Of(env_);
}

void Define(napi_env env, napi_value object, std::initializer_list<Method> methods) {
  for (const Method& method : methods) {
    napi_property_descriptor property{};
    property.utf8name = method.name;
    property.method = method.function;
    property.attributes = napi_enumerable;
    napi_define_properties(env, object, 1, &property);
  }
}

}  // namespace binding
