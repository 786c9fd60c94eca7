#include "adapter_options.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <system_error>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/json.hpp>

#include "notes.hpp"

namespace qlora::cli {
namespace {

/// What training left beside the adapter that using it needs.
struct Remembered {
  std::string quant = "none";
  ClassWeights class_weights{1., 1.};
  std::optional<double> threshold;
  std::optional<metrics::LogOdds> calibration;
  std::optional<std::uint64_t> random_base;  ///< the seed of a base without pre-training
};

/// An object in the document, or null. Throws InputError for anything else of that name.
Json const* find_object(Json const& document, char const* key, std::string const& file) {
  auto const found = document.find(key);
  if (found == document.end() || found->is_null()) return nullptr;
  if (found->is_object()) return &*found;
  throw InputError{
      at(file, std::string{key} + ": expected an object, found " + json::shown(*found))};
}

/// Nothing where there is no `qlora.json`: others' adapters come without.
std::optional<Remembered> read_remembered(std::filesystem::path const& adapter) {
  auto remembered = Remembered{};
  auto const path = adapter / "qlora.json";
  auto ignored = std::error_code{};
  if (!std::filesystem::exists(path, ignored)) return std::nullopt;
  auto const file = path.string();
  auto const document = json::read_object(path);
  remembered.quant = json::find<std::string>(document, "quant", file).value_or(remembered.quant);
  located<InputError>(file, [&] { quant::Any::parse(remembered.quant); });
  if (auto const weights = json::find<std::vector<double>>(document, "class_weights", file)) {
    if (weights->size() != 2 || !((*weights)[0] > 0.) || !((*weights)[1] > 0.)) {
      throw InputError{at(file, "class_weights: expected two positive numbers, found " +
                                    json::shown(document.at("class_weights")))};
    }
    remembered.class_weights = {(*weights)[0], (*weights)[1]};
  }
  if (auto const* const stored = find_object(document, "threshold", file)) {
    remembered.threshold = json::require<double>(*stored, "margin", file);
  }
  if (auto const* const stored = find_object(document, "calibration", file)) {
    remembered.calibration = metrics::LogOdds{json::require<double>(*stored, "slope", file),
                                              json::require<double>(*stored, "intercept", file)};
  }
  if (json::find<std::string>(document, "base", file) == "random") {
    remembered.random_base =
        static_cast<std::uint64_t>(json::require<std::int64_t>(document, "seed", file));
  }
  return remembered;
}

}  // namespace

void refuse_random_base(std::string const& adapter) {
  auto const stored = read_remembered(adapter);
  if (!stored || !stored->random_base) return;
  throw InputError{at(
      adapter, "expected an adapter of the model's own weights, found one trained on random ones")};
}

void AdapterOptions::add_to(CLI::App& command) {
  add_required(command, "--model", model, "model folder, or a name in the Hugging Face cache");
  add_name(command, "--adapter", adapter, "PEFT adapter folder");
  add_option(command, "--quant", quant,
             "frozen weights: none, nf4, fp4 or int8; by default as in training")
      ->check(CLI::IsMember({"none", "nf4", "fp4", "int8"}));
  machine.add_to(command);
  add_config(command);
}

std::unique_ptr<Session> AdapterOptions::open() {
  machine.apply();
  auto const stored = adapter.empty() ? std::nullopt : read_remembered(adapter);
  auto const remembered = stored.value_or(Remembered{});
  threshold = remembered.threshold;
  calibration = remembered.calibration;
  auto options =
      SessionOptions{.model = model,
                     .device = machine.device,
                     .compute = machine.compute,
                     .quant = quant::Any::parse(quant.empty() ? remembered.quant : quant),
                     .lora = {.rank = 1, .seed = remembered.random_base.value_or(machine.seed)},
                     .random_base = remembered.random_base.has_value()};
  auto session = adapter.empty() ? open_session(options) : open_session(options, adapter);
  session->set_class_weights(remembered.class_weights);
  note_stored_quantization(*session, model, quant);
  if (!adapter.empty() && !stored) {
    session->notes.push_back(adapter +
                             ": has no qlora.json, which would say what it was trained with: "
                             "--quant is " +
                             session->quantization() + ", and both classes weigh 1");
  }
  if (!machine.quiet) {
    for (auto const& note : session->notes) hold_note(note);
  }
  return session;
}

}  // namespace qlora::cli
