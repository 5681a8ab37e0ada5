#include "sys/line_signature.h"

#include <atomic>
#include <cstring>

#if defined(__x86_64__) && !defined(SYS_PORTABLE)
#include <cpuid.h>
#include <immintrin.h>
#elif defined(__aarch64__) && !defined(SYS_PORTABLE)
#include <arm_neon.h>
#endif

namespace sys {
namespace {

constexpr size_t kPiece = 64, kVector = 16, kKeys = 16;
/** By which the sums of a line grow with each of its pieces. */
constexpr uint64_t kNext = 0x9e3779b1;

struct Sums {
  uint64_t first, second;
};

/** Round constants of SHA-256, which nobody has chosen: one for each word of a piece, for either sum. */
alignas(64) constexpr uint32_t keys[2][kKeys] = {
    {0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
     0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174},
    {0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
     0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967},
};

/** What makes the sum of zeros zero, so that a new file needs no signatures. */
constexpr uint64_t Balance(size_t set, size_t bytes) {
  uint64_t sum = 0;
  for (size_t i = 0; i < bytes / sizeof(uint32_t); i += 2) sum += uint64_t{keys[set][i]} * keys[set][i + 1];
  return 0 - sum;
}

#if defined(__x86_64__) && !defined(SYS_PORTABLE)

template <size_t bytes>
inline Sums SumsOf(const uint8_t* piece) {
  __m128i sums[2];
  for (size_t set = 0; set < 2; ++set)
    sums[set] = _mm_set_epi64x(0, static_cast<int64_t>(Balance(set, bytes)));
  for (size_t at = 0; at < bytes; at += kVector) {
    const __m128i words = _mm_loadu_si128(reinterpret_cast<const __m128i*>(piece + at));
    for (size_t set = 0; set < 2; ++set) {
      const auto* own = reinterpret_cast<const __m128i*>(keys[set] + at / sizeof(uint32_t));
      const __m128i keyed = _mm_add_epi32(words, _mm_load_si128(own));
      sums[set] = _mm_add_epi64(sums[set], _mm_mul_epu32(keyed, _mm_srli_epi64(keyed, 32)));
    }
  }
  const __m128i both =
      _mm_add_epi64(_mm_unpacklo_epi64(sums[0], sums[1]), _mm_unpackhi_epi64(sums[0], sums[1]));
  return {static_cast<uint64_t>(_mm_cvtsi128_si64(both)),
          static_cast<uint64_t>(_mm_cvtsi128_si64(_mm_unpackhi_epi64(both, both)))};
}

#elif defined(__aarch64__) && !defined(SYS_PORTABLE)

template <size_t bytes>
inline Sums SumsOf(const uint8_t* piece) {
  uint64x2_t sums[2];
  for (size_t set = 0; set < 2; ++set)
    sums[set] = vcombine_u64(vcreate_u64(Balance(set, bytes)), vcreate_u64(0));
  for (size_t at = 0; at < bytes; at += kVector) {
    const uint32x4_t words = vreinterpretq_u32_u8(vld1q_u8(piece + at));
    for (size_t set = 0; set < 2; ++set) {
      const uint32x4_t keyed = vaddq_u32(words, vld1q_u32(keys[set] + at / sizeof(uint32_t)));
      const uint64x2_t pairs = vreinterpretq_u64_u32(keyed);
      sums[set] = vmlal_u32(sums[set], vmovn_u64(pairs), vshrn_n_u64(pairs, 32));
    }
  }
  return {vaddvq_u64(sums[0]), vaddvq_u64(sums[1])};
}

#else

template <size_t bytes>
inline Sums SumsOf(const uint8_t* piece) {
  uint32_t words[bytes / sizeof(uint32_t)];
  std::memcpy(words, piece, bytes);
  uint64_t sums[2];
  for (size_t set = 0; set < 2; ++set) {
    sums[set] = Balance(set, bytes);
    for (size_t i = 0; i < bytes / sizeof(uint32_t); i += 2) {
      const uint32_t even = words[i] + keys[set][i], odd = words[i + 1] + keys[set][i + 1];
      sums[set] += uint64_t{even} * odd;
    }
  }
  return {sums[0], sums[1]};
}

#endif

/** The words that overlap when both sums change alike are as far from each other as can be. */
inline uint64_t Folded(const Sums& sums) {
  return sums.first ^ (sums.second << 32 | sums.second >> 32);
}

inline uint64_t SignatureOf(const uint8_t* line, size_t size) {
  if (size == kPiece) return Folded(SumsOf<kPiece>(line));
  if (size == kVector) return Folded(SumsOf<kVector>(line));
  if (size == 2 * kVector) return Folded(SumsOf<2 * kVector>(line));
  Sums all{0, 0};
  for (size_t at = 0; at < size; at += kPiece) {
    const Sums piece = SumsOf<kPiece>(line + at);
    all = {all.first * kNext + piece.first, all.second * kNext + piece.second};
  }
  return Folded(all);
}

#if defined(__x86_64__) && !defined(SYS_PORTABLE)

/** As SumsOf<64>, with vectors twice as wide. */
__attribute__((target("avx2"))) inline Sums WideSums(const uint8_t* piece) {
  __m256i sums[2];
  for (size_t set = 0; set < 2; ++set)
    sums[set] = _mm256_set_epi64x(0, 0, 0, static_cast<int64_t>(Balance(set, kPiece)));
  for (size_t at = 0; at < kPiece; at += 2 * kVector) {
    const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(piece + at));
    for (size_t set = 0; set < 2; ++set) {
      const auto* own = reinterpret_cast<const __m256i*>(keys[set] + at / sizeof(uint32_t));
      const __m256i keyed = _mm256_add_epi32(words, _mm256_load_si256(own));
      sums[set] = _mm256_add_epi64(sums[set], _mm256_mul_epu32(keyed, _mm256_srli_epi64(keyed, 32)));
    }
  }
  const __m256i pairs =
      _mm256_add_epi64(_mm256_unpacklo_epi64(sums[0], sums[1]), _mm256_unpackhi_epi64(sums[0], sums[1]));
  const __m128i both = _mm_add_epi64(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
  return {static_cast<uint64_t>(_mm_cvtsi128_si64(both)), static_cast<uint64_t>(_mm_extract_epi64(both, 1))};
}

__attribute__((target("avx2"))) size_t WideFirstChanged(const uint8_t* lines, const uint64_t* stored,
                                                        size_t first, size_t last) {
  for (size_t line = first; line < last; ++line) {
    const uint8_t* bytes = lines + line * kPiece;
    __builtin_prefetch(bytes + kFetchAhead);
    if (Folded(WideSums(bytes)) != __atomic_load_n(stored + line, __ATOMIC_ACQUIRE)) return line;
  }
  return last;
}

/** AVX2, in the processor and in what the system saves of it (Intel SDM volume 1, 14.7.1). */
bool AskForWideVectors() {
  constexpr unsigned kVectorStates = 6;
  unsigned a, b, c, d, states, high;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & bit_OSXSAVE) == 0) return false;
  asm("xgetbv" : "=a"(states), "=d"(high) : "c"(0));
  if ((states & kVectorStates) != kVectorStates) return false;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & bit_AVX2) != 0;
}

