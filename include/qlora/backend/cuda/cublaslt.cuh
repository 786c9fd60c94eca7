/// Products of matrices by cuBLASLt. A plan (types, layouts, the algorithm) is made once for each
/// shape and kept.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <cublasLt.h>

#include <qlora/backend/concepts.hpp>
#include <qlora/backend/cuda/memory.cuh>
#include <qlora/backend/cuda/stream.cuh>
#include <qlora/core/scalar.hpp>
#include <qlora/core/tensor.hpp>

namespace qlora::inline v1::cuda {

/// Throws SystemError "what: reason" unless a call succeeded.
inline void check(cublasStatus_t status, std::string const& what) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    throw SystemError{what + ": " + cublasLtGetStatusString(status)};
  }
}

template <class T>
inline constexpr auto data_type = std::same_as<T, double>  ? CUDA_R_64F
                                  : std::same_as<T, float> ? CUDA_R_32F
                                                           : CUDA_R_16BF;

/// Sums of float products are kept in float, without TF32.
template <class T>
inline constexpr auto compute_type =
    std::same_as<T, double> ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F;

/// An object of cuBLASLt, destroyed with its owner.
template <class T, auto Destroy>
class Owned {
 public:
  Owned() = default;
  template <class... Arguments>
  Owned(char const* call, cublasStatus_t (*create)(T*, Arguments...),
        std::type_identity_t<Arguments>... arguments) {
    check(create(&object_, arguments...), call);
  }
  Owned(Owned&& other) noexcept : object_{std::exchange(other.object_, nullptr)} {}
  Owned& operator=(Owned&& other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Owned() {
    if (object_ != nullptr) Destroy(object_);
  }

  operator T() const { return object_; }  // NOLINT(google-explicit-constructor)

 private:
  T object_ = nullptr;
};

class CublasLt {
 public:
  /// What algorithms may use: NVIDIA's advice for Hopper.
  static constexpr auto workspace_bytes = std::size_t{32} << 20;

  static constexpr int most_candidates = 8;

  /// `candidates`: algorithms that are timed for each plan, at most 8; cuBLASLt's own first choice
  /// where it is one.
  explicit CublasLt(int candidates = 1)
      : handle_{"cublasLtCreate", cublasLtCreate}, candidates_{candidates} {}

  /// y (n, out) = or += x (n, in) w (out, in)^T + bias (out), in the order of `stream`; without
  /// bias where it is empty. The bias is of y's type. Throws SystemError that names the sizes.
  template <class T, class U>
  void multiply_transposed(Matrix<T const, Space::device> x, Matrix<T const, Space::device> w,
                           Vector<U const, Space::device> bias, Matrix<U, Space::device> y,
                           Write write, std::byte* workspace, Stream const& stream) {
    run<T, U>(x, w, CUBLAS_OP_T, bias, y, write, workspace, stream);
  }

  /// dx (n, in) = or += dy (n, out) w (out, in), in the order of `stream`.
  template <class T, class U>
  void multiply(Matrix<T const, Space::device> dy, Matrix<T const, Space::device> w,
                Matrix<U, Space::device> dx, Write write, std::byte* workspace,
                Stream const& stream) {
    run<T, U>(dy, w, CUBLAS_OP_N, {}, dx, write, workspace, stream);
  }

  /// Plans made so far.
  std::size_t plans() const { return plans_.size(); }

 private:
  using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;

  /// A name for a type that has none, which nvcc 13.0 fails on inside a vector.
  struct Algorithm {
    cublasLtMatmulAlgo_t choice;
  };

  /// y = or += x op(w) + bias.
  template <class T, class U>
  void run(Matrix<T const, Space::device> x, Matrix<T const, Space::device> w, cublasOperation_t op,
           Vector<U const, Space::device> bias, Matrix<U, Space::device> y, Write write,
           std::byte* workspace, Stream const& stream) {
    if (y.size() == 0) return;
    auto const with_bias = bias.data() != nullptr;
    auto& plan = plan_for<T>(x, w, op, y, with_bias);
    if (!stream.wants(Product{&plan, x.data(), w.data(), bias.data(), y.data(), workspace,
                              static_cast<Index>(write)})) {
      return;
    }
    if (with_bias) set(plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias.data());
    auto const multiply = [&](U* out, Write how) {
      auto const alpha = Accumulate<T>{1};
      auto const beta = Accumulate<T>{how == Write::accumulate ? 1.f : 0.f};
      auto const status = cublasLtMatmul(
          handle_, plan.operation, &alpha, w.data(), plan.w, x.data(), plan.x, &beta, out, plan.y,
          out, plan.y, &plan.algorithms.front().choice, workspace, workspace_bytes, stream);
      if (status != CUBLAS_STATUS_SUCCESS) check(status, describe(x, w, op));
    };
    if (plan.algorithms.size() > 1 && stream.recording() == nullptr) {
      auto const trial = MatrixTensor<U, Space::device>{{y.rows(), y.stride()}};
      keep_fastest(plan.algorithms, stream, [&] { multiply(trial.data(), Write::assign); });
    }
    multiply(y.data(), write);
  }

