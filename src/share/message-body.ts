import { problem } from '../internal/errors.ts'
import { limits } from '../internal/limits.ts'
import { addon } from '../native/load.ts'
import { decodeMessage, encodeMessage, type JsonLike } from '../transport/message-json.ts'
import {
  FENCE_BYTES,
  HANDLE_BYTES,
  HEADER_BYTES,
  type Header,
  MESSAGE_ENCODED,
  type MessageLayout,
} from '../transport/packet.ts'
import { rx, rxText, tx, txText } from './scratch-views.ts'

/** No UTF-8 takes more than three bytes for a UTF-16 unit. */
const UTF8_PER_UNIT = 3

const noParts: Uint8Array[] = []

/** What a message's header says of its body. */
export interface WrittenBody {
  /** Bytes of the whole packet. */
  readonly length: number
  readonly jsonBytes: number
  readonly parts: number
  readonly flags: number
}

/** Writes JSON and binary parts of a message with so many handles and fences into the packet being made. */
export function writeBody(message: JsonLike, handles: number, fences: number): WrittenBody {
  const { json, parts, encoded } = encodeMessage(message)
  if (parts.length > limits.maxPartsPerMessage) {
    const why = `it has ${parts.length} binary parts, and the limit is ${limits.maxPartsPerMessage}`
    throw problem('message', { why })
  }
  const lengths = HEADER_BYTES + handles * HANDLE_BYTES + fences * FENCE_BYTES
  let at = lengths + parts.length * 4
  let partBytes = 0
  for (const part of parts) partBytes += part.length
  const room = limits.maxMessageBytes - at - partBytes
  const needed = json.length * UTF8_PER_UNIT <= room ? 0 : Buffer.byteLength(json)
  if (room < 0 || needed > room) {
    const bytes = at + partBytes + Math.max(needed, json.length)
    throw problem('messageTooLarge', { bytes, limit: limits.maxMessageBytes })
  }
  const jsonBytes = txText().write(json, at, 'utf8')
  at += jsonBytes
  const { tx: packet } = addon().scratch
  for (let index = 0; index < parts.length; index++) {
    const part = parts[index] as Uint8Array
    tx().setUint32(lengths + index * 4, part.length, true)
    packet.set(part, at)
    at += part.length
  }
  return { length: at, jsonBytes, parts: parts.length, flags: encoded ? MESSAGE_ENCODED : 0 }
}

/** The message of the packet just received; throws an Error that says what is wrong with it. */
export function readBody(header: Header, layout: MessageLayout, length: number): JsonLike {
  const { rx: bytes } = addon().scratch
  const view = rx()
  const parts: Uint8Array[] = header.parts === 0 ? noParts : []
  let at = layout.parts
  for (let index = 0; index < header.parts; index++) {
    const size = view.getUint32(layout.partLengths + index * 4, true)
    if (size > length - at) throw new Error('a part that is longer than the packet')
    parts.push(bytes.slice(at, at + size))
    at += size
  }
  if (at !== length) throw new Error(`${length - at} bytes behind the last part`)
  // The scratch is this process's own memory: nobody changes it under the decoder.
  const json = rxText().toString('utf8', layout.json, layout.parts)
  if ((header.flags & MESSAGE_ENCODED) === 0) return decodeMessage(json, undefined)
  return decodeMessage(json, (index) => {
    const part = parts[index]
    if (part === undefined) throw new Error(`part ${String(index)} that is not there`)
    return part
  })
}
