/// What files of proteins hold, and what they share.
#pragma once

#include <string>
#include <vector>

#include <qlora/report/progress.hpp>

namespace qlora::cli {

/// Prints a column a file: counts, labels, lengths, annotated sites; then, of several, what each
/// shares with those before it; with `relatives`, how near the nearest relatives are, too. Throws
/// InputError as the formats' readers do.
void inspect_data(std::vector<std::string> const& files, bool relatives,
                  report::Progress::Style style);

/// The sets that lie in a folder of `qlora prepare` or `qlora synth`; none elsewhere.
std::vector<std::string> data_sets_in(std::string const& folder);

}  // namespace qlora::cli
