#if __has_include(<qlora/esm2.hpp>)
#include <qlora/esm2.hpp>
#endif
#include <qlora/core/parallel.hpp>

int& other_thread_count();

int& other_thread_count() {
  return qlora::thread_count();
}
