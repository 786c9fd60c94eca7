/// Logits of many proteins, batch by batch, without dropout.
#pragma once

#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include <qlora/core/transfer.hpp>
#include <qlora/data/batch.hpp>
#include <qlora/model/esm2.hpp>
#include <qlora/train/plan.hpp>

namespace qlora::inline v1 {

/// Calls `body(number, logits)` for each protein in order, with the logits (residues, 2) of its
/// residues alone.
template <class B, class Model, class Body>
void for_each_logits(B& backend, Model& model, std::span<Protein const> proteins,
                     Index batch_tokens, Body&& body) {
  auto order = std::vector<std::uint32_t>(proteins.size());
  std::iota(order.begin(), order.end(), 0u);
  auto const starts = pack_by_tokens(proteins, order, batch_tokens);
  auto batch = PackedBatch{};
  for (auto i = std::size_t{0}; i + 1 < starts.size(); ++i) {
    batch.clear();
    for (auto p = starts[i]; p < starts[i + 1]; ++p) batch.add(proteins[p], order[p]);
    auto const values = on_host(model.forward(backend, batch, Keep::nothing));
    auto const logits = Matrix<typename B::Accumulator const>{values};  // (tokens, 2)
    auto row = Index{0};
    for (auto p = starts[i]; p < starts[i + 1]; ++p) {
      auto const tokens = token_count(proteins[p]);
      body(p, Matrix<typename B::Accumulator const>{logits.slice(row + 1, tokens - 2)});
      row += tokens;
    }
  }
}

}  // namespace qlora::inline v1
