#include "binding/external.h"

#include <cerrno>
#include <string_view>

#include "binding/environment.h"

namespace binding {
namespace {

void ClearException(napi_env env) {
  bool pending = false;
  napi_value ignored = nullptr;
  napi_is_exception_pending(env, &pending);
  if (pending) napi_get_and_clear_last_exception(env, &ignored);
}

}  // namespace

// Not getenv(): a worker has a process.env of its own, and another thread may be changing the process's.
bool ExternalForbidden(napi_env env) {
  napi_value object = nullptr;
  char text[2] = {};
  size_t length = 0;
  napi_status status = napi_get_global(env, &object);
  for (const char* name : {"process", "env", "DMABUF_NO_EXTERNAL"}) {
    if (status == napi_ok) status = napi_get_named_property(env, object, name, &object);
  }
  if (status == napi_ok) status = napi_get_value_string_utf8(env, object, text, sizeof(text), &length);
  ClearException(env);
  return status == napi_ok && std::string_view(text, length) == "1";
}

int ExternalArrayBuffer(napi_env env, void* bytes, size_t byte_length, napi_finalize finalize, void* hint,
                        napi_value* buffer) {
  Environment& environment = Environment::Of(env);
  if (!environment.external_buffers) return -ENOTSUP;
  napi_status status = napi_create_external_arraybuffer(env, bytes, byte_length, finalize, hint, buffer);
  if (status == napi_ok) return 0;
  if (status == napi_no_external_buffers_allowed) environment.external_buffers = false;
  ClearException(env);
  return -ENOTSUP;
}

}  // namespace binding
