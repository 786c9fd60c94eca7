/// A learning rate for each arm, chosen on the validation split.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "arm_runs.hpp"
#include "comparison.hpp"

namespace qlora::cli {

/// "1e-3,3e-3", as they are written. Throws InputError for anything but different rates above 0.
std::vector<std::string> parse_rates(std::string_view list);

/// The runs of an arm at every rate, with that seed.
std::vector<PlannedRun> runs_at_rates(Arm const& arm, std::vector<std::string> const& rates,
                                      std::uint64_t seed);

/// Adds to `trials` what came of these runs, once they have been made, and returns the arm at the
/// best rate: "all:lr=3e-3". Throws DivergedError where all of them diverged.
Arm choose_rate(Arm const& arm, std::vector<std::string> const& rates, std::uint64_t seed,
                ArmRuns const& runs, std::vector<RateTrial>& trials);

/// What to say of the arm that was tried last where it chose the smallest or the largest of several
/// rates: one that was not tried may be better.
std::optional<std::string> note_of_edge(std::vector<RateTrial> const& trials);

}  // namespace qlora::cli
