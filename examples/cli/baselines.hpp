/// Methods without a network, as rows beside the arms: floors and a ceiling.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "run_result.hpp"
#include "splits.hpp"

namespace qlora::cli {

/// The truth is among them where there is one: a folder `truth` beside the data, with files of the
/// same names.
inline constexpr std::string_view all_baselines = "frequency,window,homology,truth";

/// Some of them, or "none". Throws InputError for anything else.
std::vector<std::string> parse_baselines(std::string_view list);

/// Of one of them, in words.
std::string_view baseline_meaning(std::string_view name);

/// Trains each on the training split and evaluates it on all. Their scores are no probabilities, so
/// their losses are not numbers. Throws InputError for training data of one class, and where the
/// truth is asked for and is not there; one that nobody asked for may be missing or of other data.
std::vector<std::pair<std::string, RunResult>> run_baselines(std::string_view list, bool is_asked,
                                                             Splits const& splits,
                                                             report::Progress::Style style);

}  // namespace qlora::cli
