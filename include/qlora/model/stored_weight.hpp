/// A weight matrix as a model folder stores it: full precision, or the parts that bitsandbytes
/// wrote.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/json.hpp>
#include <qlora/core/rounding.hpp>
#include <qlora/core/shard_index.hpp>
#include <qlora/core/tensor.hpp>

namespace qlora::inline v1 {

/// A matrix (rows, columns) in 32-bit floats, row-major.
struct FullWeight {
  MatrixTensor<float> values;
};

/// A second level of quantization, over the scales of the first.
struct NestedScales {
  Index block = 256;                ///< scales that share an entry of `absmax`
  float offset = 0;                 ///< subtracted from the scales before they were quantized
  std::vector<std::uint8_t> codes;  ///< (blocks), indices into `map`
  std::vector<float> absmax;        ///< (ceil(blocks / block))
  std::vector<float> map;           ///< (256)
};

/// A matrix (rows, columns) in blocks of 4-bit codes over the flat row-major elements. The element
/// is map[code] * absmax[block], where double quantization gives absmax as
/// nested.map[nested.codes[block]] * nested.absmax[block / nested.block] + nested.offset.
struct FourBitWeight {
  enum class Type { nf4, fp4 };

  Type type = Type::nf4;
  Index rows = 0;
  Index columns = 0;
  Index block = 64;
  Dtype dtype = Dtype::f32;  ///< what bitsandbytes expands it to (F32, F16 or BF16)
  std::vector<std::uint8_t>
      codes;                  ///< (ceil(rows columns / 2)), the first element in the high nibble
  std::vector<float> map;     ///< (16)
  std::vector<float> absmax;  ///< (blocks); empty when double-quantized
  std::optional<NestedScales> nested;

  [[nodiscard]] Index blocks() const { return ceil_div(rows * columns, block); }
};

/// A matrix (rows, columns) in 8-bit codes; the element is codes[i, j] * absmax[i] / 127.
struct Int8Weight {
  Index rows = 0;
  Index columns = 0;
  std::vector<std::int8_t> codes;  ///< (rows columns), row-major
  std::vector<float> absmax;       ///< (rows), "SCB" in the file
};

using StoredWeight = std::variant<FullWeight, FourBitWeight, Int8Weight>;

namespace detail {

/// What a message calls a tensor: "layer 3 key" for
/// "esm.encoder.layer.3.attention.self.key.weight".
inline std::string place_of(std::string_view name) {
  constexpr auto prefix = std::string_view{"esm.encoder.layer."};
  if (!name.starts_with(prefix)) return std::string{name};
  name.remove_prefix(prefix.size());
  auto const dot = name.find('.');
  auto place = "layer " + std::string{name.substr(0, dot)} + " ";
  name.remove_prefix(dot + 1);
  if (name.starts_with("attention.self.")) name.remove_prefix(15);
  if (name.ends_with(".weight")) name.remove_suffix(7);
  return place.append(name);
}

[[noreturn]] inline void refuse_tensor(std::string_view name, std::string const& expected,
                                       std::string const& got, std::string const& file) {
  throw InputError{place_of(name) + ": expected " + expected + ", got " + got + " (" + file + ")"};
}

/// Reads the sidecars of one quantized weight, and refuses those that do not fit its shape.
class QuantizedReader {
 public:
  /// `weight` is the tensor NAME.weight of a matrix (rows, columns).
  QuantizedReader(TensorSet const& set, TensorSet::Found weight, Index rows, Index columns)
      : set_{set}, weight_{weight}, rows_{rows}, columns_{columns} {}

