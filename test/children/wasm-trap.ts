/** What Node has and its types do not show. */
interface Wasm {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (module: object) => { readonly exports: Record<string, () => number> }
  readonly RuntimeError: new () => Error
}
const { Module, Instance, RuntimeError } = (globalThis as unknown as { WebAssembly: Wasm }).WebAssembly

/** A module whose only function `f` loads a word from far behind the end of its memory. */
const module = new Module(
  Uint8Array.from([
    ...[0, 97, 115, 109, 1, 0, 0, 0],
    ...[1, 5, 1, 96, 0, 1, 127],
    ...[3, 2, 1, 0],
    ...[5, 3, 1, 0, 1],
    ...[7, 5, 1, 1, 102, 0, 0],
    ...[10, 12, 1, 10, 0, 65, 128, 128, 128, 1, 40, 2, 0, 11],
  ]),
)

/** A fault that is V8's own. Throws when it does not end as a RuntimeError. */
export function trap(): void {
  const { f } = new Instance(module).exports
  try {
    f?.()
  } catch (error) {
    if (error instanceof RuntimeError) return
    throw error
  }
  throw new Error('no trap')
}
