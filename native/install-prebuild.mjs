// Puts the addon that node-gyp built where the loader looks for it.
import { copyFileSync, mkdirSync, renameSync } from 'node:fs'
import { prebuild } from './prebuild.mjs'

const fresh = new URL(`${prebuild.href}.${process.pid}`)
mkdirSync(new URL('./', prebuild), { recursive: true })
copyFileSync(new URL('./build/Release/dmabuf.node', import.meta.url), fresh)
// Writing into the file itself would change the code under processes that run it.
renameSync(fresh, prebuild)
