#include "checkpoint_file.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <qlora/core/error.hpp>
#include <qlora/core/memory.hpp>
#include <qlora/core/safetensors.hpp>
#include <qlora/core/safetensors_writer.hpp>
#include <qlora/core/stored_tensor.hpp>

#include "hash.hpp"

namespace qlora::cli {
namespace {

constexpr auto format = std::string_view{"qlora checkpoint 1"};
constexpr auto columns = std::size_t{8};  // of a step

template <class T>
constexpr auto dtype_of = sizeof(T) == 8 ? Dtype::f64 : Dtype::f32;

template <class T>
StoredTensor tensor(std::string name, std::vector<T> const& values, Extents shape = {}) {
  if (shape.empty()) shape = {static_cast<Index>(values.size())};
  return {std::move(name), dtype_of<T>, std::move(shape), std::as_bytes(std::span{values})};
}

/// (steps, columns), row by row.
std::vector<double> flat(std::vector<StepRecord> const& steps) {
  auto values = std::vector<double>{};
  for (auto const& step : steps) {
    values.insert(values.end(),
                  {static_cast<double>(step.step), static_cast<double>(step.epoch), step.loss,
                   step.gradient_norm, step.learning_rate, static_cast<double>(step.tokens),
                   step.tokens_per_second, step.skipped ? 1. : 0.});
  }
  return values;
}

/// A count that was written as a double, which holds those up to 2^53.
std::int64_t count(double value, std::string const& file) {
  constexpr auto most = 9007199254740992.;
  if (value >= 0. && value <= most) return static_cast<std::int64_t>(value);
  throw InputError{at(file, "history: expected counts")};
}

std::vector<StepRecord> records(std::vector<double> const& values, std::string const& file) {
  auto steps = std::vector<StepRecord>{};
  for (auto i = std::size_t{0}; i + columns <= values.size(); i += columns) {
    auto const* const row = values.data() + i;
    steps.push_back({.step = count(row[0], file),
                     .epoch = count(row[1], file),
                     .loss = row[2],
                     .gradient_norm = row[3],
                     .learning_rate = row[4],
                     .tokens = count(row[5], file),
                     .tokens_per_second = row[6],
                     .skipped = row[7] != 0.});
  }
  return steps;
}

/// The elements of a tensor of a file. Throws InputError for one that is absent or of another type.
template <class T>
std::vector<T> elements(SafetensorsFile const& file, std::string_view name) {
  auto const& stored = file.at(name);
  if (stored.dtype != dtype_of<T>) {
    throw InputError{at(file.path().string(), std::string{name} + ": expected another type")};
  }
  auto values = std::vector<T>(stored.bytes.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), stored.bytes.data(), stored.bytes.size());
  return values;
}

std::string const& text_of(SafetensorsFile const& file, char const* key) {
  auto const found = file.metadata().find(key);
  if (found != file.metadata().end()) return found->second;
  throw InputError{at(file.path().string(), std::string{"expected "} + key + ", found none")};
}

Checkpoint checkpoint_of(SafetensorsFile const& file, Json const& state) {
  auto const name = file.path().string();
  auto checkpoint = Checkpoint{};
  auto& training = checkpoint.training;
  training.steps = json::require<std::int64_t>(state, "steps", name);
  training.failures = static_cast<int>(json::require<std::int64_t>(state, "failures", name));
  training.updates = json::require<std::int64_t>(state, "updates", name);
  training.parameters = elements<float>(file, "parameters");
  training.first_moments = elements<float>(file, "first_moments");
  training.second_moments = elements<float>(file, "second_moments");
  checkpoint.steps = records(elements<double>(file, "history"), name);
  checkpoint.epochs.losses = elements<double>(file, "epochs.losses");
  checkpoint.epochs.held_out_losses = elements<double>(file, "epochs.held_out_losses");
  auto const groups = elements<double>(file, "epochs.groups");
  if (auto const epochs = checkpoint.epochs.held_out_losses.size(); epochs > 0) {
    auto const of_each = groups.size() / epochs;
    for (auto e = std::size_t{0}; e < epochs; ++e) {
      auto const begin = groups.begin() + static_cast<std::ptrdiff_t>(e * of_each);
      checkpoint.epochs.groups.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(of_each));
    }
  }
  auto const numbers = elements<double>(file, "numbers");
  if (numbers.size() != 2) throw InputError{at(name, "numbers: expected 2")};
  checkpoint.best_epoch = json::require<std::int64_t>(state, "best_epoch", name);
  checkpoint.best_value = numbers[0];
  checkpoint.seconds = numbers[1];
  checkpoint.best_parameters = elements<float>(file, "best_parameters");
  if (!training.is_finite() || !all_finite(checkpoint.best_parameters)) {
    throw InputError{at(name, "expected finite parameters and moments, found NaN or infinity")};
  }
  checkpoint.ranks = json::find<std::vector<std::int64_t>>(state, "numbers_of_ranks", name)
                         .value_or(std::vector<std::int64_t>{1});
  return checkpoint;
}

}  // namespace

