/// Memory that the program was refused.
#pragma once

namespace qlora::cli {

/// Throws again what `operator new` threw last, if it ever did. Some of libstdc++'s functions end
/// the process without an exception that is current when they have no memory.
void rethrow_refused();

}  // namespace qlora::cli
