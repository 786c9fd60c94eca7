/// What a quantization is: a small struct of constants that says how a weight matrix is stored.
///
///     struct Uniform4 {
///       static constexpr std::string_view name = "uniform4";
///       static constexpr int bits = 4;
///       static constexpr qlora::Index block = 32;  // consecutive elements that share a scale
///       static constexpr bool double_quantized = false;
///       QLORA_HOST_DEVICE static std::uint8_t encode(float x);  // x in [-1, 1]
///       QLORA_HOST_DEVICE static float decode(std::uint8_t code);
///     };
///
/// A block's scale is its largest magnitude. A code of 4 bits is below 16. Instead of `encode` and
/// `decode` a scheme may have `codebook`, an array of 2^bits floats, some of them twice if it knows
/// fewer, of which an element takes the nearest. Optional:
/// `range` (1 if absent) makes encode and decode work on [-range, range], and `prepare(float)` is
/// what an element becomes before anything else.
#pragma once

#include <algorithm>
#include <array>
#include <cassert>
#include <concepts>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include <qlora/core/host_device.hpp>
#include <qlora/core/memory.hpp>

namespace qlora::inline v1 {
namespace quant {

/// Values of `block` that are not sizes: a scale for each row, and no scales at all.
inline constexpr Index per_row = 0;
inline constexpr Index unscaled = -1;

template <class S>
concept Described = std::copyable<S> && requires(S const scheme) {
  { scheme.name } -> std::convertible_to<std::string_view>;
  { scheme.bits } -> std::convertible_to<int>;
  { scheme.block } -> std::convertible_to<Index>;
  { scheme.double_quantized } -> std::convertible_to<bool>;
};

template <class S>
concept WithCodebook = requires {
  { S::codebook[0] } -> std::convertible_to<float>;
  requires S::codebook.size() == std::size_t{1} << S::bits;
};

template <class S>
concept WithCodec = requires(float x) {
  { S::decode(S::encode(x)) } -> std::same_as<float>;
};

struct Visitor {
  template <class S>
  void operator()(S const&) const {}
};

/// A scheme chosen at run time: `visit(f)` calls `f` with the scheme that it stands for, and
/// `parse(name)` is the one of that name.
template <class S>
concept Choice = std::default_initializable<S> && requires(S const scheme, std::string_view name) {
  scheme.visit(Visitor{});
  { S::parse(name) } -> std::same_as<S>;
};

}  // namespace quant

template <class S>
concept Quantization = quant::Described<S> &&
    (quant::WithCodebook<S> || quant::WithCodec<S> || quant::Choice<S>);

namespace quant {

/// Whether a type can stand as a quantization; a compile-time error says what it lacks.
template <class S>
consteval bool check_scheme() {
  static_assert(Described<S>,
                "a quantization needs static constexpr name, bits, block and double_quantized; see "
                "quant/scheme.hpp");
  static_assert(!Described<S> || Quantization<S>,
                "a quantization needs static codebook, an array of exactly 2^bits floats (one of "
                "fewer values repeats some), or encode(float) and decode(code), which returns a "
                "float, or, to be chosen at run time, visit(body) and static parse(name); see "
                "quant/scheme.hpp");
  if constexpr (Quantization<S> && !Choice<S>) {
    static_assert(S::block > 0 || S::block == per_row || S::block == unscaled,
                  "a quantization's block is a positive size, quant::per_row or quant::unscaled");
    static_assert(!S::double_quantized || S::block > 0,
                  "a double-quantized scheme needs a block of fixed size");
    if constexpr (S::bits == 4) {
      static_assert(S::block > 0 && S::block % 2 == 0,
                    "a 4-bit quantization needs an even block, so that no byte is in two blocks");
    } else if constexpr (WithCodebook<S>) {
      static_assert(S::bits == 8, "a quantization with a codebook has 4 or 8 bits");
    } else {
      static_assert(8 * sizeof(S::encode(0.f)) == S::bits,
                    "a quantization's bits are 4 or the size of what encode returns");
    }
  }
  return true;
}

/// Calls `body` with a scheme whose constants are in its type.
template <class S, class Body>
decltype(auto) with_scheme(S const& scheme, Body&& body) {
  if constexpr (Choice<S>) {
    return scheme.visit(body);
  } else {
    return body(scheme);
  }
}

namespace detail {

template <class S>
struct CodeOf {
  using type = decltype(S::encode(0.f));
};
template <WithCodebook S>
struct CodeOf<S> {
  using type = std::uint8_t;
};

/// A codebook's entries in ascending order, and the midpoints between neighbours.
template <std::size_t N>
struct Ranks {
  std::array<std::uint8_t, N> codes{};
  std::array<float, N - 1> midpoints{};
};

template <std::size_t N>
consteval Ranks<N> rank(std::array<float, N> const& codebook) {
  auto ranks = Ranks<N>{};
  for (auto i = std::size_t{0}; i < N; ++i) {  // insertion sort: equal entries keep their order
    auto place = i;
    for (; place > 0 && codebook[ranks.codes[place - 1]] > codebook[i]; --place) {
      ranks.codes[place] = ranks.codes[place - 1];
    }
    ranks.codes[place] = static_cast<std::uint8_t>(i);
  }
  for (auto i = std::size_t{0}; i + 1 < N; ++i) {
    ranks.midpoints[i] = (codebook[ranks.codes[i]] + codebook[ranks.codes[i + 1]]) / 2;
  }
  return ranks;
}

template <class S>
inline constexpr auto ranks_of = rank(S::codebook);

}  // namespace detail

/// How many of N = 2^k - 1 ascending numbers `x` is above.
template <std::size_t N>
QLORA_HOST_DEVICE constexpr std::size_t count_below(float const* numbers, float x) {
  auto count = std::size_t{0};
  for (auto step = (N + 1) / 2; step > 0; step /= 2) {
    count += x > numbers[count + step - 1] ? step : 0;
  }
  return count;
}

/// What encode returns; 4-bit codes are stored two in a byte, the first in the high half.
template <class S>
using Code = typename detail::CodeOf<S>::type;

template <class S>
inline constexpr float range = [] {
  if constexpr (requires { S::range; }) return float{S::range};
  return 1.f;
}();

/// What an element becomes before anything else.
template <class S>
QLORA_HOST_DEVICE float prepare(float x) {
  if constexpr (requires { S::prepare(x); }) return S::prepare(x);
  return x;
}

/// The code of x in [-range, range]. On the host; kernels bring a codebook as data.
template <class S>
Code<S> encode(float x) {
  if constexpr (WithCodebook<S>) {
    constexpr auto const& ranks = detail::ranks_of<S>;
    return ranks.codes[count_below<ranks.midpoints.size()>(ranks.midpoints.data(), x)];
  } else {
    auto const code = S::encode(x);
    if constexpr (S::bits == 4) assert(code < 16);
    return code;
  }
}

/// The value of a code, in [-range, range]. On the host; kernels bring a codebook as data.
template <class S>
float decode(Code<S> code) {
  if constexpr (WithCodebook<S>) {
    return S::codebook[code];
  } else {
    return S::decode(code);
  }
}

/// An element from the value of its code and the scale of its block.
template <class S>
QLORA_HOST_DEVICE float scaled(float value, float scale) {
  if constexpr (S::block == unscaled) {
    return value;
  } else if constexpr (range<S> == 1.f) {
    return value * scale;
  } else {
    return value * scale * (1 / range<S>);
  }
}

}  // namespace quant
}  // namespace qlora::inline v1
