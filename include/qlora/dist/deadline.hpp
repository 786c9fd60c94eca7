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

/// Unless it is destroyed in time, says `what` and ends the process with that status.
class Deadline {
 public:
  Deadline(std::chrono::duration<double> time, std::string what, int status = 1)
      : thread_{[time, what = std::move(what), status](std::stop_token const& stop) {
          auto mutex = std::mutex{};
          auto lock = std::unique_lock{mutex};
          std::condition_variable_any{}.wait_for(lock, stop, time, [] { return false; });
          if (stop.stop_requested()) return;
          std::fprintf(stderr, "%s within %g s\n", what.c_str(), time.count());
          std::_Exit(status);
        }} {}

 private:
  std::jthread thread_;
};

}  // namespace qlora::inline v1::dist
