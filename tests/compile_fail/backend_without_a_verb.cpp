// expect: a backend needs every verb of backend/concepts.hpp
#include <qlora/backend/cpu.hpp>
#include <qlora/model/esm2.hpp>

struct Weight {};

struct NoGelu : qlora::backend::Cpu<> {
#if !defined(QLORA_COMPILE_FAIL_CONTROL)
  void gelu() = delete;
#endif
};

static_assert(sizeof(qlora::Esm2<NoGelu, Weight>) > 0);
