/// Writes safetensors files tensor by tensor; a file is replaced as a whole or not at all.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <numeric>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/core/json.hpp>
#include <qlora/core/rounding.hpp>
#include <qlora/core/safetensors.hpp>
#include <qlora/core/stored_tensor.hpp>

namespace qlora::inline v1 {

/// What a tensor to be written looks like.
struct TensorSpec {
  std::string name;
  Dtype dtype = Dtype::f32;
  Extents shape;
};

/// Writes a file tensor by tensor: `emit(i)` returns the bytes of specs[i], which need to live
/// until the next call only. Tensors are stored widest element type first, then by name, and the
/// data begins on an 8-byte boundary, so that every tensor is aligned. Atomic as write_atomically.
template <class Emit>
requires std::is_invocable_r_v<std::span<std::byte const>, Emit&, std::size_t> void
write_safetensors(std::filesystem::path const& path, std::span<TensorSpec const> specs, Emit&& emit,
                  Metadata const& metadata = {{"format", "pt"}}) {
  auto order = std::vector<std::size_t>(specs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
    auto const width = [&](std::size_t i) { return element_bytes(specs[i].dtype); };
    return width(a) != width(b) ? width(a) > width(b) : specs[a].name < specs[b].name;
  });

  auto header = std::string{"{"};
  if (!metadata.empty()) header += "\"__metadata__\":" + Json(metadata).dump() + ",";
  auto offset = std::size_t{0};
  auto sizes = std::vector<std::size_t>(specs.size());
  for (auto const i : order) {
    sizes[i] = tensor_bytes(specs[i].dtype, specs[i].shape).value();
    auto entry = Json::object();
    entry["data_offsets"] = std::array{offset, offset + sizes[i]};
    entry["dtype"] = dtype_name(specs[i].dtype);
    entry["shape"] = specs[i].shape;
    header += Json(specs[i].name).dump() + ":" + entry.dump() + ",";
    offset += sizes[i];
  }
  if (header.back() == ',') header.pop_back();
  header += '}';
  header.resize(round_up(header.size(), 8), ' ');

  write_atomically(path, [&](FileWriter& writer) {
    auto const header_bytes = std::uint64_t{header.size()};
    writer.write(std::as_bytes(std::span{&header_bytes, 1}));
    writer.write(header);
    for (auto const i : order) {
      auto const bytes = std::span<std::byte const>{emit(i)};
      if (bytes.size() != sizes[i]) {
        throw ShapeError{qlora::at(path.string(), "tensor \"" + specs[i].name + "\": expected " +
                                                      std::to_string(sizes[i]) + " bytes, got " +
                                                      std::to_string(bytes.size()))};
      }
      writer.write(bytes);
    }
  });
}

/// A float32 tensor in memory, to be written.
inline StoredTensor float_tensor(std::string name, Extents shape, std::span<float const> values) {
  return {std::move(name), Dtype::f32, std::move(shape), std::as_bytes(values)};
}

inline void write_safetensors(std::filesystem::path const& path,
                              std::span<StoredTensor const> tensors,
                              Metadata const& metadata = {{"format", "pt"}}) {
  auto specs = std::vector<TensorSpec>{};
  for (auto const& tensor : tensors) specs.push_back({tensor.name, tensor.dtype, tensor.shape});
  write_safetensors(
      path, specs, [&](std::size_t i) { return tensors[i].bytes; }, metadata);
}

}  // namespace qlora::inline v1
