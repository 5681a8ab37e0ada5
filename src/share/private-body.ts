import type { DmaDirection, Segment } from '../dma/constraints.ts'
import { type BracketFaults, countsOf, faultsFrom } from '../dmabuf/bracket-faults.ts'
import { DmaBufError, problem } from '../internal/errors.ts'
import { getSize, setSize } from './handle.ts'
import { FAULT_BODY_BYTES } from './private-message.ts'

/** What stands behind the header of a private message; docs/protocol.md. Pure functions on bytes and text. */

export const STORAGE_BODY_BYTES = 16
export const DIRECTION_BODY_BYTES = 4

/** The kernel's `enum dma_data_direction`. */
const directions: readonly DmaDirection[] = ['bidirectional', 'to-device', 'from-device']

export function directionBody(direction: DmaDirection): Uint8Array {
  const body = new Uint8Array(DIRECTION_BODY_BYTES)
  new DataView(body.buffer).setUint32(0, directions.indexOf(direction), true)
  return body
}

export function readDirection(view: DataView, at: number): DmaDirection | undefined {
  return directions[view.getUint32(at, true)]
}

/** What went wrong with a holder's brackets; nothing where nothing did. */
export function faultsBody(faults: BracketFaults): Uint8Array | undefined {
  const counts = countsOf(faults)
  if (counts.every((count) => count === 0)) return undefined
  const body = new Uint8Array(FAULT_BODY_BYTES)
  const view = new DataView(body.buffer)
  for (const [index, count] of counts.entries()) view.setUint32(index * 4, count, true)
  return body
}

export function readFaults(view: DataView, at: number): BracketFaults {
  return faultsFrom((index) => view.getUint32(at + index * 4, true))
}

/** Size of the buffer, and byte of the storage at which it begins. */
export interface StorageBody {
  readonly byteLength: number
  readonly offset: number
}

export function storageBody({ byteLength, offset }: StorageBody): Uint8Array {
  const body = new Uint8Array(STORAGE_BODY_BYTES)
  const view = new DataView(body.buffer)
  setSize(view, 0, byteLength)
  setSize(view, 8, offset)
  return body
}

export function readStorageBody(view: DataView, at: number): StorageBody {
  return { byteLength: getSize(view, at), offset: getSize(view, at + 8) }
}

const SEGMENT_BYTES = 16
const SEGMENTS_HEADER_BYTES = 8

/** A part of a table: `left` segments come in later messages. */
export function segmentsBody(segments: readonly Segment[], left: number): Uint8Array {
  const body = new Uint8Array(SEGMENTS_HEADER_BYTES + segments.length * SEGMENT_BYTES)
  const view = new DataView(body.buffer)
  view.setUint32(0, left, true)
  for (const [index, { address, length }] of segments.entries()) {
    setSize(view, SEGMENTS_HEADER_BYTES + index * SEGMENT_BYTES, address)
    setSize(view, SEGMENTS_HEADER_BYTES + index * SEGMENT_BYTES + 8, length)
  }
  return body
}

export function readSegments(
  view: DataView,
  at: number,
  bytes: number,
): { segments: Segment[]; left: number } | string {
  const count = (bytes - SEGMENTS_HEADER_BYTES) / SEGMENT_BYTES
  if (!Number.isInteger(count)) return 'a table with half a segment'
  const segments: Segment[] = []
  for (let index = 0; index < count; index++) {
    const address = getSize(view, at + SEGMENTS_HEADER_BYTES + index * SEGMENT_BYTES)
    const length = getSize(view, at + SEGMENTS_HEADER_BYTES + index * SEGMENT_BYTES + 8)
    if (length === 0 || !Number.isSafeInteger(address) || !Number.isSafeInteger(address + length))
      return 'a segment that is no memory'
    segments.push({ address, length })
  }
  return { segments, left: view.getUint32(at, true) }
}

/** Longer words are cut: an error says what is wrong, and need not say it in full. */
const MAX_CODE = 40
const MAX_MESSAGE = 512
const MAX_WORDS = 256

/** An error as text, so that it is the same in the process that asked. */
export function errorText(error: unknown, name: string): string {
  const known = error instanceof DmaBufError ? error : unexpected(error, name)
  const { code, errno, message, hint, syscall, rule, needed, got } = known
  return JSON.stringify({
    code: code.slice(0, MAX_CODE),
    errno,
    message: message.slice(0, MAX_MESSAGE),
    hint: hint?.slice(0, MAX_WORDS),
    syscall: syscall?.slice(0, MAX_CODE),
    rule: rule?.slice(0, MAX_CODE),
    needed: needed?.slice(0, MAX_WORDS),
    got: got?.slice(0, MAX_WORDS),
  })
}

function unexpected(error: unknown, name: string): DmaBufError {
  const message = error instanceof Error ? error.message : String(error)
  return problem('remoteFailure', { name, message })
}

/** The error that another process has sent, or `undefined` when its text is none. */
export function errorFrom(json: string): DmaBufError | undefined {
  const value = parsed(json)
  if (value === undefined) return undefined
  const { code, errno, message, hint, syscall, rule, needed, got } = value
  if (typeof code !== 'string' || !/^[A-Za-z][\w ]*$/.test(code) || typeof message !== 'string')
    return undefined
  return new DmaBufError({
    code: code.slice(0, MAX_CODE),
    message: message.slice(0, MAX_MESSAGE),
    hint: words(hint),
    syscall: words(syscall),
    rule: words(rule),
    needed: words(needed),
    got: words(got),
    ...(typeof errno === 'number' && Number.isInteger(errno) && errno < 0 ? { errno } : {}),
  })
}

/** The object that a text stands for. */
export function parsed(json: string): Record<string, unknown> | undefined {
  try {
    const value = JSON.parse(json) as unknown
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

function words(value: unknown): string | undefined {
  return typeof value === 'string' ? value.slice(0, MAX_WORDS) : undefined
}
