// What the program cannot allocate it names: std::bad_alloc alone would not say how much it was.
// Tensors say it themselves.
#include "out_of_memory.hpp"

#include <atomic>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <new>

namespace {

std::atomic<std::size_t> refused = 0;

class OutOfMemory : public std::bad_alloc {
 public:
  explicit OutOfMemory(std::size_t bytes) noexcept {
    refused = bytes;
    std::snprintf(text_, sizeof text_, "cannot allocate %zu bytes of host memory", bytes);
  }
  char const* what() const noexcept override { return text_; }

 private:
  char text_[64];  // no string, which would want memory
};

}  // namespace

void qlora::cli::rethrow_refused() {
  if (refused != 0) throw OutOfMemory{refused};
}

void* operator new(std::size_t bytes, std::align_val_t alignment) {
  auto const multiple = static_cast<std::size_t>(alignment);
  auto* const data = std::aligned_alloc(multiple, (bytes + multiple) / multiple * multiple);
  if (data != nullptr) return data;
  throw OutOfMemory{bytes};
}
void operator delete(void* data, std::align_val_t) noexcept {
  std::free(data);
}
void operator delete(void* data, std::size_t, std::align_val_t) noexcept {
  std::free(data);
}
void* operator new(std::size_t bytes) {
  if (auto* const data = std::malloc(bytes == 0 ? 1 : bytes)) return data;
  throw OutOfMemory{bytes};
}
void operator delete(void* data) noexcept {
  std::free(data);
}
void operator delete(void* data, std::size_t) noexcept {
  std::free(data);
}
