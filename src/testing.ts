export type { CacheWorld } from './testing/cache-world.ts'
export { SeedFailure, type Step } from './testing/seed-search.ts'
export { type UnderSeedsOptions, underSeeds } from './testing/under-seeds.ts'
