#include "checkpoint.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <limits>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include <qlora/core/error.hpp>
#include <qlora/core/json.hpp>
#include <qlora/core/output_folder.hpp>
#include <qlora/core/safetensors.hpp>
#include <qlora/core/safetensors_writer.hpp>

#include "hash.hpp"
#include "options.hpp"
#include "run_record.hpp"

namespace qlora::cli {
namespace {

constexpr auto format = std::string_view{"qlora checkpoint 1"};
constexpr auto columns = std::size_t{8};  // of a step

template <class T>
constexpr auto dtype_of = sizeof(T) == 8 ? Dtype::f64 : Dtype::f32;

template <class T>
TensorRef tensor(std::string name, std::vector<T> const& values, Extents shape = {}) {
  if (shape.empty()) shape = {static_cast<Index>(values.size())};
  return {std::move(name), dtype_of<T>, std::move(shape), std::as_bytes(std::span{values})};
}

/// Over everything that a file says: texts, and each tensor's name, type, shape and bytes.
class Digest {
 public:
  void add(std::string_view text) {
    auto const size = std::uint64_t{text.size()};  // or "ab", "c" were "a", "bc"
    hash_.add(std::as_bytes(std::span{&size, 1}));
    hash_.add(std::as_bytes(std::span{text}));
  }
  /// All entries but the digest itself.
  void add(Metadata const& metadata) {
    for (auto const& [key, value] : metadata) {
      if (key == "xxh3") continue;
      add(key);
      add(value);
    }
  }
  /// Of a file, or to be written: by name.
  template <class Tensors>
  void add_tensors(Tensors const& tensors) {
    for (auto const& one : tensors) {
      add(one.name);
      add(dtype_name(one.dtype));
      add(shape_text(one.shape));
      add(as_text(one.bytes));
    }
  }
  std::string text() const { return hash_.text(); }

