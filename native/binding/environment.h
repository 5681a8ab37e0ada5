#pragma once

#include <node_api.h>

#include <memory>
#include <utility>
#include <vector>

#include "binding/loop.h"
#include "binding/scratch.h"
#include "sys/region.h"
#include "sys/violation_ring.h"

namespace binding {

/** The descriptors an environment owns: all that is open at its end is closed. */
class DescriptorSet {
 public:
  void Add(int fd);
  void Remove(int fd);
  void CloseAll();

 private:
  std::vector<uint64_t> bits_;
};

/** Everything that belongs to one environment (main thread or worker). */
struct Environment {
  explicit Environment(napi_env env) : env(env), loop(new Loop(env)) {}

  static Environment& Of(napi_env env);
  static void Create(napi_env env);

  /** Remembers a new descriptor on its way to JavaScript; passes errors through. */
  int Keep(int fd_or_error) {
    if (fd_or_error >= 0) descriptors.Add(fd_or_error);
    return fd_or_error;
  }

  /** Stores 1 into a word of a mapping at the end of the environment, before any descriptor is closed. */
  int StoreAtEnd(const std::shared_ptr<sys::Region>& region, uint32_t word);
  void StoreEnds();

  napi_env env;
  std::shared_ptr<Loop> loop;
  Scratch scratch;
  DescriptorSet descriptors;
  napi_async_context context = nullptr;
  napi_ref mapping_class = nullptr;
  /** What the Mapping under construction gets; JavaScript itself can construct none. */
  std::shared_ptr<sys::Region> newborn;
  /** Of the guarded mappings; made with the first one. */
  std::shared_ptr<sys::ViolationRing> violations;
  /** See StoreAtEnd. */
  std::vector<std::pair<std::shared_ptr<sys::Region>, uint32_t>> at_end;
  /** The longest external ArrayBuffer the engine takes. */
  uint64_t longest_view = 0;
  /** Whether the engine takes external ArrayBuffers at all, as far as is known. */
  bool external_buffers = true;
  /** After the cleanup hook a descriptor has no owner any more and is closed at once. */
  bool closing = false;
};

}  // namespace binding
