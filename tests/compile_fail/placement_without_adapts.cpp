// expect: a placement needs bool adapts(Site) const; see adapt/placement.hpp
#include <string>

#include <qlora/backend/cpu.hpp>
#include <qlora/model/esm2.hpp>
#include <qlora/quant/full.hpp>
#include <qlora/quant/quantized.hpp>

using Weight = qlora::Quantized<qlora::Full<float>>;

struct Source {
  qlora::MatrixTensor<float> tensor(std::string const&, qlora::Index, qlora::Index);
  Weight weight(qlora::Site, qlora::Index, qlora::Index);
};

struct FirstLayer {
#if defined(QLORA_COMPILE_FAIL_CONTROL)
  bool adapts(qlora::Site site) const {
    return site.layer == 0;
  }
#endif
};

void build(Source& source) {
  qlora::Esm2<qlora::backend::Cpu<>, Weight>{{}, source, FirstLayer{}, {}};
}