  /// Leaves the algorithm, put first, with which `multiply()` takes the least time.
  template <class Multiply>
  static void keep_fastest(std::vector<Algorithm>& algorithms, Stream const& stream,
                           Multiply&& multiply) {
    constexpr auto rounds = 5;
    auto const candidates = algorithms;
    auto best = candidates.front();
    auto shortest = std::numeric_limits<float>::max();
    auto const begin = Event{Event::Timing::on};
    auto const end = Event{Event::Timing::on};
    for (auto const& algorithm : candidates) {
      algorithms.front() = algorithm;
      multiply();  // loads its code
      begin.record(stream);
      for (auto round = 0; round < rounds; ++round) multiply();
      end.record(stream);
      auto const time = end.milliseconds_since(begin);
      if (time >= shortest) continue;
      shortest = time;
      best = algorithm;
    }
    algorithms = {best};
  }

  /// cuBLASLt thinks in columns, so that our rows are its columns: y^T = op(w)^T x^T.
  struct Plan {
    Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy> operation;
    Layout w, x, y;
    std::vector<Algorithm> algorithms;  // the first is used, the others not timed yet
  };

  /// All that is different from product to product of a plan.
  struct Product {
    Plan const* plan;
    void const *x, *w, *bias, *y, *workspace;
    Index write;
  };

  /// Sizes, strides, alignments, types, w's operation, and whether there is a bias.
  using Key = std::array<Index, 14>;

  static void set(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute,
                  auto const& value) {
    check(cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof value),
          "cublasLtMatmulDescSetAttribute");
  }

  /// The largest power of two up to 256 that divides an address.
  static std::uint32_t alignment(void const* data) {
    auto const address = reinterpret_cast<std::uintptr_t>(data);
    return 1u << std::min(std::countr_zero(address), 8);
  }

  template <class V>
  static std::string describe(V const& x, V const& w, cublasOperation_t op) {
    return "cublasLtMatmul of " + x.shape() + " by " + w.shape() +
           (op == CUBLAS_OP_T ? " transposed" : "");
  }

  template <class T>
  static Layout layout(Matrix<T, Space::device> matrix) {
    return {"cublasLtMatrixLayoutCreate",
            cublasLtMatrixLayoutCreate,
            data_type<std::remove_const_t<T>>,
            static_cast<std::uint64_t>(matrix.columns()),
            static_cast<std::uint64_t>(matrix.rows()),
            static_cast<std::int64_t>(matrix.stride())};
  }

  template <class T, class U>
  Plan& plan_for(Matrix<T const, Space::device> x, Matrix<T const, Space::device> w,
                 cublasOperation_t op, Matrix<U, Space::device> y, bool with_bias) {
    auto const key = Key{x.rows(),
                         x.columns(),
                         w.rows(),
                         w.columns(),
                         x.stride(),
                         w.stride(),
                         y.stride(),
                         alignment(x.data()),
                         alignment(w.data()),
                         alignment(y.data()),
                         data_type<T>,
                         data_type<U>,
                         op,
                         with_bias};
    auto const found = plans_.find(key);
    if (found != plans_.end()) return found->second;

    auto plan = Plan{.operation = {"cublasLtMatmulDescCreate", cublasLtMatmulDescCreate,
                                   compute_type<T>, data_type<Accumulate<T>>},
                     .w = layout(w),
                     .x = layout(x),
                     .y = layout(y),
                     .algorithms = {}};
    set(plan.operation, CUBLASLT_MATMUL_DESC_TRANSA, op);
    if (with_bias) set(plan.operation, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);

    auto const preference = Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>{
        "cublasLtMatmulPreferenceCreate", cublasLtMatmulPreferenceCreate};
    auto const prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto const& value) {
      check(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value),
            "cublasLtMatmulPreferenceSetAttribute");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{workspace_bytes});
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(w.data()));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(x.data()));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment(y.data()));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment(y.data()));

    auto results = std::array<cublasLtMatmulHeuristicResult_t, most_candidates>{};
    auto found_count = 0;
    check(cublasLtMatmulAlgoGetHeuristic(handle_, plan.operation, plan.w, plan.x, plan.y, plan.y,
                                         preference, std::min(candidates_, most_candidates),
                                         results.data(), &found_count),
          describe(x, w, op) + ", choosing an algorithm");
    for (auto i = 0; i < found_count; ++i) {
      auto const& result = results[static_cast<std::size_t>(i)];
      if (result.state == CUBLAS_STATUS_SUCCESS) plan.algorithms.push_back({result.algo});
    }
    if (plan.algorithms.empty()) {
      throw SystemError{describe(x, w, op) + ": cuBLASLt has no algorithm for it"};
    }
    return plans_.emplace(key, std::move(plan)).first->second;
  }

  Owned<cublasLtHandle_t, cublasLtDestroy> handle_;
  int candidates_;
  std::map<Key, Plan> plans_;
};

/// Takes the fastest of a few algorithms. Times differ from run to run, and with them the choice
/// and the last bits of results: for long runs that need not be repeated to the bit.
class TimedCublasLt : public CublasLt {
 public:
  TimedCublasLt() : CublasLt{most_candidates} {}
};

}  // namespace qlora::inline v1::cuda
