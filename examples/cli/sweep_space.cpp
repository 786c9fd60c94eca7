#include "sweep_space.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <set>
#include <span>
#include <utility>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/core/random.hpp>
#include <qlora/metrics/metric_set.hpp>
#include <qlora/quant/any.hpp>

#include "numbers.hpp"
#include "toml.hpp"

namespace qlora::cli {
namespace {

using Kind = TomlValue::Kind;

constexpr auto most_trials = std::int64_t{10'000};
constexpr auto most_seeds = std::int64_t{1000};

enum class Takes { words, integers, reals };

/// A key that may be swept; its place here is the stream that its numbers are drawn from.
struct Sweepable {
  std::string_view name;
  Takes takes;
};
constexpr auto sweepable = std::to_array<Sweepable>({{"placement", Takes::words},
                                                     {"quant", Takes::words},
                                                     {"rank", Takes::integers},
                                                     {"alpha", Takes::reals},
                                                     {"alpha_over_rank", Takes::reals},
                                                     {"dropout", Takes::reals},
                                                     {"lr", Takes::reals},
                                                     {"weight_decay", Takes::reals}});

/// Sets one flag; alpha_over_rank wants the rank set before.
void set_flag(std::string_view name, std::string const& value, RunOptions& run) {
  auto& training = run.training;
  auto const real = [&] {
    auto const number = parse_number<double>(value);
    if (number && std::isfinite(*number)) return *number;
    throw InputError{"expected a finite number, found " + value};
  };
  if (name == "placement") {
    run.placement = placement::Sites::parse(value);
  } else if (name == "quant") {
    training.quant = quant::Any::parse(value).name;
  } else if (name == "rank") {
    auto const rank = parse_number<Index>(value);
    if (!rank) throw InputError{"expected an integer, found " + value};
    training.rank = *rank;
  } else if (name == "alpha") {
    training.alpha = real();
  } else if (name == "alpha_over_rank") {
    training.alpha = real() * static_cast<double>(training.rank);
  } else if (name == "dropout") {
    training.dropout = real();
  } else if (name == "lr") {
    training.learning_rate = real();
  } else {
    training.weight_decay = real();
  }
}

void check_training(TrainingOptions const& training) {
  qlora::check(training.lora(0));
  qlora::check(training.fit());
}

/// One entry of the file after the other.
class SpaceReader {
 public:
  explicit SpaceReader(std::string_view file) : file_{file} {}

  void read(TomlEntry const& entry) {
    line_ = entry.line;
    auto const name = printable(entry.key);
    if (!seen_.insert(entry.key).second) fail("duplicate key \"" + name + "\"");
    auto const known = std::ranges::find(sweepable, entry.key, &Sweepable::name);
    if (known != sweepable.end()) {
      space_.factors.push_back(factor(*known, entry.value));
    } else if (entry.key == "search") {
      auto const search = word(entry.key, entry.value);
      if (search != "grid" && search != "random") {
        fail("search: expected grid or random, found " + printable(search));
      }
      space_.search = search == "grid" ? Space::Search::grid : Space::Search::random;
    } else if (entry.key == "trials") {
      space_.trials = count(entry, most_trials);
      trials_line_ = line_;
    } else if (entry.key == "seeds") {
      space_.seeds = count(entry, most_seeds);
    } else if (entry.key == "metric") {
      space_.metric = word(entry.key, entry.value);
      if (space_.metric == by_group_metric) return;
      here("metric", [&] { metrics::Chosen{metrics::Options{.names = space_.metric}}; });
    } else {
      auto list = std::string{};
      for (auto const& one : sweepable) list.append(one.name).append(", ");
      fail("unknown key \"" + name + "\"; expected " + list + "search, trials, seeds or metric");
    }
  }

  /// What one entry alone does not tell.
  Space finish() {
    line_ = 0;
    if (space_.factors.empty()) fail("expected at least one flag to sweep, found none");
    auto const random = space_.search == Space::Search::random;
    if (random && space_.trials == 0) fail("expected `trials = N` for a random search, found none");
    if (!random && space_.trials > 0) {
      line_ = trials_line_;
      fail("trials: expected them of a random search only; a grid has as many as it has");
    }
    auto combinations = 1.;
    for (auto const& factor : space_.factors) {
      line_ = factor.line;
      if (factor.range && !random) {
        fail(factor.name +
             ": expected an array of values in a grid, found a range; it takes "
             "`search = \"random\"`");
      }
      if (factor.name == "alpha_over_rank" && seen_.contains("alpha")) {
        fail("alpha_over_rank: expected no alpha beside it, which it sets");
      }
      combinations *= count_of(factor);
    }
    if (random && combinations < static_cast<double>(space_.trials)) {
      line_ = trials_line_;
      fail("trials: expected at most " + exact(combinations) +
           ", as many as there are different settings, found " + std::to_string(space_.trials));
    }
    if (!random && combinations > static_cast<double>(most_trials)) {
      line_ = 0;
      fail("expected at most " + std::to_string(most_trials) + " trials in a grid, found more");
    }
    return std::move(space_);
  }

 private:
  [[noreturn]] void fail(std::string const& what) const {
    throw InputError{at(file_, what, line_)};
  }
  /// What `body` refuses is said with the line, and with that name unless it says it itself.
  template <class Body>
  void here(std::string const& name, Body&& body) const {
    try {
      body();
    } catch (InputError const& error) {
      auto const what = std::string{error.what()};
      fail(what.starts_with(name + ":") ? what : name + ": " + what);
    }
  }

  std::string word(std::string const& name, TomlValue const& value) const {
    if (value.kind != Kind::string) fail(name + ": expected a string, found " + shown(value));
    return value.text;
  }
  std::int64_t count(TomlEntry const& entry, std::int64_t most) const {
    auto const number = entry.value.kind == Kind::number
                            ? parse_number<std::int64_t>(entry.value.text)
                            : std::nullopt;
    if (number && *number >= 1 && *number <= most) return *number;
    fail(entry.key + ": expected an integer from 1 to " + std::to_string(most) + ", found " +
         shown(entry.value));
  }
  /// Different values; of a range of reals there are more than anybody counts.
  static double count_of(Factor const& factor) {
    if (!factor.range) return static_cast<double>(factor.values.size());
    if (factor.name != "rank") return std::numeric_limits<double>::infinity();
    return factor.range->high - factor.range->low + 1.;
  }
  static std::string shown(TomlValue const& value) {
    if (value.kind == Kind::array) return "an array";
    if (value.kind == Kind::table) return "a table";
    return printable(value.text, 40);
  }

  Factor factor(Sweepable const& known, TomlValue const& value) const {
    auto result = Factor{.name = std::string{known.name}, .values = {}, .range = {}, .line = line_};
    if (value.kind == Kind::table && known.takes != Takes::words) {
      result.range = range(result.name, value);
      for (auto const bound : {result.range->low, result.range->high}) {
        check_value(result.name, exact(bound));
      }
      return result;
    }
    if (value.kind != Kind::array) {
      fail(result.name + ": expected an array of values" +
           (known.takes == Takes::words ? "" : " or a table {low, high, scale}") + ", found " +
           shown(value));
    }
    if (value.items.empty()) fail(result.name + ": expected at least one value, found none");
    if (value.items.size() > static_cast<std::size_t>(most_trials)) {
      fail(result.name + ": expected at most " + std::to_string(most_trials) + " values, found " +
           std::to_string(value.items.size()));
    }
    auto seen = std::set<std::string>{};
    auto const wanted = known.takes == Takes::words ? Kind::string : Kind::number;
    for (auto const& item : value.items) {
      if (item.kind != wanted) {
        fail(result.name + ": expected " + (wanted == Kind::string ? "strings" : "numbers") +
             ", found " + shown(item));
      }
      check_value(result.name, item.text);
      auto text = wanted == Kind::string ? item.text : exact(*parse_number<double>(item.text));
      if (!seen.insert(text).second) {
        fail(result.name + ": expected each value once, found " + printable(text, 40) + " again");
      }
      result.values.push_back(std::move(text));
    }
    return result;
  }

  void check_value(std::string const& name, std::string const& value) const {
    here(name, [&] {
      auto run = RunOptions{};
      set_flag(name, value, run);
      check_training(run.training);
    });
  }

  Factor::Range range(std::string const& name, TomlValue const& table) const {
    auto result = Factor::Range{};
    auto found = std::array<bool, 2>{};
    for (auto i = std::size_t{0}; i < table.keys.size(); ++i) {
      auto const& key = table.keys[i];
      auto const& value = table.items[i];
      if (key == "scale") {
        auto const place = name + ": scale";
        auto const scale = word(place, value);
        if (scale != "log" && scale != "linear") {
          fail(place + ": expected log or linear, found " + printable(scale));
        }
        result.scale = scale == "log" ? Factor::Scale::log : Factor::Scale::linear;
      } else if (key == "low" || key == "high") {
        if (value.kind != Kind::number) {
          fail(std::string{name}.append(": ").append(key).append(": expected a number, found ") +
               shown(value));
        }
        auto const is_high = key == "high";
        (is_high ? result.high : result.low) = *parse_number<double>(value.text);
        found[is_high ? 1 : 0] = true;
      } else {
        fail(name + ": expected low, high and scale, found " + printable(key));
      }
    }
    if (!found[0] || !found[1]) fail(name + ": expected low and high, found one or none");
    if (!(result.low < result.high)) fail(name + ": expected low below high");
    if (result.scale == Factor::Scale::log && !(result.low > 0.)) {
      fail(name + ": expected low above 0 on a log scale, found " + exact(result.low));
    }
    return result;
  }

  std::string file_;
  std::size_t line_ = 0;
  std::size_t trials_line_ = 0;
  std::set<std::string> seen_;
  Space space_;
};

/// A number of the range for `u` in [0, 1). Reals have six digits, which is more than a sweep can
/// tell apart; both bounds of an integer are in.
std::string number_in(Factor const& factor, double u) {
  auto const& [low, high, scale] = *factor.range;
  auto const integral = factor.name == "rank";
  auto const top = integral ? high + 1. : high;
  auto const value =
      scale == Factor::Scale::log ? low * std::pow(top / low, u) : low + (top - low) * u;
  if (integral) return exact(std::clamp(std::floor(value), low, high));
  char digits[32];
  std::snprintf(digits, sizeof digits, "%.6g", value);
  return exact(std::clamp(*parse_number<double>(digits), low, high));
}

Settings random_settings(std::vector<Factor> const& factors, std::uint64_t seed,
                         std::uint32_t draw) {
  auto settings = Settings{};
  for (auto const& factor : factors) {
    auto const known = std::ranges::find(sweepable, factor.name, &Sweepable::name);
    auto numbers = RandomSequence{{.seed = seed,
                                   .step = draw,
                                   .sample = static_cast<std::uint32_t>(known - sweepable.begin()),
                                   .site = random_site::search}};
    settings.push_back(
        factor.range
            ? number_in(factor, double{numbers.uniform()})
            : factor.values[numbers.below(static_cast<std::uint32_t>(factor.values.size()))]);
  }
  return settings;
}

std::vector<Settings> grid(std::vector<Factor> const& factors) {
  auto all = std::vector<Settings>{{}};
  for (auto const& factor : factors) {
    auto longer = std::vector<Settings>{};
    for (auto const& settings : all) {
      for (auto const& value : factor.values) {
        longer.push_back(settings);
        longer.back().push_back(value);
      }
    }
    all = std::move(longer);
  }
  return all;
}

}  // namespace

Space Space::parse(std::string_view text, std::string_view file) {
  auto reader = SpaceReader{file};
  for (auto const& entry : parse_toml(text, file, TomlValues::nested)) reader.read(entry);
  return reader.finish();
}

std::vector<Settings> Space::draw(std::uint64_t seed) const {
  if (search == Search::grid) return grid(factors);
  auto const wanted = static_cast<std::size_t>(trials);
  auto all = std::vector<Settings>{};
  auto seen = std::set<Settings>{};
  constexpr auto tries = std::uint32_t{100};  // for each; the same again is no trial
  for (auto i = std::uint32_t{0}; all.size() < wanted; ++i) {
    if (i >= tries * static_cast<std::uint32_t>(trials)) {
      throw InputError{"trials: expected at most " + std::to_string(all.size()) +
                       ", as many as there are different settings, found " +
                       std::to_string(trials)};
    }
    auto settings = random_settings(factors, seed, i);
    if (seen.insert(settings).second) all.push_back(std::move(settings));
  }
  return all;
}

RunOptions Space::apply(Settings const& settings, RunOptions run) const {
  // The rank before the ratio to it.
  for (auto const ratio : {false, true}) {
    for (auto i = std::size_t{0}; i < factors.size(); ++i) {
      auto const is_ratio = factors[i].name == "alpha_over_rank";
      if (is_ratio == ratio) set_flag(factors[i].name, settings[i], run);
    }
  }
  check_training(run.training);
  return run;
}

}  // namespace qlora::cli
