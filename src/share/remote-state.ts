import type { BufferCore } from '../dmabuf/buffer-core.ts'
import {
  PAGE_VERSION,
  RECORD_WORDS,
  RECORDS,
  STATE_MAGIC,
  STATE_SEGMENT_BYTES,
  StateHeader,
} from '../dmabuf/words.ts'
import { type FileIdentity, inspectDoor, sameFile } from '../memory/facts.ts'
import { mapSegment } from '../memory/segment.ts'
import type { SharedWords } from '../memory/shared-words.ts'
import type { Mapping } from '../native/addon.ts'
import { addon } from '../native/load.ts'
import type { RemoteExporter } from './remote-exporter.ts'

/** Another environment's state segment, mapped here for reading. */
export class RemoteState {
  /** Owned; passed on when a buffer is forwarded. */
  readonly fd: number
  readonly words: SharedWords
  readonly segment: number
  readonly exporter: RemoteExporter
  /** The buffers that this environment has of it, by record. */
  readonly cores = new Map<number, BufferCore>()
  readonly #mapping: Mapping
  readonly #closed: () => void
  #users = 0

  constructor(
    fd: number,
    words: SharedWords,
    mapping: Mapping,
    exporter: RemoteExporter,
    closed: () => void,
  ) {
    this.fd = fd
    this.words = words
    this.segment = words.get(StateHeader.segment)
    this.exporter = exporter
    this.#mapping = mapping
    this.#closed = closed
    exporter.use()
  }

  /** A channel that names it, or a buffer of it. */
  use(): void {
    this.#users++
  }

  unuse(): void {
    if (--this.#users > 0) return
    this.#closed()
    this.#mapping.close()
    addon().close(this.fd)
    this.exporter.unuse()
  }
}

/** Maps a state segment whose seals are checked already; returns what is wrong with its header. */
export function openState(fd: number): { words: SharedWords; mapping: Mapping } | string {
  const state = mapSegment(fd, STATE_SEGMENT_BYTES)
  const version = state.words.get(StateHeader.version)
  let wrong: string | undefined
  if (state.words.get(StateHeader.magic) !== STATE_MAGIC) wrong = 'a state segment without its magic word'
  else if ((version & 0xffff) !== PAGE_VERSION) {
    wrong = `a state segment of version ${version & 0xffff}, and this side knows ${PAGE_VERSION}`
  } else if (version >>> 16 !== RECORD_WORDS * 4 || state.words.get(StateHeader.records) !== RECORDS) {
    wrong = 'a state segment of another geometry'
  }
  if (wrong === undefined) return state
  state.mapping.close()
  return wrong
}

/** The door that a state segment names, or `undefined` where its exporter has none. */
function namedDoor(words: SharedWords): FileIdentity | undefined {
  const identity = {
    deviceLow: words.get(StateHeader.doorDeviceLow),
    deviceHigh: words.get(StateHeader.doorDeviceHigh),
    inodeLow: words.get(StateHeader.doorInodeLow),
    inodeHigh: words.get(StateHeader.doorInodeHigh),
  }
  return identity.inodeLow === 0 && identity.inodeHigh === 0 ? undefined : identity
}

/**
 * Whether a door belongs to a state segment: `'door'` when it is the socket that the segment names, `'pair'` for a
 * connected end of an exporter without a door, or what is wrong.
 */
export function bindDoor(words: SharedWords, fd: number): { kind: 'door' | 'pair'; key: string } | string {
  const named = namedDoor(words)
  if (named === undefined) {
    // Asked of the socket layer alone: watching another file would ask whoever serves it.
    return addon().peerCredentials(fd) < 0 ? 'a door that is no socket' : { kind: 'pair', key: '' }
  }
  const found = inspectDoor(fd)
  if (typeof found === 'number') return 'a door that is no socket'
  if (!sameFile(found, named)) return 'a door that is not the one its state segment names'
  const { deviceHigh, deviceLow, inodeHigh, inodeLow } = found
  return { kind: 'door', key: `${deviceHigh}:${deviceLow}:${inodeHigh}:${inodeLow}` }
}
