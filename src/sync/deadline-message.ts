import { Meta } from '../native/addon.ts'
import { addon } from '../native/load.ts'

/**
 * The one thing that is ever said on the end of a fence: by when somebody needs it; docs/protocol.md, section 10. Whoever has
 * the fence may say it, so what comes is a stranger's.
 */
const MAGIC = 0x4442_4d44
const BYTES = 16
const LAST_TIME = 2n ** 63n - 1n

/** Tells the signaller. A hint: where there is no room for it, it is lost. */
export function sendDeadline(end: number, deadline: bigint): void {
  const native = addon()
  const view = viewOf(native.scratch.tx)
  view.setUint32(0, MAGIC, true)
  view.setUint32(4, 0, true)
  view.setBigUint64(8, deadline, true)
  native.send(end, BYTES, 0, false)
}

/** What stands in the signaller's end; `undefined` when it is something else. */
export function receiveDeadline(end: number): bigint | undefined {
  const native = addon()
  const { rx, incoming, meta } = native.scratch
  const length = native.receive(end)
  if (length < 0) return undefined
  const descriptors = meta[Meta.descriptors] ?? 0
  if (descriptors > 0) native.closeLater(Array.from(incoming.subarray(0, descriptors)))
  const view = viewOf(rx)
  if (length !== BYTES || view.getUint32(0, true) !== MAGIC) return undefined
  const deadline = view.getBigUint64(8, true)
  return deadline <= LAST_TIME ? deadline : undefined
}

function viewOf({ buffer, byteOffset }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, BYTES)
}
