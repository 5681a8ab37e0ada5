import { diagnostics } from '../internal/diagnostics.ts'
import { errno, problem, systemError } from '../internal/errors.ts'
import { boolean, bytes as checkBytes, options, range, shown } from '../internal/validate.ts'
import type { CacheHints } from '../memory/cache/maintenance.ts'
import type { GuardedBracket } from '../memory/guard/buffer-guard.ts'
import type { Mapping } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import type { Access } from './access.ts'
import { countFault } from './bracket-faults.ts'
import type { BufferCore } from './buffer-core.ts'
import { endKernelSync } from './kernel-sync.ts'
import { Kmap, pageAt } from './kmap.ts'
import { fitsView } from './map-storage.ts'
import { OpenMaps } from './open-maps.ts'
import { Staging } from './staging.ts'
import type { Tether } from './tether.ts'
import { viewOf, wholeView } from './views.ts'

/** How often a verified copy is tried again before `EAGAIN`. */
const COPY_ATTEMPTS = 16

/** Which bytes `CpuAccess.copy` takes, and where to. */
export interface CopyOptions {
  /** First byte, counted from the beginning of the access; 0. */
  readonly offset?: number
  /** Bytes; the rest of the access. */
  readonly length?: number
  /** Private memory to copy into, at least `length` bytes; else new memory is made. */
  readonly into?: Uint8Array
  /** Throw `EAGAIN` when the copy cannot be verified. */
  readonly verified?: boolean
}

/** What `CpuAccess.copy` has taken out of live memory. */
export interface Copy {
  /** Private memory: it changes no more, and any decoder may have it. */
  readonly bytes: Uint8Array
  /**
   * True when the sequence word of every writer was even and unchanged around the copy, or nobody can write any
   * more. False claims nothing: a writer wrote meanwhile, or cannot be watched (shared as `'writable'`).
   */
  readonly verified: boolean
}

const textOptionNames = ['offset', 'length', 'verified'] as const
const copyOptions = [...textOptionNames, 'into'] as const

/**
 * An open bracket: between `beginCpuAccess` and `end()` the CPU may look at the memory (and store into it, in a
 * write bracket). Made by `DmaBuf.beginCpuAccess`, ended by `end()`, `using`, or the closing of its buffer.
 */
export class CpuAccess implements Disposable, AsyncDisposable {
  /** What it was begun for. */
  readonly access: Access
  /** First byte of the range in the buffer. */
  readonly offset: number
  /** Bytes of the range. */
  readonly length: number
  /** A writer died inside its bracket since this process last began one: contents may be half old, half new. */
  readonly interrupted: boolean
  readonly #hints: CacheHints
  readonly #core: BufferCore
  readonly #tether: Tether
  readonly #guarded: GuardedBracket | undefined
  #range: Mapping | undefined
  #bytes: Uint8Array | undefined
  #kmaps: OpenMaps | undefined
  #ended = false

  /** @internal */
  constructor(
    access: Access,
    offset: number,
    length: number,
    interrupted: boolean,
    hints: CacheHints,
    core: BufferCore,
    tether: Tether,
    guarded: GuardedBracket | undefined,
  ) {
    this.access = access
    this.offset = offset
    this.length = length
    this.interrupted = interrupted
    this.#hints = hints
    this.#core = core
    this.#tether = tether
    this.#guarded = guarded
  }

  /** By `end()`, or with its buffer. */
  get ended(): boolean {
    return this.#ended || this.#tether.lease.closed
  }

