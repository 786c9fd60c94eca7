/// Functions that host and device share, and what they need so that both give the same bits. The
/// only place below the backends that knows which compiler is at work; it changes attributes, never
/// a type or a signature.
#pragma once

#if defined(__CUDACC__)
#define QLORA_HOST_DEVICE __host__ __device__
#else
#define QLORA_HOST_DEVICE
#endif

namespace qlora::inline v1 {

/// a b + c, the product rounded before the sum: compilers may fuse the two.
QLORA_HOST_DEVICE inline float multiply_then_add(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
  return __fadd_rn(__fmul_rn(a, b), c);
#else
  float const volatile product = a * b;
  return product + c;
#endif
}

}  // namespace qlora::inline v1
