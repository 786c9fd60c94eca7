#include "history.hpp"

#include <chrono>
#include <cmath>

#include <qlora/core/file.hpp>

#include "numbers.hpp"

namespace qlora::cli {
namespace {

double now() {
  using Seconds = std::chrono::duration<double>;
  return Seconds{std::chrono::system_clock::now().time_since_epoch()}.count();
}

}  // namespace

History::History(std::filesystem::path const& folder)
    : table_{folder / "history.csv"},
      text_{"step,epoch,loss,grad_norm,learning_rate,tokens,tokens_per_second\n"},
      events_{folder / "events.out.tfevents.qlora", now()} {}

void History::add(StepRecord const& step) {
  text_ += std::to_string(step.step) + "," + std::to_string(step.epoch) + "," + exact(step.loss) +
           "," + exact(step.gradient_norm) + "," + exact(step.learning_rate) + "," +
           std::to_string(step.tokens) + "," + exact(step.tokens_per_second) + "\n";
  auto const time = now();
  events_.add("train/loss", step.step, step.loss, time);
  events_.add("train/grad_norm", step.step, step.gradient_norm, time);
  events_.add("train/learning_rate", step.step, step.learning_rate, time);
  events_.add("train/tokens_per_second", step.step, step.tokens_per_second, time);
}

void History::add(std::string const& split, metrics::Scores const& scores, std::int64_t step) {
  auto const time = now();
  for (auto const& [name, value] : scores.values) {
    if (std::isnan(value)) continue;
    events_.add("metrics_" + split + "/" + std::string{name}, step, value, time);
  }
}

void History::write() {
  write_atomically(table_, text_);
  events_.write();
}

}  // namespace qlora::cli
