export type { CacheWorld } from './testing/cache-world.ts'
export type { Step } from './testing/trace.ts'
export { SeedFailure, type UnderSeedsOptions, underSeeds } from './testing/under-seeds.ts'
