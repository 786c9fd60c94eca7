#include "arms.hpp"

#include <algorithm>

#include <qlora/adapt/placement.hpp>
#include <qlora/core/error.hpp>
#include <qlora/quant/any.hpp>

#include "comma_list.hpp"
#include "numbers.hpp"

namespace qlora::cli {
namespace {

template <class T>
T number(std::string const& key, std::string const& text) {
  if (auto const value = parse_number<T>(text)) return *value;
  throw InputError{"expected a number for " + key + ", found " + text};
}

std::string given_or(std::string const& other, std::string const& key, std::string const& text) {
  if (text == "given" || text == other) return text;
  throw InputError{"expected " + key + "=given or " + key + "=" + other + ", found " + text};
}

Arm parse_arm(std::string const& text) {
  auto const colon = std::min(text.find(':'), text.size());
  auto arm = Arm{text, text.substr(0, colon), {}};
  placement::Sites::parse(arm.placement);  // throws unless it is one
  for (auto first = colon + 1; first < text.size();) {
    auto const last = std::min(text.find(',', first), text.size());
    auto const change = text.substr(first, last - first);
    auto const equals = std::min(change.find('='), change.size());
    auto key = change.substr(0, equals);
    if (std::ranges::find(arm.changes, key, &Arm::Change::first) != arm.changes.end()) {
      throw InputError{"expected each of its changes once, found " + key + " again"};
    }
    arm.changes.emplace_back(std::move(key), change.substr(std::min(equals + 1, change.size())));
    first = last + 1;
  }
  if (text.ends_with(':')) throw InputError{"expected a change after the :"};
  arm.apply({});  // throws for a key or value that is none
  return arm;
}

}  // namespace

TrainingOptions Arm::apply(TrainingOptions options) const {
  for (auto const& [key, value] : changes) {
    if (key == "r") {
      options.rank = number<Index>(key, value);
      if (options.rank < 1 || options.rank > most_rank) {
        throw InputError{"expected r from 1 to " + std::to_string(most_rank) + ", found " + value};
      }
    } else if (key == "alpha") {
      options.alpha = number<double>(key, value);
    } else if (key == "dropout") {
      options.dropout = number<double>(key, value);
    } else if (key == "lr") {
      options.learning_rate = number<double>(key, value);
    } else if (key == "quant") {
      options.quant = quant::Any::parse(value).name;
    } else if (key == "labels") {
      options.labels = given_or("shuffled", key, value);
    } else if (key == "base") {
      options.base = given_or("random", key, value);
    } else {
      throw InputError{"expected r, alpha, dropout, lr, quant, labels or base, found " + key};
    }
  }
  return options;
}

std::string Arm::meaning() const {
  auto text = placement == "qkv"   ? std::string{"adapters on query, key and value"}
              : placement == "all" ? "adapters on every weight matrix"
              : placement == "card"
                  ? "adapters on query, key, value and the head, as in the model card"
              : placement == "head" ? "no adapters: the head alone is trained"
                                    : "adapters on " + placement;
  for (auto const& [key, value] : changes) {
    text.append(&key == &changes.front().first ? ", with " : ", ").append(key);
    text.append("=").append(value);
  }
  return text;
}

std::string Arm::folder() const {
  auto text = name;
  std::erase(text, '=');
  std::ranges::replace_if(
      text, [](char c) { return c == ':' || c == ','; }, '-');
  return text;
}

void refuse_repeated(std::vector<Arm> const& arms) {
  for (auto arm = arms.begin(); arm != arms.end(); ++arm) {
    if (std::find_if(arms.begin(), arm,
                     [&](Arm const& other) { return other.folder() == arm->folder(); }) != arm) {
      throw InputError{"--arms: expected each arm once, found " + arm->name + " again"};
    }
  }
}

std::vector<Arm> parse_arms(std::string_view list) {
  auto texts = std::vector<std::string>{};
  for (auto const& text : parse_comma_list(list)) {
    // A change of the arm before: "quant=none" in "all:r=8,quant=none".
    auto const continues = text.find('=') != text.npos && text.find(':') == text.npos;
    if (continues && !texts.empty()) {
      texts.back() += "," + text;
    } else {
      texts.push_back(text);
    }
  }
  auto arms = std::vector<Arm>{};
  for (auto const& text : texts) {
    try {
      arms.push_back(parse_arm(text));
    } catch (InputError const& error) {
      throw InputError{"--arms: " + text + ": " + error.what()};
    }
  }
  refuse_repeated(arms);
  if (arms.empty()) throw InputError{"--arms: expected at least one arm, found none"};
  return arms;
}

}  // namespace qlora::cli
