/// When a study of several runs will be done.
#pragma once

#include <cstddef>
#include <string>

#include <qlora/report/progress.hpp>

namespace qlora::cli {

class Outlook {
 public:
  explicit Outlook(std::size_t runs) : runs_{runs} {}

  /// "3/20 " of the run that comes next or is going on.
  std::string place() const {
    return std::to_string(done_ + 1) + "/" + std::to_string(runs_) + " ";
  }
  void finish_run(double seconds) {
    ++done_;
    seconds_ += seconds;
  }

  /// Seconds that all runs still take, of which one is going on, with so many tokens ahead of it at
  /// this rate. The first run, before it has ended, stands for the others with its training alone.
  double seconds_left(double tokens_ahead, double tokens_of_run, double tokens_per_second) const {
    auto const later = static_cast<double>(runs_ - done_ - 1);
    auto const a_run =
        done_ > 0 ? seconds_ / static_cast<double>(done_) : tokens_of_run / tokens_per_second;
    return tokens_ahead / tokens_per_second + later * a_run;
  }
  /// "3 of 20 runs done, about 4:10 left", by the mean of those done.
  std::string text() const {
    auto const left = static_cast<double>(runs_ - done_) * seconds_ / static_cast<double>(done_);
    return std::to_string(done_) + " of " + std::to_string(runs_) + " runs done, " +
           (done_ == runs_ ? "in " + report::duration(seconds_)
                           : "about " + report::duration(left) + " left");
  }

 private:
  std::size_t runs_;
  std::size_t done_ = 0;
  double seconds_ = 0;
};

}  // namespace qlora::cli
