/// What the program has of CUDA. A build has one of two sources behind it: session_cuda_*.cu where
/// there is nvcc, else no_cuda.cpp.
#pragma once

#include <memory>

#include "session.hpp"

namespace qlora::cli {

/// Whether the program was compiled with CUDA and finds a device.
bool cuda_is_present();
/// Throws SystemError, which says why, unless it is.
void require_cuda();
/// Takes the device of that number, from 0, counting round.
void use_cuda_device(int number);

std::unique_ptr<Session> open_cuda_fp32(SessionOptions const& options);
std::unique_ptr<Session> open_cuda_bf16(SessionOptions const& options);

}  // namespace qlora::cli
