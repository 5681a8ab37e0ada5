#include "binding/loop.h"

#include <fcntl.h>
#include <poll.h>
#include <uv.h>

#include <cerrno>
#include <cstring>

// Deno has every part of libuv that is used here but this one; a strong reference would keep us from loading.
#pragma weak uv_update_time

namespace binding {

struct Handle::Native {
  union {
    uv_handle_t handle;
    uv_poll_t poll;
    uv_timer_t timer;
  };
};

namespace {

int Ready(int fd, int events) {
  struct Pair {
    int uv;
    short poll;
  };
  constexpr Pair kPairs[] = {{UV_READABLE, POLLIN}, {UV_WRITABLE, POLLOUT}, {UV_DISCONNECT, POLLRDHUP}};
  struct pollfd wanted {
    fd, 0, 0
  };
  for (Pair pair : kPairs) wanted.events |= (events & pair.uv) != 0 ? pair.poll : 0;
  if (poll(&wanted, 1, 0) <= 0) return 0;
  // As libuv has it: after an error or a hang-up, whatever was asked for is told to go and see.
  if ((wanted.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) return events;
  int ready = 0;
  for (Pair pair : kPairs) ready |= (wanted.revents & pair.poll) != 0 ? pair.uv : 0;
  return ready;
}

bool IsDeno(napi_env env) {
  const napi_node_version* runtime = nullptr;
  return napi_get_node_version(env, &runtime) == napi_ok && std::strcmp(runtime->release, "Deno") == 0;
}

}  // namespace

struct Handle::OnLoop {
  static void Poll(uv_poll_t* poll, int status, int events) {
    auto* self = static_cast<Handle*>(poll->data);
    // On Deno an event may have been under way when its handle was stopped or closed.
    if (self->link_ == nullptr || self->watched_ == 0) return;
    // An error on the descriptor makes libuv stop and report no event. To the owner it is an end like any
    // other: the next read or write says which.
    if (status < 0) events = self->watched_ | UV_DISCONNECT;
    // Deno reports what was asked for, not what there is, and stops after the first event.
    if (self->loop_->deno()) {
      events = Ready(self->fd_, self->watched_);
      uv_poll_start(poll, self->watched_, Poll);
      if (events == 0) return;
    }
    self->callback_(self->owner_, events);
  }

  static void Timer(uv_timer_t* timer) {
    auto* self = static_cast<Handle*>(timer->data);
    Callback callback = self->callback_;
    void* owner = self->owner_;
    self->Close();
    callback(owner, 0);
  }

  static void Closed(uv_handle_t* handle) {
    auto* self = static_cast<Handle*>(handle->data);
    std::shared_ptr<Loop> loop = std::move(self->loop_);
    if (!loop->deno()) {
      delete self->native_;
      delete self;
    }
    loop->Forget();
  }
};

int Handle::Watch(const std::shared_ptr<Loop>& loop, int fd, Callback callback, void* owner, Handle** out) {
  uv_loop_t* uv = nullptr;
  if (fd < 0 || fcntl(fd, F_GETFD) < 0) return -EBADF;
  if (napi_get_uv_event_loop(loop->env_, &uv) != napi_ok) return -ENOTSUP;
  auto* native = new Native;
  int result = uv_poll_init(uv, &native->poll, fd);
  if (result < 0) {
    delete native;
    return result;
  }
  auto* self = new Handle(loop);
  self->native_ = native;
  self->callback_ = callback;
  self->owner_ = owner;
  self->given_out_ = out;
  self->fd_ = fd;
  native->handle.data = self;
  loop->Insert(self);
  *out = self;
  return 0;
}

int Handle::Deadline(const std::shared_ptr<Loop>& loop, uint32_t timeout, Callback callback, void* owner,
                     Handle** out) {
  uv_loop_t* uv = nullptr;
  if (napi_get_uv_event_loop(loop->env_, &uv) != napi_ok) return -ENOTSUP;
  auto* native = new Native;
  uv_timer_init(uv, &native->timer);
  auto* self = new Handle(loop);
  self->native_ = native;
  self->callback_ = callback;
  self->owner_ = owner;
  self->given_out_ = out;
  native->handle.data = self;
  loop->Insert(self);
  *out = self;
  // The loop's clock is as old as this turn; a long one must not shorten the time.
  if (uv_update_time != nullptr) uv_update_time(uv);
  uv_timer_start(&native->timer, OnLoop::Timer, timeout, 0);
  return 0;
}

int Handle::Start(int events) {
  watched_ = events;
  return uv_poll_start(&native_->poll, events, OnLoop::Poll);
}

void Handle::Stop() {
  watched_ = 0;
  uv_poll_stop(&native_->poll);
}
void Handle::Ref() {
  uv_ref(&native_->handle);
}
void Handle::Unref() {
  uv_unref(&native_->handle);
}

void Handle::Close() {
  if (link_ == nullptr) return;
  *link_ = next_;
  if (next_ != nullptr) next_->link_ = link_;
  link_ = nullptr;
  *given_out_ = nullptr;
  uv_close(&native_->handle, OnLoop::Closed);
}

Loop::Loop(napi_env env) : env_(env), deno_(IsDeno(env)) {}

void Loop::Insert(Handle* handle) {
  handle->next_ = first_;
  handle->link_ = &first_;
  if (first_ != nullptr) first_->link_ = &handle->next_;
  first_ = handle;
  ++alive_;
}

void Loop::Forget() {
  if (--alive_ == 0 && done_ != nullptr) done_(done_data_);
}

void Loop::CloseAll() {
  while (first_ != nullptr) first_->Close();
}

void Loop::WhenClosed(void (*done)(void*), void* data) {
  if (alive_ == 0) return done(data);
  done_ = done;
  done_data_ = data;
}

}  // namespace binding
