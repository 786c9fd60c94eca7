/// Matrix products by oneDNN, through its C interface: near the processor's peak in float and bf16.
#pragma once

#if !defined(_OPENMP)
#error "expected OpenMP (-fopenmp): through it oneDNN is told to multiply on the calling thread"
#endif

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <tuple>

#include <dnnl.h>

#include <qlora/backend/cpu/eigen_products.hpp>
#include <qlora/backend/cpu/simd/kernels.hpp>
#include <qlora/backend/cpu/tile.hpp>
#include <qlora/core/memory.hpp>
#include <qlora/core/rounding.hpp>

namespace qlora::inline v1 {
namespace onednn {

template <auto Destroy>
struct Destroyer {
  template <class T>
  void operator()(T* handle) const {
    Destroy(handle);
  }
};
template <class T, auto Destroy>
using Handle = std::unique_ptr<T, Destroyer<Destroy>>;

inline void check(dnnl_status_t status, char const* what) {
  if (status == dnnl_out_of_memory) {
    throw SystemError{std::string{"oneDNN: "} + what + ": expected memory, found none left"};
  }
  if (status != dnnl_success) {
    throw SystemError{std::string{"oneDNN: "} + what + ": expected success, got status " +
                      std::to_string(static_cast<int>(status))};
  }
}

template <class T>
inline constexpr dnnl_data_type_t data_type = std::same_as<T, bf16> ? dnnl_bf16 : dnnl_f32;

/// A matrix as oneDNN describes it, `row_stride` and `column_stride` elements from one row or
/// column to the next.
inline dnnl_memory_desc_t describe(dnnl_data_type_t type, Index rows, Index columns,
                                   Index row_stride, Index column_stride = 1) {
  auto result = dnnl_memory_desc_t{};
  dnnl_dims_t const extents = {rows, columns};
  dnnl_dims_t const strides = {row_stride, column_stride};
  check(dnnl_memory_desc_init_by_strides(&result, 2, extents, type, strides),
        "describing a matrix");
  return result;
}

enum class Weight { plain, transposed };

/// What distinguishes one product y (rows, columns) = or += x (rows, depth) w from another;
/// operands only differ in their addresses. w is (depth, columns), or (columns, depth) that is read
/// transposed. Rows of x begin `stride` elements apart; w and y are dense.
struct Product {
  dnnl_data_type_t operand{}, result{};
  Index rows = 0, depth = 0, columns = 0, stride = 0;
  Weight weight{};
  bool has_bias = false;
  Write write{};
  auto operator<=>(Product const&) const = default;
};

/// Whether oneDNN's kernels may use all of these instructions.
inline bool has(dnnl_cpu_isa_t instructions) {
  static auto const isa = static_cast<unsigned>(dnnl_get_effective_cpu_isa());
  auto const all = static_cast<unsigned>(instructions);
  return (isa & all) == all;
}

/// Whether operands of T are multiplied in AMX, where sums are cut by the number of rows: all tiles
/// have one height.
template <class T>
bool in_amx() {
  return std::same_as<T, bf16> && has(dnnl_cpu_isa_avx512_core_amx);
}

/// Rows of a tile in a multiple of which every row takes the same path: AVX-512's blocks have no
/// other remainder, and those of older processors hold six.
template <class T>
Index row_multiple() {
  if (in_amx<T>()) return tile::most_rows;
  return has(dnnl_cpu_isa_avx512_core) ? 16 : 48;
}

/// Rows of the largest such tile. Of one with more, oneDNN multiplies copies on processors without
/// AVX-512 where the matrix is large, and sums other blocks than of one with fewer.
template <class T>
Index most_rows() {
  if (in_amx<T>()) return tile::most_rows;
  return has(dnnl_cpu_isa_avx512_core) ? std::numeric_limits<Index>::max() : Index{240};
}

/// How deep a product is multiplied at once; deeper ones are summed part by part. Whole, the
/// AVX-512 kernel of oneDNN 2.6 reads a plain weight of float where it lies, and takes up to two
/// and a half times as long where the weight's rows are long. Parts of x, whose rows lie apart, go
/// to another kernel; of a depth well beyond these, that one sums other blocks in tiles of other
/// heights.
template <class T, class U>
Index depth_at_once(Weight weight, Index depth) {
  constexpr auto most = Index{480};
  constexpr auto is_float = std::same_as<T, float> && std::same_as<U, float>;
  auto const is_faster = is_float && weight == Weight::plain && has(dnnl_cpu_isa_avx512_core);
  if (!is_faster || depth <= most) return depth;
  return round_up(ceil_div(depth, ceil_div(depth, most)), 16);
}

/// Whether bf16 operands are multiplied faster by way of float: where the instruction is slow and
/// AMX is hidden, as virtual machines do.
inline bool float_is_faster() {
  return simd::bf16_is_slow() && !in_amx<bf16>();
}

/// A product that is ready to run, with the memory objects that it takes. Not for two threads at
/// once.
class Primitive {
 public:
  Primitive(Product const& product, dnnl_engine_t engine) {
    auto const [operand, result, rows, depth, columns, stride, weight, has_bias, write] = product;
    // oneDNN ends the process where its own small allocations fail, so this one fails before them.
    std::ignore = Buffer<Space::host>{std::size_t{1} << 20};
    auto const x = describe(operand, rows, depth, stride);
    auto const w = weight == Weight::plain ? describe(operand, depth, columns, columns)
                                           : describe(operand, depth, columns, 1, depth);
    auto const y = describe(result, rows, columns, columns);
    auto const bias = describe(dnnl_f32, 1, columns, columns);
    auto operation = dnnl_matmul_desc_t{};
    check(dnnl_matmul_desc_init(&operation, &x, &w, has_bias ? &bias : nullptr, &y),
          "describing a product");
    auto const attributes = make_attributes(write);
    dnnl_primitive_desc_t descriptor = nullptr;
    auto const status =
        dnnl_primitive_desc_create(&descriptor, &operation, attributes.get(), engine, nullptr);
    if (status == dnnl_unimplemented) return;
    check(status, "choosing a product");
    auto const owner = Handle<dnnl_primitive_desc, dnnl_primitive_desc_destroy>{descriptor};
    dnnl_primitive_t primitive = nullptr;
    check(dnnl_primitive_create(&primitive, descriptor), "building a product");
    primitive_.reset(primitive);
    add(DNNL_ARG_SRC, x, engine);
    add(DNNL_ARG_WEIGHTS, w, engine);
    add(DNNL_ARG_DST, y, engine);
    if (has_bias) add(DNNL_ARG_BIAS, bias, engine);
  }

