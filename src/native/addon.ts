/**
 * The typed face of the C++ addon: system calls, memory and the fault handler, nothing else.
 *
 * One convention everywhere: a call that can fail returns its result (>= 0) or a **negative errno**; it
 * throws only a `TypeError`, for a wrong argument type, which is a bug of ours. The TypeScript above decides
 * what an error means. Every descriptor the addon makes is close-on-exec and is remembered per environment
 * until `close`, so that a terminated worker leaves none behind.
 *
 * A `fd` argument is *borrowed* unless the text says *consumed*.
 */
export interface Addon {
  /** Version of this interface; the loader refuses an addon that has another one. */
  readonly abi: number
  /** Bytes of a page of this machine. */
  readonly pageSize: number

  /**
   * Buffers through which hot calls pass their data, so that no crossing converts an argument. They belong to
   * this environment and are overwritten by the next call; their sizes never change.
   */
  readonly scratch: Scratch

  // ---- descriptors ------------------------------------------------------------------------------------
  /** Consumes `fd`. Descriptors this environment did not make are closed too. `-EBADF` when it is not open. */
  close(fd: number): number
  /**
   * Consumes descriptors that came from a stranger: closes them on a worker thread, because the last close
   * of a file on a hostile FUSE server can hang. Never fails.
   */
  closeLater(fds: readonly number[]): void
  /** A second descriptor of the same open file (`F_DUPFD_CLOEXEC`, 3 or above). */
  duplicate(fd: number): number
  /** Takes over a descriptor that others made (inherited, received elsewhere): sets close-on-exec, remembers it. */
  adopt(fd: number): number
  /** Forgets a descriptor without closing it, and clears close-on-exec when `inheritable`. */
  release(fd: number, inheritable: boolean): number
  /** Opens the same file anew through `/proc/self/fd/N` with `open(2)` flags (close-on-exec is added). */
  reopen(fd: number, flags: number): number
  /** `open(2)`; close-on-exec is added. */
  open(path: string, flags: number, mode: number): number
  /**
   * Everything the gate wants to know of a descriptor, asked in the order that cannot hang: seals, status
   * flags, then (only when `F_GET_SEALS` succeeded, so the file is memory) file system and inode. Fills
   * `scratch.facts` (see {@link Fact}); returns 0, or `-EBADF`. `facts[Fact.seals]` is 0xffff_ffff when
   * the file has no seals at all; then the inode words are 0 unless `anyway` asks for `fstat` all the same.
   */
  inspect(fd: number, anyway: boolean): number
  /** `readlink(/proc/self/fd/N)`: `pipe:[123]`, `/memfd:name (deleted)`, `/dmabuf:name`. Asks no file system. */
  linkTarget(fd: number): string | number
  /** The access mode of one end of a pipe (`O_RDONLY` 0, `O_WRONLY` 1); `-EBADF` for everything else. Asks no file system. */
  pipeAccess(fd: number): number
  /** Tells whether two descriptors are the same file (device and inode): 1 or 0. Only for files known to be local. */
  sameFile(a: number, b: number): number

  /** Takes the exclusive `flock(2)` of a file or directory, without waiting (`-EAGAIN`); closing gives it back. */
  lock(fd: number): number

  // ---- memory -----------------------------------------------------------------------------------------
  /** `memfd_create` with `MFD_CLOEXEC | MFD_ALLOW_SEALING`, and `MFD_NOEXEC_SEAL` where the kernel knows it. */
  memfdCreate(name: string, hugePageShift: number): number
  /** `ftruncate`, then `fallocate` of every byte, so that a lack of memory shows here (`-ENOSPC`) and not as SIGBUS. */
  allocate(fd: number, byteLength: number): number
  /** `ftruncate` alone: what is added is a hole, whose pages come with the first store or {@link reserve}. */
  truncate(fd: number, byteLength: number): number
  /** `fallocate` of a range: no byte of it is a hole afterwards. Pages that are there keep their contents. */
  reserve(fd: number, offset: number, byteLength: number): number
  addSeals(fd: number, seals: number): number
  getSeals(fd: number): number
  /**
   * Maps `byteLength` bytes at any byte `offset` (the page-aligned range around them is mapped) at an address
   * aligned to 2 MiB when the range is that large. The mapping is never inherited by a fork.
   */
  map(fd: number, offset: number, byteLength: number, kind: MapKind): Mapping | number
  /** Tells V8 that this many more bytes (or fewer) hang on JavaScript objects, so that the collector hurries. */
  adjustExternalMemory(delta: number): void
  /** Bytes and ranges waiting in the address quarantine: `[bytes, ranges]`. */
  quarantine(): [bytes: number, ranges: number]
  /** `[installed, ours]`: is the SIGBUS handler installed, and is it still the one the kernel calls. */
  faultHandler(): [installed: boolean, current: boolean]

