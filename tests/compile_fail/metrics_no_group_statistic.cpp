// expect: a group statistic needs using Group = ..., static bool defined(Group const&), void
// add(Group const&, std::uint32_t times) and double value() const
#include <cstdint>

#include <qlora/metrics/estimand.hpp>

struct Share {
  using Group = double;
#if defined(QLORA_COMPILE_FAIL_CONTROL)
  static bool defined(double) {
    return true;
  }
#endif
  void add(double, std::uint32_t) {}
  double value() const {
    return 0;
  }
};

int main() {
  qlora::metrics::Estimand<Share> estimand{{{0.5}}};
}
