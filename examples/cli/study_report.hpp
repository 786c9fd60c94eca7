/// `report.html` of a comparison.
#pragma once

#include <string>
#include <vector>

#include "comparison.hpp"
#include "splits.hpp"

namespace qlora::cli {

/// How the numbers came about.
struct Provenance {
  std::string command;   ///< that makes them again
  std::string settings;  ///< config.toml
  std::string model, model_fingerprint;
};

/// The whole page: what the study says, its figures with their numbers, and how to repeat it.
std::string study_report(Comparison const& comparison, Splits const& splits,
                         Provenance const& provenance);

}  // namespace qlora::cli
