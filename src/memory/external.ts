import { addon } from '../native/load.ts'

let allowed: boolean | undefined

/**
 * Whether this runtime allows ArrayBuffers over memory that is not V8's own: not where V8 was built with a memory cage, as
 * Electron's is. Asked once. With `DMABUF_NO_EXTERNAL=1` the addon itself refuses, as it would there.
 */
export function allowsExternal(): boolean {
  allowed ??= typeof addon().allocatePages(addon().pageSize) !== 'number'
  return allowed
}
