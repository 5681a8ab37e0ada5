#include <linux/sync_file.h>

#include <cerrno>
#include <memory>
#include <vector>

#include "binding/call.h"
#include "binding/environment.h"
#include "binding/register.h"
#include "sys/fd.h"

namespace binding {
namespace {

napi_value Close(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int fd = call.Int(0);
  if (!call.ok()) return call.Failure();
  call.environment().descriptors.Remove(fd);
  return call.Number(sys::Close(fd));
}

struct Closing {
  napi_async_work work = nullptr;
  std::vector<int> fds;

  void Run() {
    for (int fd : fds) sys::Close(fd);
  }
};

napi_value CloseLater(napi_env env, napi_callback_info info) {
  Call call(env, info);
  bool is_array = false;
  napi_value list = call.Value(0);
  if (list == nullptr || napi_is_array(env, list, &is_array) != napi_ok || !is_array) {
    return call.TypeError("expected an array of descriptors");
  }
  uint32_t length = 0;
  napi_get_array_length(env, list, &length);
  auto closing = std::make_unique<Closing>();
  for (uint32_t i = 0; i < length; ++i) {
    napi_value element = nullptr;
    double fd = 0;
    // All or none: nothing is closed before every element is known to be a number.
    if (napi_get_element(env, list, i, &element) != napi_ok) return nullptr;
    if (napi_get_value_double(env, element, &fd) != napi_ok) return call.TypeError("expected descriptors");
    if (fd >= 0 && fd <= INT32_MAX) closing->fds.push_back(static_cast<int>(fd));
  }
  if (closing->fds.empty()) return nullptr;
  for (int fd : closing->fds) call.environment().descriptors.Remove(fd);
  napi_value name = nullptr;
  napi_create_string_utf8(env, "dmabuf.closeLater", NAPI_AUTO_LENGTH, &name);
  napi_status status = napi_create_async_work(
      env, nullptr, name, [](napi_env, void* data) { static_cast<Closing*>(data)->Run(); },
      [](napi_env env, napi_status status, void* data) {
        std::unique_ptr<Closing> done(static_cast<Closing*>(data));
        if (status == napi_cancelled) done->Run();
        napi_delete_async_work(env, done->work);
      },
      closing.get(), &closing->work);
  if (status != napi_ok) {
    closing->Run();
    return nullptr;
  }
  if (napi_queue_async_work(env, closing->work) != napi_ok) {
    napi_delete_async_work(env, closing->work);
    closing->Run();
    return nullptr;
  }
  (void)closing.release();
  return nullptr;
}

napi_value Duplicate(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int fd = call.Int(0);
  if (!call.ok()) return call.Failure();
  return call.Number(call.environment().Keep(sys::Duplicate(fd)));
}

napi_value Adopt(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int fd = call.Int(0);
  if (!call.ok()) return call.Failure();
  int result = sys::SetCloseOnExec(fd, true);
  return call.Number(result < 0 ? result : call.environment().Keep(fd));
}

napi_value Release(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int fd = call.Int(0);
  bool inheritable = call.Bool(1);
  if (!call.ok()) return call.Failure();
  int result = sys::SetCloseOnExec(fd, !inheritable);
  if (result >= 0) call.environment().descriptors.Remove(fd);
  return call.Number(result);
}

napi_value Reopen(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int fd = call.Int(0), flags = call.Int(1);
  if (!call.ok()) return call.Failure();
  return call.Number(call.environment().Keep(sys::Reopen(fd, flags)));
}

napi_value Open(napi_env env, napi_callback_info info) {
  Call call(env, info);
  std::string path = call.Path(0);
  int flags = call.Int(1);
  uint32_t mode = call.Uint(2);
  if (!call.ok()) return call.Failure();
  return call.Number(call.environment().Keep(sys::Open(path.c_str(), flags, mode)));
}

napi_value Inspect(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int fd = call.Int(0);
  bool anyway = call.Bool(1);
  if (!call.ok()) return call.Failure();
  sys::Facts facts;
  int result = sys::Inspect(fd, anyway ? sys::StatAnyway::kYes : sys::StatAnyway::kNo, &facts);
  call.environment().scratch.Put(facts);
  return call.Number(result);
}

napi_value LinkTarget(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int fd = call.Int(0);
  if (!call.ok()) return call.Failure();
  std::string target;
  int result = sys::LinkTarget(fd, &target);
  if (result < 0) return call.Number(result);
  napi_value text = nullptr;
  napi_create_string_utf8(env, target.data(), target.size(), &text);
  return text;
}

napi_value PipeAccess(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int fd = call.Int(0);
  if (!call.ok()) return call.Failure();
  return call.Number(sys::PipeAccess(fd));
}

napi_value SameFile(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int a = call.Int(0), b = call.Int(1);
  if (!call.ok()) return call.Failure();
  return call.Number(sys::SameFile(a, b));
}

napi_value Lock(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int fd = call.Int(0);
  return call.ok() ? call.Number(sys::Lock(fd)) : call.Failure();
}

napi_value DmaBufSync(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int fd = call.Int(0);
  uint32_t flags = call.Uint(1);
  if (!call.ok()) return call.Failure();
  return call.Number(sys::DmaBufSync(fd, flags));
}

napi_value DmaBufExportSyncFile(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int fd = call.Int(0);
  uint32_t flags = call.Uint(1);
  if (!call.ok()) return call.Failure();
  return call.Number(call.environment().Keep(sys::DmaBufExportSyncFile(fd, flags)));
}

napi_value DmaBufImportSyncFile(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int fd = call.Int(0);
  uint32_t flags = call.Uint(1);
  int sync_file = call.Int(2);
  if (!call.ok()) return call.Failure();
  return call.Number(sys::DmaBufImportSyncFile(fd, flags, sync_file));
}

napi_value SyncFileInfo(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int fd = call.Int(0);
  const Bytes bytes = call.Uint8Array(1);
  if (bytes.length < sizeof(sync_file_info)) call.Fail(-EINVAL);
  if (!call.ok()) return call.Failure();
  const size_t room = (bytes.length - sizeof(sync_file_info)) / sizeof(sync_fence_info);
  return call.Number(sys::SyncFileInfo(fd, bytes.data, static_cast<uint32_t>(room)));
}

napi_value SyncFileSetDeadline(napi_env env, napi_callback_info info) {
  Call call(env, info);
  int fd = call.Int(0);
  uint64_t microseconds = call.Size(1);
  if (!call.ok()) return call.Failure();
  return call.Number(sys::SyncFileSetDeadline(fd, microseconds));
}

}  // namespace

void RegisterDescriptors(napi_env env, napi_value exports) {
  Define(env, exports,
         {{"close", Close},
          {"closeLater", CloseLater},
          {"duplicate", Duplicate},
          {"adopt", Adopt},
          {"release", Release},
          {"reopen", Reopen},
          {"open", Open},
          {"inspect", Inspect},
          {"linkTarget", LinkTarget},
          {"pipeAccess", PipeAccess},
          {"sameFile", SameFile},
          {"lock", Lock},
          {"dmaBufSync", DmaBufSync},
          {"dmaBufExportSyncFile", DmaBufExportSyncFile},
          {"dmaBufImportSyncFile", DmaBufImportSyncFile},
          {"syncFileInfo", SyncFileInfo},
          {"syncFileSetDeadline", SyncFileSetDeadline}});
}

}  // namespace binding
