/** Draws an integer from 0 up to, not including, `below`. */
export type Random = (below: number) => number

/** The same numbers for the same seed: xorshift (G. Marsaglia, "Xorshift RNGs", Journal of Statistical Software 8(14), 2003). */
export function seededRandom(seed: number): Random {
  // Spread over all bits, since small seeds would begin with small numbers; and never zero, which xorshift keeps.
  let state = Math.imul(seed + 1, 0x9e3779b1) ^ 0x5bd1e995 || 1
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return Math.floor(((state >>> 0) / 2 ** 32) * below)
  }
}
