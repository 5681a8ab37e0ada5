import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { sign } from '../../src/memory/cache/signature.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

function signatureOf(line: Uint8Array): string {
  const words = new Uint32Array(line.slice().buffer)
  const [low = 0, high = 0] = signed(words)
  return ((BigInt(high) << 32n) | BigInt(low)).toString(16).padStart(16, '0')
}

function signed(words: Uint32Array): Uint32Array {
  const signature = new Uint32Array(2)
  sign(words, 0, words.length, signature, 0)
  return signature
}

/** What docs/protocol.md says, word by word and without haste. */
function asDocumented(line: Uint8Array): string {
  const constants = (primes: number) => {
    const found: bigint[] = []
    for (let n = 2; found.length < primes; n++) {
      let prime = true
      for (let d = 2; d * d <= n; d++) if (n % d === 0) prime = false
      if (!prime) continue
      // The fraction of the cube root, 32 bits of it: the root of n * 2^96 in integers.
      let [low, high] = [0n, 1n << 40n]
      while (high - low > 1n) {
        const middle = (low + high) / 2n
        if (middle ** 3n <= BigInt(n) << 96n) low = middle
        else high = middle
      }
      found.push(low & 0xffff_ffffn)
    }
    return found
  }
  const keys = constants(32)
  const view = new DataView(line.buffer, line.byteOffset, line.length)
  const sums = [0, 16].map((set) => {
    let sum = 0n
    for (let piece = 0; piece < line.length; piece += 64) {
      sum *= 0x9e3779b1n
      for (let at = 0; at < Math.min(64, line.length - piece); at += 8) {
        const [k0 = 0n, k1 = 0n] = keys.slice(set + at / 4)
        const w0 = BigInt(view.getUint32(piece + at, true))
        const w1 = BigInt(view.getUint32(piece + at + 4, true))
        sum += BigInt.asUintN(32, w0 + k0) * BigInt.asUintN(32, w1 + k1) - k0 * k1
      }
      sum = BigInt.asUintN(64, sum)
    }
    return sum
  })
  const [first = 0n, second = 0n] = sums
  const turned = BigInt.asUintN(64, second << 32n) | (second >> 32n)
  return (first ^ turned).toString(16).padStart(16, '0')
}

const lineSizes = [16, 32, 64, 128, 4096]
const counting = (bytes: number) => Uint8Array.from({ length: bytes }, (_, i) => i)

test('the signature is the documented one', () => {
  expect(signatureOf(counting(64))).toBe(asDocumented(counting(64)))
  const line = fc
    .constantFrom(...lineSizes)
    .chain((size) => fc.uint8Array({ minLength: size, maxLength: size }))
  fc.assert(
    fc.property(line, (bytes) => {
      expect(signatureOf(bytes)).toBe(asDocumented(bytes))
    }),
  )
})

test('zeros have none, so that a new file needs no signatures', () => {
  for (const size of lineSizes) expect(signatureOf(new Uint8Array(size))).toBe('0000000000000000')
})

test('stores of the usual kinds never leave a signature as it was', () => {
  const seen = new Set<string>()
  let lines = 0
  const add = (words: Uint32Array) => {
    seen.add(signed(words).join())
    lines++
  }
  const line = () => new Uint32Array(16)
  // One byte, and two bytes of one value.
  for (let at = 0; at < 64; at++) {
    for (let value = 1; value < 256; value++) {
      const one = new Uint8Array(64)
      one[at] = value
      add(new Uint32Array(one.buffer))
    }
    for (let other = 0; other < at; other++) {
      const two = new Uint8Array(64)
      two[at] = two[other] = 255
      add(new Uint32Array(two.buffer))
    }
  }
  // Counters, grey pixels, and pixels of one colour but for one of its channels.
  for (let value = 1; value < 20_000; value++) {
    add(line().fill(value << 9))
    add(line().map((_, i) => (value << 9) + i + 1))
    add(line().map((_, i) => (i === value % 16 ? 0xff80_4020 + (((value >> 4) + 1) << 8) : 0xff80_4020)))
  }
  expect(seen.size).toBe(lines)
})

test('either half of a signature alone collides as often as chance has it', () => {
  const lows = new Set<number>()
  const highs = new Set<number>()
  const lines = 200_000
  for (let value = 0; value < lines; value++) {
    const [low = 0, high = 0] = signed(new Uint32Array(16).fill((value + 1) * 0x0101))
    lows.add(low)
    highs.add(high)
  }
  // 4.7 pairs are to be expected of 200,000 numbers of 32 bits; more than 30 have a chance of less than 1e-14.
  expect(lines - lows.size).toBeLessThan(30)
  expect(lines - highs.size).toBeLessThan(30)
})

const program = `
#include <cstdio>
#include <initializer_list>
#include "sys/line_signature.h"
int main() {
  static uint8_t line[4096];
  for (int size : {16, 32, 64, 128, 4096}) {
    for (int i = 0; i < size; ++i) line[i] = static_cast<uint8_t>(i * 167 + size);
    uint64_t made = sys::LineSignature(line, size);
    // The loop over lines may be another implementation.
    bool same = sys::FirstChanged(line, &made, size, 0, 1) == 1;
    std::printf("%016llx %d\\n", static_cast<unsigned long long>(made), same);
  }
}
`

/** Compiles the native signature with these, and tells what it makes of some lines. */
function compiled(compiler: string, flags: readonly string[], runner: readonly string[]): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'dmabuf-signature-'))
  try {
    const [source, binary] = [join(folder, 'main.cc'), join(folder, 'main')]
    writeFileSync(source, program)
    const own = join(root, 'native/sys/line_signature.cc')
    const options = ['-std=c++20', '-O2', '-static', '-iquote', join(root, 'native'), ...flags]
    execFileSync(compiler, [...options, '-o', binary, source, own])
    const [command = binary, ...values] = [...runner, binary]
    return execFileSync(command, values, { encoding: 'utf8' }).trim().split('\n')
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const expected = lineSizes.map(
  (size) => `${signatureOf(Uint8Array.from({ length: size }, (_, i) => i * 167 + size))} 1`,
)
const has = (command: string) => spawnSync(command, ['--version']).status === 0

test.skipIf(!has('c++'))('the native code has the same, with vectors and without', () => {
  expect(compiled('c++', [], [])).toEqual(expected)
  expect(compiled('c++', ['-DSYS_PORTABLE'], [])).toEqual(expected)
})

test.skipIf(!has('aarch64-linux-gnu-g++') || !has('qemu-aarch64'))('so has that for arm64', () => {
  expect(compiled('aarch64-linux-gnu-g++', [], ['qemu-aarch64'])).toEqual(expected)
})
