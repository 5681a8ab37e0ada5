/** Words of 32 bits that are summed up together: 64 bytes. */
const PIECE = 16
/** By which the sums of a line grow with each of its pieces. */
const NEXT = 0x9e3779b1
const WORD = 2 ** 32

/** Round constants of SHA-256, which nobody has chosen: one for each word of a piece, for either sum. */
const FIRST = Uint32Array.of(
  ...[0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5],
  ...[0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174],
)
const SECOND = Uint32Array.of(
  ...[0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da],
  ...[0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967],
)

/** The upper half of the product of two words. */
function productHigh(a: number, b: number): number {
  const [aLow, aHigh, bLow, bHigh] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16]
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16)
  return aHigh * bHigh + (middle >>> 16) + ((aLow * bHigh + (middle & 0xffff)) >>> 16)
}

/** A sum of products of 64 bits, which JavaScript's numbers have no room for. */
class Sum {
  low = 0
  high = 0
  readonly #keys: Uint32Array

  constructor(keys: Uint32Array) {
    this.#keys = keys
  }

  /** Of words [from, from + count), 0 for zeros. */
  of(words: Uint32Array, from: number, count: number): void {
    this.low = 0
    this.high = 0
    for (let at = 0; at < count; at += PIECE) {
      // Times NEXT, before the next piece.
      const high = Math.imul(this.high, NEXT) + productHigh(this.low, NEXT)
      this.#add(words, from + at, Math.min(PIECE, count - at), Math.imul(this.low, NEXT) >>> 0, high)
    }
  }

  /** To a sum so far: exact, because few enough are added up before the carry goes over. */
  #add(words: Uint32Array, from: number, count: number, sumLow: number, sumHigh: number): void {
    const keys = this.#keys
    let [low, high] = [sumLow, sumHigh]
    for (let i = 0; i < count; i += 2) {
      const [key, nextKey] = [keys[i] ?? 0, keys[i + 1] ?? 0]
      const even = ((words[from + i] ?? 0) + key) >>> 0
      const odd = ((words[from + i + 1] ?? 0) + nextKey) >>> 0
      low += (Math.imul(even, odd) >>> 0) - (Math.imul(key, nextKey) >>> 0)
      high += productHigh(even, odd) - productHigh(key, nextKey)
    }
    this.low = low >>> 0
    this.high = (high + Math.floor(low / WORD)) >>> 0
  }
}

const first = new Sum(FIRST)
const second = new Sum(SECOND)

/**
 * The signature of `count` words at `from`, a line: two words (the lower one first) at `at` of `into`. Lines that differ have
 * the same one with a chance of about 2^-64; a line of zeros has 0, as a new file has. NH of UMAC (Black, Halevi, Krawczyk,
 * Krovetz and Rogaway 1999; RFC 4418) with two sets of keys, and a polynomial of its values where a line has several pieces.
 * native/sys/line_signature.cc has the same, and docs/protocol.md says it in words: processes share what is stored.
 */
export function sign(words: Uint32Array, from: number, count: number, into: Uint32Array, at: number): void {
  first.of(words, from, count)
  second.of(words, from, count)
  // The words that overlap when both sums change alike are as far from each other as can be.
  into[at] = first.low ^ second.high
  into[at + 1] = first.high ^ second.low
}
