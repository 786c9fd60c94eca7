/// Flags that several commands share, with their defaults.
#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <string>

#include <CLI/CLI.hpp>

#include <qlora/adapt/lora.hpp>
#include <qlora/quant/any.hpp>
#include <qlora/report/progress.hpp>
#include <qlora/train/fit_options.hpp>

#include "numbers.hpp"

namespace qlora::cli {

/// What every command that computes takes.
struct MachineOptions {
  std::string device;   ///< empty: cuda where it is there, else cpu
  std::string compute;  ///< empty: fp32 on the CPU, bf16 on a GPU
  int threads = 0;      ///< 0: the machine's
  std::uint64_t seed = 1;
  bool quiet = false;

  void add_to(CLI::App& command);
  /// Chooses what was left open, and applies `--threads`. Throws SystemError for a device that is
  /// not there.
  void apply();

  report::Progress::Style progress() const {
    return quiet ? report::Progress::Style::silent : report::Progress::Style::automatic;
  }
};

/// The group of the flags that a recipe sets.
inline constexpr auto training_group = "Training";

/// What `train` and `compare` take. The defaults are the standard recipe; see docs/recipe.md.
struct TrainingOptions {
  std::string recipe = "standard";
  std::string quant;  ///< empty: not asked for, which is nf4
  Index rank = 2;
  double alpha = 1.;
  bool rslora = false;
  double dropout = .1;
  std::int64_t epochs = 5;
  double learning_rate = 1e-2;
  std::string schedule = "cosine";
  std::int64_t warmup_steps = 0;
  double weight_decay = .01;
  double clip = 1.;
  std::int64_t max_length = 1000;
  std::string class_weights = "balanced";
  std::int64_t batch_tokens = 2048;
  std::int64_t batch_sequences = 0;
  std::int64_t accumulate = 1;
  bool no_shuffle = false;
  bool recompute = false;
  // No flags, but changes of an arm.
  std::string labels = "given";  ///< or "shuffled" within each protein
  std::string base = "given";    ///< or "random": weights without pre-training

  void add_to(CLI::App& command);
  quant::Any scheme() const { return quant::Any::parse(quant.empty() ? "nf4" : quant); }
  LoraOptions lora(std::uint64_t seed) const;
  /// Throws InputError for class weights that are none.
  FitOptions fit() const;
};

/// `--config`, which `expand` has read by the time a command is parsed.
void add_config(CLI::App& command);

/// A check: CLI11 alone would take nothing for zero, and a NaN for a number in any range.
inline std::string number_of_text(std::string const& text) {
  auto const number = parse_number<double>(text.substr(text.starts_with('+') ? 1 : 0));
  return number && !std::isnan(*number) ? std::string{} : "expected a number, found " + text;
}

/// An option whose last value counts, with its default shown. CLI11 alone would read 010 as eight,
/// and a number that does not fit as the nearest that does.
template <class T>
CLI::Option* add_option(CLI::App& command, std::string const& flags, T& value,
                        std::string const& description) {
  auto* const option =
      command.add_option(flags, value, description)->take_last()->capture_default_str();
  if constexpr (std::integral<T>) {
    option->check([](std::string const& text) {
      if (parse_number<T>(text)) return std::string{};
      return "expected an integer in decimal digits, without leading zeros and at most " +
             std::to_string(std::numeric_limits<T>::max()) + ", found " + text;
    });
  } else if constexpr (std::floating_point<T>) {
    option->check(number_of_text);
  }
  return option;
}

/// Something that is off unless it is asked for; the last `--name` or `--name=false` counts.
inline CLI::Option* add_switch(CLI::App& command, std::string const& flags, bool& value,
                               std::string const& description) {
  return command.add_flag(flags, value, description)->take_last();
}

/// A path or name, which is left out rather than empty: "$UNSET" is a mistake.
inline CLI::Option* add_name(CLI::App& command, std::string const& flags, std::string& value,
                             std::string const& description) {
  return add_option(command, flags, value, description)->check([](std::string const& text) {
    return std::string{text.empty() ? "expected a name, found an empty one" : ""};
  });
}

/// A required path or name.
inline CLI::Option* add_required(CLI::App& command, std::string const& flags, std::string& value,
                                 std::string const& description) {
  return add_name(command, flags, value, description)->required();
}

}  // namespace qlora::cli
