// expect: a model policy needs static constexpr name, hidden, layers, heads, intermediate and
#include <string_view>

#include <qlora/model/sizes.hpp>

struct HeadDimIsOdd : qlora::esm2::Sizes<60, 2, 4> {
  static constexpr std::string_view name = "HeadDimIsOdd";
#if defined(QLORA_COMPILE_FAIL_CONTROL)
  static constexpr qlora::Index heads = 3;
#endif
};

int main() {
  qlora::model::check_sizes<HeadDimIsOdd>({}, "config.json");
}
