import type { HolderInfo } from '../dmabuf/shared-state.ts'
import type { PrivateInit } from './private-message.ts'
import type { PrivateFreight } from './private-socket.ts'
import type { Reader } from './reader.ts'

/** A holder that registers buffers, as its connection shows it to them. */
export interface RegisteredHolder extends Reader {
  describe(slot: number): HolderInfo
  /** Step M4: the count of its brackets, read once. */
  openBrackets(slot: number): number
  openWriteBrackets(slot: number): number
  send(message: PrivateInit, freight?: PrivateFreight): void
  /** It cannot be told what it must know: the connection ends. */
  fail(reason: string): void
}

/** One holder's registration of one buffer. */
export interface Registration {
  readonly holder: RegisteredHolder
  readonly slot: number
  /** The holder's number for it: what belongs to an earlier registration of the same buffer must not pass for this one's. */
  readonly serial: number
  /** Storages that it was sent and has not said it has read. */
  unread: number
  /** The buffer is no more, or has gone on without this holder. */
  dropped(): void
}
