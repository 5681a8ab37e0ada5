#pragma once

#include <node_api.h>

#include <cstddef>

namespace binding {

/** Whether `DMABUF_NO_EXTERNAL` of this environment's own `process.env` forbids external ArrayBuffers. */
bool ExternalForbidden(napi_env env);

/**
 * An ArrayBuffer over memory that is not V8's; the only place that makes one. 0, or -ENOTSUP where the engine
 * keeps all its memory in a cage (then without a further attempt). After a failure `hint` must stay valid for
 * good: whether `finalize` still runs depends on where it failed.
 */
int ExternalArrayBuffer(napi_env env, void* bytes, size_t byte_length, napi_finalize finalize, void* hint,
                        napi_value* buffer);

}  // namespace binding
