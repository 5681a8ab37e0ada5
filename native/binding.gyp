{
  'variables': { 'sanitize%': 0 },
  'targets': [
    {
      'target_name': 'dmabuf',
      'sources': [
        'binding/addon.cc',
        'binding/cache.cc',
        'binding/call.cc',
        'binding/copy.cc',
        'binding/descriptors.cc',
        'binding/door.cc',
        'binding/environment.cc',
        'binding/guard.cc',
        'binding/loop.cc',
        'binding/mapping.cc',
        'binding/mapping_class.cc',
        'binding/memory.cc',
        'binding/poll.cc',
        'binding/scratch.cc',
        'binding/sockets.cc',
        'binding/vmem.cc',
        'binding/vmem_facts.cc',
        'binding/waiting.cc',
        'sys/access_guard.cc',
        'sys/block_lock.cc',
        'sys/cache_lines.cc',
        'sys/epoll.cc',
        'sys/fault.cc',
        'sys/exchange.cc',
        'sys/fd.cc',
        'sys/floor.cc',
        'sys/hold.cc',
        'sys/line_signature.cc',
        'sys/maps.cc',
        'sys/memfd.cc',
        'sys/packet.cc',
        'sys/pipe.cc',
        'sys/page_block.cc',
        'sys/quarantine.cc',
        'sys/region.cc',
        'sys/region_guard.cc',
        'sys/segv.cc',
        'sys/signal_chain.cc',
        'sys/socket.cc',
        'sys/touch.cc',
        'sys/violation_ring.cc',
        'sys/vmem.cc',
      ],
      'include_dirs': [
        "<!(node -p \"require('node-addon-api').include_dir\")",
      ],
      'defines': [
        'NAPI_VERSION=9',
        'NAPI_DISABLE_CPP_EXCEPTIONS',
        'NODE_ADDON_API_DISABLE_DEPRECATED',
        '_FILE_OFFSET_BITS=64',
        # Instantiate std::string here: the ready-made one in libstdc++.a pulls in exceptions.
        '_GLIBCXX_EXTERN_TEMPLATE=0',
      ],
      # Not an include_dir: there our sys/socket.h would hide the system's <sys/socket.h>.
      'cflags': ['-iquote<(module_root_dir)', '-Wall', '-Wextra', '-O2', '-fvisibility=hidden'],
      'cflags_cc!': ['-std=gnu++17', '-O3'],
      'cflags_cc': ['-std=c++20', '-fno-exceptions', '-fno-rtti'],
      # The SIGBUS handler and the address quarantine belong to the process: the library must outlive the
      # worker that happened to load it first.
      'ldflags': ['-Wl,-z,nodelete', '-Wl,-z,relro', '-Wl,-z,now'],
      'conditions': [
        ['sanitize==1', {
          # Warnings are errors only here, where we compile: never for users with compilers that we do not know.
          'cflags': ['-Werror', '-fsanitize=address,undefined', '-fno-sanitize=vptr', '-fno-omit-frame-pointer', '-g'],
          'ldflags': ['-fsanitize=address,undefined'],
        }, {
          # Old distributions have an old libstdc++; carrying our own leaves glibc as the only floor.
          'ldflags': ['-static-libstdc++', '-static-libgcc', '-Wl,--version-script=<(module_root_dir)/exports.map', '-s'],
        }],
      ],
    },
  ],
}
