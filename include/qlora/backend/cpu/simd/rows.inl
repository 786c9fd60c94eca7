// Loops over one row.

template <class T>
void widen(T const* x, Index n, float* y) {
  for (auto i = Index{0}; i < n; i += width) store(y + i, load(x + i, n - i), n - i);
}

template <class T>
void narrow(float const* x, Index n, T* y) {
  for (auto i = Index{0}; i < n; i += width) store(y + i, load(x + i, n - i), n - i);
}

template <class T>
void gelu(T const* u, Index n, T* g) {
  for (auto i = Index{0}; i < n; i += width) {
    auto const value = load(u + i, n - i);
    store(g + i, value * normal(value).cumulative, n - i);
  }
}

template <class T>
void gelu_backward(T const* u, T const* dg, Index n, T* du) {
  constexpr auto inverse_sqrt_2pi = .398942280f;
  for (auto i = Index{0}; i < n; i += width) {
    auto const value = load(u + i, n - i);
    auto const [cumulative, bell] = normal(value);
    auto const slope = cumulative + value * (bell * inverse_sqrt_2pi);
    store(du + i, load(dg + i, n - i) * slope, n - i);
  }
}

template <class T>
void layer_norm(float const* x, float const* gamma, float const* beta, float epsilon, Index n, T* y,
                float* stats) {
  auto const size = static_cast<float>(n);
  auto total = Floats{};
  for (auto i = Index{0}; i < n; i += width) total += load(x + i, n - i);
  auto const mean = sum(total) / size;
  auto squares = Floats{};
  auto i = Index{0};
  for (; i + width <= n; i += width) {
    auto const distance = load(x + i) - mean;
    squares += distance * distance;
  }
  auto variance = sum(squares);
  for (; i < n; ++i) variance += (x[i] - mean) * (x[i] - mean);
  auto const rstd = 1.f / __builtin_sqrtf(variance / size + epsilon);
  for (i = 0; i < n; i += width) {
    auto const normed = (load(x + i, n - i) - mean) * rstd;
    store(y + i, normed * load(gamma + i, n - i) + load(beta + i, n - i), n - i);
  }
  stats[0] = mean;
  stats[1] = rstd;
}

// dx += rstd (g - mean(g) - n mean(g n)) where n = (x - mean) rstd and g = dy gamma.
inline void layer_norm_backward(float const* dy, float const* x, float const* gamma,
                                float const* stats, Index n, float* dx) {
  auto const size = static_cast<float>(n);
  auto const mean = stats[0];
  auto const rstd = stats[1];
  auto sums = Floats{};
  auto products = Floats{};
  for (auto i = Index{0}; i < n; i += width) {
    auto const g = load(dy + i, n - i) * load(gamma + i, n - i);  // zero beyond the end
    sums += g;
    products += g * ((load(x + i, n - i) - mean) * rstd);
  }
  auto const mean_sum = sum(sums) / size;
  auto const mean_product = sum(products) / size;
  for (auto i = Index{0}; i < n; i += width) {
    auto const g = load(dy + i, n - i) * load(gamma + i, n - i);
    auto const normed = (load(x + i, n - i) - mean) * rstd;
    auto const gradient = rstd * (g - mean_sum - normed * mean_product);
    store(dx + i, load(dx + i, n - i) + gradient, n - i);
  }
}

// Four lanes, for loops over half a head.
using Quad = float __attribute__((vector_size(16)));
using QuadWords = std::uint32_t __attribute__((vector_size(16)));
using QuadHalves = std::uint16_t __attribute__((vector_size(8)));

QLORA_SIMD_INLINE Quad load_quad(float const* p) {
  return reinterpret_cast<Unaligned<Quad> const*>(p)->value;
}
QLORA_SIMD_INLINE Quad load_quad(bf16 const* p) {
  auto const halves = reinterpret_cast<Unaligned<QuadHalves> const*>(p)->value;
  return __builtin_bit_cast(Quad, __builtin_convertvector(halves, QuadWords) << 16);
}
QLORA_SIMD_INLINE void store_quad(float* p, Quad v) {
  reinterpret_cast<Unaligned<Quad>*>(p)->value = v;
}
QLORA_SIMD_INLINE void store_quad(bf16* p, Quad v) {
  auto const halves = __builtin_convertvector(rounded<QuadWords>(v) >> 16, QuadHalves);
  reinterpret_cast<Unaligned<QuadHalves>*>(p)->value = halves;
}

template <class T>
QLORA_SIMD_INLINE void rotate_quad(T* first, T* second, float const* cosines, float const* sines,
                                   float scale, float sign) {
  auto const a = load_quad(first);
  auto const b = load_quad(second);
  auto const cosine = load_quad(cosines);
  auto const sine = load_quad(sines) * sign;
  store_quad(first, scale * (a * cosine - b * sine));
  store_quad(second, scale * (b * cosine + a * sine));
}

template <class T>
void rotary(T* row, Index heads, Index half, float const* cosines, float const* sines, float scale,
            float sign) {
  for (auto head = Index{0}; head < heads; ++head) {
    auto* const first = row + head * 2 * half;
    auto* const second = first + half;
    auto j = Index{0};
    for (; j + 4 <= half; j += 4) {
      rotate_quad(first + j, second + j, cosines + j, sines + j, scale, sign);
    }
    if (j == half) continue;
    alignas(16) unsigned char parts[2][4 * sizeof(T)] = {};
    alignas(16) float angles[2][4] = {};
    auto const count = static_cast<std::size_t>(half - j);
    __builtin_memcpy(parts[0], first + j, count * sizeof(T));
    __builtin_memcpy(parts[1], second + j, count * sizeof(T));
    __builtin_memcpy(angles[0], cosines + j, count * sizeof(float));
    __builtin_memcpy(angles[1], sines + j, count * sizeof(float));
    rotate_quad(reinterpret_cast<T*>(parts[0]), reinterpret_cast<T*>(parts[1]), angles[0],
                angles[1], scale, sign);
    __builtin_memcpy(first + j, parts[0], count * sizeof(T));
    __builtin_memcpy(second + j, parts[1], count * sizeof(T));
  }
}
