import { test } from 'vitest'
import { allowsExternal } from '../../src/memory/external.ts'

/**
 * A test of what copies cannot have: live memory outside brackets, views that go one by one. Left out where no ArrayBuffer
 * may lie over shared memory (`npm run test:no-external`).
 */
export const zeroCopyTest = test.skipIf(!allowsExternal())
