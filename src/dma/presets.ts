import { Device } from './device.ts'
import { Iommu } from './iommu.ts'

const bits32 = 2n ** 32n - 1n
/** `DRM_FORMAT_MOD_BROADCOM_VC4_T_TILED` (include/uapi/drm/drm_fourcc.h). */
const vc4TTiled = 0x0700_0000_0000_0001n

/**
 * The display of the Raspberry Pi up to the 4 (vc4), without an IOMMU: one contiguous piece of memory below 4 GiB.
 *
 * Sources: drivers/gpu/drm/vc4/vc4_drv.c (a coherent DMA mask of 32 bits), vc4_bo.c (buffers are GEM DMA objects) and
 * drivers/gpu/drm/drm_gem_dma_helper.c, drm_gem_dma_prime_import_sg_table(): an import whose table is not contiguous is `EINVAL`.
 * Of its modifiers the SAND ones, which carry a column height, are left out.
 */
export function vc4(name = 'vc4'): Device {
  return new Device(name, { dmaMask: bits32, maxSegments: 1, image: { modifiers: [0n, vc4TTiled] } })
}

/**
 * The 3D engine of the Raspberry Pi 4 and 5 (v3d): an MMU of its own with 4 KiB pages and 4 GiB of addresses, of which page 0
 * is never given out; any pages suit.
 *
 * Sources: drivers/gpu/drm/v3d/v3d_mmu.c (one level of tables for 4 GiB, V3D_MMU_PAGE_SHIFT) and v3d_gem.c (addresses from
 * page 1 on). That its physical addresses end at 36 bits is left out, and so are its single-level tables: this MMU's
 * take as many pages as they need.
 */
export function v3d(name = 'v3d'): Device {
  const iommu = new Iommu({ aperture: { start: 0x1000n, end: bits32 } })
  return new Device(name, { dmaMask: bits32, iommu })
}

/**
 * A display like that of an AMD APU: scattered memory, addresses of 44 bits, strides in multiples of 256 bytes.
 *
 * Sources: drivers/gpu/drm/amd/amdgpu/amdgpu_gem.c, amdgpu_gem_align_pitch() (256, 128 and 64 pixels of 1, 2 and 4 bytes), gmc_v9_0.c
 * (a DMA mask of 44 bits), and amdgpu_display.c, amdgpu_display_supported_domains() (chips that scan out from system memory).
 * Its tiling modifiers are left out.
 */
export function amdgpuDisplay(name = 'amdgpu'): Device {
  return new Device(name, { dmaMask: 2n ** 44n - 1n, image: { strideAlignment: 256 } })
}

/**
 * A 32-bit camera without an IOMMU: the CSI-2 receiver of the Raspberry Pi up to the 4 (unicam). Contiguous memory below
 * 4 GiB, strides in multiples of 32 bytes that fit into 16 bits.
 *
 * Sources: drivers/media/platform/broadcom/bcm2835-unicam.c (UNICAM_IMAGE_BPL_ALIGNMENT, UNICAM_IMAGE_MAX_BPL; it sets no DMA mask,
 * so it has the 32 bits that drivers/base/platform.c gives every platform device) and
 * drivers/media/common/videobuf2/videobuf2-dma-contig.c (a dma-buf whose table is not contiguous is refused).
 */
export function unicam(name = 'unicam'): Device {
  const image = { strideAlignment: 32, maxStride: 2 ** 16 - 32 }
  return new Device(name, { dmaMask: bits32, maxSegments: 1, image })
}

/**
 * A USB 3 host controller: scattered memory in pieces that cross no multiple of 64 KiB.
 *
 * Source: drivers/usb/host/xhci.h (TRB_MAX_BUFF_SHIFT: a transfer block points to at most 64 KiB and not across such a boundary). The
 * driver does this splitting itself, so that in the kernel it is not among the device's DMA parameters.
 */
export function xhci(name = 'xhci'): Device {
  return new Device(name, { maxSegmentSize: 2 ** 16, segmentBoundaryMask: 0xffffn })
}
