// A program outside the project: finds the headers, what they need, and the version it asked for.
#include <iostream>

#include <qlora/core/random.hpp>
#include <qlora/core/safetensors.hpp>
#include <qlora/version.hpp>

int main() {
  if (qlora::version == EXPECTED_VERSION) return 0;
  std::cerr << "expected version " << EXPECTED_VERSION << ", found " << qlora::version << '\n';
  return 1;
}