  FourBitWeight four_bit(FourBitWeight::Type type, TensorSet::Found state) const {
    auto const file = weight_.where() + ", tensor " + printable(state.tensor->name);
    auto const document = json::parse(as_text(state.tensor->bytes), file);
    if (!document.is_object()) throw InputError{at(file, "expected a JSON object")};
    auto const expected_type = type == FourBitWeight::Type::nf4 ? "nf4" : "fp4";
    if (auto const got = json::require<std::string>(document, "quant_type", file);
        got != expected_type) {
      refuse(expected_type, "quant_type " + printable(got));
    }
    check_shape(document, file);
    auto weight = FourBitWeight{};
    weight.type = type;
    weight.rows = rows_;
    weight.columns = columns_;
    weight.block = json::within<Index>(json::require<Index>(document, "blocksize", file), 1,
                                       1 << 20, "blocksize", file);
    weight.dtype = dtype(json::require<std::string>(document, "dtype", file));
    weight.codes = bytes<std::uint8_t>(*weight_.tensor, Dtype::u8, (rows_ * columns_ + 1) / 2);
    weight.map = floats(".quant_map", 16);
    if (document.contains("nested_blocksize")) {
      auto nested = NestedScales{};
      nested.block = json::within<Index>(json::require<Index>(document, "nested_blocksize", file),
                                         1, 1 << 20, "nested_blocksize", file);
      nested.offset = static_cast<float>(json::require<double>(document, "nested_offset", file));
      nested.codes = bytes<std::uint8_t>(*sidecar(".absmax").tensor, Dtype::u8, weight.blocks());
      nested.absmax = floats(".nested_absmax", ceil_div(weight.blocks(), nested.block));
      nested.map = floats(".nested_quant_map", 256);
      weight.nested = std::move(nested);
    } else {
      weight.absmax = floats(".absmax", weight.blocks());
    }
    weight_.file->release(*weight_.tensor);
    return weight;
  }

  Int8Weight int8() const {
    auto const beside = [&](char const* what) {
      auto name = weight_.tensor->name;
      return name.replace(name.rfind("weight"), name.npos, what);
    };
    // Of the orders of elements that bitsandbytes has had, it reads rows alone, too, by now.
    if (auto const format = set_.find(beside("weight_format")); format.tensor != nullptr) {
      if (auto const order = bytes<std::uint8_t>(*format.tensor, Dtype::u8, 1)[0]; order != 0) {
        refuse_tensor(format.tensor->name, "0, for rows one after the other", std::to_string(order),
                      format.where());
      }
    }
    auto weight = Int8Weight{};
    weight.rows = rows_;
    weight.columns = columns_;
    if (weight_.tensor->shape != Extents{rows_, columns_}) {
      refuse(shape_text({rows_, columns_}), shape_text(weight_.tensor->shape));
    }
    weight.codes = bytes<std::int8_t>(*weight_.tensor, Dtype::i8, rows_ * columns_);
    weight.absmax = floats(find(beside("SCB")), rows_);
    weight_.file->release(*weight_.tensor);
    return weight;
  }

 private:
  [[noreturn]] void refuse(std::string const& expected, std::string const& got) const {
    refuse_tensor(weight_.tensor->name, expected, got, weight_.where());
  }

  void check_shape(Json const& document, std::string const& file) const {
    auto const entry = document.find("shape");
    if (entry == document.end() || *entry != Json{rows_, columns_}) {
      throw InputError{
          at(file, "shape: expected " + shape_text({rows_, columns_}) + ", found " +
                       (entry == document.end() ? "nothing" : printable(entry->dump())))};
    }
  }

  Dtype dtype(std::string const& name) const {
    if (name == "float32") return Dtype::f32;
    if (name == "float16") return Dtype::f16;
    if (name == "bfloat16") return Dtype::bf16;
    refuse("dtype float32, float16 or bfloat16", printable(name));
  }

  TensorSet::Found find(std::string const& name) const {
    auto const found = set_.find(name);
    if (found.tensor == nullptr) refuse("a tensor " + name, "none");
    return found;
  }
  TensorSet::Found sidecar(std::string const& suffix) const {
    return find(weight_.tensor->name + suffix);
  }
  std::vector<float> floats(std::string const& suffix, Index size) const {
    return floats(sidecar(suffix), size);
  }
  std::vector<float> floats(TensorSet::Found found, Index size) const {
    auto values = std::vector<float>(static_cast<std::size_t>(size));
    read_floats(*found.tensor, values, found.where());
    return values;
  }
  template <class T>
  std::vector<T> bytes(StoredTensor const& tensor, Dtype dtype, Index size) const {
    if (tensor.dtype != dtype || tensor.bytes.size() != static_cast<std::size_t>(size)) {
      refuse_tensor(tensor.name, std::to_string(size) + " of " + std::string{dtype_name(dtype)},
                    shape_text(tensor.shape) + " of " + std::string{dtype_name(tensor.dtype)},
                    weight_.where());
    }
    auto const text = as_text(tensor.bytes);
    return {text.begin(), text.end()};
  }

  TensorSet const& set_;
  TensorSet::Found weight_;
  Index rows_;
  Index columns_;
};

}  // namespace detail
}  // namespace qlora::inline v1
