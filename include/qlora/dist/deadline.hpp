/// What must not take for ever, such as calls that wait for a process that may have been stopped.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

namespace qlora::inline v1::dist {

/// Unless it is destroyed in time, says `what` and ends the process with status 1.
class Deadline {
 public:
  Deadline(std::chrono::duration<double> time, std::string what)
      : thread_{[time, what = std::move(what)](std::stop_token const& stop) {
          auto mutex = std::mutex{};
          auto lock = std::unique_lock{mutex};
          std::condition_variable_any{}.wait_for(lock, stop, time, [] { return false; });
          if (stop.stop_requested()) return;
          std::fprintf(stderr, "%s within %g s\n", what.c_str(), time.count());
          std::_Exit(1);
        }} {}

 private:
  std::jthread thread_;
};

}  // namespace qlora::inline v1::dist
