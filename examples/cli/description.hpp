/// qlora.json, which travels with an adapter: what made it, and how its numbers are to be read.
#pragma once

#include <cstdint>

#include <qlora/core/json.hpp>
#include <qlora/metrics/decision.hpp>

#include "run.hpp"

namespace qlora::cli {

/// Of the adapter that a run left after that epoch.
OrderedJson description(RunOptions const& options, Splits const& splits, Session const& session,
                        std::int64_t epoch);

/// The threshold that `predict` uses, and probabilities; both from the validation split.
void add_decision(OrderedJson& description, metrics::Decision const& decision);

}  // namespace qlora::cli
