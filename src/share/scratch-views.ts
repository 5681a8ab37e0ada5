import { addon } from '../native/load.ts'

let txView: DataView | undefined
let rxView: DataView | undefined

/** The packet being written. */
export function tx(): DataView {
  if (txView === undefined) {
    const { buffer, byteOffset, byteLength } = addon().scratch.tx
    txView = new DataView(buffer, byteOffset, byteLength)
  }
  return txView
}

/** The packet just received. */
export function rx(): DataView {
  if (rxView === undefined) {
    const { buffer, byteOffset, byteLength } = addon().scratch.rx
    rxView = new DataView(buffer, byteOffset, byteLength)
  }
  return rxView
}

let txBuffer: Buffer | undefined
let rxBuffer: Buffer | undefined

/** The same as {@link tx}, for writing text. */
export function txText(): Buffer {
  txBuffer ??= bufferOver(addon().scratch.tx)
  return txBuffer
}

/** The same as {@link rx}, for reading text. */
export function rxText(): Buffer {
  rxBuffer ??= bufferOver(addon().scratch.rx)
  return rxBuffer
}

function bufferOver({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength)
}
