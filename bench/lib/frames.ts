/** The page size that every Linux we measure on uses for shared memory by default. */
const PAGE = 4096

/** 4K RGBA. */
export const FRAME_4K = 3840 * 2160 * 4
/** Bytes of the buffer whose moves are measured. */
export const MOVED = 24 << 20
/** Bytes of the buffer whose guarded brackets are measured. */
export const GUARDED = 24 << 20
/** Bytes of the view that is cleaned. */
export const CLEANED = 33 << 20

/**
 * Frames that may be under way at once: enough that small messages do not wait for each other, and few of
 * the big ones, as a camera or a decoder would have. Every peer gets the same, so none wins by queueing.
 */
export function depthFor(size: number): number {
  return Math.max(2, Math.min(64, Math.floor((4 << 20) / size)))
}

/** Buffers that a peer needs so that one can be filled and one looked at while `depth` are under way. */
export function slotsFor(depth: number): number {
  return depth + 2
}

// A DataView and not a Uint32Array, because what a copying peer delivers is not always aligned; V8 compiles
// both loops to the same speed.
function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/**
 * The producer's work on every frame, the same for every peer: one word of it. What a frame costs to make is not what
 * is measured; what it costs to hand over, and to look at, is.
 */
export function writeFirst(bytes: Uint8Array, seq: number): void {
  view(bytes).setUint32(0, seq, true)
}

export function readFirst(bytes: Uint8Array): number {
  return view(bytes).getUint32(0, true)
}

export function readPages(bytes: Uint8Array): number {
  const words = view(bytes)
  let sum = 0
  for (let at = 0, end = bytes.byteLength - 3; at < end; at += PAGE)
    sum = (sum + words.getUint32(at, true)) | 0
  return sum
}

export function readAll(bytes: Uint8Array): number {
  const words = view(bytes)
  let sum = 0
  for (let at = 0, end = bytes.byteLength - 3; at < end; at += 4) sum = (sum + words.getUint32(at, true)) | 0
  return sum
}

/** The sum modulo 2^32 that a consumer must arrive at, whatever it reads: all other words are zero. */
export function expectedSum(frames: number): number {
  return ((frames * (frames - 1)) / 2) | 0
}
