import { expect } from 'vitest'
import { DmaBufError } from '../../src/index.ts'

/** Runs what must throw or reject with a DmaBufError, and returns that error. */
export async function failure(run: () => unknown): Promise<DmaBufError> {
  let result: unknown
  try {
    result = await run()
  } catch (error) {
    if (!(error instanceof DmaBufError)) throw error
    return error
  }
  return expect.unreachable(`expected a DmaBufError, but it returned ${String(result)}`)
}

/** The code of that error. */
export async function codeOf(run: () => unknown): Promise<string> {
  return (await failure(run)).code
}

/** As {@link codeOf}, for what throws at once. */
export function codeNow(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (!(error instanceof DmaBufError)) throw error
    return error.code
  }
  return expect.unreachable('expected a DmaBufError')
}
