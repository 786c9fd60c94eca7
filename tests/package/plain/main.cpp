// Nothing but -I.
#if __has_include(<qlora/esm2.hpp>)
#include <qlora/esm2.hpp>
#endif
#include <qlora/core/error.hpp>

int main() {}