  /**
   * The live memory of the range. **Raw**: other processes may store into it at any moment, so read single
   * elements, copy with `set`/`slice`, but never hand it to a decoder or to `sort()`: those size their output in
   * one pass and write it in a second, and corrupt the heap when the bytes change in between. `copy()` and
   * `text()` are safe; the memory of a frozen buffer may go anywhere. After `end()` the view must not be used; after
   * the buffer's `close()` its length is 0.
   */
  get bytes(): Uint8Array {
    this.#check()
    // Of length 0 when its memory was transferred away: then it is asked for again, which says so.
    if (this.#bytes !== undefined && this.#bytes.length === this.length) return this.#bytes
    if (this.length === 0) return new Uint8Array()
    const core = this.#core
    if (fitsView(core.storage.byteLength)) {
      const whole = wholeView(core, this.#tether)
      const all = this.offset === 0 && this.length === whole.length
      this.#bytes = all ? whole : whole.subarray(this.offset, this.offset + this.length)
    } else {
      this.#range = core.mappings.addRange(this.offset, this.length)
      // Held by this view too, for longer than the wrapper perhaps.
      this.#tether.reusable = false
      this.#bytes = viewOf(this.#range, this.#tether, core.name)
    }
    return this.#bytes
  }

  /** Copies out of live memory into private memory; see {@link Copy.verified}. */
  copy(copyOpts?: CopyOptions): Copy {
    this.#check()
    const opts = options('copy', copyOpts, copyOptions)
    const { offset, length } = range('copy', this.length, opts.offset, opts.length)
    const must = boolean('verified', opts.verified ?? false)
    const into = opts.into === undefined ? new Uint8Array(length) : checkBytes('into', opts.into)
    if (into.length < length) {
      throw problem('argument', {
        what: 'into',
        expected: `a Uint8Array of at least ${length} bytes`,
        received: `one of ${into.length}`,
      })
    }
    const target = into.length === length ? into : into.subarray(0, length)
    const verified = this.#copyTo(target, offset)
    if (must && !verified) throw problem('unverified', { name: this.#core.name })
    return { bytes: target, verified }
  }

  /** The text in the range, decoded from a private copy. */
  text(encoding: BufferEncoding = 'utf8', textOptions?: Omit<CopyOptions, 'into'>): string {
    this.#check()
    if (!Buffer.isEncoding(encoding)) {
      const received = shown(encoding)
      throw problem('argument', { what: 'encoding', expected: 'an encoding of Buffer', received })
    }
    // No `into` here: it could name live memory, and that must not be decoded.
    const { bytes } = this.copy(options('text', textOptions, textOptionNames))
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString(encoding)
  }

  /**
   * Maps one page: `page` counts from the beginning of the buffer, in pages of the system, and must touch the bracket's range
   * (`EINVAL`). The caller calls `kunmap()` before `end()`; what is left mapped then is unmapped and counted as a fault.
   */
  kmap(page: number): Kmap {
    this.#check()
    const { offset, byteLength } = pageAt(page, this, this.#core)
    if (this.#kmaps === undefined) {
      this.#kmaps = new OpenMaps()
      this.#tether.lease.maps.add(this.#kmaps)
    }
    return new Kmap(page, offset, byteLength, this.#core, this.#tether, this.#kmaps)
  }

  /** Ends the bracket: what was stored is visible to whoever begins next. Idempotent. */
  end(): void {
    if (this.#ended) {
      countFault(this.#core, 'endedTwice', `end() of a '${this.access}' access came twice`)
      return
    }
    this.#ended = true
    this.#bytes = undefined
    const { lease } = this.#tether
    if (lease.closed) return
    const core = this.#core
    if (this.#kmaps !== undefined) this.#unmapLeft(this.#kmaps)
    if (this.#range !== undefined) core.mappings.closeRange(this.#range)
    try {
      core.coherence?.end(this.access, this.offset, this.length, this.#hints, lease)
      core.ops?.endCpuAccess?.(this.access, this.offset, this.length)
    } finally {
      // The exporter's ops are a stranger's code, and may throw.
      core.mappings.guard?.end(this.#guarded)
      lease.lower(this.access !== 'read')
      if (core.storage.kind === 'dma-buf') endKernelSync(core.storage.fd, this.access, core.name)
    }
    if (diagnostics.cpuEnd.hasSubscribers) {
      diagnostics.cpuEnd.publish({ id: core.id, name: core.name, access: this.access })
    }
  }

  [Symbol.dispose](): void {
    // An end() before the end of the block is the block's own business.
    if (!this.#ended) this.end()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this[Symbol.dispose]()
  }

  #unmapLeft(kmaps: OpenMaps): void {
    this.#tether.lease.maps.remove(kmaps)
    const left = kmaps.abandon()
    if (left === 0) return
    const details = `end() of a '${this.access}' access came with ${left} of its kmaps never unmapped`
    countFault(this.#core, 'leftMapped', details, left)
  }

  #copyTo(target: Uint8Array, offset: number): boolean {
    if (target.length === 0) return true
    const core = this.#core
    const sequences = core.writerSequences
    if (core.coherence instanceof Staging) {
      return core.coherence.copyOut(target, this.offset + offset, sequences)
    }
    const whole = fitsView(core.storage.byteLength)
    if (!whole) void this.bytes
    const mapping = this.#range ?? core.mapping
    const start = whole ? this.offset + offset : offset
    for (let attempt = 0; attempt < COPY_ATTEMPTS; attempt++) {
      const result = addon().copyOut(mapping, start, target, sequences ?? [])
      if (result === -errno.EFAULT || mapping.faulted) throw problem('truncated', { name: core.name })
      if (result < 0) throw systemError(result, 'copyOut', `copying buffer ${core.name}`)
      if (sequences === undefined) return false
      // Without a single writer left there is no word to watch, and nothing that could change.
      if (result === 1 || sequences.length === 0) return true
    }
    return false
  }

  #check(): void {
    const core = this.#core
    if (this.ended) throw problem('endedAccess', { name: core.name })
    if (core.isRevoked) throw problem('revoked', { name: core.name })
  }
}
