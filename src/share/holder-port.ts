import { RECORDS, STATE_SEGMENT_BYTES, StateRecord } from '../dmabuf/words.ts'
import { identityKey } from '../memory/facts.ts'
import { admitSegment } from '../memory/gate.ts'
import type { SharedWords } from '../memory/shared-words.ts'
import { addon } from '../native/load.ts'
import { exporterPort } from './exporter-port.ts'
import { heldBuffer } from './held-buffer.ts'
import type { PrivateMessage } from './private-message.ts'
import { RemoteExporter } from './remote-exporter.ts'
import { bindDoor, openState, RemoteState } from './remote-state.ts'
import { StateSegment } from './state-segment.ts'

/** Where a handle's record lies: in this environment's own state, or in another's. */
export type StateRef = StateSegment | RemoteState

/** This environment as a holder: the exporters it knows, each once, whatever channel named them. */
class HolderPort {
  readonly #states = new Map<string, RemoteState>()
  readonly #exporters = new Map<string, RemoteExporter>()

  /**
   * Takes a state segment and a door that came with a handle (both consumed; -1: no door) and binds the two
   * together. Returns the state they stand for, or what is wrong.
   */
  open(stateFd: number, doorFd: number): StateRef | string {
    const native = addon()
    const drop = (reason: string) => {
      native.closeLater(doorFd < 0 ? [stateFd] : [stateFd, doorFd])
      return reason
    }
    const facts = admitSegment(stateFd, STATE_SEGMENT_BYTES)
    if (typeof facts === 'string') return drop(facts)
    const key = identityKey(facts)
    const known = exporterPort().ownSegment(key) ?? this.#states.get(key)
    if (known !== undefined) {
      native.close(stateFd)
      // The door that is open here already is a socket like any other: closing it asks nobody.
      const door = doorFd < 0 ? undefined : bindDoor(known.words, doorFd)
      if (typeof door === 'object' && door.kind === 'door') native.close(doorFd)
      else if (doorFd >= 0) native.closeLater([doorFd])
      return known
    }
    let opened: ReturnType<typeof openState>
    try {
      opened = openState(stateFd)
    } catch (error) {
      drop('')
      throw error
    }
    if (typeof opened === 'string') return drop(opened)
    const bound = doorFd < 0 ? { kind: 'none' as const, key: '' } : bindDoor(opened.words, doorFd)
    if (typeof bound === 'string') {
      opened.mapping.close()
      return drop(bound)
    }
    const doorKey = bound.kind === 'door' ? bound.key : `state ${key}`
    let exporter = this.#exporters.get(doorKey)
    if (exporter === undefined) {
      const door = bound.kind === 'door' ? doorFd : -1
      const connected = bound.kind === 'pair' ? doorFd : -1
      exporter = this.#addExporter(doorKey, door, connected)
    } else if (doorFd >= 0) native.closeLater([doorFd])
    const state = new RemoteState(stateFd, opened.words, opened.mapping, exporter, () =>
      this.#states.delete(key),
    )
    this.#states.set(key, state)
    return state
  }

  #addExporter(key: string, door: number, connected: number): RemoteExporter {
    const exporter: RemoteExporter = new RemoteExporter(door, connected, {
      aboutBuffer: (message, fd) => this.#aboutBuffer(exporter, message, fd),
      ended: () => this.#ended(exporter),
      closed: () => this.#exporters.delete(key),
    })
    this.#exporters.set(key, exporter)
    return exporter
  }

  #aboutBuffer(exporter: RemoteExporter, message: PrivateMessage, fd: number): string | undefined {
    for (const state of this.#states.values()) {
      if (state.exporter !== exporter || state.segment !== message.segment) continue
      const core = state.cores.get(message.record)
      const held = core === undefined ? undefined : heldBuffer(core)
      // Its record may have been used again: no order holds between this connection and a channel.
      if (held?.idLow === message.idLow && held.idHigh === message.idHigh) return held.message(message, fd)
    }
    if (fd >= 0) addon().closeLater([fd])
    return undefined
  }

  #ended(exporter: RemoteExporter): void {
    for (const state of this.#states.values()) {
      if (state.exporter !== exporter) continue
      for (const core of state.cores.values()) heldBuffer(core)?.exporterEnded()
    }
  }
}

let port: HolderPort | undefined

export function holderPort(): HolderPort {
  port ??= new HolderPort()
  return port
}

/** The words of a record and where it begins. */
export function recordOf(state: StateRef, record: number): { words: SharedWords; base: number } {
  return { words: state.words, base: StateSegment.base(record) }
}

/** Whether a record is the one that a handle speaks of. */
export function recordIs(state: StateRef, record: number, idLow: number, idHigh: number): boolean {
  if (record >= RECORDS || (idLow === 0 && idHigh === 0)) return false
  const { words, base } = recordOf(state, record)
  return words.get(base + StateRecord.idLow) === idLow && words.get(base + StateRecord.idHigh) === idHigh
}