  // ---- guarded mode -------------------------------------------------------------------------------------
  /** An eventfd, borrowed and never closed before the environment ends: readable when violations are there to take. */
  violationEvent(): number
  /** Violations of this environment's guarded mappings, oldest first, as {@link ViolationWord}s; returns how many. */
  takeViolations(out: Float64Array): number
  /** Makes the eventfd unreadable until the next violation. */
  quietViolations(): void
  /** How many violations came while 4096 others waited to be taken, and were not recorded. */
  lostViolations(): number
  /** The kernel's number of this thread. */
  threadNumber(): number
  /** `_exit(2)`: ends the process at once, from whatever thread. */
  exitNow(status: number): void

  // ---- memory of this process that is exported ----------------------------------------------------------
  /** Where the bytes are; also of a view of a SharedArrayBuffer. */
  addressOf(bytes: Uint8Array): number
  /**
   * What is mapped over a range, in order; `-EFAULT` where a part of it is not. With `text` the answer is read from the
   * text of /proc/self/maps, as on a kernel that cannot be asked for one address (before 6.11).
   */
  mappingsOver(address: number, byteLength: number, text: boolean): MappedFile[] | number
  /** 1 when malloc gave out exactly these bytes as pages of their own, which `free()` unmaps (glibc only); else 0. */
  isMappedChunk(address: number, byteLength: number): number
  /** Private zeroed pages as an ArrayBuffer; unmapped when its memory is freed, wherever it was transferred to. */
  allocatePages(byteLength: number): ArrayBuffer | number
  /** 1 when the address lies in memory of {@link allocatePages}. */
  isPageBlock(address: number): number
  /** 1 when any thread of this process exports a page of the range. */
  isExported(address: number, byteLength: number): number
  /**
   * Maps the memfd `fd` beside the memory that is going to be exported: `live` are its whole pages, `survives` says that
   * the memory outlives this environment. The file begins with the page of `address`.
   */
  mapVmem(
    fd: number,
    address: number,
    byteLength: number,
    live: number,
    liveLength: number,
    survives: boolean,
  ): Vmem | number
  /** The words of /proc/self/pagemap for the pages of a mapping from its first one on, one for each place in `words`. */
  pagemap(mapping: Mapping, words: BigUint64Array): number

  // ---- real dma-bufs ----------------------------------------------------------------------------------
  /** `DMA_BUF_IOCTL_SYNC` with these flags. May block on fences: poll first. */
  dmaBufSync(fd: number, flags: number): number
  /** `DMA_BUF_IOCTL_EXPORT_SYNC_FILE` with these flags: a new sync file of the kernel. */
  dmaBufExportSyncFile(fd: number, flags: number): number
  /** `DMA_BUF_IOCTL_IMPORT_SYNC_FILE` with these flags. */
  dmaBufImportSyncFile(fd: number, flags: number, syncFile: number): number
  /** The status of a sync file of the kernel (`SYNC_IOC_FILE_INFO`): 1 signalled, 0 pending, or its negative errno. */
  syncFileStatus(fd: number): number
  /** `poll(2)` without waiting: the events of `events` (and hang-up, error) that are there now. */
  pollNow(fd: number, events: number): number

  /**
   * `poll(2)` for at most so many milliseconds, 0 to 50: **blocks the thread**. The events that are there, 0 when none came
   * (a signal may end the waiting early).
   */
  pollFor(fd: number, events: number, milliseconds: number): number
  /**
   * When this environment ends, and before its descriptors are closed, a 1 is stored into this 32-bit word of a mapping (kind
   * `shared`), so that others can tell its end from a peer's mischief. `-EBADF` closed, `-EACCES` read-only, `-EINVAL`.
   */
  storeAtEnd(mapping: Mapping, word: number): number

