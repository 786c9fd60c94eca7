/// Predictions as an attribute file of ChimeraX (.defattr): `color byattribute site_probability`
/// then colours a structure by them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <set>
#include <string>
#include <string_view>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/predict/prediction.hpp>

namespace qlora::inline v1::predict {

/// Residues are numbered from 1, as a predicted structure's are. A protein is the whole structure,
/// unless its identifier is one of the Protein Data Bank's with a chain: "1abc_A", "6u6yB".
class Attributes {
 public:
  static constexpr std::string_view name = "defattr";
  static constexpr std::string_view attribute = "site_probability";

  explicit Attributes(Columns) {}

  void begin(std::string& text) const {
    text.append("attribute: ").append(attribute).append("\nrecipient: residues\n");
  }
  /// Throws InputError for a second protein unless both are chains of one entry, and for a chain
  /// that comes twice.
  void admit(std::string_view id) {
    auto const chain = chain_of(id);
    auto const entry = chain.empty() ? id : id.substr(0, 4);
    if (entry_.empty()) entry_ = entry;
    if (entry != entry_ || !chains_.insert(std::string{chain}).second) {
      throw InputError{printable(std::string{id}) +
                       ": expected one protein for an attribute file, or chains of one entry such "
                       "as 1abc_A and 1abc_B, found others"};
    }
  }
  /// Throws as admit().
  void add(std::string& text, Prediction const& prediction) {
    admit(prediction.id);
    auto const chain = chain_of(prediction.id);
    text.append("# ").append(prediction.id).append("\n");
    auto const& probability = prediction.best();
    for (std::size_t i = 0; i < prediction.size(); ++i) {
      text += '\t';
      if (!chain.empty()) text.append("/").append(chain);
      append(text += ':', i + 1);
      append(text += '\t', probability[i]);
      text += '\n';
    }
  }

 private:
  /// Of an identifier of the Protein Data Bank, a digit and three letters or digits, what follows:
  /// up to four letters or digits; "" for none.
  static std::string_view chain_of(std::string_view id) {
    auto const is_digit = [](char c) { return c >= '0' && c <= '9'; };
    auto const is_alphanumeric = [&](char c) {
      return is_digit(c) || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    };
    if (id.size() < 5 || !is_digit(id[0])) return {};
    auto const chain = id.substr(id[4] == '_' || id[4] == ':' ? 5 : 4);
    auto const fits = chain.size() <= 4 && std::ranges::all_of(id.substr(0, 4), is_alphanumeric) &&
                      std::ranges::all_of(chain, is_alphanumeric);
    return fits ? chain : std::string_view{};
  }

  std::string entry_;
  std::set<std::string> chains_;
};

}  // namespace qlora::inline v1::predict