  /// False when this processor has no such product (bf16 without AVX-512).
  bool exists() const { return primitive_ != nullptr; }

  /// Runs with operands at `addresses`: x, w, y and, if the product has one, the bias.
  void run(std::array<void const*, 4> addresses, dnnl_stream_t stream) {
    for (auto i = 0; i < count_; ++i) {
      auto const n = static_cast<std::size_t>(i);
      // oneDNN's interface knows no constant memory; it only writes to y.
      check(dnnl_memory_set_data_handle(memories_[n].get(), const_cast<void*>(addresses[n])),
            "passing an operand");
    }
    check(dnnl_primitive_execute(primitive_.get(), stream, count_, arguments_.data()),
          "running a product");
    check(dnnl_stream_wait(stream), "waiting for a product");
  }

 private:
  using Memory = Handle<dnnl_memory, dnnl_memory_destroy>;
  using Attributes = Handle<dnnl_primitive_attr, dnnl_primitive_attr_destroy>;

  static Attributes make_attributes(Write write) {
    dnnl_primitive_attr_t attributes = nullptr;
    check(dnnl_primitive_attr_create(&attributes), "making attributes");
    auto result = Attributes{attributes};
    if (write == Write::accumulate) {
      dnnl_post_ops_t operations = nullptr;
      check(dnnl_post_ops_create(&operations), "making post-operations");
      auto const owner = Handle<dnnl_post_ops, dnnl_post_ops_destroy>{operations};
      check(dnnl_post_ops_append_sum(operations, 1.f), "asking for a sum");
      check(dnnl_primitive_attr_set_post_ops(attributes, operations), "asking for a sum");
    }
    return result;
  }

  void add(int argument, dnnl_memory_desc_t const& descriptor, dnnl_engine_t engine) {
    dnnl_memory_t memory = nullptr;
    check(dnnl_memory_create(&memory, &descriptor, engine, DNNL_MEMORY_NONE), "making a memory");
    auto const n = static_cast<std::size_t>(count_++);
    memories_[n].reset(memory);
    arguments_[n] = {argument, memory};
  }

  Handle<dnnl_primitive, dnnl_primitive_destroy> primitive_;
  std::array<Memory, 4> memories_;
  std::array<dnnl_exec_arg_t, 4> arguments_{};
  int count_ = 0;
};

/// A thread's engine, stream, and the products it has met. They are built and run while OpenMP
/// counts one thread, since oneDNN's blocking depends on that number.
class Products {
 public:
  static Products& of_this_thread() {
    thread_local Products products;
    return products;
  }

