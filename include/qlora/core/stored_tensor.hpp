/// Tensors as files hold them: element type, shape and bytes; reading them as float32.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <qlora/core/error.hpp>
#include <qlora/core/file.hpp>
#include <qlora/core/parallel.hpp>
#include <qlora/core/scalar.hpp>

namespace qlora::inline v1 {

static_assert(std::endian::native == std::endian::little, "safetensors is little-endian");

/// Element types a file may hold. Types of less than a byte are refused as unknown.
// clang-format off
enum class Dtype : std::uint8_t {
  boolean, u8, i8, f8_e5m2, f8_e4m3, i16, u16, f16, bf16, i32, u32, f32, f64, i64, u64
};
// clang-format on

namespace detail {

struct DtypeRow {
  std::string_view name;
  std::size_t bytes;
};

// clang-format off
/// In the order of Dtype.
inline constexpr std::array<DtypeRow, 15> dtype_rows{{
    {"BOOL", 1}, {"U8", 1}, {"I8", 1}, {"F8_E5M2", 1}, {"F8_E4M3", 1},
    {"I16", 2}, {"U16", 2}, {"F16", 2}, {"BF16", 2}, {"I32", 4},
    {"U32", 4}, {"F32", 4}, {"F64", 8}, {"I64", 8}, {"U64", 8}}};
// clang-format on

}  // namespace detail

/// "F32" and so on, as files spell it.
constexpr std::string_view dtype_name(Dtype dtype) {
  return detail::dtype_rows[static_cast<std::size_t>(dtype)].name;
}
constexpr std::size_t element_bytes(Dtype dtype) {
  return detail::dtype_rows[static_cast<std::size_t>(dtype)].bytes;
}
/// Of those that read_floats takes.
constexpr bool is_floating(Dtype dtype) {
  return dtype == Dtype::f16 || dtype == Dtype::bf16 || dtype == Dtype::f32 || dtype == Dtype::f64;
}
constexpr std::optional<Dtype> find_dtype(std::string_view name) {
  auto const row = std::ranges::find(detail::dtype_rows, name, &detail::DtypeRow::name);
  if (row == detail::dtype_rows.end()) return std::nullopt;
  return static_cast<Dtype>(row - detail::dtype_rows.begin());
}

using Extents = std::vector<std::int64_t>;

/// "320x1280"; a scalar is "()".
inline std::string shape_text(Extents const& shape) {
  if (shape.empty()) return "()";
  auto text = std::to_string(shape[0]);
  for (auto i = std::size_t{1}; i < shape.size(); ++i) text += "x" + std::to_string(shape[i]);
  return text;
}

/// Bytes of a tensor, or nothing when they do not fit 63 bits.
inline std::optional<std::size_t> tensor_bytes(Dtype dtype, Extents const& shape) {
  auto bytes = static_cast<std::int64_t>(element_bytes(dtype));
  for (auto const extent : shape) {
    if (__builtin_mul_overflow(bytes, extent, &bytes)) return std::nullopt;
  }
  return static_cast<std::size_t>(bytes);
}

/// One tensor of an open file, or in memory and to be written. `bytes` may be unaligned: copy, do
/// not cast.
struct StoredTensor {
  std::string name;
  Dtype dtype = Dtype::f32;
  Extents shape;
  std::span<std::byte const> bytes;
};

namespace detail {

/// IEEE half precision, exactly.
inline float half_to_float(std::uint16_t half) {
  auto const sign = std::uint32_t{half & 0x8000u} << 16;
  auto const exponent = (half >> 10) & 0x1fu;
  auto const mantissa = std::uint32_t{half & 0x3ffu};
  if (exponent == 0) {  // zero or subnormal: mantissa x 2^-24
    auto const magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  auto const widened = exponent == 0x1f ? 0xffu : exponent + (127 - 15);
  return std::bit_cast<float>(sign | (widened << 23) | (mantissa << 13));
}

template <class Stored, class ToFloat>
void convert_elements(std::span<std::byte const> bytes, std::span<float> out, ToFloat to_float) {
  for (auto i = std::size_t{0}; i < out.size(); ++i) {
    auto stored = Stored{};
    std::memcpy(&stored, bytes.data() + i * sizeof stored, sizeof stored);
    out[i] = to_float(stored);
  }
}

/// Of a floating type.
inline void convert_elements(Dtype dtype, std::span<std::byte const> bytes, std::span<float> out) {
  switch (dtype) {
    case Dtype::f16:
      return convert_elements<std::uint16_t>(bytes, out, half_to_float);
    case Dtype::bf16:
      return convert_elements<bf16>(bytes, out, convert<float, bf16>);
    case Dtype::f64:
      return convert_elements<double>(bytes, out, convert<float, double>);
    default:
      std::memcpy(out.data(), bytes.data(), bytes.size());
  }
}

}  // namespace detail

/// Whether no element is NaN or infinite.
inline bool all_finite(std::span<float const> values) {
  auto bad = std::uint32_t{0};  // without an early exit, so that the loop vectorises
  for (auto const value : values) {
    bad |= std::uint32_t{(std::bit_cast<std::uint32_t>(value) & 0x7f800000u) == 0x7f800000u};
  }
  return bad == 0;
}

/// The elements of an F32, F16, BF16 or F64 tensor, row-major, as float32 (F64 is rounded). `out`
/// must have as many elements. InputError naming `file` for another type, and for a NaN or
/// infinity.
inline void read_floats(StoredTensor const& tensor, std::span<float> out, std::string_view file) {
  auto const fail = [&](std::string const& what) {
    throw InputError{at(file, "tensor \"" + printable(tensor.name) + "\": " + what)};
  };
  auto const element = element_bytes(tensor.dtype);
  if (tensor.bytes.size() != out.size() * element) {
    fail("expected " + std::to_string(out.size()) + " elements, got shape " +
         shape_text(tensor.shape));
  }
  if (!is_floating(tensor.dtype)) {
    fail("expected F32, F16, BF16 or F64, got " + std::string{dtype_name(tensor.dtype)});
  }
  auto finite = std::atomic{true};
  constexpr auto piece = Index{1} << 16;  // which is still in cache when it is looked through
  parallel_rows(std::ssize(out), piece, [&](Rows part, int) {
    auto const first = static_cast<std::size_t>(part.first);
    auto const values = out.subspan(first, static_cast<std::size_t>(part.count));
    detail::convert_elements(
        tensor.dtype, tensor.bytes.subspan(first * element, values.size() * element), values);
    if (!all_finite(values)) finite.store(false, std::memory_order_relaxed);
  });
  if (!finite) fail("expected finite numbers, found NaN or infinity");
}

/// The same into a new vector.
inline std::vector<float> read_floats(StoredTensor const& tensor, std::string_view file) {
  auto values = std::vector<float>(tensor.bytes.size() / element_bytes(tensor.dtype));
  read_floats(tensor, values, file);
  return values;
}

}  // namespace qlora::inline v1
