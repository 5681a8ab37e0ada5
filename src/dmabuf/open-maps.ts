/** A mapping that somebody has made and has to undo. */
export interface OpenMap {
  /** Undoes it for an owner who has not; returns how many mappings that were. Never throws. */
  abandon(): number
}

/** What one owner, a wrapper or a bracket, has mapped and not unmapped yet. */
export class OpenMaps implements OpenMap {
  #maps: Set<OpenMap> | undefined

  add(map: OpenMap): void {
    this.#maps ??= new Set()
    this.#maps.add(map)
  }

  has(map: OpenMap): boolean {
    return this.#maps?.has(map) === true
  }

  /** False when it was not there: undone before. */
  remove(map: OpenMap): boolean {
    return this.#maps?.delete(map) === true
  }

  /** The youngest first. */
  abandon(): number {
    if (this.#maps === undefined) return 0
    const left = [...this.#maps].reverse()
    this.#maps = undefined
    return left.reduce((count, map) => count + map.abandon(), 0)
  }
}
