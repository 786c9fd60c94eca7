/// Quantizing a matrix that lies on the device, to the same bytes as on the host.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include <qlora/backend/cuda/kernel.cuh>
#include <qlora/backend/cuda/memory.cuh>
#include <qlora/core/error.hpp>
#include <qlora/core/rounding.hpp>
#include <qlora/core/tensor.hpp>
#include <qlora/core/transfer.hpp>
#include <qlora/quant/quantize.hpp>
#include <qlora/quant/quantized.hpp>

namespace qlora::inline v1::cuda {

/// A codebook in ascending order, as a kernel gets it; nothing for schemes that have none.
template <class S>
struct Ascending {};
template <quant::WithCodebook S>
struct Ascending<S> {
  static constexpr int size = 1 << S::bits;
  std::uint8_t codes[size];
  float midpoints[size];  ///< one fewer
};

template <class S>
Ascending<S> ascending() {
  auto table = Ascending<S>{};
  if constexpr (quant::WithCodebook<S>) {
    constexpr auto const& ranks = quant::detail::ranks_of<S>;
    std::ranges::copy(ranks.codes, table.codes);
    std::ranges::copy(ranks.midpoints, table.midpoints);
  }
  return table;
}

template <class S>
struct QuantizeProblem {
  float const* weight;
  Index size, block, blocks;
  std::uint8_t* codes;
  float* scales;  ///< (blocks); without scales, the largest magnitudes
  Ascending<S> table;
};

/// The largest value of a warp.
__device__ inline std::uint32_t lanes_largest(std::uint32_t value) {
  for (auto lanes = warp_size / 2; lanes > 0; lanes /= 2) {
    auto const other = __shfl_xor_sync(~0u, value, lanes);
    value = other > value ? other : value;
  }
  return value;
}

template <class S>
__device__ quant::Code<S> encode(Ascending<S> const& table, float x) {
  if constexpr (quant::WithCodebook<S>) {
    constexpr auto midpoints = std::size_t{Ascending<S>::size} - 1;
    return table.codes[quant::count_below<midpoints>(table.midpoints, x)];
  } else {
    return S::encode(x);
  }
}

/// Codes of the elements [first, first + count); a lane takes pairs of neighbours, so that 4-bit
/// codes fill whole bytes. An odd count is padded by a zero.
template <class S, class Normalize>
__device__ void encode_block(QuantizeProblem<S> const& problem, Ascending<S> const& table,
                             Index first, Index count, Normalize const& normalize) {
  auto const code = [&](Index i) {
    return encode<S>(table, normalize(quant::prepare<S>(problem.weight[first + i])));
  };
  auto const lane = static_cast<int>(threadIdx.x) % warp_size;
  for (auto i = Index{2} * lane; i < count; i += Index{2} * warp_size) {
    auto const both = i + 1 < count;
    if constexpr (S::bits == 4) {
      auto const low = both ? code(i + 1) : encode<S>(table, 0.f);
      problem.codes[(first + i) / 2] = static_cast<std::uint8_t>(code(i) << 4 | low);
    } else {
      auto* const codes = reinterpret_cast<quant::Code<S>*>(problem.codes) + first;
      codes[i] = code(i);
      if (both) codes[i + 1] = code(i + 1);
    }
  }
}

inline constexpr int quantize_warps = 8;
inline constexpr Index quantize_blocks = 64;  ///< of elements, for each block of threads

/// A warp for each block of elements.
template <class S>
__global__ void quantize_kernel(QuantizeProblem<S> problem) {
  auto& table = shared_storage<Ascending<S>>();
  auto const thread = static_cast<int>(threadIdx.x);
  if constexpr (quant::WithCodebook<S>) {
    for (auto i = thread; i < Ascending<S>::size; i += static_cast<int>(blockDim.x)) {
      table.codes[i] = problem.table.codes[i];
      table.midpoints[i] = problem.table.midpoints[i];
    }
    __syncthreads();
  }
  auto const begin = Index{blockIdx.x} * quantize_blocks;
  for (auto i = Index{thread / warp_size}; i < quantize_blocks; i += quantize_warps) {
    auto const block = begin + i;
    if (block >= problem.blocks) return;
    auto const first = block * problem.block;
    auto const left = problem.size - first;
    auto const count = left < problem.block ? left : problem.block;
    auto bits = std::uint32_t{0};
    for (auto j = Index{thread % warp_size}; j < count; j += warp_size) {
      auto const other = quant::magnitude_bits<S>(problem.weight[first + j]);
      bits = other > bits ? other : bits;
    }
    auto const largest = std::bit_cast<float>(lanes_largest(bits));
    auto const encode_scaled = [&](auto const& normalize) {
      if (thread % warp_size == 0) problem.scales[block] = normalize.scale();
      encode_block(problem, table, first, count, normalize);
    };
    if constexpr (S::block == quant::unscaled) {
      if (thread % warp_size == 0) problem.scales[block] = largest;
      encode_block(problem, table, first, count, quant::Unscaled{});
    } else if (count == problem.block) {
      encode_scaled(quant::WholeBlock<S>{largest});
    } else {
      encode_scaled(quant::ShortBlock<S>{largest});
    }
  }
}

/// sums[nested] = the sum of a nested block's scales.
struct SumScales {
  float const* scales;
  Index blocks;
  double* sums;
  __device__ void operator()(Index, Index nested) const {
    auto const first = nested * quant::nested_block;
    auto const end = first + quant::nested_block;
    auto sum = 0.;
    for (auto i = first; i < (end < blocks ? end : blocks); ++i) sum += double{scales[i]};
    sums[nested] = sum;
  }
};

/// *mean = the sum of all partial sums, over the number of scales.
struct MeanScale {
  double const* sums;
  Index nested_blocks, blocks;
  float* mean;
  __device__ void operator()(Index, Index) const {
    auto total = 0.;
    for (auto i = Index{0}; i < nested_blocks; ++i) total += sums[i];
    *mean = static_cast<float>(total / static_cast<double>(blocks));
  }
};

/// The midpoints of the dynamic map, as a kernel gets them.
struct DynamicMidpoints {
  float values[256];  ///< one fewer
};

inline DynamicMidpoints dynamic_midpoints() {
  auto midpoints = DynamicMidpoints{};
  std::ranges::copy(quant::detail::dynamic_ranks.midpoints, midpoints.values);
  return midpoints;
}

/// Double quantization of a nested block's scales by a warp.
struct QuantizeScales {
  float const* scales;
  Index blocks;
  float offset;
  std::uint8_t* codes;
  float* nested_scales;
  DynamicMidpoints midpoints;
  __device__ void operator()(Index nested, int lane) const {
    auto const first = nested * quant::nested_block;
    auto const left = blocks - first;
    auto const count = left < quant::nested_block ? left : quant::nested_block;
    auto bits = std::uint32_t{0};
    for (auto i = Index{lane}; i < count; i += warp_size) {
      auto const other = std::bit_cast<std::uint32_t>(std::fabs(scales[first + i] - offset));
      bits = other > bits ? other : bits;
    }
    auto const largest = std::bit_cast<float>(lanes_largest(bits));
    if (lane == 0) nested_scales[nested] = largest;
    for (auto i = Index{lane}; i < count; i += warp_size) {
      codes[first + i] = quant::encode_scale(scales[first + i], offset, largest, midpoints.values);
    }
  }
};

/// Quantizes a dense matrix on `stream`, and waits for it; as quant/quantize.hpp does on the host,
/// and with its errors.
template <class S>
Quantized<S, Space::device> quantize(S const& scheme, Matrix<float const, Space::device> weight,
                                     Stream const& stream,
                                     std::optional<float> offset = std::nullopt) {
  static_assert(quant::check_scheme<S>());
  quant::detail::check_dense(weight);
  auto const layout = quant::layout_of(scheme, weight.rows(), weight.columns());
  auto const block = quant::detail::block_elements(layout);
  auto const blocks = ceil_div(layout.size(), block);
  auto parts = quant::Parts<Space::device>{};
  parts.codes = VectorTensor<std::uint8_t, Space::device>{{layout.code_bytes}};
  parts.scales = VectorTensor<float, Space::device>{{blocks}};
  quant::with_scheme(scheme, [&]<class Static>(Static) {
    launch(quantize_kernel<Static>, dim3{blocks_for(blocks, quantize_blocks)},
           dim3{warp_size * quantize_warps}, stream,
           QuantizeProblem<Static>{weight.data(), layout.size(), block, blocks, parts.codes.data(),
                                   parts.scales.data(), ascending<Static>()});
  });

  // The mean of the scales is not finite either where an element is not.
  auto const nested_blocks = ceil_div(blocks, quant::nested_block);
  auto const sums = VectorTensor<double, Space::device>{{nested_blocks}};
  auto const device_mean = VectorTensor<float, Space::device>{{1}};
  for_each_element(1, nested_blocks, stream, SumScales{parts.scales.data(), blocks, sums.data()});
  for_each_element(1, 1, stream, MeanScale{sums.data(), nested_blocks, blocks, device_mean.data()});
  stream.synchronize();
  auto const mean = copied_to<Space::host>(device_mean.view()).data()[0];
  if (!(mean <= std::numeric_limits<float>::max())) {
    auto const scales = copied_to<Space::host>(parts.scales.view());
    auto bad = Index{0};
    while (scales.data()[bad] <= std::numeric_limits<float>::max()) ++bad;
    throw quant::detail::not_finite(scheme.name, layout, bad * block,
                                    std::min((bad + 1) * block, layout.size()) - 1);
  }

  if (scheme.double_quantized) {
    parts.offset = offset ? *offset : mean;
    parts.scale_codes = VectorTensor<std::uint8_t, Space::device>{{blocks}};
    parts.nested_scales = VectorTensor<float, Space::device>{{nested_blocks}};
    auto map = VectorTensor<float>{{256}};
    std::ranges::copy(quant::dynamic_map, map.data());
    parts.nested_map = moved_to<Space::device>(std::move(map));
    for_each_row(nested_blocks, stream,
                 QuantizeScales{parts.scales.data(), blocks, parts.offset, parts.scale_codes.data(),
                                parts.nested_scales.data(), dynamic_midpoints()});
    stream.synchronize();
  }
  if (scheme.double_quantized || layout.blocks == 0) parts.scales = {};
  return {scheme, weight.rows(), weight.columns(), std::move(parts)};
}

}  // namespace qlora::inline v1::cuda
