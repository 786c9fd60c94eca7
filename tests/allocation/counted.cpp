#include "allocation/counted.hpp"

#include <cstdlib>
#include <new>

namespace qlora::test {
long allocations = 0;
long objects = 0;
long live_objects = 0;
long failing_object = 0;
}  // namespace qlora::test

// Every object of the program, those that the standard library makes within its own objects too.
// NOLINTBEGIN: these are the standard's functions
extern "C" void* __real_aligned_alloc(std::size_t alignment, std::size_t n);
namespace {
void* allocate(std::size_t bytes, std::size_t alignment) noexcept {
  using namespace qlora::test;
  if (__atomic_add_fetch(&objects, 1, __ATOMIC_RELAXED) == failing_object) return nullptr;
  auto* const data = __real_aligned_alloc(alignment, (bytes + alignment) / alignment * alignment);
  if (data != nullptr) __atomic_add_fetch(&live_objects, 1, __ATOMIC_RELAXED);
  return data;
}
void* allocate_or_throw(std::size_t bytes, std::size_t alignment) {
  if (auto* const data = allocate(bytes, alignment)) return data;
  throw std::bad_alloc{};
}
void release(void* data) noexcept {
  if (data != nullptr) __atomic_sub_fetch(&qlora::test::live_objects, 1, __ATOMIC_RELAXED);
  std::free(data);
}
}  // namespace

void* operator new(std::size_t n) {
  return allocate_or_throw(n, 16);
}
void* operator new(std::size_t n, std::nothrow_t const&) noexcept {
  return allocate(n, 16);
}
void* operator new(std::size_t n, std::align_val_t a) {
  return allocate_or_throw(n, static_cast<std::size_t>(a));
}
void* operator new(std::size_t n, std::align_val_t a, std::nothrow_t const&) noexcept {
  return allocate(n, static_cast<std::size_t>(a));
}
void operator delete(void* p) noexcept {
  release(p);
}
void operator delete(void* p, std::size_t) noexcept {
  release(p);
}
void operator delete(void* p, std::align_val_t) noexcept {
  release(p);
}
void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
  release(p);
}
// NOLINTEND

// NOLINTBEGIN: names and signatures are the linker's
#define COUNTED(result, name, parameters, ...)                          \
  extern "C" result __real_##name parameters;                           \
  extern "C" result __wrap_##name parameters;                           \
  extern "C" result __wrap_##name parameters {                          \
    __atomic_add_fetch(&qlora::test::allocations, 1, __ATOMIC_RELAXED); \
    return __real_##name(__VA_ARGS__);                                  \
  }
COUNTED(void*, malloc, (std::size_t n), n)
COUNTED(void*, calloc, (std::size_t n, std::size_t size), n, size)
COUNTED(void*, realloc, (void* p, std::size_t n), p, n)
COUNTED(void*, aligned_alloc, (std::size_t alignment, std::size_t n), alignment, n)
COUNTED(int, posix_memalign, (void** p, std::size_t alignment, std::size_t n), p, alignment, n)
// operator new and new[]: plain, nothrow, aligned, and both
COUNTED(void*, _Znwm, (std::size_t n), n)
COUNTED(void*, _Znam, (std::size_t n), n)
COUNTED(void*, _ZnwmRKSt9nothrow_t, (std::size_t n, std::nothrow_t const& t), n, t)
COUNTED(void*, _ZnamRKSt9nothrow_t, (std::size_t n, std::nothrow_t const& t), n, t)
COUNTED(void*, _ZnwmSt11align_val_t, (std::size_t n, std::align_val_t a), n, a)
COUNTED(void*, _ZnamSt11align_val_t, (std::size_t n, std::align_val_t a), n, a)
COUNTED(void*, _ZnwmSt11align_val_tRKSt9nothrow_t,
        (std::size_t n, std::align_val_t a, std::nothrow_t const& t), n, a, t)
COUNTED(void*, _ZnamSt11align_val_tRKSt9nothrow_t,
        (std::size_t n, std::align_val_t a, std::nothrow_t const& t), n, a, t)
#undef COUNTED
// NOLINTEND
