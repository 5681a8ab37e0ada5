import { addon } from '../native/load.ts'

let allowed: boolean | undefined

/**
 * Whether this runtime allows ArrayBuffers over memory that is not V8's own: not where V8 was built with a memory cage, as
 * Electron's is. Asked once; `DMABUF_NO_EXTERNAL=1` says no.
 */
export function allowsExternal(): boolean {
  allowed ??=
    process.env['DMABUF_NO_EXTERNAL'] !== '1' && typeof addon().allocatePages(addon().pageSize) !== 'number'
  return allowed
}
