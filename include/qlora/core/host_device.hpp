/// Marks functions that host and device share. The only place below the backends that knows which
/// compiler is at work; it changes attributes, never a type or a signature.
#pragma once

#if defined(__CUDACC__)
#define QLORA_HOST_DEVICE __host__ __device__
#else
#define QLORA_HOST_DEVICE
#endif
