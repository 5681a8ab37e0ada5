import type { Device } from '../dma/device.ts'
import { throwIfAborted } from '../internal/abort.ts'
import { problem } from '../internal/errors.ts'
import { abortSignal, callable } from '../internal/validate.ts'
import { checkMode } from '../memory/guard/guard-policy.ts'
import type { GuardMode } from '../memory/guard/violation.ts'
import type { Sharing } from '../memory/seals.ts'
import type { Reservation } from '../sync/reservation.ts'
import type { SyncFile } from '../sync/sync-file.ts'
import { type Access, type AccessOptions, checkAccess } from './access.ts'
import { type Attachment, type AttachOptions, attachDevice } from './attachment.ts'
import { begin } from './begin-cpu-access.ts'
import type { BufferCore } from './buffer-core.ts'
import type { Coherency } from './coherence.ts'
import { checkStorage } from './core-mappings.ts'
import { CpuAccess } from './cpu-access.ts'
import { type ExportInfo, exportCore } from './export.ts'
import { type ExportPlacedInfo, exportPlacedCore } from './export-placed.ts'
import {
  exportFences,
  type FenceOptions,
  fencesPassedInside,
  importFences,
  pollFences,
  reservationOf,
} from './fences.ts'
import { type ForeignOptions, importDescriptor } from './foreign.ts'
import { MappedRange, type MmapOptions, mmapRange } from './mapped-range.ts'
import { type Tether, tie, untie } from './tether.ts'
import { Vmap } from './vmap.ts'

/** Only this module's functions can make a wrapper. */
const making = Symbol('making')

/** The inner buffer of a wrapper; throws for anything that is not one. For the layers above. */
export let coreOf: (buffer: DmaBuf) => BufferCore

/**
 * A buffer that can be shared: one wrapper over the environment's inner buffer. Exporters make it, channels
 * deliver it. Whoever has it closes it: `close()`, `using`, or at last the garbage collector. Follows
 * drivers/dma-buf/dma-buf.c.
 */
export class DmaBuf implements Disposable, AsyncDisposable {
  readonly #core: BufferCore
  /** Undefined once closed. */
  #tether: Tether | undefined

