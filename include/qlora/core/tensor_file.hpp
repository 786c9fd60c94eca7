/// An open file of named tensors, whatever its format.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <filesystem>
#include <functional>
#include <ranges>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/core/stored_tensor.hpp>

namespace qlora::inline v1 {

/// What the reader of a format has found and checked. Spans handed out live as long as the object
/// (moving it keeps them).
class TensorFile {
 public:
  using Copies = std::deque<std::vector<std::byte>>;

  /// `tensors` are views of `file`, or of `copies` of what does not lie there as it is needed.
  /// Throws InputError when two have the same name.
  TensorFile(MappedFile file, std::deque<StoredTensor> tensors, Copies copies = {})
      : file_{std::move(file)}, copies_{std::move(copies)}, tensors_{std::move(tensors)} {
    by_name_.reserve(tensors_.size());
    for (auto const& tensor : tensors_) by_name_.push_back(&tensor);
    std::ranges::sort(by_name_, {}, &StoredTensor::name);
    auto const twice = std::ranges::adjacent_find(by_name_, {}, &StoredTensor::name);
    if (twice != by_name_.end()) fail("duplicate tensor \"" + printable((*twice)->name) + "\"");
  }

  [[nodiscard]] std::filesystem::path const& path() const noexcept { return file_.path(); }

  /// All tensors, ordered by name.
  [[nodiscard]] auto tensors() const noexcept {
    return by_name_ |
           std::views::transform([](StoredTensor const* tensor) -> auto const& { return *tensor; });
  }

  /// The tensor of that name, or null.
  [[nodiscard]] StoredTensor const* find(std::string_view name) const {
    auto const found = std::ranges::lower_bound(by_name_, name, {}, &StoredTensor::name);
    return found != by_name_.end() && (*found)->name == name ? *found : nullptr;
  }

  /// The tensor of that name; InputError when absent.
  [[nodiscard]] StoredTensor const& at(std::string_view name) const {
    if (auto const found = find(name)) return *found;
    fail("tensor \"" + printable(name) + "\" is absent");
  }

  /// Lets the system take back the memory behind a tensor that has been converted.
  void release(StoredTensor const& tensor) const noexcept {
    auto const in_file = [&, all = file_.bytes()](std::byte const* at) {
      return !std::less{}(at, all.data()) && !std::less{}(all.data() + all.size(), at);
    };
    if (in_file(tensor.bytes.data())) file_.release(tensor.bytes);
  }

 protected:
  [[noreturn]] void fail(std::string const& what) const {
    throw InputError{qlora::at(path().string(), what)};
  }

 private:
  MappedFile file_;
  Copies copies_;
  std::deque<StoredTensor> tensors_;  // a deque grows without copies
  std::vector<StoredTensor const*> by_name_;
};

}  // namespace qlora::inline v1
