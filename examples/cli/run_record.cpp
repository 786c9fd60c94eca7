#include "run_record.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/core/json.hpp>
#include <qlora/metrics/metric_set.hpp>
#include <qlora/version.hpp>

#include "arguments.hpp"
#include "hash.hpp"

namespace qlora::cli {
namespace {

constexpr auto record_limit_bytes = std::size_t{256} << 20;

OrderedJson groups_json(metrics::GroupScores const& scores) {
  auto confusion = OrderedJson::array();
  for (auto const& [tp, fp, tn, fn] : scores.confusion) confusion.push_back({tp, fp, tn, fn});
  return {{"average_precision", scores.average_precision},
          {"precision_at_recall", scores.precision_at_recall},
          {"confusion", std::move(confusion)}};
}

std::string digest(OrderedJson const& document) {
  auto hash = Hash{};
  auto const text = document.dump(-1, ' ', true, OrderedJson::error_handler_t::replace);
  hash.add(std::as_bytes(std::span{text}));
  return hash.text();
}

/// A number, or null for none.
double number(Json const& value) {
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}
std::vector<double> numbers(Json const& list) {
  auto values = std::vector<double>{};
  for (auto const& value : list) values.push_back(number(value));
  return values;
}

metrics::Confusion confusion(Json const& counts) {
  return {
      .tp = counts.at("tp"), .fp = counts.at("fp"), .tn = counts.at("tn"), .fn = counts.at("fn")};
}

metrics::GroupScores read_groups(Json const& groups) {
  auto scores =
      metrics::GroupScores{.average_precision = numbers(groups.at("average_precision")),
                           .precision_at_recall = numbers(groups.at("precision_at_recall")),
                           .confusion = {}};
  for (auto const& counts : groups.at("confusion")) {
    scores.confusion.push_back(
        {.tp = counts.at(0), .fp = counts.at(1), .tn = counts.at(2), .fn = counts.at(3)});
  }
  return scores;
}

metrics::Scores read_scores(Json const& split) {
  auto scores = metrics::Scores{.values = {},
                                .confusion = confusion(split.at("confusion")),
                                .proteins = split.at("proteins")};
  for (auto const name : metrics::Chosen::names) {
    scores.values.emplace_back(name, number(split.at(std::string{name})));
  }
  return scores;
}

RunResult read_result(Json const& record) {
  auto result = RunResult{};
  for (auto const* const split : {"train", "valid", "test"}) {
    if (auto const found = record.at("metrics").find(split); found != record.at("metrics").end()) {
      result.scores.emplace_back(split, read_scores(*found));
    }
    if (auto const found = record.at("groups").find(split); found != record.at("groups").end()) {
      result.groups.emplace_back(split, read_groups(*found));
    }
  }
  auto const& epochs = record.at("epochs");
  result.epochs.losses = numbers(epochs.at("losses"));
  result.epochs.held_out_losses = numbers(epochs.at("held_out_losses"));
  for (auto const& groups : epochs.at("groups")) result.epochs.groups.push_back(numbers(groups));
  result.curves = RunCurves::from_json(record.at("curves"));
  record.at("trainable_parameters").get_to(result.trainable_parameters);
  record.at("steps").get_to(result.steps);
  record.at("skipped_steps").get_to(result.skipped_steps);
  record.at("tokens").get_to(result.tokens);
  record.at("training_seconds").get_to(result.training_seconds);
  record.at("total_seconds").get_to(result.total_seconds);
  record.at("peak_memory_bytes").get_to(result.peak_bytes);
  record.at("best_epoch").get_to(result.best_epoch);
  return result;
}

}  // namespace

OrderedJson run_identity(CLI::App const& command, std::vector<std::string> const& deciding_flags,
                         RunOptions const& run, Splits const& splits,
                         std::string const& quantization) {
  auto identity = OrderedJson::object();
  identity["qlora"] = version;
  identity["model"] = run.fingerprint;
  splits.for_each(
      [&](char const* name, DataSet const& data) { identity[name] = data.fingerprint; });
  identity["groups"] =
      splits.groups_file.empty() ? std::string{} : file_fingerprint(splits.groups_file);
  auto flags = flags_outside(command, training_group);
  std::erase_if(flags, [&](Flag const& flag) {
    return std::ranges::find(deciding_flags, flag.first) != deciding_flags.end();
  });
  flags.emplace_back("quant", quantization);
  identity["flags"] = settings_json(command, flags);
  identity["device"] = run.machine.device;
  identity["compute"] = run.machine.compute;
  return identity;
}

void write_record(std::filesystem::path const& file, OrderedJson const& identity,
                  RunResult const& result) {
  auto groups = OrderedJson::object();
  for (auto const& [split, scores] : result.groups) groups[split] = groups_json(scores);
  write_identified(file, {{"run", identity},
                          {"metrics", result.metrics},
                          {"groups", std::move(groups)},
                          {"epochs",
                           {{"losses", result.epochs.losses},
                            {"held_out_losses", result.epochs.held_out_losses},
                            {"groups", result.epochs.groups}}},
                          {"curves", result.curves.json()},
                          {"trainable_parameters", result.trainable_parameters},
                          {"steps", result.steps},
                          {"skipped_steps", result.skipped_steps},
                          {"tokens", result.tokens},
                          {"training_seconds", result.training_seconds},
                          {"total_seconds", result.total_seconds},
                          {"peak_memory_bytes", result.peak_bytes},
                          {"best_epoch", result.best_epoch}});
}

void write_identified(std::filesystem::path const& path, OrderedJson record) {
  // As it will be read: NaN becomes null, and a float the double that its digits give.
  record = OrderedJson::parse(record.dump(-1, ' ', true, OrderedJson::error_handler_t::replace));
  record["xxh3"] = digest(record);
  write_json(path, record);
}

void check_identity(Json const& recorded, OrderedJson const& expected, std::string const& file) {
  auto const fail = [&](std::string const& key, char const* found) {
    throw InputError{at(file, "expected the same " + key + " to resume, found " + found)};
  };
  for (auto const& [key, value] : expected.items()) {
    auto const before = recorded.is_object() && recorded.contains(key) ? recorded[key] : Json{};
    if (before == Json(value)) continue;
    if (value.is_object()) check_identity(before, value, file);  // says which of its keys it is
    fail(key, before.is_null() ? "none" : "another");
  }
  if (!recorded.is_object()) return;
  for (auto const& [key, value] : recorded.items()) {
    if (!expected.contains(key)) fail(key, "one where none is given now");
  }
}

OrderedJson read_identified(std::filesystem::path const& path) {
  auto const text = read_text(path, record_limit_bytes);
  auto record = json::parse<OrderedJson>(text, path.string(), text.size());
  if (!record.is_object() || !record.contains("run") || !record["run"].is_object()) {
    throw InputError{at(path.string(), "expected the record of a run, found none")};
  }
  auto const found = record.value("xxh3", Json{});
  record.erase("xxh3");
  if (found != Json(digest(record))) {
    throw InputError{
        at(path.string(), std::string{"expected its checksum, found "} +
                              (found.is_null() ? "none: it was changed, or is of an older version"
                                               : "another: it is damaged"))};
  }
  return record;
}

RunResult read_record(std::filesystem::path const& path, OrderedJson const& identity) {
  auto const file = path.string();
  auto record = read_identified(path);
  check_identity(record["run"], identity, file);
  try {
    auto result = read_result(record);
    result.metrics = std::move(record["metrics"]);  // in their order
    return result;
  } catch (Json::exception const&) {
    throw InputError{at(file, "expected the record of a run, found parts of one")};
  }
}

}  // namespace qlora::cli
