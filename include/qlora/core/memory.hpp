/// Memory spaces, and buffers that own memory in one of them.
#pragma once

#include <cstddef>
#include <limits>
#include <new>
#include <string>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <qlora/core/error.hpp>

namespace qlora::inline v1 {

/// Where data lives. Part of a tensor's type, so that host data cannot reach a device verb.
enum class Space { host, device };

/// Sizes and subscripts, signed as in Eigen.
using Index = std::ptrdiff_t;

/// Every allocation is aligned for the widest vector and a whole cache line.
inline constexpr std::size_t alignment_bytes = 64;

/// Allocation in a memory space; a backend specialises it for its own.
template <Space>
struct Memory;

template <>
struct Memory<Space::host> {
  static std::byte* allocate(std::size_t bytes) {
    auto* const data = ::operator new(bytes, alignment(bytes), std::nothrow);
    if (data == nullptr) {
      throw SystemError{"cannot allocate " + std::to_string(bytes) + " bytes of host memory"};
    }
#if defined(__linux__)
    // Asked for, not required: touched first, and looked up, 512 times less often.
    if (bytes >= huge_page_bytes) ::madvise(data, bytes, MADV_HUGEPAGE);
#endif
    return static_cast<std::byte*>(data);
  }
  static void deallocate(std::byte* data, std::size_t bytes) noexcept {
    ::operator delete(data, alignment(bytes));
  }

 private:
#if defined(__linux__)
  static constexpr auto huge_page_bytes = std::size_t{1} << 21;
#else
  static constexpr auto huge_page_bytes = std::numeric_limits<std::size_t>::max();
#endif
  static constexpr std::align_val_t alignment(std::size_t bytes) {
    return std::align_val_t{bytes < huge_page_bytes ? alignment_bytes : huge_page_bytes};
  }
};

/// Owns `bytes()` bytes of uninitialised memory; move-only.
template <Space S>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t bytes)
      : data_{bytes == 0 ? nullptr : Memory<S>::allocate(bytes)}, bytes_{bytes} {}
  Buffer(Buffer&& other) noexcept
      : data_{std::exchange(other.data_, nullptr)}, bytes_{std::exchange(other.bytes_, 0)} {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Buffer() {
    // The analyzer does not see through std::optional that this is done once.
    if (data_ != nullptr)
      Memory<S>::deallocate(data_, bytes_);  // NOLINT(clang-analyzer-cplusplus.NewDelete)
  }

  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace qlora::inline v1
