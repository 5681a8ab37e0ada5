import { Worker, type WorkerOptions } from 'node:worker_threads'

/** A worker thread that runs a TypeScript file; Node 20 takes no `--import tsx` for a worker. */
export function typescriptWorker(module: URL, options: WorkerOptions = {}): Worker {
  const start = `import('tsx/esm/api').then((tsx) => (tsx.register(), import(${JSON.stringify(module.href)})))`
  return new Worker(start, { ...options, eval: true })
}
