/// The safetensors format (https://github.com/huggingface/safetensors): a reader that maps the
/// file and believes nothing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/core/json.hpp>
#include <qlora/core/stored_tensor.hpp>
#include <qlora/core/tensor_file.hpp>

namespace qlora::inline v1 {

using Metadata = std::map<std::string, std::string>;

namespace safetensors {

inline constexpr std::size_t header_limit_bytes = 100'000'000;
inline constexpr std::size_t metadata_entry_limit = 65'536;
inline constexpr std::size_t rank_limit = 64;
inline constexpr std::uint64_t integer_limit = std::uint64_t{1} << 53;

/// Consumes the events of a header. There is no document in between, so that a header of millions
/// of tensors takes little more memory than text.
class HeaderReader : public json::SaxErrors {
 public:
  struct Entry {
    std::string name;
    std::optional<Dtype> dtype;
    std::optional<Extents> shape;
    std::vector<std::uint64_t> offsets;
    bool has_offsets = false;
  };

  /// The data section begins at `data`.
  HeaderReader(std::string_view file, std::span<std::byte const> data)
      : SaxErrors{file}, data_{data} {}

  std::deque<StoredTensor> tensors;  // a deque grows without copies
  Metadata metadata;

  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("true or false"); }
  bool number_integer(Json::number_integer_t value) override {
    return unexpected(std::to_string(value));
  }
  bool number_float(Json::number_float_t, std::string const& text) override {
    return unexpected(printable(text, 40));
  }
  bool binary(Json::binary_t&) override { return unexpected("bytes"); }
  bool number_unsigned(Json::number_unsigned_t value) override {
    if (where_ != Where::shape && where_ != Where::offsets) {
      return unexpected(std::to_string(value));
    }
    if (value > integer_limit)
      fail_entry("expected integers up to 2^53, found " + std::to_string(value));
    if (where_ == Where::offsets) {
      if (entry_.offsets.size() == 2) fail_entry("data_offsets: expected 2 integers, found more");
      entry_.offsets.push_back(value);
    } else {
      if (entry_.shape->size() == rank_limit) fail_entry("expected at most 64 dimensions");
      entry_.shape->push_back(static_cast<std::int64_t>(value));
    }
    return true;
  }
  bool string(std::string& value) override {
    if (where_ == Where::metadata) {
      if (!metadata.emplace(key_, std::move(value)).second) duplicate();
      if (metadata.size() > metadata_entry_limit) fail("expected at most 65536 metadata entries");
      return true;
    }
    if (where_ != Where::tensor || key_ != "dtype") return unexpected("a string");
    entry_.dtype = find_dtype(value);
    if (!entry_.dtype) fail_entry("unknown dtype \"" + printable(value) + "\"");
    return true;
  }
  bool key(std::string& name) override {
    key_ = std::move(name);
    if (where_ == Where::metadata && metadata.contains(key_)) duplicate();
    if (where_ != Where::tensor) return true;
    auto const seen = key_ == "dtype"          ? entry_.dtype.has_value()
                      : key_ == "shape"        ? entry_.shape.has_value()
                      : key_ == "data_offsets" ? entry_.has_offsets
                                               : unknown_field();
    if (seen) duplicate();
    return true;
  }
  bool start_object(std::size_t) override {
    if (where_ == Where::outside) {
      where_ = Where::header;
    } else if (where_ != Where::header) {
      return unexpected("an object");
    } else if (key_ == "__metadata__") {
      if (std::exchange(has_metadata_, true)) duplicate();
      where_ = Where::metadata;
    } else {
      entry_ = Entry{.name = std::move(key_), .dtype = {}, .shape = {}, .offsets = {}};
      where_ = Where::tensor;
    }
    return true;
  }
  bool end_object() override {
    if (where_ == Where::tensor) finish_tensor();
    where_ = where_ == Where::header ? Where::outside : Where::header;
    return true;
  }
  bool start_array(std::size_t) override {
    if (where_ != Where::tensor || key_ == "dtype") return unexpected("a list");
    where_ = key_ == "shape" ? Where::shape : Where::offsets;
    if (where_ == Where::shape) entry_.shape.emplace();
    if (where_ == Where::offsets) entry_.has_offsets = true;
    return true;
  }
  bool end_array() override {
    where_ = Where::tensor;
    return true;
  }

 private:
  enum class Where { outside, header, metadata, tensor, shape, offsets };

  [[noreturn]] void fail_entry(std::string const& what) const {
    fail("tensor \"" + printable(entry_.name) + "\": " + what);
  }
  [[noreturn]] void duplicate() const { fail("duplicate key \"" + printable(key_) + "\""); }
  [[noreturn]] bool unknown_field() const {
    fail_entry("expected dtype, shape and data_offsets, found \"" + printable(key_) + "\"");
  }
  [[noreturn]] bool unexpected(std::string const& found) const {
    if (where_ == Where::outside) fail("expected a JSON object as header, found " + found);
    if (where_ == Where::header)
      fail("\"" + printable(key_) + "\": expected an object, found " + found);
    if (where_ == Where::metadata) {
      fail("metadata \"" + printable(key_) + "\": expected a string, found " + found);
    }
    fail_entry(key_ + ": expected " +
               (key_ == "dtype" ? "a string" : "a list of non-negative integers") + ", found " +
               found);
  }

