/// What `evaluate` and `predict` take: a model, an adapter on it, and how the model is stored.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>

#include <qlora/metrics/logistic_regression.hpp>

#include "options.hpp"
#include "session.hpp"

namespace qlora::cli {

/// Throws InputError for an adapter that was trained on random weights, which makes sense on them
/// alone.
void refuse_random_base(std::string const& adapter);

struct AdapterOptions {
  std::string model, adapter, quant;
  MachineOptions machine;
  /// What the adapter's `qlora.json` has, once it is open.
  std::optional<double> threshold;  ///< on the margin
  std::optional<metrics::LogOdds> calibration;

  void add_to(CLI::App& command);
  /// The model with its adapter, if one is given; quantization and class weights as the adapter's
  /// `qlora.json` says, where it has one. Says on stderr what the user should know of them.
  std::unique_ptr<Session> open();
};

}  // namespace qlora::cli
