/// The largest amount of memory that the process has held.
#pragma once

#include <cstddef>
#include <fstream>
#include <string>

#include <sys/resource.h>

namespace qlora::inline v1 {

/// Starts anew from what is held now, where the system can; else the peak is the process's.
inline void reset_peak_memory() {
  std::ofstream{"/proc/self/clear_refs"} << "5\n";
}

/// Bytes of the resident set at its largest since the last reset.
inline std::size_t peak_memory_bytes() {
  auto status = std::ifstream{"/proc/self/status"};
  for (auto word = std::string{}; status >> word;) {
    if (word != "VmHWM:") continue;
    auto kibibytes = std::size_t{0};
    if (status >> kibibytes) return kibibytes * 1024;
  }
  auto usage = ::rusage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::size_t>(usage.ru_maxrss) * 1024;
}

}  // namespace qlora::inline v1
