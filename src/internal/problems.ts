import type { Problem } from './problem.ts'
import { cacheProblems } from './problems-cache.ts'
import { deviceProblems } from './problems-devices.ts'
import { drmProblems } from './problems-drm.ts'
import { guardProblems } from './problems-guard.ts'
import { imageProblems } from './problems-images.ts'
import { syncProblems } from './problems-sync.ts'
import { vmemexpProblems } from './problems-vmemexp.ts'

/**
 * Every error of the library: its code, its text, where it comes from and what helps. `docs/errors.md` is
 * written from this table (`npm run docs:errors`) and a test holds the two together.
 */
export const problems = {
  argument: {
    code: 'EINVAL',
    text: 'expected {expected} for {what} but received {received}',
    cause: 'An argument has the wrong type or lies outside its range.',
    remedy: 'Pass what the message asks for.',
  },
  option: {
    code: 'EINVAL',
    text: '{function} has no option {option}; it knows {known}',
    cause: 'A misspelled option would otherwise be ignored in silence.',
    remedy: 'Correct the spelling, or take the option out.',
  },
  receiver: {
    code: 'EINVAL',
    text: '{what} was expected, but the value was not made by this library',
    cause:
      'A method was called on, or given, an object of another kind (or of a second copy of the package).',
    remedy: 'Pass the object that the library returned; check that only one copy of dmabuf is installed.',
  },
  aborted: {
    code: 'ABORT_ERR',
    text: '{what} was aborted',
    cause: 'The AbortSignal given to the call fired.',
    remedy: 'Nothing is wrong: the signal was yours. `error.cause` is its reason.',
  },
  timeout: {
    code: 'ETIMEDOUT',
    text: '{what} was not done within {milliseconds} ms',
    cause: 'The other side did not answer in time.',
    remedy: 'Check that the peer is running and reads, or give more time.',
  },
  platform: {
    code: 'ENOSYS',
    text: 'dmabuf works on Linux only, and this is {platform}',
    cause: 'Shared memory by dma-buf rules needs memfd, seals and SCM_RIGHTS, which only Linux has.',
    remedy: 'Run this program on Linux (a container or a virtual machine will do).',
  },
  noAddon: {
    code: 'ERR_DMABUF_NO_ADDON',
    text: 'no native addon fits this machine: {diagnosis}',
    cause: 'None of the prebuilt binaries could be loaded here.',
    remedy:
      'Build it in the package folder: npm install --ignore-scripts && npm run build:native (python3, make, a C++20 compiler).',
  },
  system: {
    code: 'errno',
    text: '{what} failed',
    cause: 'The kernel refused a system call.',
    remedy:
      'The manual page of the call in `error.syscall` explains the code; `npx dmabuf doctor` tells what this machine lacks.',
  },
  descriptors: {
    code: 'errno',
    text: '{what} failed: this process may not have more open files',
    cause: 'The descriptor table of the process (RLIMIT_NOFILE) or of the system is full.',
    remedy:
      'Close buffers and channels that are no longer used (bufinfo() lists the buffers), or raise the limit (ulimit -n).',
  },
  memory: {
    code: 'errno',
    text: 'allocating {bytes} bytes of shared memory failed',
    cause: 'There is not enough memory (or none of the huge pages asked for) at this moment.',
    remedy:
      'Close buffers (`npx dmabuf list` shows who has them), ask for less, or reserve huge pages (/proc/sys/vm/nr_hugepages).',
  },
  budget: {
    code: 'EDQUOT',
    text: 'allocating {bytes} bytes would exceed the memory budget: {used} of {budget} bytes are in use',
    cause:
      'The byte budget bounds what this process exports, buffers that wait for the garbage collector included, because running into the memory limit of a container is a kill, not an error.',
    remedy:
      'Close buffers as soon as they are done with (bufinfo() lists them), or raise the budget with setMemoryBudget(bytes).',
  },
  closedBuffer: {
    code: 'EBADF',
    text: 'buffer {name} is closed',
    cause: 'close() was called, or the `using` block of the buffer has ended.',
    remedy: 'Use a buffer only before its close(); the receiver of a message owns its buffers.',
  },
  closedRange: {
    code: 'EBADF',
    text: 'this mapping of buffer {name} is closed',
    cause:
      'close(), kunmap() or vunmap() was called, its bracket or buffer ended, or the buffer was frozen or revoked.',
    remedy: 'Map it again: mmap({ offset, length }), vmap(), or kmap(page) inside a bracket.',
  },
  mmapOverflow: {
    code: 'EOVERFLOW',
    text: 'offset {offset} and length {length} of mmap have no sum',
    cause: 'The end of the range is beyond every number that counts bytes.',
    remedy: 'Pass a range inside the buffer: offset + length is at most its byteLength.',
  },
  noVmap: {
    code: 'EINVAL',
    text: "exporter {exporter} has no linear mapping of buffer {name} to give: its ops say 'vmap: null'",
    cause:
      "Not every memory can be shown at one run of addresses; as dma_buf_vmap() without the exporter's op.",
    remedy: 'Begin CPU access and take page after page: cpu.kmap(page).',
  },
  pageOutside: {
    code: 'EINVAL',
    text: 'page {page} of buffer {name} is outside the bracket, whose pages are {pages}',
    cause: 'kmap() maps what begin_cpu_access has prepared, and that is the range of its bracket.',
    remedy: 'Begin the access with a range that has the page, or map one of those pages.',
  },
  unmappedTwice: {
    code: 'EINVAL',
    text: '{what}: {which} of buffer {name} was unmapped already',
    cause: 'It was called twice, or the bracket was ended or the buffer closed before it.',
    remedy: 'Call it once, before end() and close(); `using` does.',
  },
  endedAccess: {
    code: 'EBADF',
    text: 'the CPU access to buffer {name} has ended',
    cause: 'end() was called, or the buffer was closed under an open bracket.',
    remedy: 'Begin a new access; memory may be looked at only inside a bracket.',
  },
  openBrackets: {
    code: 'EBUSY',
    text: 'buffer {name} cannot be frozen while {count} CPU accesses are open',
    cause: 'Freezing gives up the writable mapping, which a bracket of this process may be using.',
    remedy: 'End every access first.',
  },
  tooManyBrackets: {
    code: 'EOVERFLOW',
    text: 'buffer {name} has {count} open CPU accesses, which is the limit',
    cause: 'Brackets of this process were begun and never ended.',
    remedy: 'End each access: `using cpu = …`, or withCpuAccess, ends it whatever happens.',
  },
  revoked: {
    code: 'ENODEV',
    text: 'buffer {name} was revoked by its exporter',
    cause:
      'The exporter called revoke(), or said that the leash which came with the buffer is not one of it (a forwarder lied).',
    remedy: 'Close the buffer; ask the exporter for another one.',
  },
  truncated: {
    code: 'ENODEV',
    text: 'the memory of buffer {name} was truncated by another process',
    cause: 'The buffer came from an unsealed file, and somebody made that file shorter.',
    remedy: 'Close the buffer. Sealed memory (the default) cannot be truncated.',
  },
  interrupted: {
    code: 'EOWNERDEAD',
    text: 'a process died while it was writing to buffer {name}',
    cause: 'Its write bracket was never ended, so the contents may be half old, half new.',
    remedy: 'Write the contents anew, or begin without { strict: true } and look at cpu.interrupted.',
  },
  readOnly: {
    code: 'EACCES',
    text: 'buffer {name} is read-only here and cannot be opened for {access}',
    cause: "It was allocated with sharing: 'read-only', or it is frozen: only its exporter may write.",
    remedy: "Begin with 'read', or have the exporter allocate with sharing: 'writable'.",
  },
  notFreezable: {
    code: 'EPERM',
    text: 'buffer {name} cannot be frozen: {reason}',
    cause: 'Only the exporter can freeze, and only memory that nobody else can write.',
    remedy: "Allocate with sharing: 'read-only', and freeze in the exporting process.",
  },
  tooLargeForView: {
    code: 'EFBIG',
    text: '{bytes} bytes are more than one ArrayBuffer of this Node can show ({limit})',
    cause: 'V8 limits the size of an ArrayBuffer (4 GiB on Node 20).',
    remedy: 'Look at a part: mmap({ offset, length }) or beginCpuAccess(access, { offset, length }).',
  },
  movedAway: {
    code: 'EBUSY',
    text: 'the memory of buffer {name} was transferred away with its ArrayBuffer',
    cause: 'ArrayBuffer.prototype.transfer() was called on live memory; it is out of reach of the library.',
    remedy: 'Copy instead: cpu.copy().',
  },
  noZeroCopy: {
    code: 'ENOTSUP',
    text: 'this runtime does not allow ArrayBuffers over shared memory',
    cause: 'V8 was built with a memory cage (Electron does so).',
    remedy: 'Run the code in a plain Node process.',
  },
  unverified: {
    code: 'EAGAIN',
    text: 'the copy of buffer {name} could not be verified',
    cause: 'A writer was writing at the same time, or its sequence word is out of reach.',
    remedy:
      "Copy again later; only copies of memory with a single writer (sharing: 'read-only') can be verified.",
  },
  unsealed: {
    code: 'EPERM',
    text: 'descriptor {fd} is memory that may still shrink',
    cause: 'Without F_SEAL_SHRINK and F_SEAL_SEAL another process can truncate the file under its readers.',
    remedy:
      "Seal it (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), or say { trust: 'unsealed' } when you trust whoever has it.",
  },
  notMemory: {
    code: 'EINVAL',
    text: 'descriptor {fd} is neither shared memory nor a dma-buf: {found}',
    cause: 'Only memfds, files in tmpfs or hugetlbfs, and dma-bufs can be mapped as buffers.',
    remedy: 'Pass the descriptor of a memfd, a file in /dev/shm, or a dma-buf.',
  },
  beyondEnd: {
    code: 'EINVAL',
    text: 'bytes {offset} to {end} lie beyond the {size} bytes of descriptor {fd}',
    cause: 'The size comes from fstat, never from a message or an argument.',
    remedy: 'Give an offset and a byteLength inside the file.',
  },
  exportInfo: {
    code: 'EINVAL',
    text: 'an exporter needs {what}',
    cause: 'dma_buf_export() checks its ops table too.',
    remedy: 'Pass { exporterName, fd, byteLength, ops: { release } }.',
  },
  closedChannel: {
    code: 'EPIPE',
    text: 'the channel is closed: {reason}',
    cause:
      'close() was called here; or the peer has closed, died, broken the protocol, or turned this process away.',
    remedy: 'Await channel.closed to see why; connect anew.',
  },
  protocol: {
    code: 'EPROTO',
    text: 'the peer broke the protocol: {what}',
    cause: 'The other side is no dmabuf peer, another version, or hostile.',
    remedy:
      'Check what is connected there and its release of dmabuf; docs/protocol.md says what is expected.',
  },
  version: {
    code: 'EPROTONOSUPPORT',
    text: 'the peer speaks protocol version {theirs}, this side version {ours}',
    cause: 'The two processes use different releases of dmabuf.',
    remedy: 'Use the same major release on both sides.',
  },
  truncatedMessage: {
    code: 'EMFILE',
    text: 'a message lost its descriptors: {what}',
    cause:
      'The kernel could not install all descriptors (usually RLIMIT_NOFILE, or a security module). What is lost is lost for good, so the channel is closed.',
    remedy: 'Raise ulimit -n, close buffers earlier, and connect anew.',
  },
  messageTooLarge: {
    code: 'EMSGSIZE',
    text: 'the message has {bytes} bytes, and the limit is {limit}',
    cause: 'A message is one packet.',
    remedy: 'Put large data into a buffer and send that.',
  },
  message: {
    code: 'EINVAL',
    text: 'the message cannot be sent: {why}',
    cause: 'A message is JSON with Uint8Array values in it.',
    remedy: 'Send plain objects, arrays, strings, finite numbers, booleans, null and Uint8Arrays.',
  },
  sendQueue: {
    code: 'ENOBUFS',
    text: '{count} messages wait already to be sent',
    cause: 'The peer does not read, and send() was called again and again without awaiting it.',
    remedy: 'Await each send(): it waits until there is room.',
  },
  inFlight: {
    code: 'ETOOMANYREFS',
    text: 'too many descriptors of this user are under way and unread',
    cause: 'The kernel bounds descriptors in flight for each user; some peer of this user does not read.',
    remedy: 'Find the peer that does not read (its channel is full) and close that channel.',
  },
  addressInUse: {
    code: 'EADDRINUSE',
    text: '{address} is in use: {why}',
    cause: 'A living server listens there, or the path is a file of another kind, which is never removed.',
    remedy: 'Use another path, or stop the other server.',
  },
  connect: {
    code: 'errno',
    text: 'connecting to {address} failed',
    cause: 'Nobody listens there, or permission is lacking.',
    remedy:
      'ENOENT and ECONNREFUSED: start the server first. EACCES: listen(path, { mode: 0o660 }) lets its group in, too.',
  },
  noParent: {
    code: 'ENOTCONN',
    text: 'this {what} was started without a channel, or has taken it already',
    cause: 'Channel.parent() works in a child of forkWithChannel() or workerWithChannel(), once.',
    remedy:
      'Start it with one of these and call Channel.parent() once; else pass a descriptor and use Channel.fromFd().',
  },
  poolBuffer: {
    code: 'EINVAL',
    text: 'the buffer is not one that this pool has given out',
    cause: 'release() got a buffer of another pool, or one that was released already.',
    remedy: 'Release each acquired buffer once.',
  },
  closedPool: {
    code: 'EBADF',
    text: 'the pool is closed',
    cause: 'close() was called.',
    remedy: 'Acquire only while the pool is open.',
  },
  closedServer: {
    code: 'EBADF',
    text: 'the server is closed',
    cause: 'close() was called.',
    remedy: 'Accept only while the server is open.',
  },
  ...cacheProblems,
  ...deviceProblems,
  ...drmProblems,
  ...imageProblems,
  ...guardProblems,
  ...syncProblems,
  ...vmemexpProblems,
} as const satisfies Record<string, Problem>

export type ProblemName = keyof typeof problems