  // ---- sockets: AF_UNIX, SOCK_SEQPACKET, non-blocking -------------------------------------------------
  socket(): number
  /** Fills `scratch.descriptors[0..1]`. */
  socketPair(): number
  /** `path` is bound as it stands; an abstract name is given without its leading NUL byte. */
  bind(fd: number, path: string, abstract: boolean): number
  listen(fd: number, backlog: number): number
  accept(fd: number): number
  connect(fd: number, path: string, abstract: boolean): number
  /**
   * Connects a new socket to the listening socket file behind an `O_PATH` descriptor, on a worker thread,
   * after `statx(AT_STATX_DONT_SYNC)` has said that it is a socket. Resolves to the socket or a negative errno:
   * `-ENOTSOCK` no socket, `-EPROTOTYPE` not SEQPACKET, `-ETIMEDOUT` after `timeout` milliseconds (a connection
   * that comes later is closed).
   */
  connectDoor(door: number, timeout: number): Promise<number>
  /** Device and inode of an `O_PATH` descriptor of a socket into `scratch.facts`, asking no server; `-ENOTSOCK`. */
  inspectDoor(door: number): number
  /** `SO_PEERCRED` into `scratch.meta[Meta.pid..gid]`. */
  peerCredentials(fd: number): number
  /** Whether packets are delivered with their sender's credentials (`SO_PASSCRED`). */
  passCredentials(fd: number, on: boolean): number
  /** `SO_PEERPIDFD`, or `pidfd_open(SO_PEERCRED.pid)` where the kernel lacks it; `-ESRCH` when there is none. */
  peerPidfd(fd: number): number
  pidfdOpen(pid: number): number
  /**
   * Sends the first `byteLength` bytes of `scratch.tx` with the first `count` of `scratch.outgoing` as
   * `SCM_RIGHTS`, as one packet (`MSG_NOSIGNAL`); with this process's credentials when asked.
   */
  send(fd: number, byteLength: number, count: number, withCredentials: boolean): number
  /**
   * Receives one packet into `scratch.rx`: its length, 0 at the end of the stream (or for an empty packet),
   * or a negative errno. Every control message is walked; descriptors go to `scratch.incoming`, their number
   * and the flags to `scratch.meta`. When the control data was truncated, all of them are closed already and
   * `Meta.flags` has {@link TRUNCATED_CONTROL}.
   */
  receive(fd: number): number

  // ---- pipes: the leash -------------------------------------------------------------------------------
  /** A pipe of one page, non-blocking: `scratch.descriptors[0]` reads, `[1]` writes. */
  pipe(): number

  // ---- waiting ----------------------------------------------------------------------------------------
  /** Watches one descriptor on the environment's event loop. The only part of the addon that knows the loop. */
  readonly Poll: new (
    fd: number,
    callback: (events: number) => void,
  ) => Poll
  epollCreate(): number
  /** Adds, or re-arms (`again`), one-shot interest in `fd` under a number of the caller's. */
  epollArm(epoll: number, fd: number, token: number, events: number, again: boolean): number
  epollRemove(epoll: number, fd: number): number
  /** Ready tokens, at most 256 at a time, into `scratch.tokens`; never waits. */
  epollTake(epoll: number): number

  // ---- copying out of live memory ---------------------------------------------------------------------
  /**
   * Copies `target.byteLength` bytes from `offset` of `mapping` into private memory. With `sequence` words it
   * is a seqlock read: each word must be even and unchanged around the copy. Returns 1 when verified, 0 when
   * not, or a negative errno (`-EFAULT` when the storage was truncated under us).
   */
  copyOut(mapping: Mapping, offset: number, target: Uint8Array, sequence: readonly SequenceWord[]): number

  /** Copies `source` to `offset` of `mapping`: 0 or a negative errno (`-EACCES` read-only, `-EFAULT` truncated). */
  copyIn(mapping: Mapping, offset: number, source: Uint8Array): number

