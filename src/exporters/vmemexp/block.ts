import { problem } from '../../internal/errors.ts'
import { shown } from '../../internal/validate.ts'
import { addon } from '../../native/load.ts'

/** What both kinds of memory block have that can change their size; not in the types of every Node that we serve. */
interface Resizable {
  readonly resizable?: boolean
  readonly growable?: boolean
}

/** What a resizable ArrayBuffer is made by; pages of its own, zeroed. */
interface ResizableConstructor {
  new (byteLength: number, options: { readonly maxByteLength: number }): ArrayBuffer
}

export function resizable(byteLength: number): ArrayBuffer {
  return new (ArrayBuffer as ResizableConstructor)(byteLength, { maxByteLength: byteLength })
}

/** A `WebAssembly.Memory`, which Node's types do not name. */
export interface WasmMemory {
  readonly buffer: ArrayBufferLike
  grow(pages: number): number
}

/** Memory as a program has it. */
export type ExportableMemory = ArrayBufferLike | ArrayBufferView | WasmMemory

/** Who keeps memory: as long as this is reachable and says so, the addresses belong to it. */
export interface Owner {
  /** First address of the whole block; `undefined` once it was detached. */
  address(): number | undefined
  /** Bytes of the whole block that can be touched now. */
  byteLength(): number
  /** Several threads have it, so that nobody can take it away. */
  readonly threads: boolean
  /** It is made of pages that hold nothing else and are unmapped in the end. */
  readonly pages: boolean
  /** The ArrayBuffer, where it can be detached. */
  readonly detachable: ArrayBuffer | undefined
}

/** A range of bytes of an owner's block. */
export interface Block {
  readonly owner: Owner
  readonly address: number
  readonly byteLength: number
  /** First address and size of the whole block. */
  readonly base: number
  readonly size: number
}

/** Finds out whose memory it is and where it lies; nothing is asked of the memory itself. */
export function blockOf(memory: unknown): Block {
  if (ArrayBuffer.isView(memory)) return rangeOf(ownerOf(memory.buffer), memory.byteOffset, memory.byteLength)
  const wasm = wasmOwner(memory)
  if (wasm !== undefined) return rangeOf(wasm, 0, wasm.byteLength())
  if (isBuffer(memory)) return rangeOf(ownerOf(memory), 0, memory.byteLength)
  throw problem('argument', {
    what: 'view',
    expected: 'an ArrayBuffer, a view of one, or a WebAssembly.Memory',
    received: shown(memory),
  })
}

function rangeOf(owner: Owner, offset: number, byteLength: number): Block {
  const base = owner.address()
  if (base === undefined || byteLength === 0) {
    const received = base === undefined ? 'a detached one' : 'an empty one'
    throw problem('argument', { what: 'view', expected: 'memory of at least one byte', received })
  }
  return { owner, address: base + offset, byteLength, base, size: owner.byteLength() }
}

function isBuffer(value: unknown): value is ArrayBufferLike {
  return value instanceof ArrayBuffer || value instanceof SharedArrayBuffer
}

export function ownerOf(buffer: ArrayBufferLike): Owner {
  const { resizable, growable } = buffer as Resizable
  const shared = buffer instanceof SharedArrayBuffer
  return {
    address: () => addressOf(buffer),
    byteLength: () => buffer.byteLength,
    threads: shared,
    pages: resizable === true || growable === true,
    detachable: shared ? undefined : buffer,
  }
}

/** The getter throws for everything that is no Memory, of whatever realm. */
function wasmOwner(value: unknown): Owner | undefined {
  const { WebAssembly } = globalThis as { WebAssembly?: { Memory: { prototype: object } } }
  if (WebAssembly === undefined || typeof value !== 'object' || value === null) return undefined
  const getter = Object.getOwnPropertyDescriptor(WebAssembly.Memory.prototype, 'buffer')?.get
  const current = (): ArrayBufferLike => getter?.call(value)
  try {
    if (current() === undefined) return undefined
  } catch {
    return undefined
  }
  return {
    // A memory that grows gets a new ArrayBuffer, in place or elsewhere.
    address: () => addressOf(current()),
    byteLength: () => current().byteLength,
    threads: current() instanceof SharedArrayBuffer,
    pages: true,
    detachable: undefined,
  }
}

/** `undefined` for a detached buffer. */
function addressOf(buffer: ArrayBufferLike): number | undefined {
  try {
    return addon().addressOf(new Uint8Array(buffer))
  } catch {
    return undefined
  }
}
