#include "options.hpp"

#include <array>
#include <limits>
#include <optional>
#include <string_view>

#include <qlora/core/error.hpp>
#include <qlora/core/parallel.hpp>

#include "cuda.hpp"
#include "team.hpp"

namespace qlora::cli {
namespace {

constexpr auto most = std::numeric_limits<std::int64_t>::max();

/// "W0,W1", or nothing.
std::optional<std::array<double, 2>> parse_pair(std::string_view text) {
  auto const comma = text.find(',');
  if (comma == text.npos) return std::nullopt;
  auto const first = parse_number<double>(text.substr(0, comma));
  auto const second = parse_number<double>(text.substr(comma + 1));
  return first && second ? std::optional{std::array{*first, *second}} : std::nullopt;
}

}  // namespace

void add_config(CLI::App& command) {
  static auto path = std::string{};
  add_option(command, "--config", path, "TOML file that gives any of these flags")
      ->configurable(false);
}

void MachineOptions::add_to(CLI::App& command) {
  add_option(command, "--device", device,
             "where to compute: cpu or cuda; cuda by default where there is a device")
      ->check(CLI::IsMember({"cpu", "cuda"}));
  add_option(
      command, "--compute", compute,
      "type of activations and products: fp32 or bf16; by default fp32 on the CPU, bf16 on a "
      "GPU")
      ->check(CLI::IsMember({"fp32", "bf16"}));
  add_option(command, "--threads", threads, "threads; 0 uses every core")
      ->check(CLI::Range(0, 4096));
  add_option(command, "--seed", seed, "of initialisation, order, dropout and synthesis")
      ->check(CLI::Range(std::uint64_t{0}, std::uint64_t{most}));
  add_switch(command, "--quiet", quiet, "no progress on stderr");
}

void MachineOptions::apply() {
  if (device.empty()) {
    device = cuda_is_present() ? "cuda" : "cpu";
  } else if (device == "cuda") {
    require_cuda();
  }
  if (device == "cuda" && Team::size() > 1) use_cuda_device(Team::local_rank());
  if (compute.empty()) compute = device == "cuda" ? "bf16" : "fp32";
  auto const part = Team::default_threads();  // which all ask each other for
  thread_count() = threads > 0 ? threads : part;
  if (!Team::is_first()) quiet = true;
}

void TrainingOptions::add_to(CLI::App& command) {
  using CLI::IsMember;
  using CLI::Range;
  auto const other_group = command.option_defaults()->get_group();
  command.option_defaults()->group(training_group);
  add_option(command, "--recipe", recipe, "values of all these flags: card or standard")
      ->check(IsMember({"card", "standard"}));
  add_option(command, "--quant", quant, "frozen weights: none, nf4, fp4 or int8")
      ->check(IsMember({"none", "nf4", "fp4", "int8"}))
      ->default_str(std::string{scheme().name});
  add_option(command, "--rank", rank, "rank of the adapters")
      ->check(Range(std::int64_t{1}, most_rank));
  add_option(command, "--alpha", alpha, "adapters are scaled by alpha / rank");
  add_switch(command, "--rslora", rslora, "scale by alpha / sqrt(rank)");
  add_option(command, "--dropout", dropout, "of the adapters' inputs");
  add_option(command, "--epochs", epochs, "passes over the training data")
      ->check(Range(1, 1'000'000));
  add_option(command, "--lr", learning_rate,
             "peak learning rate; wider models and longer runs want less, 2e-3 say");
  add_option(command, "--schedule", schedule, "cosine, linear or constant")
      ->check(IsMember({"cosine", "linear", "constant"}));
  add_option(command, "--warmup", warmup_steps, "steps of linear warm-up")
      ->check(Range(std::int64_t{0}, most));
  add_option(command, "--weight-decay", weight_decay, "of A, B and the head's weight");
  add_option(command, "--clip", clip, "largest global gradient norm; 0 for none");
  add_option(command, "--max-length", max_length,
             "longer training records are cut into chunks of so many residues")
      ->check(Range(std::int64_t{1}, most));
  add_option(command, "--class-weights", class_weights, "balanced, sqrt, none or W0,W1");
  add_option(command, "--batch-tokens", batch_tokens, "most tokens a step")
      ->check(Range(std::int64_t{1}, most));
  add_option(command, "--batch-sequences", batch_sequences,
             "records a step, instead of tokens; 0 counts tokens")
      ->check(Range(std::int64_t{0}, most));
  add_option(command, "--accumulate", accumulate, "passes that share a step")
      ->check(Range(std::int64_t{1}, most));
  add_switch(command, "--no-shuffle", no_shuffle, "file order in every epoch");
  add_switch(command, "--recompute", recompute,
             "keep only layers' inputs for the backward pass: less memory, more time");
  command.option_defaults()->group(other_group);
}

LoraOptions TrainingOptions::lora(std::uint64_t seed) const {
  return {.rank = rank,
          .alpha = static_cast<float>(alpha),
          .dropout = static_cast<float>(dropout),
          .scaling = rslora ? LoraScaling::rank_stabilised : LoraScaling::plain,
          .seed = seed};
}

FitOptions TrainingOptions::fit() const {
  auto options = FitOptions{.epochs = epochs,
                            .learning_rate = learning_rate,
                            .schedule = schedule == "cosine"   ? Schedule::cosine
                                        : schedule == "linear" ? Schedule::linear
                                                               : Schedule::constant,
                            .warmup_steps = warmup_steps,
                            .weight_decay = weight_decay,
                            .clip = clip,
                            .batch = {.tokens = batch_tokens, .sequences = batch_sequences},
                            .accumulate = accumulate,
                            .order = no_shuffle ? Order::as_given : Order::shuffled,
                            .keep = recompute ? Keep::inputs : Keep::everything};
  if (class_weights == "none") {
    options.class_weighting = ClassWeighting::none;
  } else if (class_weights == "sqrt") {
    options.class_weighting = ClassWeighting::sqrt;
  } else if (class_weights != "balanced") {
    auto const pair = parse_pair(class_weights);
    if (!pair) {
      throw InputError{"--class-weights: expected balanced, sqrt, none or W0,W1, found " +
                       class_weights};
    }
    options.class_weighting = ClassWeighting::given;
    options.class_weights = qlora::class_weights(ClassWeighting::given, {}, *pair);
  }
  return options;
}

}  // namespace qlora::cli