  void finish_tensor() {
    if (!entry_.dtype) fail_entry("dtype is missing");
    if (!entry_.shape) fail_entry("shape is missing");
    if (entry_.offsets.size() != 2) {
      fail_entry("data_offsets: expected 2 integers, found " +
                 std::to_string(entry_.offsets.size()));
    }
    auto const [begin, end] = std::pair{entry_.offsets[0], entry_.offsets[1]};
    auto const extent = "data_offsets " + std::to_string(begin) + " to " + std::to_string(end);
    if (begin > end || end > data_.size()) {
      fail_entry(extent + " lie outside the " + std::to_string(data_.size()) + " bytes of data");
    }
    auto const bytes = tensor_bytes(*entry_.dtype, *entry_.shape);
    auto const described = std::string{dtype_name(*entry_.dtype)} + " " + shape_text(*entry_.shape);
    if (!bytes) fail_entry("the size of " + described + " overflows");
    if (*bytes != end - begin) {
      fail_entry(described + " takes " + std::to_string(*bytes) + " bytes, but has " + extent);
    }
    entry_.shape->shrink_to_fit();
    tensors.push_back({std::move(entry_.name), *entry_.dtype, *std::move(entry_.shape),
                       data_.subspan(begin, end - begin)});
  }

  std::span<std::byte const> data_;
  Where where_ = Where::outside;
  std::string key_;
  Entry entry_;
  bool has_metadata_ = false;
};

/// Reads and checks the whole header.
struct Content {
  explicit Content(MappedFile mapped) : file{std::move(mapped)} {
    auto const [header, data] = split();
    auto reader = HeaderReader{file.path().string(), data};
    json::parse_events(header, reader, file.path().string());
    tensors = std::move(reader.tensors);
    metadata = std::move(reader.metadata);
    check_coverage(data);
  }

  MappedFile file;
  std::deque<StoredTensor> tensors;
  Metadata metadata;

 private:
  [[noreturn]] void fail(std::string const& what) const {
    throw InputError{at(file.path().string(), what)};
  }

  struct Sections {
    std::string_view header;
    std::span<std::byte const> data;
  };

  [[nodiscard]] Sections split() const {
    auto const bytes = file.bytes();
    if (bytes.empty()) fail("expected a safetensors file, found an empty file");
    if (as_text(bytes).starts_with("version https://git-lfs.github.com/spec/")) {
      fail(
          "expected a safetensors file, found a Git LFS pointer; fetch the file with `git lfs "
          "pull`");
    }
    auto header_bytes = std::uint64_t{0};
    if (bytes.size() < sizeof header_bytes) {
      fail("expected an 8-byte header length, found a file of " + std::to_string(bytes.size()) +
           " bytes");
    }
    std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
    auto const rest = bytes.subspan(sizeof header_bytes);
    if (header_bytes > safetensors::header_limit_bytes) {
      fail("expected a header of at most 100000000 bytes, found one of " +
           std::to_string(header_bytes));
    }
    if (header_bytes > rest.size()) {
      fail("expected a header of " + std::to_string(header_bytes) +
           " bytes, but the file ends after " + std::to_string(rest.size()));
    }
    auto const header = as_text(rest.first(header_bytes));
    if (!header.starts_with('{')) fail("expected a header that starts with '{'");
    return {header, rest.subspan(header_bytes)};
  }

  /// Tensors must tile the data section: no hole, no overlap, nothing after the last.
  void check_coverage(std::span<std::byte const> data) const {
    auto in_order = std::vector<StoredTensor const*>{};
    in_order.reserve(tensors.size());
    for (auto const& tensor : tensors) in_order.push_back(&tensor);
    std::ranges::sort(in_order, {}, [](StoredTensor const* tensor) {
      return std::pair{tensor->bytes.data(), tensor->bytes.size()};
    });
    auto next = std::size_t{0};
    for (auto const tensor : in_order) {
      auto const begin = static_cast<std::size_t>(tensor->bytes.data() - data.data());
      if (begin != next) {
        fail("tensor \"" + printable(tensor->name) + "\" begins at data byte " +
             std::to_string(begin) + (begin < next ? ", inside another tensor" : ", after a hole") +
             " (expected " + std::to_string(next) + ")");
      }
      next += tensor->bytes.size();
    }
    if (next != data.size()) {
      fail("expected " + std::to_string(next) + " bytes of data, found " +
           std::to_string(data.size()));
    }
  }
};

}  // namespace safetensors

/// An open, fully checked file: every tensor lies inside it, none overlaps another, no byte is left
/// over.
class SafetensorsFile : public TensorFile {
 public:
  /// Throws InputError that names the file and the fault.
  explicit SafetensorsFile(std::filesystem::path const& path)
      : SafetensorsFile{safetensors::Content{MappedFile{path}}} {}

  [[nodiscard]] Metadata const& metadata() const noexcept { return metadata_; }

 private:
  explicit SafetensorsFile(safetensors::Content content)
      : TensorFile{std::move(content.file), std::move(content.tensors)},
        metadata_{std::move(content.metadata)} {}

  Metadata metadata_;
};

}  // namespace qlora::inline v1
