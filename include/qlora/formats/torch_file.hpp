/// State dictionaries as `torch.save` writes them: `pytorch_model.bin`, `adapter_model.bin`. Both
/// of torch's formats, the zip archive and the one before version 1.6, are read without running
/// anything.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/core/stored_tensor.hpp>
#include <qlora/core/tensor_file.hpp>
#include <qlora/formats/strided.hpp>
#include <qlora/formats/torch_pickle.hpp>
#include <qlora/formats/zip.hpp>

namespace qlora::inline v1::torch {

inline constexpr std::size_t tensor_limit = 65'536;
inline constexpr std::size_t name_limit = 256;

/// What a file begins with that torch wrote before version 1.6: a pickle of this number.
inline constexpr auto legacy_magic =
    std::string_view{"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15};

/// Turns the pickle of a file, and the bytes of its storages, into tensors.
class StateDict {
 public:
  explicit StateDict(MappedFile file) : file_{std::move(file)}, name_{file_.path().string()} {
    auto const bytes = file_.bytes();
    if (ZipArchive::recognise(bytes)) {
      read_archive(ZipArchive{bytes, name_});
    } else if (as_text(bytes).starts_with(legacy_magic)) {
      read_legacy(bytes);
    } else if (as_text(bytes).starts_with("version https://git-lfs.github.com/spec/")) {
      fail("expected a file of torch.save, found a Git LFS pointer; fetch it with `git lfs pull`");
    } else {
      fail("expected a file of torch.save, found " +
           std::string{bytes.empty() ? "an empty file" : "another kind of file"} +
           "; load it with torch and save it again");
    }
  }

  [[nodiscard]] TensorFile take() && {
    return {std::move(file_), std::move(tensors_), std::move(copies_)};
  }

 private:
  using Storages = std::map<std::string_view, std::span<std::byte const>>;

  [[noreturn]] void fail(std::string const& what) const { throw InputError{at(name_, what)}; }

  void read_archive(ZipArchive const& archive) {
    auto root = std::string{};
    for (auto const& member : archive.members()) {
      if (!member.name.ends_with("/data.pkl")) continue;
      if (!root.empty()) fail("expected one data.pkl, found several");
      root = member.name.substr(0, member.name.size() - std::string_view{"data.pkl"}.size());
    }
    if (root.empty()) fail("expected a data.pkl as torch.save writes it, found none");
    if (archive.find(root + "constants.pkl") != nullptr) {
      fail("expected a state dictionary, found a TorchScript program");
    }
    if (auto const order = archive.find(root + "byteorder");
        order != nullptr && as_text(order->bytes) != "little") {
      fail("expected little-endian numbers, found byteorder \"" +
           printable(as_text(order->bytes), 20) + "\"");
    }
    auto const folder = root + "data/";
    auto storages = Storages{};
    for (auto const& member : archive.members()) {
      if (member.name.starts_with(folder)) {
        storages.emplace(member.name.substr(folder.size()), member.bytes);
      }
    }
    auto machine = StateDictMachine{archive.find(root + "data.pkl")->bytes, name_ + ", data.pkl"};
    auto const result = machine.run_all();
    add_tensors(machine.values(), result, storages);
  }

  /// Pickles of a magic number, a version, the machine's properties, the dictionary and the
  /// storages' keys, one behind the other; then each storage: count of elements, elements.
  void read_legacy(std::span<std::byte const> bytes) {
    auto rest = bytes.subspan(legacy_magic.size());
    auto const run = [&](StateDictMachine& machine) {
      auto const value = machine.run();
      rest = rest.subspan(machine.position());
      return value;
    };
    auto const label = [&](char const* part) { return name_ + ", " + part; };

    auto version = StateDictMachine{rest, label("version")};
    if (version.values().integer(run(version)) != 1001) fail("expected protocol version 1001");
    auto properties = StateDictMachine{rest, label("properties")};
    auto const property_values = properties.values().items(run(properties));
    for (auto i = std::size_t{0}; i + 1 < property_values.size(); i += 2) {
      if (properties.values().text(property_values[i]) == "little_endian" &&
          property_values[i + 1].index() != pickle::Values::true_value.index()) {
        fail("expected little-endian numbers");
      }
    }
    auto machine = StateDictMachine{rest, label("dictionary")};
    auto const result = run(machine);
    auto keys = StateDictMachine{rest, label("keys")};
    auto const key_list = run(keys);
    keys.expect(Kind::list, key_list, "the keys of storages");

    auto storages = Storages{};
    auto const sizes = element_sizes(machine.values(), result);
    for (auto const key_value : keys.values().items(key_list)) {
      auto const key = keys.values().text(key_value);
      auto const fail_storage = [&](std::string const& what) {
        fail("storage \"" + printable(key) + "\": " + what);
      };
      auto const size = sizes.find(key);
      if (size == sizes.end()) fail_storage("expected a tensor in it, found none");
      auto count = std::uint64_t{0};
      if (rest.size() < sizeof count) fail_storage("expected its size, found the end of the file");
      std::memcpy(&count, rest.data(), sizeof count);
      rest = rest.subspan(sizeof count);
      if (count > rest.size() / size->second) {
        fail_storage("expected " + std::to_string(count) + " elements, found the end of the file");
      }
      auto const bytes = rest.first(count * size->second);
      if (!storages.emplace(key, bytes).second) fail_storage("expected it once, found it again");
      rest = rest.subspan(bytes.size());
    }
    if (!rest.empty()) {
      fail("expected the end of the file, found " + std::to_string(rest.size()) + " more bytes");
    }
    add_tensors(machine.values(), result, storages);
  }

  /// By the storages' keys.
  std::map<std::string_view, std::size_t> element_sizes(pickle::Values const& values,
                                                        Value result) const {
    auto sizes = std::map<std::string_view, std::size_t>{};
    for_each_tensor(values, result, [&](std::string_view, Value tensor) {
      auto const storage = values.items(values.items(tensor)[0]);
      sizes[values.text(storage[1])] = element_bytes(*StateDictPolicy::dtype(values, storage[0]));
    });
    return sizes;
  }

  template <class Use>
  void for_each_tensor(pickle::Values const& values, Value result, Use&& use) const {
    if (values.kind(result) != Kind::dict) {
      fail("expected a dictionary of tensors, found " +
           std::string{kind_name(values.kind(result))});
    }
    auto const items = values.items(result);
    if (items.size() / 2 > tensor_limit) {
      fail("expected at most " + std::to_string(tensor_limit) + " tensors, found " +
           std::to_string(items.size() / 2));
    }
    for (auto i = std::size_t{0}; i < items.size(); i += 2) {
      auto const name = values.text(items[i]);
      // The last is a key of safetensors' own, which a file of that format could not tell apart.
      if (values.kind(items[i]) != Kind::string || name.empty() ||
          name != printable(name, name_limit) || name == "__metadata__") {
        fail("expected names of tensors as keys, found \"" + printable(name) + "\"");
      }
      if (values.kind(items[i + 1]) != Kind::tensor) {
        fail("\"" + std::string{name} + "\": expected a tensor, found " +
             std::string{kind_name(values.kind(items[i + 1]))});
      }
      use(name, items[i + 1]);
    }
  }

  void add_tensors(pickle::Values const& values, Value result, Storages const& storages) {
    // Tensors may share storages; a few bytes of pickle could ask for any number of them.
    auto left = pickle::memory_limit_bytes(file_.bytes().size());
    left -= std::min(left, values.bytes());
    for_each_tensor(values, result, [&](std::string_view name, Value tensor) {
      auto const fail_tensor = [&](std::string const& what) {
        fail("tensor \"" + std::string{name} + "\": " + what);
      };
      auto const parts = values.items(tensor);
      auto const storage = values.items(parts[0]);
      auto const dtype = *StateDictPolicy::dtype(values, storage[0]);
      auto const key = values.text(storage[1]);
      auto const bytes = storages.find(key);
      if (bytes == storages.end()) {
        fail_tensor("expected its storage \"" + printable(key) + "\" in the file, found none");
      }
      auto const count = values.integer(storage[2]);
      if (count < 0 || static_cast<std::uint64_t>(count) > bytes->second.size() ||
          static_cast<std::uint64_t>(count) * element_bytes(dtype) != bytes->second.size()) {
        fail_tensor("expected a storage of " + std::to_string(count) + " elements, found one of " +
                    std::to_string(bytes->second.size()) + " bytes");
      }
      auto view = StridedView{.offset = values.integer(parts[1]), .shape = {}, .strides = {}};
      for (auto const extent : values.items(parts[2])) view.shape.push_back(values.integer(extent));
      for (auto const stride : values.items(parts[3]))
        view.strides.push_back(values.integer(stride));
      auto const size = view.checked_bytes(dtype, count);
      if (!size) {
        fail_tensor("expected shape " + shape_text(view.shape) +
                    " and its strides to stay inside a storage of " + std::to_string(count) +
                    " elements");
      }
      if (*size > left) fail_tensor("expected tensors that share less of their storages");
      left -= *size;
      auto const dense = view.is_dense() ? view.dense_part(bytes->second, dtype, *size)
                                         : std::span<std::byte const>{copies_.emplace_back(
                                               view.copy(bytes->second, dtype, *size))};
      tensors_.push_back({std::string{name}, dtype, std::move(view.shape), dense});
    });
  }

  MappedFile file_;
  std::string name_;
  std::deque<StoredTensor> tensors_;
  TensorFile::Copies copies_;
};

}  // namespace qlora::inline v1::torch

namespace qlora::inline v1 {

/// Opens a state dictionary that torch saved. Throws InputError, with the place in the file, for
/// anything that is more than tensors by name; nothing in the file is ever called. Tensors come
/// dense and row-major, whatever their strides and whether or not they share storages.
inline TensorFile open_torch(std::filesystem::path const& path) {
  return torch::StateDict{MappedFile{path}}.take();
}

}  // namespace qlora::inline v1