  // ---- lines of non-coherent buffers ------------------------------------------------------------------
  /**
   * Operations on lines [first, last) of a file of the layout in src/memory/cache/layout.ts, all of it in `mapping`: as
   * `PlainLines` does them, while others do the same and store. A count (see `LineOps`) or a negative errno: `-EINVAL` for a
   * layout that the mapping does not hold, `-EFAULT` when the file was truncated under us.
   */
  dirtyLines(mapping: Mapping, region: number, lineSize: number, first: number, last: number): number
  cleanLines(mapping: Mapping, region: number, lineSize: number, first: number, last: number): number
  evictLines(mapping: Mapping, region: number, lineSize: number, first: number, last: number): number
  invalidateLines(mapping: Mapping, region: number, lineSize: number, first: number, last: number): number
  showLines(mapping: Mapping, region: number, lineSize: number, first: number, last: number): number

  // ---- copying storage --------------------------------------------------------------------------------
  /**
   * `pwrite(2)` of `length` bytes from `offset` of `mapping` into a file, all of them: 0 or a negative errno, after
   * which a part may be written. Pages that the file does not have yet are allocated and filled in one go, without
   * being zeroed first. `-ENOSPC` when memory lacks, `-EFAULT` when the source was truncated under us, `-EPERM` when a
   * seal forbids to write, `-EINVAL` for a file of huge pages, which has no `write`.
   */
  copyToFile(mapping: Mapping, offset: number, length: number, fd: number, fdOffset: number): number
  /**
   * `memmove` between mappings, for storage that no descriptor can write (`F_SEAL_FUTURE_WRITE`, huge pages): 0,
   * `-EACCES` when `to` is read-only, `-EFAULT` when either was truncated, now or ever.
   */
  copyMapping(from: Mapping, fromOffset: number, to: Mapping, toOffset: number, length: number): number
}

/** One writer's sequence word: odd while it writes. */
export interface SequenceWord {
  readonly words: Uint32Array
  readonly index: number
}

/** A range of mapped memory; owns its addresses. Never unmapped under a view that JavaScript still has. */
export interface Mapping {
  readonly byteLength: number
  /** Set by the fault handler: the storage was truncated, the pages are private zeros now. */
  readonly faulted: boolean
  /**
   * The one ArrayBuffer over this mapping: the same object as long as somebody holds it, a new one afterwards.
   * `-EBADF` after close, `-EBUSY` when the last one was transferred away with its memory (`ab.transfer()`).
   */
  view(): ArrayBuffer | number
  /** Detaches the view, puts an inaccessible guard over the addresses, gives them to the quarantine. Idempotent. */
  close(): void
  /**
   * Detaches the view but keeps the pages: they are moved to fresh addresses, where nothing old can reach
   * them, and a guard is left behind. 0, or `-EBUSY` when the memory was transferred away.
   */
  relocate(): number
  /**
   * Puts the pages of `other` (its prefaulted ones with them) at the addresses of this mapping, in one step of
   * `mremap(2)`: a view that JavaScript holds stays valid where it is and shows the other storage, and no thread sees a
   * gap. `other` is closed afterwards and this one is not {@link faulted} any more. Private copies of the old pages are
   * gone. On failure both are as before: `-EINVAL` when kind, length, page size or the place in the first page differ,
   * `-EBADF` when one is closed, `-EBUSY` when this one's memory was transferred away or `other` has a view that is not
   * freed yet, `-EFAULT` when `other` was truncated, `-ENOMEM` when the kernel has no room for one more mapping.
   */
  takeOver(other: Mapping): number
  /** A second mapping of a range of the same pages, with the same rights (also where a seal forbids new ones). */
  duplicate(offset: number, byteLength: number): Mapping | number
  /** Drops the private copies of pages that were stored into (kind `private`), so that they show the file again. */
  refresh(): number
  /** Prefaults every page. */
  populate(forWriting: boolean): number
  /** Asks for transparent huge pages. */
  adviseHugePages(): number
  /**
   * Takes every right to the pages away. Whatever touches them afterwards finds them open to everything from then on (until
   * the next {@link allow}), and is recorded as a violation under `token`. Returns the bytes of a page, or `-EDEADLK` when
   * another SIGSEGV handler was installed, which would not give the pages back; `-ENOMEM` with too many guarded mappings.
   * It goes with the pages through {@link relocate} and {@link takeOver}; a {@link duplicate} has none.
   */
  guard(token: number): number
  /**
   * All that may be touched from now on: the first `count` {@link PageRight}s of `parts`, in whole pages counted from the
   * first page of the mapping, ascending, not overlapping. What is not named is out of reach. `-EDEADLK` as for
   * {@link guard}, `-ENOMEM` with too many mappings in this process: then everything is allowed.
   */
  allow(parts: Float64Array, count: number): number
  /** The pages have all their rights again. */
  unguard(): void
}