  static {
    coreOf = (buffer) => {
      if (typeof buffer !== 'object' || buffer === null || !(#core in buffer)) {
        throw problem('receiver', { what: 'a DmaBuf' })
      }
      return buffer.#open()
    }
  }

  /** @internal */
  constructor(core: BufferCore, key: symbol) {
    if (key !== making) throw problem('receiver', { what: 'DmaBuf.fromFd, DmaBuf.export or an exporter' })
    this.#core = core
    this.#tether = tie(core)
  }

  /**
   * A buffer over a descriptor from anywhere: a memfd, a file in /dev/shm, a real dma-buf (udmabuf, DRM, V4L2).
   * `fd` is borrowed and duplicated; the caller still closes it. The size comes from `fstat`. Memory that is
   * not sealed against shrinking is refused (`EPERM`) unless `trust: 'unsealed'` says that you trust whoever
   * has it: a truncation is then survived (the next access throws), but contents are lost.
   */
  static fromFd(fd: number, foreign?: ForeignOptions): DmaBuf {
    return wrap(importDescriptor(fd, foreign))
  }

  /**
   * Exports memory by an exporter of your own. `info.fd` is consumed; `info.ops.release` runs at the very end. Without a
   * descriptor the buffer is placed: its storage is made at the first map or CPU access, and moves (`info.ops.move`).
   */
  static export(info: ExportInfo | ExportPlacedInfo): DmaBuf {
    const placed = typeof info === 'object' && info !== null && !('fd' in info)
    return wrap(placed ? exportPlacedCore(info) : exportCore(info as ExportInfo))
  }

  get name(): string {
    return this.#core.name
  }

  /** The size asked for, in bytes; the storage behind it is whole pages. */
  get byteLength(): number {
    return this.#core.storage.byteLength
  }

  /**
   * The storage descriptor, borrowed: valid until the buffer is closed, not to be closed by you. Reading it fixes a placed
   * buffer: it does not move any more. `EBUSY` where that cannot be done at once (in a holder, or in mid-move): `await
   * fix()` first.
   */
  get fd(): number {
    const core = this.#open()
    if (core.entry?.fixSync() === false) throw problem('notFixed', { name: core.name })
    core.exposed = true
    return core.storage.fd
  }

  /** Byte of `fd` at which the buffer begins. */
  get offset(): number {
    return this.#core.storage.offset
  }

  get exporterName(): string {
    return this.#core.exporterName
  }

  get sharing(): Sharing {
    return this.#core.storage.sharing
  }

  /** `'exporter'` in the environment that exported the buffer, `'holder'` in every other one. */
  get role(): 'exporter' | 'holder' {
    return this.#core.role
  }

  get closed(): boolean {
    return this.#tether === undefined
  }

  /** Nobody can write any more, which the kernel vouches for (F_SEAL_WRITE): its memory may be parsed in place. */
  get frozen(): boolean {
    return this.#open().frozen
  }

  /** The exporter has revoked the buffer: no new access begins. */
  get revoked(): boolean {
    return this.#core.isRevoked
  }

  /**
   * JavaScript sees the shared pages themselves: not in strict mode, and not where the runtime allows no ArrayBuffer over
   * them (Electron). There, views are of a copy that is filled when a bracket begins and written back when it ends.
   */
  get zeroCopy(): boolean {
    return this.#core.coherence?.zeroCopy ?? true
  }

  /** What CPUs and devices see of one another's stores, as its exporter allocated it. */
  get coherency(): Coherency {
    return this.#core.coherence?.coherency ?? 'coherent'
  }

  /** Whether both are the same buffer, however they came here. */
  same(other: DmaBuf): boolean {
    return coreOf(this) === coreOf(other)
  }

  /**
   * Begins CPU access: waits for what stands in the way (fences), then gives the memory. End it
   * with `end()` or `using`. Errors: `EBADF` closed, `ENODEV` revoked or truncated, `EACCES` writing read-only
   * memory, `EOWNERDEAD` with `strict`.
   */
  async beginCpuAccess(access: Access, accessOpts?: AccessOptions): Promise<CpuAccess> {
    const signal = abortSignal('signal', accessOpts?.signal)
    throwIfAborted(signal, 'beginCpuAccess')
    const core = this.#open()
    checkAccess(access)
    let opts = accessOpts
    for (;;) {
      let cpu = begin(this.#open(), this.#tether as Tether, access, opts, 'wait')
      if (cpu instanceof CpuAccess) return cpu
      // What was asked for counts, whatever the caller does with its object while this waits.
      if (opts !== undefined) opts = { ...opts }
      while (cpu === 'fenced') {
        await fencesPassedInside(core, (this.#tether as Tether).lease, access, signal)
        cpu = begin(this.#open(), this.#tether as Tether, access, opts, 'entered')
      }
      if (cpu instanceof CpuAccess) return cpu
      await this.#passable(core, signal)
    }
  }

  /** As {@link beginCpuAccess}, at once: throws `EAGAIN` where that would have to wait. */
  beginCpuAccessSync(access: Access, accessOpts?: AccessOptions): CpuAccess {
    const cpu = begin(this.#open(), this.#tether as Tether, access, accessOpts, 'try')
    if (cpu instanceof CpuAccess) return cpu
    const { name, storage } = this.#core
    const why = storage.fd < 0 ? 'its storage is not allocated here yet' : 'it is being moved'
    throw problem('moving', { name, why })
  }

  /** Runs `use` inside a bracket that ends whatever happens, after what `use` returns has settled. */
  async withCpuAccess<T>(
    access: Access,
    use: (cpu: CpuAccess) => T | PromiseLike<T>,
    accessOpts?: AccessOptions,
  ): Promise<T> {
    callable('use', use)
    const cpu = await this.beginCpuAccess(access, accessOpts)
    try {
      return await use(cpu)
    } finally {
      cpu[Symbol.dispose]()
    }
  }

  /** As {@link withCpuAccess}, at once; `use` must not be asynchronous. */
  withCpuAccessSync<T>(access: Access, use: (cpu: CpuAccess) => T, accessOpts?: AccessOptions): T {
    callable('use', use)
    const cpu = this.beginCpuAccessSync(access, accessOpts)
    try {
      return use(cpu)
    } finally {
      cpu[Symbol.dispose]()
    }
  }

  /**
   * Maps a range of its own, any bytes of the buffer: for buffers larger than one ArrayBuffer, see {@link MappedRange}. The
   * caller closes it. Errors: `EINVAL` outside the buffer, `EOVERFLOW` when offset and length have no sum; what the exporter's
   * `mmap` throws; `EAGAIN` before a placed buffer has storage, `EFBIG` for more than an ArrayBuffer can show.
   */
  mmap(mmapOpts?: MmapOptions): MappedRange {
    const core = this.#open()
    const { offset, length } = mmapRange(core.storage.byteLength, mmapOpts)
    if (core.isRevoked) throw problem('revoked', { name: core.name })
    checkStorage(core)
    core.ops?.mmap?.(offset, length)
    return new MappedRange(offset, length, core, this.#tether as Tether)
  }

  /**
   * Maps the whole buffer at one address for many brackets, see {@link Vmap}. The caller gives it back with `vunmap()`. Errors:
   * `EINVAL` when the exporter has no linear mapping to give, what its `vmap` throws; `EAGAIN` before a placed buffer has
   * storage; `EFBIG` for more than an ArrayBuffer can show (`CpuAccess.kmap` and {@link mmap} go on).
   */
  vmap(): Vmap {
    const core = this.#open()
    const tether = this.#tether as Tether
    return new Vmap(core, tether, tether.lease.maps)
  }

  /**
   * Attaches a device, of this process or of another one than the exporter's: the same calls, results and errors. The caller
   * detaches it. Allocates nothing: that is left to the first map or CPU access, so that all who are attached by then
   * are asked. Errors: `EBUSY` when the exporter takes no late attachment and the memory does not suit; `ENODEV` revoked, or
   * the exporter gone; what the exporter's `attach` throws. Follows dma_buf_dynamic_attach().
   */
  async attach(device: Device, attachOpts?: AttachOptions): Promise<Attachment> {
    return attachDevice(this.#open(), device, attachOpts)
  }

  /**
   * The fences of this buffer, in the environment of its exporter: what has to be done before others may use it. `EINVAL` in
   * a holder, which has {@link exportSyncFile} and {@link importSyncFile}, and for a real dma-buf, whose fences the kernel
   * keeps.
   */
  get reservation(): Reservation {
    return reservationOf(this.#open())
  }

  /**
   * What an access has to wait for, as of now: a reader for those who write, a writer for everybody
   * (`DMA_BUF_IOCTL_EXPORT_SYNC_FILE`). Signalled when that is nothing; fences that come later do not delay it. The caller
   * closes it. Errors: `ENODEV` when the exporter is gone.
   */
  exportSyncFile(access: Access, fenceOpts?: FenceOptions): Promise<SyncFile> {
    return exportFences(this.#open(), access, fenceOpts)
  }

  /**
   * Makes everybody who comes later wait for what this access still does (`DMA_BUF_IOCTL_IMPORT_SYNC_FILE`): `'read'` holds up
   * writers, `'write'` everybody. The fences of a merged file are added one by one; one that is there already may become
   * stronger, never weaker. The file is borrowed. Errors: `ENODEV` when the exporter is gone, `ENOBUFS` beyond
   * `limits.maxFencesPerBuffer`.
   */
  importSyncFile(file: SyncFile, access: Access): Promise<void> {
    return importFences(this.#open(), file, access)
  }

  /**
   * Resolves when nothing stands in the way of this access, as `poll(2)` of a dma-buf says (`POLLIN` for reading, `POLLOUT`
   * for writing); a fence that failed stands in nobody's way. Keeps the buffer meanwhile.
   */
  poll(access: Access, fenceOpts?: FenceOptions): Promise<void> {
    return pollFences(this.#open(), access, fenceOpts)
  }

  /**
   * Ends the moving of a placed buffer for good: its storage is allocated, and has a descriptor to show. Resolves at once
   * for a buffer that never moves. `ENODEV` when the exporter is gone.
   */
  async fix(): Promise<void> {
    const core = this.#open()
    if (core.entry === undefined) return
    core.retain()
    try {
      await core.fix()
    } finally {
      core.release()
    }
  }

  /**
   * Guarded mode for this buffer in this environment: whatever touches its memory outside a bracket, or stores into it in a
   * read bracket, is a {@link Violation}. See `guard()`, which does so for all buffers. Brackets that are open now allow
   * everything until the last of them has ended.
   */
  guard(mode: GuardMode | 'off' = 'report'): void {
    const core = this.#open()
    core.mappings.guardBy(checkMode(mode), core.begunBrackets)
  }

  /** Makes read-only memory immutable for good, for the exporter too. Views of it are detached. Exporter only. */
  freeze(): void {
    const core = this.#open()
    if (core.entry?.fixSync() === false) throw problem('notFixed', { name: core.name })
    core.freeze()
  }

  /**
   * Drops this process's private copies of pages of read-only memory that were stored into by mistake (a holder's
   * views are private, as a store into a read-only page would kill Node), so that they show the buffer again.
   */
  refresh(): void {
    const core = this.#open()
    core.mappings.refresh()
    core.coherence?.refresh()
  }

  /** From now on nobody begins an access (`ENODEV`); views of registered holders are detached. Exporter only. */
  revoke(): void {
    const core = this.#open()
    if (core.role !== 'exporter') {
      throw problem('argument', { what: 'revoke', expected: 'the exporter', received: 'a holder' })
    }
    core.revoked = true
    core.shared?.revoke()
    core.unmap()
  }

  /** Ends open accesses, detaches the views when this is the last wrapper, lets go of the memory. Idempotent. */
  close(): void {
    const tether = this.#tether
    if (tether === undefined) return
    this.#tether = undefined
    untie(tether)
  }

  [Symbol.dispose](): void {
    this.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  async #passable(core: BufferCore, signal: AbortSignal | undefined): Promise<void> {
    core.retain()
    try {
      await core.entry?.passable(signal)
    } finally {
      core.release()
    }
    this.#open()
  }

  #open(): BufferCore {
    if (this.#tether === undefined) throw problem('closedBuffer', { name: this.#core.name })
    return this.#core
  }
}

/** A new wrapper over an inner buffer. For the layers above. */
export function wrap(core: BufferCore): DmaBuf {
  return new DmaBuf(core, making)
}
