/// `report.html` of a comparison.
#pragma once

#include <string>

#include "comparison.hpp"
#include "provenance.hpp"
#include "splits.hpp"

namespace qlora::cli {

/// The whole page: what the study says, its figures with their numbers, and how to repeat it.
std::string study_report(Comparison const& comparison, Splits const& splits,
                         Provenance const& provenance);

}  // namespace qlora::cli
