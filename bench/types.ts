/** What the consumer of a stream reads of each frame: one word of every page, or every word. */
export type Touch = 'page' | 'all'

/** `handover`: a buffer that both sides know; `new`: one made for this message. */
export type TripKind = 'handover' | 'new'

export interface Cores {
  readonly producer: number
  readonly consumer: number
}

export interface Setup {
  readonly size: number
  /** Frames that may be under way at once; the same rule for every peer, see `depthFor`. */
  readonly depth: number
  readonly cores: Cores
}

export interface StreamFigures {
  readonly seconds: number
  /** User and system time of both processes. */
  readonly cpuSeconds: number
}

/** A running pair of processes of one peer, seen from the process that produces. */
export interface Peer {
  /** Microseconds of each of `count` round trips. */
  roundTrip(kind: TripKind, count: number): Promise<number[]>
  stream(frames: number, touch: Touch): Promise<StreamFigures>
  stop(): Promise<void>
}

export interface StartOptions extends Setup {
  /** Called whenever the processes to be measured are others than before. */
  onPids(pids: readonly number[]): void
}

export type Start = (options: StartOptions) => Promise<Peer>

/** One (peer, size, placement) to be measured in a pair of processes of its own. */
export interface Job extends Setup {
  readonly peer: string
  readonly seconds: number
  /** A fixed count of frames and round trips instead of as many as fit into `seconds`. */
  readonly frames?: number
  readonly parts: readonly Part[]
}

export type Part = 'handover' | 'new' | 'page' | 'all' | 'memory'

export interface TripFigures {
  readonly median: number
  readonly p99: number
  readonly count: number
}

export interface FrameFigures {
  readonly framesPerSecond: number
  readonly cpuMillis: number
  readonly frames: number
}

export interface MemoryFigures {
  readonly peakRssMiB: number
  readonly peakPssMiB: number
  readonly idlePssMiB: number
}

export interface Figures {
  handover?: TripFigures
  new?: TripFigures
  page?: FrameFigures
  all?: FrameFigures
  memory?: MemoryFigures
}

/** What the producing process tells the orchestrating one. */
export type JobMessage =
  | { readonly type: 'pids'; readonly pids: readonly number[] }
  | { readonly type: 'idle' }
  | { readonly type: 'memory-begin' }
  | { readonly type: 'memory-end' }
  | { readonly type: 'figures'; readonly figures: Figures }
  | { readonly type: 'error'; readonly text: string }

export interface BracketFigures {
  readonly medianNs: number
  readonly p99Ns: number
}

export interface Brackets {
  readonly read: BracketFigures
  readonly write: BracketFigures
  /** A read bracket in which one byte is looked at, which needs the wrapper's view of the memory. */
  readonly readAndLook: BracketFigures
  /** Through `await`. */
  readonly readAwaited: BracketFigures
  readonly writeAwaited: BracketFigures
}

/** Microseconds of one operation. */
export interface Micros {
  readonly median: number
  readonly p99: number
  readonly count: number
}

/** Telling another process something, one way. */
export interface Wakeups {
  readonly cores: Cores
  /** Two C programs that block on eventfds. */
  readonly eventfd: Micros
  /** From the signal of a fence to the end of the `await` in the other process. */
  readonly fence: Micros
  /** How many times as long as an eventfd: the median of turns in which both were measured. */
  readonly times: number
}

/** One bracket around a buffer, guarded and not. */
export interface GuardCosts {
  readonly off: Micros
  readonly on: Micros
  /** Without the stacks of the last begin and end. */
  readonly withoutStacks: Micros
  /** Guarded, the whole buffer filled in it. */
  readonly filled: Micros
  readonly filledOff: Micros
}

/** A bracket with the guard off, in two processes. */
export interface GuardOff {
  readonly neverNs: number
  /** It was on for a while. */
  readonly offAgainNs: number
  /** The latter to the former: the median of turns in which both were measured. */
  readonly times: number
}

