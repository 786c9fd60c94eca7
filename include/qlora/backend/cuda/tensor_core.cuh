/// Instructions of tensor cores, and of what feeds them (PTX ISA, from sm_80 on), as functions that
/// tests can run on the CPU. A warp takes part as a whole; lane 4 g + t of it is called (g, t).
#pragma once

#include <cmath>
#include <cstdint>

#include <qlora/backend/cuda/runtime.cuh>
#include <qlora/core/scalar.hpp>

namespace qlora::inline v1::cuda {

/// Two bf16, the first in the lower half.
using Pair16 = std::uint32_t;

/// (16, 16) bf16: rows g and g + 8 of columns 2t and 2t + 1, then of columns 2t + 8 and 2t + 9.
struct FragmentA {
  Pair16 pairs[4];
};
/// (16, 8) bf16: rows 2t and 2t + 1 of column g, then rows 2t + 8 and 2t + 9.
struct FragmentB {
  Pair16 pairs[2];
};
/// (16, 8) float: columns 2t and 2t + 1 of row g, then of row g + 8.
struct FragmentC {
  float values[4];
};

/// c += a b.
__device__ inline void multiply_add(FragmentC& c, FragmentA const& a, FragmentB const& b) {
#if defined(QLORA_EMULATE_CUDA)
  emulation::mma_m16n8k16(c.values, a.pairs, b.pairs);
#else
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c.values[0]), "+f"(c.values[1]), "+f"(c.values[2]), "+f"(c.values[3])
      : "r"(a.pairs[0]), "r"(a.pairs[1]), "r"(a.pairs[2]), "r"(a.pairs[3]), "r"(b.pairs[0]),
        "r"(b.pairs[1]));
#endif
}

/// Numbers rounded to a pair.
__device__ inline Pair16 pair_of(float first, float second) {
#if defined(QLORA_EMULATE_CUDA)
  return Pair16{bf16{first}.bits} | Pair16{bf16{second}.bits} << 16;
#else
  Pair16 pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
#endif
}

/// Columns 0 to 15 of a product's result, which two fragments hold, as an operand of the next.
__device__ inline FragmentA operand_of(FragmentC const& left, FragmentC const& right) {
  return {{pair_of(left.values[0], left.values[1]), pair_of(left.values[2], left.values[3]),
           pair_of(right.values[0], right.values[1]), pair_of(right.values[2], right.values[3])}};
}

enum class Orientation { as_stored, transposed };

/// Four matrices of 8 x 8 from shared memory: lane i gives the address of row i % 8 (16 bytes,
/// aligned) of matrix i / 8, and gets of each matrix the elements 2t and 2t + 1 of row g, or of
/// column g where they are transposed.
template <Orientation O>
__device__ void load_matrices(Pair16 (&pairs)[4], std::uint16_t const* row) {
#if defined(QLORA_EMULATE_CUDA)
  emulation::ldmatrix_x4(pairs, row, O == Orientation::transposed);
#else
  auto const address = static_cast<unsigned>(__cvta_generic_to_shared(row));
  if constexpr (O == Orientation::transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(pairs[0]), "=r"(pairs[1]), "=r"(pairs[2]), "=r"(pairs[3])
                 : "r"(address)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(pairs[0]), "=r"(pairs[1]), "=r"(pairs[2]), "=r"(pairs[3])
                 : "r"(address)
                 : "memory");
  }
#endif
}

/// Begins a copy of 16 bytes, or of 4, both sides aligned, from global to shared memory; of zeros,
/// and nothing is read, where `present` is false. They are there after wait_for_copies().
template <int Bytes>
__device__ void copy_async(void* to, void const* from, bool present) {
  static_assert(Bytes == 16 || Bytes == 4);
#if defined(QLORA_EMULATE_CUDA)
  emulation::copy_async(to, present ? from : nullptr, Bytes);
#else
  auto const address = static_cast<unsigned>(__cvta_generic_to_shared(to));
  auto const bytes = present ? Bytes : 0;
  if constexpr (Bytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(address), "l"(__cvta_generic_to_global(from)), "r"(bytes)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;"
                 :
                 : "r"(address), "l"(__cvta_generic_to_global(from)), "r"(bytes)
                 : "memory");
  }
#endif
}

/// Waits for the copies that this thread has begun.
__device__ inline void wait_for_copies() {
#if defined(QLORA_EMULATE_CUDA)
  emulation::wait_for_copies();
#else
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

/// 2^x to 2 units in the last place; small results become 0.
__device__ inline float exp2_fast(float x) {
#if defined(QLORA_EMULATE_CUDA)
  return std::exp2(x);
#else
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}

}  // namespace qlora::inline v1::cuda
