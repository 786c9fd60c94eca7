/// Functions of single elements over whole matrices, 16 bytes at a time where they lie so.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include <qlora/backend/cuda/kernel.cuh>
#include <qlora/backend/cuda/pack.cuh>

namespace qlora::inline v1::cuda {

/// out(i, j) = f(in(i, j)...), thread by thread, `Count` neighbours each.
template <int Count, class F, class Out, class... In>
__global__ void map_kernel(F f, std::uint32_t packs, std::uint32_t per_row, Strided<Out> out,
                           Strided<In>... in) {
  auto const threads = static_cast<std::uint32_t>(gridDim.x * blockDim.x);
  for (auto i = static_cast<std::uint32_t>(blockIdx.x * blockDim.x + threadIdx.x); i < packs;
       i += threads) {
    auto const row = i / per_row;
    auto const pack = i - row * per_row;
    auto const map = [&](auto const&... packed) {
      Pack<Out, Count> result;
      QLORA_UNROLL
      for (auto c = 0; c < Count; ++c) result.values[c] = f(packed.values[c]...);
      store_pack(result, out, row, pack);
    };
    map(load_pack<Count>(in, row, pack)...);
  }
}

/// out(i, j) = f(in(i, j)...), f being a device function object. `out` may be one of `in`; a stride
/// of 0 repeats one row.
template <class F, class Out, class... In>
void map(Index rows, Index columns, Stream const& stream, F const& f, Strided<Out> const& out,
         Strided<In> const&... in) {
  if (rows == 0 || columns == 0) return;
  auto const dense = [&](auto const& x) { return x.step == 1 && x.stride == columns; };
  constexpr auto most = Index{std::numeric_limits<std::uint32_t>::max() / 2};
  if (rows > 1 && rows * columns <= most && dense(out) && (dense(in) && ...)) {
    return map(1, rows * columns, stream, f, out, in...);
  }
  auto const packed = in_packs(out, rows, columns) && (in_packs(in, rows, columns) && ...);
  auto const count = packed ? Index{octet_size} : Index{1};
  auto const rows_at_once = std::max<Index>(1, std::min(rows, most / (columns / count)));
  constexpr auto threads = 256;
  constexpr auto most_blocks =
      2'112u;  // 16 on each of an H100's processors; then several packs each
  for (auto row = Index{0}; row < rows; row += rows_at_once) {
    auto const part = std::min(rows_at_once, rows - row);
    auto const from_row = [&](auto x) {
      x.data += row * x.stride;
      return x;
    };
    auto const per_row = static_cast<std::uint32_t>(columns / count);
    auto const packs = static_cast<std::uint32_t>(part) * per_row;
    auto const grid = dim3{std::min(blocks_for(packs, threads), most_blocks)};
    auto kernel = map_kernel<1, F, Out, In...>;
    if constexpr (!is_for_checks<Out>) {
      if (packed) kernel = map_kernel<octet_size, F, Out, In...>;
    }
    launch(kernel, grid, dim3{threads}, stream, f, packs, per_row, from_row(out), from_row(in)...);
  }
}

}  // namespace qlora::inline v1::cuda
