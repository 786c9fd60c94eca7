/// The arms of a comparison: "qkv", "all", "head", "qkv:r=6", "all:r=8,quant=none".
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "options.hpp"

namespace qlora::cli {

/// A placement, and what the arm changes of the common training flags.
struct Arm {
  using Change = std::pair<std::string, std::string>;

  std::string name;  ///< as it was written
  std::string placement;
  std::vector<Change> changes;  ///< r, alpha, dropout, lr, quant, labels or base, and a value

  /// The common flags with this arm's changes.
  TrainingOptions apply(TrainingOptions options) const;
  /// In words: "adapters on every weight matrix, with r=6".
  std::string meaning() const;
  /// A name for its folder: "all-r8-quantnone".
  std::string folder() const;
};

/// A comma-separated list. Throws InputError for an arm that is none, or that comes twice.
std::vector<Arm> parse_arms(std::string_view list);

/// Throws InputError for an arm that comes twice, or would have the folder of another.
void refuse_repeated(std::vector<Arm> const& arms);

}  // namespace qlora::cli
