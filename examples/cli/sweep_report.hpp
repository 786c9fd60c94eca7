/// `report.html` of a sweep.
#pragma once

#include <string>
#include <string_view>

#include "provenance.hpp"
#include "splits.hpp"
#include "sweep_results.hpp"

namespace qlora::cli {

/// The whole page: what decides, every trial, and how to repeat it; `space` is the TOML that was
/// swept.
std::string sweep_report(SweepResults const& results, std::string_view space, Splits const& splits,
                         Provenance const& provenance);

}  // namespace qlora::cli
