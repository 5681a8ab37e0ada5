import { problem } from '../internal/errors.ts'
import { options, shown, text } from '../internal/validate.ts'

/** Where a server listens: a path of a socket file, or an abstract name (no file, no permissions). */
export type Address = string | { readonly path: string } | { readonly abstract: string }

export interface ParsedAddress {
  readonly name: string
  readonly abstract: boolean
}

/** Room of `sockaddr_un.sun_path`, less the NUL that ends a path or begins an abstract name. */
const MAX_NAME_BYTES = 107

export function parseAddress(address: Address): ParsedAddress {
  if (typeof address === 'string') return parsePath(address)
  const parts = options<{ path?: string; abstract?: string }>('address', address, ['path', 'abstract'])
  if (parts.path !== undefined && parts.abstract === undefined) return parsePath(parts.path)
  if (parts.abstract !== undefined && parts.path === undefined) {
    const name = text('abstract', parts.abstract, MAX_NAME_BYTES)
    if (name !== '') return { name, abstract: true }
  }
  throw problem('argument', {
    what: 'address',
    expected: 'a path, { path } or { abstract }',
    received: shown(address),
  })
}

function parsePath(path: string): ParsedAddress {
  const name = text('path', path, MAX_NAME_BYTES)
  if (name === '') throw problem('argument', { what: 'path', expected: 'a path', received: "''" })
  return { name, abstract: false }
}

export function shownAddress(address: ParsedAddress): string {
  return address.abstract ? `the abstract name ${shown(address.name)}` : address.name
}
