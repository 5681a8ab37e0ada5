// Puts the addon that node-gyp built where the loader looks for it, named after the C library it needs.
import { copyFileSync, mkdirSync } from 'node:fs'

// Asking for the network interfaces can take seconds where name service is slow.
process.report.excludeNetwork = true
const libc = process.report.getReport().header.glibcVersionRuntime ? 'glibc' : 'musl'
const folder = new URL(`../prebuilds/${process.platform}-${process.arch}/`, import.meta.url)
mkdirSync(folder, { recursive: true })
copyFileSync(new URL('./build/Release/dmabuf.node', import.meta.url), new URL(`dmabuf.${libc}.node`, folder))