  /// Runs `product`; false when this processor has none.
  bool run(Product const& product, std::array<void const*, 4> addresses) {
    auto const one_thread = tile::OneThread{};
    auto const found = primitives_.try_emplace(product, product, engine_.get()).first;
    if (!found->second.exists()) return false;
    found->second.run(addresses, stream_.get());
    return true;
  }

 private:
  Products() {
    dnnl_engine_t engine = nullptr;
    check(dnnl_engine_create(&engine, dnnl_cpu, 0), "finding the processor");
    engine_.reset(engine);
    dnnl_stream_t stream = nullptr;
    check(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags), "making a stream");
    stream_.reset(stream);
  }

  Handle<dnnl_engine, dnnl_engine_destroy> engine_;
  Handle<dnnl_stream, dnnl_stream_destroy> stream_;
  std::map<Product, Primitive> primitives_;
};

}  // namespace onednn

/// Products of one tile of rows on the calling thread, as `EigenProducts` defines them; Eigen
/// multiplies in double, and oneDNN in float where the processor cannot multiply bf16 or does it
/// slowly.
struct OneDnnProducts {
  /// Tiles of other heights are filled up to a multiple of it, for operands of T.
  template <class T>
  static Index row_multiple() {
    return onednn::row_multiple<T>();
  }

  /// y (m, out) = or += x (m, in) w (out, in)^T + bias (out); no bias when it has no data.
  template <class T, class U>
  void multiply_transposed(Matrix<T const> x, Matrix<T const> w, Vector<Accumulate<T> const> bias,
                           Matrix<U> y, Write write) {
    if constexpr (std::same_as<T, double>) {
      EigenProducts{}.multiply_transposed(x, w, bias, y, write);
    } else {
      if (multiply_tile(x, w, onednn::Weight::transposed, bias, y, write)) return;
      if constexpr (std::same_as<T, bf16>) {
        tile::widened_transposed(*this, x, w, bias, y, write);
      }
    }
  }

  /// dx (m, in) = or += dy (m, out) w (out, in).
  template <class T, class U>
  void multiply(Matrix<T const> dy, Matrix<T const> w, Matrix<U> dx, Write write) {
    if constexpr (std::same_as<T, double>) {
      EigenProducts{}.multiply(dy, w, dx, write);
    } else {
      if (multiply_tile(dy, w, onednn::Weight::plain, Vector<float const>{}, dx, write)) return;
      if constexpr (std::same_as<T, bf16>) {
        tile::widened(*this, dy, w, dx, write);
      }
    }
  }

 private:
  /// False when this processor had better multiply in float.
  template <class T, class U>
  static bool multiply_tile(Matrix<T const> x, Matrix<T const> w, onednn::Weight weight,
                            Vector<float const> bias, Matrix<U> y, Write write) {
    if constexpr (std::same_as<T, bf16>) {
      if (onednn::float_is_faster()) return false;
    }
    if (auto const most = onednn::most_rows<T>(); x.rows() > most) {
      auto const part = [&](Index first, Index count) {
        return multiply_tile(x.slice(first, count), w, weight, bias, y.slice(first, count), write);
      };
      return part(0, most) && part(most, x.rows() - most);
    }
    if (!w.is_dense()) {
      auto const dense = tile::scratch<T>(tile::Slot::dense_weight, w.rows(), w.columns());
      tile::copy_rows(w, dense);
      w = dense;
    }
    auto exists = true;
    tile::with_whole_tile(x, y, write, onednn::row_multiple<T>(), [&](auto whole_x, auto whole_y) {
      auto const depth = whole_x.columns();
      auto const most = onednn::depth_at_once<T, U>(weight, depth);
      for (auto first = Index{0}; exists && first < depth; first += most) {
        auto const product = onednn::Product{.operand = onednn::data_type<T>,
                                             .result = onednn::data_type<U>,
                                             .rows = whole_x.rows(),
                                             .depth = std::min(most, depth - first),
                                             .columns = whole_y.columns(),
                                             .stride = depth,
                                             .weight = weight,
                                             .has_bias = bias.data() != nullptr,
                                             .write = first == 0 ? write : Write::accumulate};
        auto const* const rows_of_w = w.data() + first * w.columns();
        exists = onednn::Products::of_this_thread().run(
            product, {whole_x.data() + first, rows_of_w, whole_y.data(), bias.data()});
      }
    });
    return exists;
  }
};

}  // namespace qlora::inline v1
