/// Neighbouring elements that are read and written at once, by 16 bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <qlora/backend/cuda/kernel.cuh>

namespace qlora::inline v1::cuda {

/// Double exists to check the other types by: each of its kernels is compiled once, and reads
/// number by number.
template <class T>
inline constexpr bool is_for_checks = std::is_same_v<std::remove_const_t<T>, double>;

/// Neighbours that a thread treats at once.
inline constexpr int octet_size = 8;

/// `Count` neighbours, read and written by 16 bytes.
template <class T, int Count = octet_size>
struct alignas(Count * sizeof(T) < 16 ? Count * sizeof(T) : 16) Pack {
  T values[Count];
};

/// Whether a matrix of so many rows and columns is made of packs.
template <class T>
bool in_packs(Strided<T> const& x, Index rows, Index columns) {
  return !is_for_checks<T> && x.step == 1 && columns % octet_size == 0 &&
         (rows <= 1 || x.stride % octet_size == 0) &&
         reinterpret_cast<std::uintptr_t>(x.data) % 16 == 0;
}

/// Elements Count `pack` ... of a row.
template <int Count = octet_size, class T>
__device__ auto load_pack(Strided<T> const& x, Index row, Index pack) {
  return *reinterpret_cast<Pack<std::remove_const_t<T>, Count> const*>(x.data + row * x.stride +
                                                                       pack * Count * x.step);
}
template <class T, int Count>
__device__ void store_pack(Pack<T, Count> const& values, Strided<T> const& x, Index row,
                           Index pack) {
  *reinterpret_cast<Pack<T, Count>*>(x.data + row * x.stride + pack * Count * x.step) = values;
}

}  // namespace qlora::inline v1::cuda
