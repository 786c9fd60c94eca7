/// What a program allocates. The linker hands every allocation of its own objects to counted.cpp
/// (CMakeLists.txt), which counts it, and which is where all objects come from.
#pragma once

#include <cstddef>

#include <malloc.h>

namespace qlora::test {

extern long allocations;     ///< so far, of this program's own code
extern long objects;         ///< so far, by operator new, of libraries' code too
extern long live_objects;    ///< of them, those that are still there
extern long failing_object;  ///< is refused when `objects` reaches it

/// Taken from the heap and not given back, by whomever; 0 where the allocator keeps no statistics.
inline std::size_t heap_bytes() {
  auto const heap = ::mallinfo2();
  return heap.uordblks + heap.hblkhd;
}

}  // namespace qlora::test
