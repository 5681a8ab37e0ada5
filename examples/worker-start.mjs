// Only because these examples run uncompiled: tsx leaves the first file of a worker as it is.
import { register } from 'tsx/esm/api'

register()
await import('./worker.ts')