/** Numbers of one element of {@link Mapping.allow}. */
export const PageRight = { offset: 0, length: 1, right: 2, words: 3 } as const
/** What may be done with a page. */
export const Right = { none: 0, read: 1, write: 2 } as const
/** Numbers of one violation; the offset counts from the first byte of the mapping, the time is `process.hrtime`'s. */
export const ViolationWord = { token: 0, offset: 1, touch: 2, thread: 3, nanoseconds: 4, words: 5 } as const

/** What lies at a range of addresses; inode 0: no file. */
export interface MappedFile {
  readonly start: number
  readonly end: number
  /** Byte of the file at `start`. */
  readonly offset: number
  readonly deviceLow: number
  readonly deviceHigh: number
  readonly inodeLow: number
  readonly inodeHigh: number
  readonly readable: boolean
  readonly writable: boolean
  readonly shared: boolean
}

/** Memory of this process whose pages lie, or are going to lie, in a memfd. */
export interface Vmem {
  /** `mlock(2)` of the file's pages: `-ENOMEM` or `-EPERM` beyond RLIMIT_MEMLOCK. */
  lock(): number
  /** Touches the file's pages. */
  populate(): number
  /**
   * Exchanges the pages; all is as before when it fails. `-EBUSY` when some of them are exported already, `-EDEADLK` when
   * writers could not be made to wait.
   */
  share(fd: number): number
  /** Carries the bytes on partial pages over, in both directions. The memory must still be there. */
  step(): void
  /**
   * Private pages with the contents of this moment, inaccessible from `accessible` bytes of the live pages on. The memory
   * must still be there. May be tried again when it fails.
   */
  end(accessible: number): number
  /** The memory is not there any more, or out of reach: it is left alone from now on. */
  abandon(): void
}

export interface Poll {
  /** Level-triggered; replaces the events watched so far. */
  start(events: number): number
  stop(): void
  /** Must come before the descriptor is closed. Idempotent. */
  close(): void
  ref(): void
  unref(): void
}

export interface Scratch {
  /** 256 KiB each. */
  readonly tx: Uint8Array
  readonly rx: Uint8Array
  /** 253 descriptors to send; those received (256). */
  readonly outgoing: Int32Array
  readonly incoming: Int32Array
  /** Two descriptors made by one call. */
  readonly descriptors: Int32Array
  readonly meta: Int32Array
  readonly facts: Uint32Array
  readonly tokens: Uint32Array
}

export type MapKind = (typeof MapKind)[keyof typeof MapKind]
/** How pages are mapped. `private` shows the file until a page is stored into, and then that page's own copy. */
export const MapKind = { shared: 0, sharedReadOnly: 1, private: 2 } as const

/** Indices into `scratch.facts`. Words of 64 bits come as low, high. */
export const Fact = {
  seals: 0,
  fileSystem: 1,
  mode: 2,
  links: 3,
  sizeLow: 4,
  sizeHigh: 5,
  deviceLow: 6,
  deviceHigh: 7,
  inodeLow: 8,
  inodeHigh: 9,
  statusFlags: 10,
} as const

/** Indices into `scratch.meta`. `hasCredentials` is 1 when the packet carried its sender's. */
export const Meta = { descriptors: 0, flags: 1, hasCredentials: 2, pid: 3, uid: 4, gid: 5 } as const

/** Bits of `scratch.meta[Meta.flags]`: MSG_TRUNC and MSG_CTRUNC. */
export const TRUNCATED_DATA = 0x20
export const TRUNCATED_CONTROL = 0x08

/** Events of {@link Poll}: libuv's. */
export const READABLE = 1
export const WRITABLE = 2
export const DISCONNECT = 4

export const ABI = 2
