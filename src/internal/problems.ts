/**
 * Every error of the library: its code, its text, where it comes from and what helps. `docs/errors.md` is
 * written from this table (`npm run docs:errors`) and a test holds the two together. A code of `errno` stands
 * for the kernel's answer to the system call named in the error.
 */
export interface Problem {
  readonly code: string
  /** `{name}` stands for a value. */
  readonly text: string
  readonly cause: string
  /** Becomes `error.hint`. */
  readonly remedy: string
}

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
    text: 'this mapped range of buffer {name} is closed',
    cause: 'close() was called on the range or its buffer, or the buffer was frozen or revoked.',
    remedy: 'Map the range again: map({ offset, length }).',
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
  constraint: {
    code: 'errno',
    text: '{device} cannot use {what}: {rule} needs {needed}, got {got}',
    cause: 'Memory does not suit the DMA constraints of a device, and may not be moved to where it would.',
    remedy:
      'Attach every device before the first use, allocate with { movable: true }, or take memory that suits (a contiguous heap).',
  },
  noPages: {
    code: 'ENOMEM',
    text: 'no physical memory for {bytes} bytes that {rule} allows: needed {needed}, got {got}',
    cause:
      'The simulated physical memory has no free pages (or no free run of them) where the constraints want them.',
    remedy: 'Free buffers, make the contiguous area larger, or use less constrained devices.',
  },
  moving: {
    code: 'EAGAIN',
    text: 'buffer {name} cannot be entered at once: {why}',
    cause: 'Its storage is being moved or has not been allocated yet, and a call that never waits was used.',
    remedy: 'Use the form that returns a promise.',
  },
  moveTimeout: {
    code: 'EBUSY',
    text: 'buffer {name} could not be moved within {milliseconds} ms: {who}',
    cause: 'Somebody is inside a bracket, has the buffer mapped for a device, or does not read its messages.',
    remedy: 'End brackets and unmap tables soon; give more moveTimeout; or allocate with { evict: true }.',
  },
  lateAttach: {
    code: 'EBUSY',
    text: '{device} attaches too late to buffer {name}, which was placed already: {rule} needs {needed}, got {got}',
    cause: "The exporter's policy is lateAttach: 'busy'.",
    remedy: 'Attach every device before the first map or CPU access, or make a new buffer.',
  },
  evicted: {
    code: 'ERR_DMABUF_EVICTED',
    text: 'buffer {name} was moved without this holder, which did not leave its bracket in time',
    cause: 'The exporter moved it with { evict: true }; the memory here is the old one, cut off.',
    remedy: 'Receive the buffer again; keep brackets short.',
  },
  notFixed: {
    code: 'EBUSY',
    text: 'buffer {name} may still move, so that it has no descriptor to show',
    cause: 'The storage of a placed buffer changes when it moves.',
    remedy: 'Call `await buffer.fix()` first; it does not move from then on.',
  },
  closedAttachment: {
    code: 'EBADF',
    text: 'the attachment of {device} to buffer {name} is detached',
    cause: 'It was detached, its buffer closed, or its holder is gone.',
    remedy: 'Attach again.',
  },
  exporterGone: {
    code: 'ENODEV',
    text: 'the exporter of buffer {name} is gone',
    cause: 'Its process ended or its connection broke; only it could have done this.',
    remedy: 'Memory and brackets go on working here; get a new buffer for everything else.',
  },
  notDynamic: {
    code: 'EINVAL',
    text: '{device} is attached to buffer {name} without moveNotify and cannot {what} it',
    cause: 'Pinning is for dynamic importers: the others hold a buffer in place by mapping it.',
    remedy: 'Attach with { moveNotify }, or map.',
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
    remedy: 'Look at a part: map({ offset, length }) or beginCpuAccess(access, { offset, length }).',
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
  vmemHeap: {
    code: 'EINVAL',
    text: '{bytes} bytes cannot be exported where they are: {why}',
    cause:
      'Only memory in whole pages of its own can be shared without what lies beside it, and without what comes to lie there when it is freed. Small and pooled Buffers (Buffer.from, Buffer.allocUnsafe) have no such pages, nor have blocks that malloc takes from its heap.',
    remedy:
      'Use vmemexp.allocate(), a resizable ArrayBuffer, or the WebAssembly.Memory itself (not a view of its buffer); or copy the bytes into a buffer of a heap.',
  },
  vmemPartial: {
    code: 'EINVAL',
    text: '{bytes} bytes cannot be exported: no page of {page} bytes lies in them as a whole',
    cause: 'Pages that hold other bytes too are never shared, and here nothing is left beside them.',
    remedy: 'Export more of the block, or align what you export to pages; vmemexp.allocate() does.',
  },
  vmemMixed: {
    code: 'EFAULT',
    text: '{bytes} bytes cannot be exported: they {what}',
    cause:
      'A range is exported only when all of it is plain private memory, or all of it the same shared file.',
    remedy: 'Export each part for itself, or copy the bytes into vmemexp.allocate() memory.',
  },
  vmemFile: {
    code: 'EINVAL',
    text: '{bytes} bytes lie in a mapped file that cannot be shared: {found}',
    cause:
      'Memory of a mapping is shared by its file, which must be a memfd, a file in tmpfs or hugetlbfs, or a dma-buf; this process must have a descriptor of it, or the privilege to open /proc/self/map_files.',
    remedy: 'Keep the descriptor open that was mapped, or copy the bytes into vmemexp.allocate() memory.',
  },
  vmemOverlap: {
    code: 'EBUSY',
    text: '{bytes} bytes overlap an export of {others} bytes and go beyond it',
    cause: 'One page cannot lie in two files. The same range, or a part of it, can be exported again.',
    remedy: 'Export the larger range first, or close the other export.',
  },
  vmemWritable: {
    code: 'EPERM',
    text: "{bytes} bytes cannot be exported with sharing: 'read-only', because others can write them already",
    cause: "The memory was exported, or mapped from a file, with sharing: 'writable' before.",
    remedy: "Close that export first, or make it with sharing: 'read-only'.",
  },
  vmemThread: {
    code: 'EBUSY',
    text: '{bytes} bytes are exported by another thread of this process already',
    cause: 'The pages belong to that export and are private again when it ends.',
    remedy: 'Have that thread send the buffer, or close it first.',
  },
  vmemTransfer: {
    code: 'EBUSY',
    text: 'an exported block of {bytes} bytes cannot be transferred with another length',
    cause: 'Its pages would be cut off, or copied elsewhere, under the importers.',
    remedy: 'Transfer it as a whole, or close the export first.',
  },
  vmemLock: {
    code: 'errno',
    text: 'locking {bytes} bytes into memory failed; RLIMIT_MEMLOCK is {limit}',
    cause: 'The locked memory of a process is limited (EPERM: the limit is 0), unless it has CAP_IPC_LOCK.',
    remedy:
      'Raise the limit (ulimit -l in KiB, LimitMEMLOCK= of systemd, --ulimit memlock= of containers), or export with { lock: false }: the pages may then be swapped.',
  },
  vmemHandler: {
    code: 'EBUSY',
    text: 'memory cannot be exported while another handler for SIGSEGV stands before that of dmabuf',
    cause: 'Threads that store into the memory during its export wait in that handler, or would die.',
    remedy: "Take process.on('SIGSEGV') and other crash handlers in before the first export.",
  },
} as const satisfies Record<string, Problem>

export type ProblemName = keyof typeof problems
