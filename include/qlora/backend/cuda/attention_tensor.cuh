/// Attention in bf16 on tensor cores, tile by tile with an online softmax (Dao, arXiv:2307.08691).
/// A warp owns 16 rows, kept in registers as operands; tiles of the other side pass through shared
/// memory, the next one on its way while one is used. Scores stay in registers: what one product
/// leaves is the operand of the next. Where there are registers, a warp owns 16 rows more, since
/// shared memory is what it waits for: an operand read from there then serves two products.
#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <numbers>
#include <type_traits>

#include <qlora/backend/cuda/attention_problem.cuh>
#include <qlora/backend/cuda/attention_tile.cuh>
#include <qlora/backend/cuda/kernel.cuh>
#include <qlora/backend/cuda/tensor_core.cuh>
#include <qlora/core/scalar.hpp>

namespace qlora::inline v1::cuda {

inline constexpr float log2_e = std::numbers::log2e_v<float>;

/// A block for each tile of queries.
template <int D, int Groups>
__global__ void tensor_attention_kernel(AttentionForward<bf16> in) {
  constexpr auto infinity = std::numeric_limits<float>::infinity();
  constexpr auto steps = NarrowTile<D>::rows / 16;
  auto& shared = shared_storage<TilePairs<D>>();
  auto const place = LanePlace<Groups>{in.shape};
  if (place.idle()) return;
  auto const& at = place.at;
  auto const head = place.head;
  OwnRows<D> queries[Groups];
  load_rows(queries, {in.q, in.shape, head}, place);

  float largest[Groups][2];  // of the scores, times log2(e)
  for (auto& pair : largest) pair[0] = pair[1] = -infinity;
  float total[Groups][2] = {};
  FragmentC sums[Groups][D / 8] = {};
  auto const add_tile = [&](int begin, NarrowTile<D> const& keys, NarrowTile<D> const& values) {
    FragmentC scores[steps][Groups][2];
    QLORA_UNROLL
    for (auto i = 0; i < steps; ++i) score(scores[i], queries, keys, 16 * i);
    if (begin + NarrowTile<D>::rows > at.length) {
      QLORA_UNROLL
      for (auto i = 0; i < steps; ++i) {
        QLORA_UNROLL
        for (auto e = 0; e < 8; ++e) {
          auto const key = begin + 16 * i + e / 4 * 8 + 2 * place.part + e % 2;
          QLORA_UNROLL
          for (auto& group : scores[i]) {
            if (key >= at.length) group[e / 4].values[e % 4] = -infinity;
          }
        }
      }
    }
    QLORA_UNROLL
    for (auto r = 0; r < 2 * Groups; ++r) {
      auto const group = r / 2;
      auto const half = r % 2;
      auto next = -infinity;
      QLORA_UNROLL
      for (auto i = 0; i < 2 * steps; ++i) {
        auto const& part = scores[i / 2][group][i % 2].values;
        next = fmaxf(next, fmaxf(part[2 * half], part[2 * half + 1]));
      }
      next = fmaxf(largest[group][half], log2_e * row_largest(next));
      auto const correction = exp2_fast(largest[group][half] - next);
      largest[group][half] = next;
      total[group][half] *= correction;
      QLORA_UNROLL
      for (auto& sum : sums[group]) {
        sum.values[2 * half] *= correction;
        sum.values[2 * half + 1] *= correction;
      }
      QLORA_UNROLL
      for (auto i = 0; i < 4 * steps; ++i) {
        auto& value = scores[i / 4][group][i / 2 % 2].values[2 * half + i % 2];
        value = exp2_fast(value * log2_e - next);
        total[group][half] += value;
      }
    }
    QLORA_UNROLL
    for (auto i = 0; i < steps; ++i) {
      FragmentA weights[Groups];
      as_operands(weights, scores[i]);
      add_rows<D>(sums, weights, values, 16 * i);
    }
  };
  for_each_tile(shared, {in.k, in.shape, head}, {in.v, in.shape, head}, at, add_tile);

  float factors[Groups][2];
  QLORA_UNROLL
  for (auto r = 0; r < 2 * Groups; ++r) {
    auto& sum = total[r / 2][r % 2];
    sum = lanes_sum<row_threads>(sum);
    factors[r / 2][r % 2] = 1.f / sum;
  }
  store<D>(sums, factors, in.out, in.shape, place);
  if (place.part != 0) return;
  QLORA_UNROLL
  for (auto r = 0; r < 2 * Groups; ++r) {
    auto const own = place.row(r / 2, r % 2);
    if (own < at.length) {
      in.lse(head, at.first + own) = largest[r / 2][r % 2] / log2_e + std::log(total[r / 2][r % 2]);
    }
  }
}

/// dq = ds k, where ds = p (dout v^T - delta): a block for each tile of queries.
template <int D, int Groups>
__global__ void tensor_queries_backward_kernel(AttentionBackward<bf16> in) {
  auto& shared = shared_storage<TilePairs<D>>();
  auto const place = LanePlace<Groups>{in.shape};
  if (place.idle()) return;
  auto const& at = place.at;
  auto const head = place.head;
  OwnRows<D> queries[Groups], gradients[Groups];
  load_rows(queries, {in.q, in.shape, head}, place);
  load_rows(gradients, {in.dout, in.shape, head}, place);
  float lse[Groups][2], delta[Groups][2];
  QLORA_UNROLL
  for (auto r = 0; r < 2 * Groups; ++r) {
    auto const own = place.row(r / 2, r % 2);
    auto const inside = own < at.length;
    auto const token = at.first + (inside ? own : 0);
    lse[r / 2][r % 2] = inside ? log2_e * in.lse(head, token) : 0.f;
    delta[r / 2][r % 2] = inside ? in.delta(head, token) : 0.f;
  }

  FragmentC sums[Groups][D / 8] = {};
  auto const add_tile = [&](int begin, NarrowTile<D> const& keys, NarrowTile<D> const& values) {
    for (auto i = 0; i < NarrowTile<D>::rows; i += 16) {
      FragmentC scores[Groups][2], slopes[Groups][2];
      score(scores, queries, keys, i);
      score(slopes, gradients, values, i);
      QLORA_UNROLL
      for (auto e = 0; e < 8; ++e) {
        auto const half = e % 4 / 2;
        auto const inside = begin + i + e / 4 * 8 + 2 * place.part + e % 2 < at.length;
        QLORA_UNROLL
        for (auto group = 0; group < Groups; ++group) {
          auto& slope = slopes[group][e / 4].values[e % 4];
          auto const p = exp2_fast(scores[group][e / 4].values[e % 4] * log2_e - lse[group][half]);
          slope = inside ? p * (slope - delta[group][half]) : 0.f;
        }
      }
      FragmentA weights[Groups];
      as_operands(weights, slopes);
      add_rows<D>(sums, weights, keys, i);
    }
  };
  for_each_tile(shared, {in.k, in.shape, head}, {in.v, in.shape, head}, at, add_tile);
  store<D>(sums, in.dq, in.shape, place);
}

/// What a block reads of the queries beside two matrices, in turn.
template <int D>
struct RowSums {
  float lse[2][NarrowTile<D>::rows], delta[2][NarrowTile<D>::rows];
};
template <int D>
struct KeysBackward {
  TilePairs<D> tiles;
  RowSums<D> sums;
};

/// dk = ds^T q and dv = p^T dout: a block for each tile of keys.
template <int D, int Groups>
__global__ void tensor_keys_backward_kernel(AttentionBackward<bf16> in) {
  constexpr auto rows = NarrowTile<D>::rows;
  auto& shared = shared_storage<KeysBackward<D>>();
  auto const place = LanePlace<Groups>{in.shape};
  if (place.idle()) return;
  auto const& at = place.at;
  auto const head = place.head;
  OwnRows<D> keys[Groups], values[Groups];
  load_rows(keys, {in.k, in.shape, head}, place);
  load_rows(values, {in.v, in.shape, head}, place);

  FragmentC key_sums[Groups][D / 8] = {};
  FragmentC value_sums[Groups][D / 8] = {};
  auto const load_sums = [&](int stage, int begin) {
    auto const row = static_cast<int>(threadIdx.x);
    if (row >= rows) return;
    auto const inside = begin + row < at.length;
    auto const token = at.first + (inside ? begin + row : 0);
    copy_async<4>(&shared.sums.lse[stage][row], &in.lse(head, token), inside);
    copy_async<4>(&shared.sums.delta[stage][row], &in.delta(head, token), inside);
  };
  auto const add_tile = [&](int begin, NarrowTile<D> const& queries,
                            NarrowTile<D> const& gradients) {
    auto const stage = begin / rows % 2;
    for (auto i = 0; i < rows; i += 16) {
      FragmentC scores[Groups][2], slopes[Groups][2];
      score(scores, keys, queries, i);
      score(slopes, values, gradients, i);
      QLORA_UNROLL
      for (auto e = 0; e < 8; ++e) {
        if (e % 4 >= 2) continue;  // the same query, eight keys further down
        auto const row = i + e / 4 * 8 + 2 * place.part + e % 2;
        auto const inside = begin + row < at.length;
        auto const lse = log2_e * shared.sums.lse[stage][row];
        auto const delta = shared.sums.delta[stage][row];
        QLORA_UNROLL
        for (auto r = 0; r < 2 * Groups; ++r) {
          auto& p = scores[r / 2][e / 4].values[e % 4 + r % 2 * 2];
          auto& slope = slopes[r / 2][e / 4].values[e % 4 + r % 2 * 2];
          p = inside ? exp2_fast(p * log2_e - lse) : 0.f;
          slope = p * (slope - delta);
        }
      }
      FragmentA weights[Groups];
      as_operands(weights, slopes);
      add_rows<D>(key_sums, weights, queries, i);
      as_operands(weights, scores);
      add_rows<D>(value_sums, weights, gradients, i);
    }
  };
  for_each_tile(shared.tiles, {in.q, in.shape, head}, {in.dout, in.shape, head}, at, add_tile,
                load_sums);
  store<D>(key_sums, in.dk, in.shape, place);
  store<D>(value_sums, in.dv, in.shape, place);
}

/// Attention by these kernels, in bf16 with float sums. Templates, so that a source has the kernels
/// only where it uses them.
struct TensorAttention {
  template <std::same_as<bf16> T>
  static void forward(AttentionForward<T> const& problem, Stream const& stream) {
    with_head_dim(problem.shape.head_dim, [&]<int D>(std::integral_constant<int, D>) {
      constexpr auto groups = D <= 64 ? 2 : 1;
      start<groups>(tensor_attention_kernel<D, groups>, problem, stream);
    });
  }
  template <std::same_as<bf16> T>
  static void backward(AttentionBackward<T> const& problem, Stream const& stream) {
    with_head_dim(problem.shape.head_dim, [&]<int D>(std::integral_constant<int, D>) {
      constexpr auto of_queries = D <= 64 ? 2 : 1;
      constexpr auto of_keys = D <= 32 ? 2 : 1;
      start<of_queries>(tensor_queries_backward_kernel<D, of_queries>, problem, stream);
      start<of_keys>(tensor_keys_backward_kernel<D, of_keys>, problem, stream);
    });
  }

 private:
  template <int Groups, class Problem>
  static void start(void (*kernel)(Problem), Problem const& problem, Stream const& stream) {
    launch_tiles(kernel, problem, LanePlace<Groups>::block_rows, attention_threads, stream);
  }
};

}  // namespace qlora::inline v1::cuda