export interface Guards {
  readonly size: number
  readonly off: GuardOff
  /** In pages of the machine's size. */
  readonly small: GuardCosts
  /** In transparent huge pages. */
  readonly transparent: GuardCosts
}

/** Microseconds of processor time for cleaning a view of 33 MiB, and for a copy of as much (`copy`). */
export interface Cleaning {
  readonly signatures: CleaningWay
  /** Ways that were not chosen. */
  readonly others: CleaningWay
}

export type CleaningWay = Readonly<Record<string, { readonly best: number; readonly median: number }>>

/** What the scripts in micro/ found; null when one failed, or was not run. */
export interface Micro {
  readonly bracket: Brackets | null
  readonly wakeups: Wakeups | null
  readonly guards: Guards | null
  readonly cleaning: Cleaning | null
  readonly moves: Moves | null
  readonly devices: Devices | null
}

/** Moving a buffer of `size` bytes to other storage, in this process alone. */
export interface Moves {
  readonly size: number
  /** Copying as many bytes from one buffer to another. */
  readonly copy: Micros
  /** A move into storage that was made ready before. */
  readonly prepared: Micros
  /** A move that makes its storage. */
  readonly fresh: Micros
  /** The part of a move that exchanges the pages under the views. */
  readonly takeOver: Micros
}

/** Operations of a device on one buffer, each with its inverse. */
export interface DeviceCosts {
  readonly attach: Micros
  readonly map: Micros
  /** For a device behind an IOMMU: page tables are filled and emptied each time. */
  readonly mapCold: Micros
  /** The same device, whose attachment keeps what the first map has set up. */
  readonly mapCached: Micros
  /** `DmaBuf.export` of a memfd. */
  readonly export: Micros
  /** A map for which the buffer moves into storage that is made for it. */
  readonly move: Micros
}

export type DeviceSeries = readonly { readonly of: number; readonly costs: DeviceCosts }[]

/** The same operations for buffers of several sizes, among many buffers, on a buffer with many attachments. */
export interface Devices {
  readonly sizes: DeviceSeries
  readonly buffers: DeviceSeries
  readonly attachments: DeviceSeries
}

/** What a reader needs to judge the figures by. */
export interface Facts {
  readonly date: string
  readonly cpu: string
  readonly cores: number
  readonly memoryGiB: number
  readonly kernel: string
  readonly virtualized: 'yes' | 'no'
  readonly governor: string
  readonly node: string
  readonly v8: string
  readonly commit: string
  readonly loadAtStart: number
}

export interface Measurement {
  readonly peer: string
  readonly size: number
  readonly placement: 'same' | 'different'
  readonly figures: Figures
}

/** One size of the series: frames per second and round trip of ours, and of the copying peer best at it. */
export interface SeriesPoint {
  readonly size: number
  readonly framesPerSecond: Readonly<Record<string, number>>
  readonly roundTripMicros: Readonly<Record<string, number>>
}

export interface Crossover {
  readonly points: readonly SeriesPoint[]
  /** The smallest size from which on ours is ahead of every copying peer; null when it never is. */
  readonly framesFrom: number | null
  readonly roundTripFrom: number | null
}

export interface Aim {
  readonly aim: string
  readonly limit: string
  /** Null when a peer that it needs was not measured. */
  readonly measured: number | null
  /** The same of the C program: no library can do better by much; null where it has no such figure. */
  readonly floor: number | null
  readonly pass: boolean | null
}

export interface Results extends Micro {
  readonly facts: Facts
  readonly settings: Readonly<Record<string, string | number | boolean | null>>
  readonly cores: Readonly<Record<string, Cores>>
  readonly measurements: readonly Measurement[]
  /** Why a peer is missing or a job gave no figures. */
  readonly missing: readonly string[]
  readonly crossover: Crossover | null
  readonly aims: readonly Aim[]
}