std::string checkpoint_digest(Metadata const& metadata, std::span<StoredTensor const> tensors) {
  auto hash = Hash{};
  auto const add = [&](std::string_view text) {
    auto const size = std::uint64_t{text.size()};  // or "ab", "c" were "a", "bc"
    hash.add(std::as_bytes(std::span{&size, 1}));
    hash.add(std::as_bytes(std::span{text}));
  };
  for (auto const& [key, value] : metadata) {
    if (key == "xxh3") continue;
    add(key);
    add(value);
  }
  for (auto const& one : tensors) {
    add(one.name);
    add(dtype_name(one.dtype));
    add(shape_text(one.shape));
    add(as_text(one.bytes));
  }
  return hash.text();
}

void write_checkpoint(std::filesystem::path const& path, OrderedJson const& identity,
                      Checkpoint const& checkpoint) {
  auto const& [training, steps, epochs, best_epoch, best_value, best_parameters, seconds, ranks] =
      checkpoint;
  auto const history = flat(steps);
  auto const numbers = std::vector<double>{best_value, seconds};
  auto groups = std::vector<double>{};
  for (auto const& row : epochs.groups) groups.insert(groups.end(), row.begin(), row.end());
  auto tensors = std::vector<StoredTensor>{
      tensor("parameters", training.parameters),
      tensor("first_moments", training.first_moments),
      tensor("second_moments", training.second_moments),
      tensor("best_parameters", best_parameters),
      tensor("history", history, {static_cast<Index>(steps.size()), static_cast<Index>(columns)}),
      tensor("epochs.losses", epochs.losses),
      tensor("epochs.held_out_losses", epochs.held_out_losses),
      tensor("epochs.groups", groups),
      tensor("numbers", numbers)};
  std::ranges::sort(tensors, {}, &StoredTensor::name);
  auto const state = OrderedJson{{"steps", training.steps},
                                 {"failures", training.failures},
                                 {"updates", training.updates},
                                 {"best_epoch", best_epoch},
                                 {"numbers_of_ranks", ranks}};
  auto metadata = Metadata{{"format", std::string{format}},
                           {"run", identity.dump(-1, ' ', true, Json::error_handler_t::replace)},
                           {"state", state.dump()}};
  metadata["xxh3"] = checkpoint_digest(metadata, tensors);
  write_safetensors(path, tensors, metadata);
}

StoredCheckpoint read_checkpoint(std::filesystem::path const& path) {
  auto const file = SafetensorsFile{path};
  auto const name = path.string();
  if (text_of(file, "format") != format) throw InputError{at(name, "expected a checkpoint")};
  auto const view = file.tensors();
  auto const tensors = std::vector<StoredTensor>(view.begin(), view.end());
  if (text_of(file, "xxh3") != checkpoint_digest(file.metadata(), tensors)) {
    throw InputError{at(name, "expected its checksum, found another: it is damaged")};
  }
  return {json::parse(text_of(file, "run"), name),
          checkpoint_of(file, json::parse(text_of(file, "state"), name))};
}

}  // namespace qlora::cli
