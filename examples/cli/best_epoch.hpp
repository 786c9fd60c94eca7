/// The epoch that `--select` keeps.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <qlora/core/option.hpp>

#include "checkpoint_file.hpp"
#include "session.hpp"

namespace qlora::cli {

/// The parameters of the epoch at which a metric was best.
class BestEpoch {
 public:
  BestEpoch(std::string metric, Session& session) : metric_{std::move(metric)}, session_{session} {}

  void offer(double score, std::int64_t epoch) {
    auto const value = metric_.starts_with("loss") ? -score : score;
    if (epoch_ > 0 && !(value > value_)) return;
    value_ = value;
    epoch_ = epoch;
    parameters_ = session_.parameters();
  }
  void restore() const {
    if (epoch_ > 0) session_.set_parameters(parameters_);
  }
  std::int64_t epoch() const { return epoch_; }

  void put_into(Checkpoint& checkpoint) const {
    checkpoint.best_epoch = epoch_;
    checkpoint.best_value = value_;
    checkpoint.best_parameters = parameters_;
  }
  /// Throws InputError, naming the file, for parameters that are not of this model.
  void take_from(Checkpoint const& checkpoint, std::string const& file) {
    if (checkpoint.best_epoch > 0) {
      auto const size = session_.parameters().size();
      expect_option(checkpoint.best_parameters.size() == size, file + ": best parameters",
                    std::to_string(size), checkpoint.best_parameters.size());
    }
    epoch_ = checkpoint.best_epoch;
    value_ = checkpoint.best_value;
    parameters_ = checkpoint.best_parameters;
  }

 private:
  std::string metric_;
  Session& session_;
  double value_ = 0.;
  std::int64_t epoch_ = 0;
  std::vector<float> parameters_;
};

}  // namespace qlora::cli
