import { type Machine, Processor, Queue } from './machine.ts'
import type { Omission, Scenario } from './scenario.ts'

/** Longest queue that any scenario needs. */
const QUEUE_ROOM = 10

/** Exporter to holder. */
export const STORAGE = 1
export const GO = 2
export const EVICTED = 3

/** Holder to exporter. */
export const LOWERED = 1
export const REGISTER = 2
export const WANT = 3
export const RELEASE = 4

/** Types, generations and storages are numbers below this. */
const RADIX = 5

/** A message of the exporter: what it is, a generation, and the storage that comes along as a descriptor. */
export function message(type: number, generation = 0, storage = 0): number {
  return type + RADIX * (generation + RADIX * storage)
}

export function parts(word: number): { type: number; generation: number; storage: number } {
  const rest = Math.floor(word / RADIX)
  return { type: word % RADIX, generation: rest % RADIX, storage: Math.floor(rest / RADIX) }
}

/** What a holder and the exporter have in common: its slot, and its private connection. */
export interface Link {
  /** `slot.count` in the holder's page. */
  readonly count: number
  readonly toExporter: Queue
  readonly toHolder: Queue
}

/**
 * What all parties share, and what only the properties look at. A storage is named by a number; its contents are one
 * word for each writer, which that writer counts up: brackets are no locks, and two may be inside at once.
 */
export class Shared {
  readonly machine: Machine
  readonly scenario: Scenario
  /** `record.moving`. */
  readonly moving: number
  /** `record.generation`. */
  readonly generation: number
  readonly links: readonly Link[]
  /** The channel on which one holder passes the buffer on to another. */
  readonly channel: Queue
  /** Holders, and behind them the exporter. */
  readonly writers: number
  /** Generations and storages are numbered from 1 to this. */
  readonly most: number
  readonly #contents: number
  /** For the properties: by writer, what its ended brackets have promised to whoever begins later. */
  readonly #promised: number
  readonly #omission: Omission | undefined

  constructor(machine: Machine, scenario: Scenario, omission: Omission | undefined) {
    this.machine = machine
    this.scenario = scenario
    this.#omission = omission
    this.moving = machine.allocate(1)
    this.generation = machine.allocate(1)
    this.links = scenario.holders.map(() => ({
      count: machine.allocate(1),
      toExporter: new Queue(machine, QUEUE_ROOM),
      toHolder: new Queue(machine, QUEUE_ROOM),
    }))
    this.channel = new Queue(machine, 1)
    this.writers = scenario.holders.length + (scenario.ownBrackets === undefined ? 0 : 1)
    this.most = scenario.moves + 1
    this.#contents = machine.allocate(this.most * this.writers)
    this.#promised = machine.allocate(this.writers)
  }

  omits(omission: Omission): boolean {
    return this.#omission === omission
  }

  /** The word of a writer in a storage. */
  word(storage: number, writer: number): number {
    return this.#contents + (storage - 1) * this.writers + writer
  }

  /** A bracket has ended as it should: what was stored in it is there for good. */
  promise(writer: number, value: number): void {
    this.machine.cells[this.#promised + writer] = value
  }

  /** Whether a processor finds in a storage all that was promised. */
  keepsPromises(processor: Processor, storage: number): boolean {
    for (let writer = 0; writer < this.writers; writer++) {
      const promised = this.machine.cells[this.#promised + writer]!
      if (processor.load(this.word(storage, writer)) < promised) return false
    }
    return true
  }
}

/** What a step or an event returns when it cannot happen now; it has changed nothing then. */
export const WAIT = 'wait'
export type StepResult = typeof WAIT | undefined

/** One who runs a program of named steps, each of which touches shared memory at most once, and can die between them. */
export abstract class Party<Step extends string> {
  abstract readonly name: string
  abstract readonly steps: Readonly<Record<Step, () => StepResult>>
  readonly shared: Shared
  readonly processor: Processor
  readonly #at: number
  readonly #dead: number
  #names: readonly Step[] = []
  #numbers: ReadonlyMap<Step, number> = new Map()

  constructor(shared: Shared) {
    const { machine } = shared
    this.shared = shared
    this.processor = new Processor(machine)
    this.#at = machine.allocate(1)
    this.#dead = machine.allocate(1)
  }

  /** The step that comes next. */
  get at(): Step {
    return this.#names[this.shared.machine.cells[this.#at]!]!
  }

  step(): StepResult {
    return this.steps[this.at]()
  }

  goto(step: Step): undefined {
    if (this.#names.length === 0) this.#nameSteps()
    this.shared.machine.cells[this.#at] = this.#numbers.get(step)!
  }

  get alive(): boolean {
    return this.shared.machine.cells[this.#dead] === 0
  }

  /** What it had stored reaches memory: an interrupt empties the store buffer too. */
  die(): void {
    this.processor.fence()
    this.shared.machine.cells[this.#dead] = 1
  }

  #nameSteps(): void {
    this.#names = Object.keys(this.steps) as Step[]
    this.#numbers = new Map(this.#names.map((name, number) => [name, number]))
  }
}
