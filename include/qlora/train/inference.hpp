/// Logits of many proteins, batch by batch, without dropout.
#pragma once

#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/core/transfer.hpp>
#include <qlora/data/batch.hpp>
#include <qlora/model/esm2.hpp>
#include <qlora/train/plan.hpp>

namespace qlora::inline v1 {

namespace detail {

/// Throws DivergedError unless all logits (residues, 2) of a protein are finite.
template <class T>
void check_finite(Protein const& protein, Matrix<T const> logits) {
  for (auto i = Index{0}; i < logits.rows(); ++i) {
    if (std::isfinite(logits(i, 0)) && std::isfinite(logits(i, 1))) continue;
    throw DivergedError{printable(protein.id) + ", residue " + std::to_string(i + 1) +
                        ": expected finite logits, found " + std::to_string(logits(i, 0)) +
                        " and " + std::to_string(logits(i, 1))};
  }
}

}  // namespace detail

/// Calls `body(number, logits)` for each protein in order, with the logits (residues, 2) of its
/// residues alone. Throws as `checked`, and DivergedError for a logit that is not finite.
template <class B, class Model, class Body>
void for_each_logits(B& backend, Model& model, std::span<Protein const> proteins,
                     Index batch_tokens, Body&& body) {
  proteins = checked(proteins);
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
      auto const own = Matrix<typename B::Accumulator const>{logits.slice(row + 1, tokens - 2)};
      detail::check_finite(proteins[p], own);
      body(p, own);
      row += tokens;
    }
  }
}

}  // namespace qlora::inline v1
