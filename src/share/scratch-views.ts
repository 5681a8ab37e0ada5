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
