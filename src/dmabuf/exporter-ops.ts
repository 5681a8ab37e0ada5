/**
 * What an exporter does for the buffers it exports, checked when a buffer is exported, as `dma_buf_export()` does
 * (drivers/dma-buf/dma-buf.c).
 */
export interface ExporterOps {
  /**
   * The last holder anywhere is gone and the exporter itself has closed the buffer: give back what lies behind
   * it. Called once. The storage descriptor given to `DmaBuf.export` is closed by the library afterwards.
   */
  release(): void
}
