/// Methods without a network, as rows beside the arms: floors and a ceiling.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "run_result.hpp"
#include "splits.hpp"

namespace qlora::cli {

/// "frequency,window,homology", some of them, or "none". Throws InputError for anything else.
std::vector<std::string> parse_baselines(std::string_view list);

/// Trains one on the training split and evaluates it on all. Its scores are no probabilities, so
/// its losses are not numbers. Throws InputError for training data of one class.
RunResult run_baseline(std::string const& name, Splits const& splits,
                       report::Progress::Style style);

}  // namespace qlora::cli
