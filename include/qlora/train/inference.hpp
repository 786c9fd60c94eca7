/// Logits of many proteins, batch by batch, without dropout.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <numeric>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/core/transfer.hpp>
#include <qlora/data/batch.hpp>
#include <qlora/dist/collective.hpp>
#include <qlora/dist/communicator.hpp>
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
/// residues alone. Ranks take turns with the batches and tell each other the logits, so that each
/// calls for all. `look()` is called often, between layers where the backend computes at once, and
/// may throw. Throws as `checked`, and DivergedError for a logit that is not finite.
template <class B, class Model, class Body, class C = dist::Self>
requires dist::Communicator<std::remove_reference_t<C>>
void for_each_logits(
    B& backend, Model& model, std::span<Protein const> proteins, Index batch_tokens, Body&& body,
    C&& communicator = {}, std::function<void()> const& look = [] {}) {
  using A = typename B::Accumulator;
  proteins = checked(proteins);
  auto order = std::vector<std::uint32_t>(proteins.size());
  std::iota(order.begin(), order.end(), 0u);
  auto starts = pack_by_tokens(proteins, order, batch_tokens);
  auto ranks = dist::Collective{communicator};
  auto const at_once = static_cast<std::size_t>(ranks.size());
  while ((starts.size() - 1) % at_once != 0) starts.push_back(proteins.size());  // empty batches
  auto const for_each_of = [&](std::size_t batch, auto&& visit) {
    for (auto p = starts[batch]; p < starts[batch + 1]; ++p) visit(p);
  };
  auto batch = PackedBatch{};
  auto own = std::vector<A>{};                      // logits of this rank's batch
  auto counts = std::vector<std::size_t>(at_once);  // and how many each rank has
  for (auto first = std::size_t{0}; first + 1 < starts.size(); first += at_once) {
    for (auto r = std::size_t{0}; r < at_once; ++r) {
      counts[r] = 0;
      for_each_of(first + r, [&](std::size_t p) {
        counts[r] += 2 * static_cast<std::size_t>(token_count(proteins[p]));
      });
    }
    batch.clear();
    for_each_of(first + static_cast<std::size_t>(ranks.rank()),
                [&](std::size_t p) { batch.add(proteins[p], order[p]); });
    own.clear();
    look();
    if (batch.tokens() > 0) {
      auto const values = on_host(model.forward(backend, batch, Keep::nothing, Dropout{}, look));
      auto const view = Matrix<A const>{values};
      own.assign(view.data(), view.data() + view.size());
    }
    auto const all = ranks.gather(std::span<A const>{own}, std::span<std::size_t const>{counts});
    auto const logits = Matrix<A const>{all.data(), {std::ssize(all) / 2, 2}};  // (tokens, 2)
    auto row = Index{0};
    for (auto r = std::size_t{0}; r < at_once; ++r) {
      for_each_of(first + r, [&](std::size_t p) {
        auto const tokens = token_count(proteins[p]);
        auto const of_protein = Matrix<A const>{logits.slice(row + 1, tokens - 2)};
        detail::check_finite(proteins[p], of_protein);
        body(p, of_protein);
        row += tokens;
      });
    }
  }
}

}  // namespace qlora::inline v1
