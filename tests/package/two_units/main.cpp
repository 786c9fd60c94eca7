// Two units with the same headers link into one program and share one library.
#if __has_include(<qlora/esm2.hpp>)
#include <qlora/esm2.hpp>
#endif
#include <qlora/core/parallel.hpp>

int& other_thread_count();

int main() {
  return &qlora::thread_count() == &other_thread_count() ? 0 : 1;
}