 private:
  Hash hash_;
};

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

std::vector<StepRecord> records(std::vector<double> const& values) {
  auto steps = std::vector<StepRecord>{};
  for (auto i = std::size_t{0}; i + columns <= values.size(); i += columns) {
    auto const* const row = values.data() + i;
    steps.push_back({.step = static_cast<std::int64_t>(row[0]),
                     .epoch = static_cast<std::int64_t>(row[1]),
                     .loss = row[2],
                     .gradient_norm = row[3],
                     .learning_rate = row[4],
                     .tokens = static_cast<std::int64_t>(row[5]),
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
  checkpoint.steps = records(elements<double>(file, "history"));
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
  return checkpoint;
}

}  // namespace

void write_checkpoint(std::filesystem::path const& path, OrderedJson const& identity,
                      Checkpoint const& checkpoint) {
  auto const& [training, steps, epochs, best_epoch, best_value, best_parameters, seconds] =
      checkpoint;
  auto const history = flat(steps);
  auto const numbers = std::vector<double>{best_value, seconds};
  auto groups = std::vector<double>{};
  for (auto const& row : epochs.groups) groups.insert(groups.end(), row.begin(), row.end());
  auto tensors = std::vector<TensorRef>{
      tensor("parameters", training.parameters),
      tensor("first_moments", training.first_moments),
      tensor("second_moments", training.second_moments),
      tensor("best_parameters", best_parameters),
      tensor("history", history, {static_cast<Index>(steps.size()), static_cast<Index>(columns)}),
      tensor("epochs.losses", epochs.losses),
      tensor("epochs.held_out_losses", epochs.held_out_losses),
      tensor("epochs.groups", groups),
      tensor("numbers", numbers)};
  std::ranges::sort(tensors, {}, &TensorRef::name);
  auto const state = OrderedJson{{"steps", training.steps},
                                 {"failures", training.failures},
                                 {"updates", training.updates},
                                 {"best_epoch", best_epoch}};
  auto metadata = Metadata{{"format", std::string{format}},
                           {"run", identity.dump(-1, ' ', true, Json::error_handler_t::replace)},
                           {"state", state.dump()}};
  auto digest = Digest{};
  digest.add(metadata);
  digest.add_tensors(tensors);
  metadata["xxh3"] = digest.text();
  write_safetensors(path, tensors, metadata);
}

StoredCheckpoint read_checkpoint(std::filesystem::path const& path) {
  auto const file = SafetensorsFile{path};
  auto const name = path.string();
  auto digest = Digest{};
  digest.add(file.metadata());
  if (text_of(file, "format") != format) throw InputError{at(name, "expected a checkpoint")};
  digest.add_tensors(file.tensors());
  if (text_of(file, "xxh3") != digest.text()) {
    throw InputError{at(name, "expected its checksum, found another: it is damaged")};
  }
  return {json::parse(text_of(file, "run"), name),
          checkpoint_of(file, json::parse(text_of(file, "state"), name))};
}

std::vector<std::filesystem::path> CheckpointFolder::files() const {
  auto found = std::vector<std::filesystem::path>{};
  auto ignored = std::error_code{};
  for (auto const& entry : std::filesystem::directory_iterator{path_, ignored}) {
    auto const name = entry.path().filename().string();
    if (name.starts_with("step-") && name.ends_with(".safetensors")) found.push_back(entry.path());
  }
  std::ranges::sort(found, std::ranges::greater{});  // numbers are of one width
  return found;
}

std::optional<std::pair<std::filesystem::path, StoredCheckpoint>> CheckpointFolder::newest_whole(
    std::vector<std::string>& passed_over) const {
  for (auto const& file : files()) {
    try {
      return std::pair{file, read_checkpoint(file)};
    } catch (InputError const& error) {
      passed_over.push_back(std::string{"passed over "} + error.what());
    }
  }
  return std::nullopt;
}

std::optional<Checkpoint> CheckpointFolder::newest(OrderedJson const& identity,
                                                   std::vector<std::string>& passed_over) const {
  auto found = newest_whole(passed_over);
  if (!found) return std::nullopt;
  auto& [file, stored] = *found;
  check_identity(stored.identity, identity, file.string());
  return std::move(stored.checkpoint);
}

std::filesystem::path CheckpointFolder::write(Checkpoint const& checkpoint,
                                              CheckpointOptions const& options) const {
  char name[48];
  std::snprintf(name, sizeof name, "step-%012lld.safetensors",
                static_cast<long long>(checkpoint.training.steps));
  create_folder(path_);
  write_checkpoint(path_ / name, options.identity, checkpoint);
  auto ignored = std::error_code{};
  for (auto const& entry : std::filesystem::directory_iterator{path_, ignored}) {
    // What a process that was killed had begun to write; the folder is this one's alone.
    if (entry.path().extension() == ".part") std::filesystem::remove(entry.path(), ignored);
  }
  auto kept = std::int64_t{0};
  for (auto const& file : files()) {
    auto const is_later = file.filename().string() > name;
    if (is_later || ++kept > options.keep) std::filesystem::remove(file, ignored);
  }
  return path_ / name;
}

void CheckpointFolder::check(OrderedJson const& identity,
                             std::vector<std::string> const& erase) const {
  auto ignored = std::vector<std::string>{};  // said when the run goes on
  auto found = newest_whole(ignored);
  if (!found) return;
  auto& [file, stored] = *found;
  for (auto const& key : erase) stored.identity.erase(key);
  check_identity(stored.identity, identity, file.string());
}

void CheckpointOptions::add_to(CLI::App& command) {
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  add_option(command, "--checkpoint-every", every,
             "steps between checkpoints, from which --resume goes on; 0: one at SIGTERM alone")
      ->check(CLI::Range(std::int64_t{0}, most));
  add_option(command, "--keep-checkpoints", keep, "how many of the newest stay")
      ->check(CLI::Range(std::int64_t{1}, most));
}

}  // namespace qlora::cli
