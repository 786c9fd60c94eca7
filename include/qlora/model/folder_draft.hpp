/// A Hugging Face model folder that is still to be written: what there will be, and how to make it,
/// tensor by tensor.
#pragma once

#include <array>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <qlora/core/file.hpp>
#include <qlora/core/json.hpp>
#include <qlora/core/output_folder.hpp>
#include <qlora/core/safetensors_writer.hpp>
#include <qlora/core/tensor.hpp>
#include <qlora/model/config.hpp>
#include <qlora/model/folder.hpp>

namespace qlora::inline v1 {

/// A tensor to be written; its bytes are asked for when their turn comes, and need to live until
/// those of the next tensor are.
struct TensorDraft {
  TensorSpec spec;
  std::function<std::span<std::byte const>()> bytes;

  [[nodiscard]] std::size_t size_bytes() const {
    return tensor_bytes(spec.dtype, spec.shape).value();
  }
};

/// The elements of a dense vector or matrix in host memory.
template <class T>
std::span<std::byte const> bytes_of(T const& tensor) {
  return std::as_bytes(std::span{tensor.data(), static_cast<std::size_t>(tensor.size())});
}

/// How a folder is written.
struct FolderOptions {
  std::size_t limit_bytes = 5'000'000'000;      ///< of a file, unless a single weight is larger
  std::function<void()> before_tensor = [] {};  ///< what it throws ends the writing
};

class FolderDraft {
 public:
  /// Tensors that belong into one file: a quantized weight and what lies beside it.
  using Group = std::vector<TensorDraft>;

  FolderDraft() = default;
  FolderDraft(FolderDraft const&) = delete;  // drafts refer to it
  FolderDraft& operator=(FolderDraft const&) = delete;

  void add(Group group) { groups_.push_back(std::move(group)); }
  /// A float32 tensor whose elements `make()` returns as a matrix. Of all these, one at a time is
  /// in memory.
  template <class Make>
  void add(TensorShape const& tensor, Make make) {
    auto const shape =
        tensor.is_vector ? Extents{tensor.columns} : Extents{tensor.rows, tensor.columns};
    add({{{tensor.name, Dtype::f32, shape}, [this, make = std::move(make)] {
            values_ = {};  // before the next is made
            values_ = make();
            return bytes_of(values_);
          }}});
  }

  /// Fills the folder `path`: the tensors, with an index if there are several files, the tokenizer
  /// of the folder `source`, and last the configuration, without which nothing is taken for a
  /// model. Throws InputError when `path` holds something already, SystemError when it cannot be
  /// written, and what the tensors and the options throw; then it is left as it was.
  void write(std::filesystem::path const& path, EsmConfig const& config,
             std::filesystem::path const& source, FolderOptions const& options = {}) const;

 private:
  using Shard = std::span<Group const>;

  /// Runs of groups, in their order, of at most `limit` bytes or of one group.
  [[nodiscard]] std::vector<Shard> shards(std::size_t limit_bytes) const;
  static std::string name_of(std::size_t shard, std::size_t shards);
  static void write_shard(std::filesystem::path const& path, Shard shard,
                          FolderOptions const& options);

  std::vector<Group> groups_;
  MatrixTensor<float> values_;  // of the float32 tensor asked for last
};

inline std::vector<FolderDraft::Shard> FolderDraft::shards(std::size_t limit_bytes) const {
  auto const all = Shard{groups_};
  auto shards = std::vector<Shard>{};
  auto first = std::size_t{0};
  auto filled = std::size_t{0};
  for (auto i = std::size_t{0}; i < all.size(); ++i) {
    auto bytes = std::size_t{0};
    for (auto const& tensor : all[i]) bytes += tensor.size_bytes();
    if (i > first && filled + bytes > limit_bytes) {
      shards.push_back(all.subspan(first, i - first));
      first = i;
      filled = 0;
    }
    filled += bytes;
  }
  shards.push_back(all.subspan(first));
  return shards;
}

/// As transformers names them, from 1.
inline std::string FolderDraft::name_of(std::size_t shard, std::size_t shards) {
  if (shards == 1) return "model.safetensors";
  auto name = std::array<char, 64>{};
  std::snprintf(name.data(), name.size(), "model-%05zu-of-%05zu.safetensors", shard + 1, shards);
  return name.data();
}

inline void FolderDraft::write_shard(std::filesystem::path const& path, Shard shard,
                                     FolderOptions const& options) {
  auto specs = std::vector<TensorSpec>{};
  auto tensors = std::vector<TensorDraft const*>{};
  for (auto const& group : shard) {
    for (auto const& tensor : group) {
      specs.push_back(tensor.spec);
      tensors.push_back(&tensor);
    }
  }
  write_safetensors(path, specs, [&](std::size_t i) {
    options.before_tensor();
    return tensors[i]->bytes();
  });
}

inline void FolderDraft::write(std::filesystem::path const& path, EsmConfig const& config,
                               std::filesystem::path const& source,
                               FolderOptions const& options) const {
  auto folder = OutputFolder{path};
  auto const shards = this->shards(options.limit_bytes);
  auto weight_map = Json::object();
  auto total_bytes = std::size_t{0};
  for (auto i = std::size_t{0}; i < shards.size(); ++i) {
    auto const name = name_of(i, shards.size());
    write_shard(folder.file(name), shards[i], options);
    for (auto const& group : shards[i]) {
      for (auto const& tensor : group) {
        total_bytes += tensor.size_bytes();
        weight_map[tensor.spec.name] = name;
      }
    }
  }
  if (shards.size() > 1) {
    auto const index =
        Json{{"metadata", {{"total_size", total_bytes}}}, {"weight_map", std::move(weight_map)}};
    write_atomically(folder.file("model.safetensors.index.json"), index.dump(2) + "\n");
  }
  auto ignored = std::error_code{};
  for (auto const* const name :
       {"vocab.txt", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.json"}) {
    if (!std::filesystem::exists(source / name, ignored)) continue;
    write_atomically(folder.file(name), read_text(source / name, json::text_limit_bytes));
  }
  config.write(folder.file("config.json"));
  folder.keep();
}

}  // namespace qlora::inline v1
