/// Finds a model given by path or by its Hugging Face name, in the local cache; nothing is
/// downloaded.
#pragma once

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/core/shard_index.hpp>

namespace qlora::inline v1 {

namespace detail {

/// The value of an environment variable that is set and not empty, else `fallback`.
inline std::filesystem::path environment_path(char const* name,
                                              std::filesystem::path const& fallback) {
  auto const value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nothing sets any
  return value != nullptr && *value != '\0' ? std::filesystem::path{value} : fallback;
}

/// Whether `name` can be OWNER/MODEL (or MODEL) on the Hugging Face hub.
inline bool is_hub_name(std::string_view name) {
  auto const legal = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' || c == '-' ||
           c == '/';
  };
  return !name.empty() && std::ranges::all_of(name, legal) && std::ranges::count(name, '/') <= 1 &&
         name.front() != '/' && name.front() != '.' && name.back() != '/' &&
         name.find("..") == name.npos && name.find("--") == name.npos;
}

}  // namespace detail

/// The folder in which `hf download` keeps models: HF_HUB_CACHE, else hub/ in HF_HOME, else
/// huggingface/hub/ in XDG_CACHE_HOME or ~/.cache.
inline std::filesystem::path hub_cache() {
  using detail::environment_path;
  auto const user = environment_path("XDG_CACHE_HOME", environment_path("HOME", "") / ".cache");
  auto const home = environment_path("HF_HOME", user / "huggingface");
  return environment_path("HF_HUB_CACHE", home / "hub");
}

/// The folder of the model `name`: a path that exists wins, then a model of that name in the cache.
/// InputError otherwise, with the command that downloads it.
inline std::filesystem::path find_model(std::string const& name) {
  auto ignored = std::error_code{};
  if (std::filesystem::exists(name, ignored)) return name;
  if (!detail::is_hub_name(name)) throw InputError{at(name, "expected a model folder, found none")};
  auto entry = "models--" + name;
  if (auto const slash = entry.find('/'); slash != entry.npos) entry.replace(slash, 1, "--");
  auto const folder = hub_cache() / entry;
  auto const ref = folder / "refs" / "main";
  if (std::filesystem::exists(ref, ignored)) {
    auto revision = read_text(ref, 256);
    revision.erase(revision.find_last_not_of(" \r\n") + 1);
    auto const snapshot = folder / "snapshots" / revision;
    if (detail::is_plain_file_name(revision) && std::filesystem::is_directory(snapshot, ignored)) {
      return snapshot;
    }
  }
  throw InputError{
      at(name, "no such folder, and no such model in " + hub_cache().string() +
                   (name.find('/') == name.npos
                        ? "; `hf download` takes names such as facebook/esm2_t6_8M_UR50D"
                        : "; download it with `hf download " + name + "`"))};
}

}  // namespace qlora::inline v1
