import { vmemexp } from '../../src/index.ts'

/** What is not in the types of the oldest Node that we serve. */
interface Sized {
  new (
    byteLength: number,
    options: { maxByteLength: number },
  ): ArrayBuffer & { resize(byteLength: number): void }
}
interface Wasm {
  Memory: new (pages: {
    initial: number
    maximum: number
    shared?: boolean
  }) => {
    readonly buffer: ArrayBufferLike
    grow(pages: number): number
  }
}

export const WASM_PAGE = 65_536

export function resizable(byteLength: number, maxByteLength = byteLength) {
  return new (ArrayBuffer as unknown as Sized)(byteLength, { maxByteLength })
}

export function growable(byteLength: number, maxByteLength = byteLength): SharedArrayBuffer {
  return new (SharedArrayBuffer as unknown as Sized)(byteLength, {
    maxByteLength,
  }) as unknown as SharedArrayBuffer
}

export function wasmMemory(pages: number, shared = false) {
  const { Memory } = (globalThis as unknown as { WebAssembly: Wasm }).WebAssembly
  return new Memory({ initial: pages, maximum: pages * 4, shared })
}

/** Beyond the largest threshold (32 MiB) below which malloc may take memory from its heap. */
export const MAPPED_BYTES = (33 << 20) + 100

/** Every kind of memory that can be exported. */
export const blocks = {
  allocate: () => vmemexp.allocate(3 * WASM_PAGE),
  'allocate, no whole number of pages': () => vmemexp.allocate(100_001),
  'a resizable ArrayBuffer': () => resizable(3 * WASM_PAGE, 8 * WASM_PAGE),
  'a growable SharedArrayBuffer': () => growable(3 * WASM_PAGE, 8 * WASM_PAGE),
  'a WebAssembly.Memory': () => wasmMemory(3),
  'a shared WebAssembly.Memory': () => wasmMemory(3, true),
  "a malloc'ed ArrayBuffer": () => new ArrayBuffer(MAPPED_BYTES),
  "a malloc'ed SharedArrayBuffer": () => new SharedArrayBuffer(MAPPED_BYTES),
  "a malloc'ed Buffer": () => Buffer.allocUnsafeSlow(MAPPED_BYTES),
} as const

/** The bytes of any of them. */
export function bytesOf(
  memory: ArrayBufferLike | ArrayBufferView | { readonly buffer: ArrayBufferLike },
): Uint8Array {
  if (ArrayBuffer.isView(memory)) return new Uint8Array(memory.buffer, memory.byteOffset, memory.byteLength)
  return new Uint8Array('buffer' in memory ? memory.buffer : memory)
}

/** Whether all bytes are the same, found quickly. */
export function filledWith(bytes: Uint8Array, value: number): boolean {
  return (
    bytes.length > 0 && bytes[0] === value && Buffer.compare(bytes.subarray(1), bytes.subarray(0, -1)) === 0
  )
}
