import type { Machine } from './machine.ts'

/**
 * What a transition did: nothing, because it cannot happen now; something that is sure to happen at last (the step of
 * a program, a store that leaves its buffer); or something that may happen and may not (a kill, a time-out).
 */
export type Outcome = 'not now' | 'sure' | 'perhaps'

export interface Transition {
  /** How a trace calls it; asked before it is run. */
  name(): string
  /** Changes the machine's state; not at all when it cannot happen now. */
  run(): Outcome
}

/** What the checker explores: all that can happen, from the machine's present state on, in every order. */
export interface Model {
  readonly machine: Machine
  readonly transitions: readonly Transition[]
  /** What is wrong with the present state, whatever happens next. */
  wrong(): string | undefined
  /** Whether everybody has come to an end, so that nothing need happen any more. */
  atRest(): boolean
  /** The present state in words, for the end of a trace. */
  describe(): string
}

export interface Violation {
  readonly kind: string
  /** Shortest way there, from the first state on. */
  readonly trace: readonly string[]
}

export interface Verdict {
  readonly states: number
  readonly transitions: number
  readonly violation: Violation | undefined
}

/** Somebody waits, and nothing that is sure to happen will wake it. */
export const HANG = 'sleeps for ever'
/** Programs that come to no end although nothing stops them. */
export const CIRCLE = 'runs in a circle'

/**
 * Explores every state that a model can reach, breadth first, so that what it finds is found by a shortest way. Three
 * things are violations: what the model itself calls wrong; a state that is not at rest where nothing sure can happen
 * (a kill or a time-out does not count: nobody may have to be killed for others to go on); and a circle of things that
 * are sure to happen. Without the latter two every program ends, on every path.
 */
export function check(model: Model, mostStates = 4_000_000): Verdict {
  const { machine, transitions } = model
  const words = new Int32Array(machine.cells.buffer)
  const states = new StateTable(words)
  const edges = new Edges()
  let count = 0
  const verdict = (violation?: Violation): Verdict => ({ states: states.size, transitions: count, violation })

  states.add(words, -1, 0)
  for (let id = 0; id < states.size; id++) {
    if (states.size > mostStates) throw new Error(`more than ${mostStates} states`)
    states.load(id, words)
    let stuck = !model.atRest()
    for (let index = 0; index < transitions.length; index++) {
      machine.failure = undefined
      const outcome = transitions[index]!.run()
      if (outcome === 'not now') continue
      count++
      const wrong = machine.failure ?? model.wrong()
      const next = states.add(words, id, index)
      if (wrong !== undefined) return verdict({ kind: wrong, trace: trace(model, states, id, index) })
      if (outcome === 'sure') {
        stuck = false
        edges.add(id, next)
      }
      states.load(id, words)
    }
    if (stuck) return verdict({ kind: HANG, trace: trace(model, states, id) })
  }
  const circle = edges.circle(states.size)
  if (circle >= 0) return verdict({ kind: CIRCLE, trace: trace(model, states, circle) })
  return verdict()
}

/** The names of what led to a state, and at last of one more transition out of it. */
function trace(model: Model, states: StateTable, id: number, last?: number): string[] {
  const { machine, transitions } = model
  const words = new Int32Array(machine.cells.buffer)
  const steps: [state: number, transition: number][] = last === undefined ? [] : [[id, last]]
  for (let at = id; states.parent(at) >= 0; at = states.parent(at)) {
    steps.unshift([states.parent(at), states.cause(at)])
  }
  const names = steps.map(([state, transition]) => {
    states.load(state, words)
    return transitions[transition]!.name()
  })
  states.load(id, words)
  if (last !== undefined) transitions[last]!.run()
  return [...names, model.describe()]
}

/** All states met so far: their words one after the other, how each was reached, and a hash table to find them by. */
class StateTable {
  size = 0
  readonly #length: number
  #words: Int32Array
  #parents = new Int32Array(1024)
  #causes = new Uint8Array(1024)
  /** Numbers of states plus one, at the hash of their words or behind it. */
  #slots = new Int32Array(4096)

