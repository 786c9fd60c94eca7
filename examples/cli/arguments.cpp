#include "arguments.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>

#include "options.hpp"
#include "shared_files.hpp"
#include "toml.hpp"

namespace qlora::cli {
namespace {

/// What the published model card says. All else, and the standard recipe, are the flags' defaults.
std::vector<Flag> const card_recipe{{"rank", "2"},
                                    {"alpha", "1"},
                                    {"rslora", "false"},
                                    {"dropout", "0.5"},
                                    {"epochs", "4"},
                                    {"lr", "3.701568055793089e-4"},
                                    {"schedule", "cosine"},
                                    {"warmup", "0"},
                                    {"weight-decay", "0.3"},
                                    {"clip", "0.5"},
                                    {"class-weights", "balanced"},
                                    {"batch-sequences", "36"},
                                    {"accumulate", "1"}};

/// Every training flag of a command as a recipe has it; parsing will say if that is none.
std::vector<Flag> recipe_flags(CLI::App const& command, std::string const& recipe) {
  auto flags = std::vector<Flag>{};
  for (auto const* const option : command.get_options()) {
    auto const& names = option->get_lnames();
    if (option->get_group() != training_group || names.front() == "recipe") continue;
    auto const card = std::ranges::find(card_recipe, names.front(), &Flag::first);
    auto const& standard = option->get_default_str();
    flags.emplace_back(names.front(), recipe == "card" && card != card_recipe.end() ? card->second
                                      : standard.empty()                            ? "false"
                                                                                    : standard);
  }
  return flags;
}

std::string spelled(Flag const& flag) {
  return "--" + flag.first + "=" + flag.second;
}

/// Where `--name VALUE` or `--name=VALUE` stands last; -1 for nowhere.
std::ptrdiff_t last_place(std::span<std::string const> arguments, std::string const& name) {
  auto const flag = "--" + name;
  auto const found = std::find_if(arguments.rbegin(), arguments.rend(), [&](auto const& argument) {
    return argument == flag || argument.starts_with(flag + "=");
  });
  return arguments.rend() - found - 1;
}

/// The last value of that flag.
std::optional<std::string> last_value(std::span<std::string const> arguments,
                                      std::string const& name) {
  auto const place = last_place(arguments, name);
  if (place < 0) return std::nullopt;
  auto const& argument = arguments[static_cast<std::size_t>(place)];
  if (auto const equals = argument.find('='); equals != argument.npos) {
    return argument.substr(equals + 1);
  }
  auto const next = static_cast<std::size_t>(place) + 1;
  return next < arguments.size() ? std::optional{arguments[next]} : std::nullopt;
}

CLI::App* find_command(CLI::App& app, std::string const& name) {
  auto const commands = app.get_subcommands([&](CLI::App* one) { return one->check_name(name); });
  return commands.empty() ? nullptr : commands.front();
}

/// How many letters must be put in, left out or exchanged to make one word of the other
/// (Levenshtein, 1966).
std::size_t edits(std::string_view a, std::string_view b) {
  auto row = std::vector<std::size_t>(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    auto diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      auto const exchanged = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({exchanged, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

/// CLI11 would first name a required flag that is missing, which this one may stand for.
void refuse_unknown_flags(CLI::App const& command, std::span<std::string const> arguments) {
  auto const is_help = [](std::string const& one) { return one == "--help" || one == "-h"; };
  if (std::ranges::any_of(arguments, is_help)) return;
  for (auto argument = arguments.begin(); argument < arguments.end(); ++argument) {
    if (*argument == "--") return;  // what follows are no flags
    auto const name = argument->substr(0, argument->find('='));
    if (!name.starts_with("--")) continue;
    if (auto const* const option = command.get_option_no_throw(name)) {
      if (name == *argument && option->get_items_expected_min() > 0) ++argument;  // its value
      continue;
    }
    auto nearest = std::string{};
    auto least = std::min(name.size() / 2, std::size_t{3});
    for (auto const* const option : command.get_options()) {
      if (option->get_lnames().empty()) continue;
      auto known = "--" + option->get_lnames().front();
      if (auto const distance = edits(name, known); distance < least) {
        least = distance;
        nearest = std::move(known);
      }
    }
    throw InputError{"expected a flag of `" + command.get_name() + "`, found " + printable(name) +
                     (nearest.empty() ? "" : "; " + nearest + " is one")};
  }
}

/// The flags that a TOML file gives to a command.
std::vector<Flag> read_settings(CLI::App& command, std::string const& path) {
  auto flags = std::vector<Flag>{};
  for (auto const& [key, given, line] : parse_toml(read_text(path, 1 << 20), path)) {
    auto const& value = given.text;
    auto const is_boolean = given.kind == TomlValue::Kind::boolean;
    auto const name = printable(key);
    auto const fail = [&, line = line](std::string const& what) {
      throw InputError{at(path, what, line)};
    };
    auto* const option = command.get_option_no_throw("--" + key);
    // Arms say where adapters sit, so that flags found by `sweep` fit `compare` as they are.
    if (key == "placement" && command.get_option_no_throw("--arms") != nullptr) continue;
    if (option == nullptr || !option->get_configurable()) {
      fail("unknown key \"" + name + "\"; expected a flag of `" + command.get_name() + "`");
    }
    if (std::ranges::find(flags, key, &Flag::first) != flags.end()) {
      fail("duplicate key \"" + name + "\"");
    }
    auto const takes_boolean = option->get_items_expected_max() == 0;
    if (takes_boolean != is_boolean) {
      fail(name + ": expected " + (takes_boolean ? "true or false" : "a string or a number") +
           ", found " + printable(value, 40));
    }
    try {
      option->add_result(value);
      option->run_callback();
      option->clear();
    } catch (CLI::Error const& error) {
      fail(error.what());
    }
    flags.emplace_back(key, value);
  }
  return flags;
}

}  // namespace

std::vector<std::string> expand(CLI::App& app, std::vector<std::string> const& arguments) {
  if (arguments.empty()) return arguments;
  if (arguments.front().starts_with('-')) return arguments;
  auto* const command = find_command(app, arguments.front());
  if (command == nullptr) {
    throw InputError{"expected a command, found " + printable(arguments.front()) +
                     "; `qlora --help` lists them"};
  }

  refuse_unknown_flags(*command, std::span{arguments}.subspan(1));
  if (command->get_name() == "demo") {  // as defaults, so that --help shows them
    for (auto const& [name, value] : read_settings(*command, shared_file("demo.toml").string())) {
      command->get_option("--" + name)->default_val(value);
    }
  }
  auto all = std::vector{arguments.front()};
  // A recipe counts where it stands: before what else its file or the command line says.
  auto const add = [&](std::vector<std::string> const& flags) {
    if (auto const recipe = last_value(flags, "recipe")) {
      std::ranges::transform(recipe_flags(*command, *recipe), std::back_inserter(all), spelled);
    }
    all.insert(all.end(), flags.begin(), flags.end());
  };
  if (auto const file = last_value(arguments, "config")) {
    auto flags = std::vector<std::string>{};
    std::ranges::transform(read_settings(*command, *file), std::back_inserter(flags), spelled);
    add(flags);
  }
  add({arguments.begin() + 1, arguments.end()});
  // Tokens and sequences exclude each other: the last one counts.
  if (last_place(all, "batch-tokens") > last_place(all, "batch-sequences") &&
      last_place(all, "batch-sequences") >= 0) {
    all.emplace_back("--batch-sequences=0");
  }
  return all;
}

std::string settings(CLI::App const& command, std::vector<Flag> const& settled) {
  auto text = std::string{};
  for (auto const* const option : command.get_options()) {
    auto const& names = option->get_lnames();
    if (!option->get_configurable() || names.empty() || names.front() == "out") continue;
    auto const is_flag = option->get_items_expected_max() == 0;
    auto value = option->get_default_str();
    if (auto const known = std::ranges::find(settled, names.front(), &Flag::first);
        known != settled.end()) {
      value = known->second;
    } else if (option->count() > 0) {  // a switch may have been given as --rslora=yes
      value = !is_flag ? option->reduced_results().back() : option->as<bool>() ? "true" : "false";
    } else if (is_flag && value.empty()) {
      value = "false";
    }
    if (value.empty()) continue;  // not given, and without a default
    text += names.front() + " = " + (is_flag ? value : toml_value(value)) + "\n";
  }
  return text;
}

OrderedJson settings_json(CLI::App const& command, std::vector<Flag> const& settled) {
  auto flags = OrderedJson::object();
  for (auto const& entry : parse_toml(settings(command, settled), "flags")) {
    flags[entry.key] = entry.value.text;
  }
  return flags;
}

std::vector<Flag> flags_outside(CLI::App const& command, std::string const& group) {
  auto flags = std::vector<Flag>{};
  for (auto const* const option : command.get_options()) {
    if (option->get_group() == group || option->get_lnames().empty()) continue;
    flags.emplace_back(option->get_lnames().front(), "");
  }
  return flags;
}

}  // namespace qlora::cli
