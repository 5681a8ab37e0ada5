import type { BufferCore } from '../../dmabuf/buffer-core.ts'
import { type DmaBuf, wrap } from '../../dmabuf/dmabuf.ts'
import { checkView } from '../../dmabuf/map-storage.ts'
import { errno, problem, systemError } from '../../internal/errors.ts'
import { limits } from '../../internal/limits.ts'
import { boolean, integer, oneOf, options, text } from '../../internal/validate.ts'
import type { Sharing } from '../../memory/seals.ts'
import { addon } from '../../native/load.ts'
import type { MappedFile } from '../../native/vmem.ts'
import { type Block, blockOf, type ExportableMemory, resizable } from './block.ts'
import { type Exported, exportedOver } from './exported.ts'
import { foundBuffer } from './found.ts'
import { frames } from './frames.ts'
import { type SharePagesOptions, sharePages } from './share-pages.ts'
import { subBuffer } from './sub-buffer.ts'

export interface VmemExportOptions {
  /** Shown in `bufinfo`, in /proc and to every holder; at most 31 bytes. */
  readonly name?: string
  /** `'writable'` (default), or `'read-only'`: importers cannot write, which the kernel sees to. */
  readonly sharing?: Sharing
  /** Lock the pages into memory, by RLIMIT_MEMLOCK; true. */
  readonly lock?: boolean
}

const exportOptions = ['name', 'sharing', 'lock'] as const

/**
 * The exporter of memory that the process has already, as the vmemexp driver of Texas Instruments' kernels is (a device
 * whose ioctl makes a dma-buf of a range of virtual memory).
 */
export interface VmemExporter {
  readonly name: string
  /**
   * Exports memory: from now on the same JavaScript object shows pages that importers share. The caller closes the
   * buffer; when nobody has it any more, the pages become private again with the contents of that moment. Until then the
   * object is kept from the garbage collector.
   *
   * Best is memory of whole pages: {@link allocate}, a resizable ArrayBuffer, a growable SharedArrayBuffer, a
   * `WebAssembly.Memory` (the object itself). Large ArrayBuffers and Buffers that malloc gave pages of their own are taken too;
   * they begin inside a page, so `buffer.offset` is not 0. A page at either end that holds other bytes is never shared:
   * importers get a *side page*, brought in step when the exporter begins or ends CPU access and when a device maps or
   * unmaps. Between other processes no bracket sends a message, so end your own (`withCpuAccess('write', …)`) after storing there.
   *
   * Memory of a mapping is found, not moved: that of a buffer here gives the same buffer (or one over a range of
   * it), that of a memfd, a file in tmpfs or a dma-buf a buffer over that file, which its receivers can reach as a whole.
   * The same range again gives another wrapper over the same buffer; a range inside it a buffer over part of it.
   *
   * Threads that store into the memory meanwhile wait for at most a part of it (1 MiB) to be copied and lose nothing; I/O of
   * the kernel into it fails with `EFAULT` in that time. `resize()` and `transfer()` are possible while it is exported; memory
   * that is taken away by `structuredClone` or `postMessage` stays shared for the rest of its life.
   *
   * Errors: `EINVAL` for memory without pages of its own, `EFAULT` for what is not plain memory, `EBUSY` for a range that
   * overlaps an export, `ENOMEM`/`EPERM` beyond RLIMIT_MEMLOCK, `EDQUOT` beyond the memory budget.
   */
  export(view: ExportableMemory, exportOpts?: VmemExportOptions): Promise<DmaBuf>
  /**
   * Zeroed private memory of whole pages, made to be exported: as long as asked for, and unmapped when nobody has it any
   * more. A resizable ArrayBuffer where the runtime allows no memory but V8's own (Electron).
   */
  allocate(byteLength: number): ArrayBuffer
  /** The real page frames of a buffer, where this process may know them; see {@link frames}. */
  readonly frames: typeof frames
}

/** See {@link VmemExporter}. */
export const vmemexp: VmemExporter = Object.freeze({
  name: 'vmemexp',

  async export(view: ExportableMemory, exportOpts?: VmemExportOptions): Promise<DmaBuf> {
    const opts = options('vmemexp.export', exportOpts, exportOptions)
    const shareOptions = {
      name: text('name', opts.name ?? '', limits.maxNameBytes),
      sharing: oneOf('sharing', opts.sharing ?? 'writable', ['writable', 'read-only']),
      lock: boolean('lock', opts.lock ?? true),
    }
    const buffer = wrap(exportBlock(blockOf(view), shareOptions))
    if (shareOptions.sharing !== 'read-only' || buffer.sharing === 'read-only') return buffer
    // Whoever has it already may write, and that cannot be taken back.
    buffer.close()
    throw problem('vmemWritable', { bytes: buffer.byteLength })
  },

  allocate(byteLength: number): ArrayBuffer {
    integer('byteLength', byteLength, 1)
    checkView(byteLength)
    const memory = addon().allocatePages(byteLength)
    if (typeof memory !== 'number') return memory
    // Where V8 keeps all memory in a cage, it has one kind itself that is made of whole pages.
    if (memory === -errno.ENOTSUP) return resizable(byteLength)
    throw systemError(memory, 'mmap', `allocating ${byteLength} bytes`)
  },

  frames,
})

function exportBlock(block: Block, shareOptions: SharePagesOptions): BufferCore {
  const known = exportedBefore(block)
  if (known !== undefined) return known
  const maps = mappingsOver(block)
  const files = maps.some((each) => each.shared || each.inodeLow !== 0 || each.inodeHigh !== 0)
  if (files) {
    if (addon().isExported(block.address, block.byteLength) === 1) {
      throw problem('vmemThread', { bytes: block.byteLength })
    }
    return foundBuffer(block, maps, shareOptions.name)
  }
  if (!maps.every((each) => each.readable && each.writable)) {
    throw problem('vmemMixed', { bytes: block.byteLength, what: 'are not all open for reading and writing' })
  }
  return sharePages(block, shareOptions)
}

/** The buffer of an export in this environment that has the range already. */
function exportedBefore(block: Block): BufferCore | undefined {
  const { address, byteLength } = block
  const [each] = exportedOver(address, byteLength).filter((found) => stillThere(found, block))
  if (each?.core === undefined) return undefined
  const inside = address >= each.address && address + byteLength <= each.end
  if (!inside) throw problem('vmemOverlap', { bytes: byteLength, others: each.byteLength })
  return subBuffer(each.core, address - each.address, byteLength)
}

function stillThere(exported: Exported, block: Block): boolean {
  if (exported.core?.destroyed === true) exported.makePrivate()
  else if (exported.present) return true
  // Taken away by means that nobody is told of, and here it is again; or its addresses are used anew.
  else if (block.base === exported.base && exported.isIn(mappingsOver(block))) {
    exported.adopt(block.owner)
    return true
  } else exported.abandon()
  return false
}

function mappingsOver({ address, byteLength }: Block): MappedFile[] {
  const maps = addon().mappingsOver(address, byteLength, false)
  if (typeof maps !== 'number') return maps
  if (maps === -errno.EFAULT) throw problem('vmemMixed', { bytes: byteLength, what: 'are not all mapped' })
  throw systemError(maps, 'open', 'reading /proc/self/maps')
}