  constructor(example: Int32Array) {
    this.#length = example.length
    this.#words = new Int32Array(this.#length * 1024)
  }

  load(id: number, into: Int32Array): void {
    const start = id * this.#length
    for (let word = 0; word < this.#length; word++) into[word] = this.#words[start + word]!
  }

  parent(id: number): number {
    return this.#parents[id]!
  }

  cause(id: number): number {
    return this.#causes[id]!
  }

  /** The number of a state, new or known. */
  add(state: Int32Array, parent: number, cause: number): number {
    if (this.size === this.#parents.length) this.#grow()
    const mask = this.#slots.length - 1
    let slot = hash(state, 0, this.#length) & mask
    for (let known = this.#slots[slot]!; known !== 0; known = this.#slots[slot]!) {
      if (this.#equals(known - 1, state)) return known - 1
      slot = (slot + 1) & mask
    }
    const id = this.size++
    this.#slots[slot] = id + 1
    this.#words.set(state, id * this.#length)
    this.#parents[id] = parent
    this.#causes[id] = cause
    return id
  }

  #equals(id: number, state: Int32Array): boolean {
    const start = id * this.#length
    for (let word = 0; word < this.#length; word++) {
      if (this.#words[start + word] !== state[word]) return false
    }
    return true
  }

  #grow(): void {
    const capacity = this.size * 2
    this.#words = copyInto(new Int32Array(capacity * this.#length), this.#words)
    this.#parents = copyInto(new Int32Array(capacity), this.#parents)
    this.#causes = copyInto(new Uint8Array(capacity), this.#causes)
    this.#slots = new Int32Array(capacity * 4)
    const mask = this.#slots.length - 1
    for (let id = 0; id < this.size; id++) {
      let slot = hash(this.#words, id * this.#length, this.#length) & mask
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask
      this.#slots[slot] = id + 1
    }
  }
}

/** Which state leads to which, by what is sure to happen. */
class Edges {
  #from = new Int32Array(4096)
  #to = new Int32Array(4096)
  #size = 0

  add(from: number, to: number): void {
    if (this.#size === this.#from.length) {
      this.#from = copyInto(new Int32Array(this.#size * 2), this.#from)
      this.#to = copyInto(new Int32Array(this.#size * 2), this.#to)
    }
    this.#from[this.#size] = from
    this.#to[this.#size++] = to
  }

  /** A state on or behind a circle, or -1: takes away again and again the states to which nothing leads any more. */
  circle(states: number): number {
    const arrivals = new Int32Array(states)
    for (let edge = 0; edge < this.#size; edge++) arrivals[this.#to[edge]!]!++
    // Edges are stored in the order of the states they begin at.
    const first = new Int32Array(states + 1)
    for (let edge = 0; edge < this.#size; edge++) first[this.#from[edge]! + 1]!++
    for (let id = 0; id < states; id++) first[id + 1]! += first[id]!
    const free: number[] = []
    for (let id = 0; id < states; id++) if (arrivals[id] === 0) free.push(id)
    for (let id = free.pop(); id !== undefined; id = free.pop()) {
      for (let edge = first[id]!; edge < first[id + 1]!; edge++) {
        const next = this.#to[edge]!
        if (--arrivals[next]! === 0) free.push(next)
      }
    }
    return arrivals.findIndex((left) => left > 0)
  }
}

function copyInto<T extends Int32Array | Uint8Array>(larger: T, old: T): T {
  larger.set(old)
  return larger
}

function hash(words: Int32Array, start: number, length: number): number {
  let sum = 0
  for (let word = start; word < start + length; word++) {
    sum = Math.imul(sum ^ words[word]!, 0x9e37_79b1)
    sum ^= sum >>> 15
  }
  return sum
}
