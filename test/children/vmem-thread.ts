/** A thread that exports memory it was given, tells the descriptor, and then waits until it is ended in whatever way. */
import { parentPort, workerData } from 'node:worker_threads'
import { vmemexp } from '../../src/index.ts'

const buffer = await vmemexp.export(workerData as SharedArrayBuffer)
parentPort?.postMessage(buffer.fd)
parentPort?.once('message', () => process.exit(0))
