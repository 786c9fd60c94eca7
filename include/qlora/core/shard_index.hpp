/// A model's tensors in one file, or in several with an index (`weight_map`).
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <climits>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/core/json.hpp>
#include <qlora/core/safetensors.hpp>
#include <qlora/core/tensor_file.hpp>

namespace qlora::inline v1 {

/// What `model.safetensors.index.json` says: which shard, a plain file name, holds which tensor.
struct ShardIndex {
  std::map<std::string, std::string> shard_of;

  /// InputError for anything but plain names of other files. The shards are not opened.
  static ShardIndex read(std::filesystem::path const& path);
  static ShardIndex parse(std::string_view text, std::filesystem::path const& path);
};

namespace detail {

/// Whether `name` can only mean a file right inside the folder it is looked up in.
inline bool is_plain_file_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find_first_of("/\\:") == name.npos &&
         name.find('\0') == name.npos;
}

/// Whether `path` is `folder` or lies below it; both canonical.
inline bool lies_in(std::filesystem::path const& path, std::filesystem::path const& folder) {
  auto const [rest, _] = std::ranges::mismatch(folder, path);
  return rest == folder.end();
}

/// Follows links and refuses those that lead out of `folder`. The Hugging Face cache keeps its
/// files in blobs/ beside snapshots/ and links to them, so that a link into that folder is fine.
inline void refuse_link_out_of(std::filesystem::path const& folder,
                               std::filesystem::path const& file) {
  auto error = std::error_code{};
  auto const target = std::filesystem::canonical(file, error);
  if (error) throw InputError{at(file.string(), "expected a file, found none")};
  auto const home = std::filesystem::canonical(folder);
  auto const cached = home.parent_path().filename() == "snapshots" &&
                      lies_in(target, home.parent_path().parent_path() / "blobs");
  if (!lies_in(target, home) && !cached) {
    throw InputError{
        at(file.string(), "expected a file inside its folder, found a link out of it")};
  }
}

}  // namespace detail

inline ShardIndex ShardIndex::parse(std::string_view text, std::filesystem::path const& path) {
  auto const file = path.string();
  auto const document = json::parse(text, file);
  auto const map = document.is_object() ? document.find("weight_map") : document.end();
  if (map == document.end() || !map->is_object()) {
    throw InputError{at(file, "weight_map: expected an object")};
  }
  if (map->empty()) throw InputError{at(file, "weight_map: expected at least one tensor")};
  auto index = ShardIndex{};
  for (auto const& entry : map->items()) {
    auto const& tensor = entry.key();
    auto const& shard = entry.value();
    auto const fail = [&](std::string_view expected) {
      throw InputError{at(file, "weight_map \"" + printable(tensor) + "\": expected " +
                                    std::string{expected} + ", found " + json::shown(shard))};
    };
    if (!shard.is_string()) fail("the name of a file");
    auto name = shard.get<std::string>();
    if (name.size() > NAME_MAX || !detail::is_plain_file_name(name)) {
      fail("a plain file name without folders");
    }
    if (name == path.filename()) fail("a shard, not the index itself");
    index.shard_of.emplace(tensor, std::move(name));
  }
  return index;
}

inline ShardIndex ShardIndex::read(std::filesystem::path const& path) {
  return parse(read_text(path, json::text_limit_bytes), path);
}

/// The tensors of one file or of all shards of an index, looked up by name.
class TensorSet {
 public:
  struct Found {
    StoredTensor const* tensor;
    TensorFile const* file;

    /// The file, for messages.
    [[nodiscard]] std::string where() const { return file->path().string(); }
  };

  /// Opens the file at a path, whatever its format.
  using Open = TensorFile (*)(std::filesystem::path const& path);

  /// One file.
  static TensorSet open(std::filesystem::path const& path, Open open = open_safetensors) {
    auto set = TensorSet{path};
    set.files_.push_back(open(path));
    return set;
  }

  /// All shards of the index at `path`, which must hold exactly the tensors it lists, each once.
  static TensorSet open_sharded(std::filesystem::path const& path, Open open = open_safetensors) {
    auto const index = ShardIndex::read(path);
    auto set = TensorSet{path};
    auto opened = std::map<std::string_view, std::size_t>{};
    for (auto const& [tensor, shard] : index.shard_of) {
      auto const [entry, is_new] = opened.emplace(shard, set.files_.size());
      if (is_new) {
        detail::refuse_link_out_of(path.parent_path() / ".", path.parent_path() / shard);
        set.files_.push_back(open(path.parent_path() / shard));
      }
      if (set.files_[entry->second].find(tensor) == nullptr) {
        throw InputError{at(path.string(), "weight_map: tensor \"" + printable(tensor) +
                                               "\" is absent from " + shard)};
      }
    }
    for (auto const& file : set.files_) {
      auto const name = file.path().filename().string();
      for (auto const& tensor : file.tensors()) {
        auto const listed = index.shard_of.find(tensor.name);
        if (listed == index.shard_of.end() || listed->second != name) {
          throw InputError{at(path.string(), "weight_map: tensor \"" + printable(tensor.name) +
                                                 "\" of " + name + " is not listed there")};
        }
      }
    }
    return set;
  }

  /// The file or index it was opened from.
  [[nodiscard]] std::filesystem::path const& path() const noexcept { return path_; }
  [[nodiscard]] std::vector<TensorFile> const& files() const noexcept { return files_; }

  /// The tensor of that name; both pointers are null when there is none.
  [[nodiscard]] Found find(std::string_view name) const {
    for (auto const& file : files_) {
      if (auto const tensor = file.find(name)) return {tensor, &file};
    }
    return {nullptr, nullptr};
  }

 private:
  static TensorFile open_safetensors(std::filesystem::path const& path) {
    return static_cast<TensorFile&&>(SafetensorsFile{path});  // its metadata are not needed
  }

  explicit TensorSet(std::filesystem::path path) : path_{std::move(path)} {}

  std::filesystem::path path_;
  std::vector<TensorFile> files_;
};

}  // namespace qlora::inline v1
