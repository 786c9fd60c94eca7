// qlora memory: what a training run will take, before it is run.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <qlora/backend/cpu.hpp>
#include <qlora/core/error.hpp>
#include <qlora/core/peak_memory.hpp>
#include <qlora/data/chunk.hpp>
#include <qlora/model/cache.hpp>
#include <qlora/model/folder.hpp>
#include <qlora/model/memory.hpp>
#include <qlora/model/sizes.hpp>
#include <qlora/quant/any.hpp>
#include <qlora/report/table.hpp>
#include <qlora/train/plan.hpp>

#include "commands.hpp"
#include "files.hpp"
#include "options.hpp"

namespace qlora::cli {
namespace {

/// Code and buffers of libraries that a run has and this command has not, as measured.
constexpr auto library_bytes = std::size_t{11'000'000};

struct MemoryCommand {
  std::string model, placement = "all", train;
  TrainingOptions training;
  MachineOptions machine;

  /// What does not depend on the model.
  struct Load {
    Index tokens = 0;            ///< of the largest pass
    std::size_t data_bytes = 0;  ///< of proteins, as read and as cut
  };

  /// The most that these flags allow: of a step's tokens one pass may have nearly all.
  Load allowed() const {
    constexpr auto most = Index{1} << 40;
    for (auto const& [flag, value] : {std::pair{"--max-length", training.max_length},
                                      {"--batch-tokens", training.batch_tokens},
                                      {"--batch-sequences", training.batch_sequences}}) {
      if (value <= most && training.batch_sequences <= most / training.max_length) continue;
      throw InputError{std::string{flag} + ": expected passes of at most " + std::to_string(most) +
                       " tokens, found more"};
    }
    auto const longest = training.max_length + 2;
    if (training.batch_sequences == 0) return {std::max(training.batch_tokens, longest)};
    return {((training.batch_sequences - 1) / training.accumulate + 1) * longest};
  }

  /// Of the passes that training will make of the file.
  Load of_data() const {
    auto const proteins = DataSet::read(train).proteins;
    auto const records = chunk(proteins, static_cast<std::size_t>(training.max_length)).proteins;
    auto const fit = training.fit();
    auto load = Load{};
    for (auto epoch = std::int64_t{0}; epoch < fit.epochs; ++epoch) {
      auto const plan =
          EpochPlan{records, fit.batch, fit.order, machine.seed, static_cast<std::uint32_t>(epoch)};
      for (auto i = std::size_t{0}; i < plan.steps(); ++i) {
        for_each_pass(plan.step(i), fit.accumulate, [&](std::span<std::uint32_t const> pass) {
          load.tokens = std::max(load.tokens, token_count(records, pass));
        });
      }
    }
    for (auto const* const list : {&proteins, &records}) {
      for (auto const& one : *list) {
        load.data_bytes += sizeof one + one.id.size() + one.sequence.size() + one.labels.size();
      }
    }
    return load;
  }

  MemoryPlan plan(nn::EncoderShape const& shape, quant::Any const& quant, Index tokens) const {
    auto const lora = training.lora(machine.seed);
    auto const sites = placement::Sites::parse(placement);
    auto const keep = training.recompute ? Keep::inputs : Keep::everything;
    using backend::BestProducts;
    if (machine.compute == "bf16") {
      return plan_memory<backend::Cpu<BestProducts, bf16>>(shape, quant, sites, lora, tokens, keep);
    }
    return plan_memory<backend::Cpu<BestProducts, float>>(shape, quant, sites, lora, tokens, keep);
  }

  void operator()() {
    if (machine.device == "cuda") {
      throw InputError{"--device: expected cpu, whose memory is predicted, found cuda"};
    }
    machine.device = "cpu";
    machine.apply();
    auto quant = training.scheme();
    auto models = std::vector<std::pair<std::string, nn::EncoderShape>>{
        {"ESM-2 8M", model::shape_of<esm2::T6_8M>()}, {"35M", model::shape_of<esm2::T12_35M>()},
        {"150M", model::shape_of<esm2::T30_150M>()},  {"650M", model::shape_of<esm2::T33_650M>()},
        {"3B", model::shape_of<esm2::T36_3B>()},      {"15B", model::shape_of<esm2::T48_15B>()}};
    if (!model.empty()) {
      models = {{model, ModelFolder{find_model(model)}.config().shape}};
    }
    auto table = report::Table{{{"model", report::Align::left},
                                {"parameters"},
                                {"trained"},
                                {"frozen weights, MB", report::Align::right, 1},
                                {"trained numbers, MB", report::Align::right, 1},
                                {"activations, MB", report::Align::right, 1},
                                {"peak, MB", report::Align::right, 0}}};
    auto const own = peak_memory_bytes() + library_bytes;  // before data are read
    auto const [tokens, data_bytes] = train.empty() ? allowed() : of_data();
    auto const mega = [](std::size_t bytes) { return static_cast<double>(bytes) / 1e6; };
    for (auto const& [name, shape] : models) {
      auto const found = plan(shape, quant, tokens);
      table.add({name, found.base_parameters, found.trainable_parameters,
                 mega(found.frozen_bytes + found.plain_bytes), mega(found.trained_bytes),
                 mega(found.activation_bytes), mega(found.total() + own + data_bytes)});
    }
    std::cout << table.text(report::Terminal::of(stdout));
    if (machine.quiet) return;
    std::cerr << "on the CPU, passes of at most " << tokens << " tokens"
              << (train.empty() ? " (--train says how many they are)" : "") << ", " << quant.name
              << ", " << machine.compute << "\n";
  }
};

}  // namespace

void add_memory(CLI::App& app) {
  auto* const command =
      app.add_subcommand("memory", "Predict the memory of a training run before it is run.");
  auto const memory = std::make_shared<MemoryCommand>();
  add_option(*command, "--model", memory->model,
             "model folder, or a name in the Hugging Face cache; all sizes of ESM-2 without it");
  add_option(*command, "--placement", memory->placement, "adapted matrices: qkv, all, card or head")
      ->check(CLI::IsMember({"qkv", "all", "card", "head"}));
  add_name(*command, "--train", memory->train,
           "labelled proteins to train on; without it, as many tokens as the flags allow");
  memory->training.add_to(*command);
  memory->machine.add_to(*command);
  add_config(*command);
  command->footer(
      "Example:\n  qlora memory --model facebook/esm2_t33_650M_UR50D --quant nf4 --batch-tokens "
      "8000");
  command->callback([memory] { (*memory)(); });
}

}  // namespace qlora::cli
