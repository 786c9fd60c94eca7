/// The commands of the program; each lives in the file of its name.
#pragma once

#include <CLI/CLI.hpp>

namespace qlora::cli {

void add_demo(CLI::App& app);
void add_compare(CLI::App& app);
void add_train(CLI::App& app);
void add_evaluate(CLI::App& app);
void add_predict(CLI::App& app);
void add_merge(CLI::App& app);
void add_quantize(CLI::App& app);
void add_import(CLI::App& app);
void add_inspect(CLI::App& app);
void add_memory(CLI::App& app);
void add_prepare(CLI::App& app);
void add_sweep(CLI::App& app);
void add_synth(CLI::App& app);
// Both of completion.cpp.
void add_completion(CLI::App& app);
void add_manual(CLI::App& app);

}  // namespace qlora::cli
