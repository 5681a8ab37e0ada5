#pragma once

#include <node_api.h>

#include <cstdint>
#include <memory>

namespace binding {

class Loop;

/**
 * A handle on the environment's event loop: a watched descriptor or a deadline. It belongs to the loop; the
 * pointer it was given out through is set to null when it is closed, by whomever.
 */
class Handle {
 public:
  using Callback = void (*)(void* owner, int events);

  /** Watches a descriptor; events are libuv's. Negative errno when it cannot be watched. */
  static int Watch(const std::shared_ptr<Loop>& loop, int fd, Callback callback, void* owner, Handle** out);
  /** Fires once after so many milliseconds. */
  static int Deadline(const std::shared_ptr<Loop>& loop, uint32_t timeout, Callback callback, void* owner,
                      Handle** out);

  int Start(int events);
  void Stop();
  void Ref();
  void Unref();
  void Close();

 private:
  friend class Loop;
  struct Native;
  struct OnLoop;
  explicit Handle(std::shared_ptr<Loop> loop) : loop_(std::move(loop)) {}

  std::shared_ptr<Loop> loop_;
  Native* native_ = nullptr;
  Callback callback_ = nullptr;
  void* owner_ = nullptr;
  Handle** given_out_ = nullptr;
  Handle* next_ = nullptr;
  Handle** link_ = nullptr;
  int watched_ = 0;
  int fd_ = -1;
};

/** All handles of one environment. The only part of the addon that knows which loop the runtime has. */
class Loop {
 public:
  explicit Loop(napi_env env);

  /** Deno's libuv and Node-API are imitations, and differ in a few places. */
  bool deno() const { return deno_; }
  void CloseAll();
  /** Calls back once no handle is open or closing; at once when there is none. */
  void WhenClosed(void (*done)(void*), void* data);

 private:
  friend class Handle;
  void Insert(Handle* handle);
  void Forget();

  napi_env env_;
  bool deno_;
  Handle* first_ = nullptr;
  int alive_ = 0;
  void (*done_)(void*) = nullptr;
  void* done_data_ = nullptr;
};

}  // namespace binding
