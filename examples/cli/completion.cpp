// qlora completion and qlora manual: what a shell and `man` should know of the program, made from
// the flags themselves.
#include <algorithm>
#include <functional>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <qlora/version.hpp>

#include "comma_list.hpp"
#include "commands.hpp"
#include "options.hpp"

namespace qlora::cli {
namespace {

/// A flag as a shell sees it.
struct FlagText {
  std::string name;                 ///< with its dashes
  std::vector<std::string> values;  ///< that it may take, where they are few
  bool takes_value = true;
  std::string description;
};

std::vector<CLI::App const*> commands_of(CLI::App const& app) {
  auto commands = app.get_subcommands(std::function<bool(CLI::App const*)>{});
  std::ranges::sort(commands, {}, &CLI::App::get_name);
  return commands;
}

/// The values in CLI11's name of a type, "TEXT:{qkv,all,card,head}".
std::vector<std::string> choices(std::string const& type) {
  auto const open = type.find(":{"), close = type.rfind('}');
  if (open == type.npos || close == type.npos) return {};
  return parse_comma_list(std::string_view{type}.substr(open + 2, close - open - 2));
}

std::vector<FlagText> flags_of(CLI::App const& command) {
  auto flags = std::vector<FlagText>{};
  for (auto const* const option : command.get_options()) {
    if (option->get_lnames().empty()) continue;
    flags.push_back({.name = "--" + option->get_lnames().front(),
                     .values = choices(option->get_type_name()),
                     .takes_value = option->get_items_expected_max() > 0,
                     .description = option->get_description()});
  }
  return flags;
}

std::string joined(std::vector<std::string> const& words) {
  auto text = std::string{};
  for (auto const& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

/// `text` with each of `special` behind a mark of escape.
std::string escaped(std::string_view text, std::string_view special, std::string_view escape) {
  auto result = std::string{};
  for (auto const c : text) {
    if (special.find(c) != special.npos) result += escape;
    result += c;
  }
  return result;
}

std::string bash(CLI::App const& app) {
  auto names = std::vector<std::string>{};
  auto values = std::string{}, flags = std::string{};
  for (auto const* const command : commands_of(app)) {
    auto const& name = names.emplace_back(command->get_name());
    auto own = std::vector<std::string>{};
    for (auto const& flag : flags_of(*command)) {
      own.push_back(flag.name);
      if (flag.values.empty()) continue;
      values += "    " + name + ":" + flag.name + ") words=\"" + joined(flag.values) + "\" ;;\n";
    }
    flags += "      " + name + ") words=\"" + joined(own) + "\" ;;\n";
  }
  return "# bash completion of qlora; files where nothing else is known\n_qlora() {\n"
         "  local current=${COMP_WORDS[COMP_CWORD]} words=\n"
         "  case ${COMP_WORDS[1]}:${COMP_WORDS[COMP_CWORD-1]} in\n" +
         values +
         "  esac\n"
         "  if ((COMP_CWORD == 1)); then\n    words=\"" +
         joined(names) +
         "\"\n  elif [[ -z $words && $current == -* ]]; then\n    case ${COMP_WORDS[1]} in\n" +
         flags +
         "    esac\n  fi\n  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n}\n"
         "complete -o default -F _qlora qlora\n";
}

std::string fish(CLI::App const& app) {
  auto text = std::string{"# fish completion of qlora\n"};
  auto const quoted = [](std::string_view words) {
    return "'" + escaped(words, "'\\", "\\") + "'";
  };
  for (auto const* const command : commands_of(app)) {
    auto const name = command->get_name();
    text += "complete -c qlora -n __fish_use_subcommand -f -a " + name + " -d " +
            quoted(command->get_description()) + "\n";
    for (auto const& flag : flags_of(*command)) {
      text += "complete -c qlora -n '__fish_seen_subcommand_from " + name + "' -l " +
              flag.name.substr(2);
      if (!flag.values.empty()) {
        text += " -x -a " + quoted(joined(flag.values));
      } else if (flag.takes_value) {
        text += " -r";
      }
      text += " -d " + quoted(flag.description) + "\n";
    }
  }
  return text;
}

/// Text that troff takes as it stands.
std::string roff(std::string_view text) {
  auto const plain = escaped(escaped(text, "\\", "\\"), "-", "\\");
  return plain.starts_with('.') || plain.starts_with('\'') ? "\\&" + plain : plain;
}

std::string manual(CLI::App const& app) {
  auto text = ".TH QLORA 1 \"\" \"qlora " + std::string{version} + "\" \"User commands\"\n" +
              ".SH NAME\nqlora \\- fine\\-tune protein language models to find binding sites\n"
              ".SH SYNOPSIS\n.B qlora\n.I COMMAND\n[\\fIFLAGS\\fR]\n.SH DESCRIPTION\n" +
              roff(app.get_description()) +
              "\nResults go to standard output or to named files, progress to standard error.\n"
              ".SH COMMANDS\n";
  for (auto const* const command : commands_of(app)) {
    text += ".SS " + command->get_name() + "\n" + roff(command->get_description()) + "\n";
    for (auto const* const option : command->get_options()) {
      if (option->get_lnames().empty()) continue;
      text += ".TP\n.B " + roff("--" + option->get_lnames().front()) + "\n" +
              roff(option->get_description());
      if (auto const standard = option->get_default_str(); !standard.empty()) {
        text += " (default: " + roff(standard) + ")";
      }
      text += "\n";
    }
    auto lines = std::istringstream{command->get_footer()};
    text += ".PP\n";
    for (auto line = std::string{}; std::getline(lines, line);) text += roff(line) + "\n.br\n";
  }
  return text +
         ".SH EXIT STATUS\n0 done; 1 a failure of the machine, or training that diverged; 2 bad "
         "input or usage.\n";
}

}  // namespace

void add_completion(CLI::App& app) {
  auto* const command = app.add_subcommand("completion", "Print what a shell completes by.");
  auto const shell = std::make_shared<std::string>();
  command->add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->footer(
      "Example:\n  qlora completion bash > ~/.local/share/bash-completion/completions/qlora");
  command->callback([shell, &app] {
    if (*shell == "zsh")
      std::cout << "#compdef qlora\nautoload -U +X bashcompinit && bashcompinit\n";
    std::cout << (*shell == "fish" ? fish(app) : bash(app));
  });
}

void add_manual(CLI::App& app) {
  auto* const command = app.add_subcommand("manual", "Print the manual page.");
  command->footer("Example:\n  qlora manual | man -l -");
  command->callback([&app] { std::cout << manual(app); });
}

}  // namespace qlora::cli