// A virtual machine takes long to answer. Not a static variable of the function, whose guard would bring
// exceptions along (floor.cc), nor the compiler's own, which cannot be linked into every library.
enum : int { kUnasked, kNo, kYes };
std::atomic<int> wide_vectors{kUnasked};

bool HasWideVectors() {
  int known = wide_vectors.load(std::memory_order_relaxed);
  if (known == kUnasked) {
    known = AskForWideVectors() ? kYes : kNo;
    wide_vectors.store(known, std::memory_order_relaxed);
  }
  return known == kYes;
}

#endif

}  // namespace

uint64_t LineSignature(const uint8_t* line, size_t size) {
  return SignatureOf(line, size);
}

size_t FirstChanged(const uint8_t* lines, const uint64_t* stored, size_t size, size_t first, size_t last) {
#if defined(__x86_64__) && !defined(SYS_PORTABLE)
  if (size == kPiece && HasWideVectors()) return WideFirstChanged(lines, stored, first, last);
#endif
  for (size_t line = first; line < last; ++line) {
    const uint8_t* bytes = lines + line * size;
    for (size_t at = 0; at < size; at += kPiece) __builtin_prefetch(bytes + at + kFetchAhead);
    if (SignatureOf(bytes, size) != __atomic_load_n(stored + line, __ATOMIC_ACQUIRE)) return line;
  }
  return last;
}

}  // namespace sys
