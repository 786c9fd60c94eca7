/// Graphs of operations that cuDNN runs as one kernel: their descriptors, the engine that its
/// heuristics choose, and the plan that is run.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <cudnn.h>

#include <qlora/backend/cuda/runtime.cuh>

namespace qlora::inline v1::cuda {

static_assert(CUDNN_VERSION >= 90800, "expected cuDNN 9.8 or later");

/// Throws SystemError "what: reason" unless a call succeeded.
inline void check(cudnnStatus_t status, std::string const& what) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  auto details = std::array<char, 512>{};
  cudnnGetLastErrorString(details.data(), details.size());
  throw SystemError{what + ": " + cudnnGetErrorString(status) + " (" + details.data() + ")"};
}

inline bool unsupported(cudnnStatus_t status) {
  return CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_NOT_SUPPORTED;
}

/// What an attribute of that C++ type is called.
template <class V>
inline constexpr auto cudnn_type = [] {
  if constexpr (std::same_as<V, bool>) return CUDNN_TYPE_BOOLEAN;
  if constexpr (std::same_as<V, char>) return CUDNN_TYPE_CHAR;
  if constexpr (std::same_as<V, std::int32_t>) return CUDNN_TYPE_INT32;
  if constexpr (std::same_as<V, std::int64_t>) return CUDNN_TYPE_INT64;
  if constexpr (std::same_as<V, double>) return CUDNN_TYPE_DOUBLE;
  if constexpr (std::same_as<V, void*>) return CUDNN_TYPE_VOID_PTR;
  if constexpr (std::same_as<V, cudnnDataType_t>) return CUDNN_TYPE_DATA_TYPE;
  if constexpr (std::same_as<V, cudnnPointwiseMode_t>) return CUDNN_TYPE_POINTWISE_MODE;
  if constexpr (std::same_as<V, cudnnReduceTensorOp_t>) return CUDNN_TYPE_REDUCTION_OPERATOR_TYPE;
  if constexpr (std::same_as<V, cudnnBackendHeurMode_t>) return CUDNN_TYPE_HEUR_MODE;
}();

/// An object of cuDNN: attributes are set, it is finalized, and can then be one of another's.
class CudnnDescriptor {
 public:
  explicit CudnnDescriptor(cudnnBackendDescriptorType_t type) {
    auto object = cudnnBackendDescriptor_t{};
    check(cudnnBackendCreateDescriptor(type, &object),
          "cudnnBackendCreateDescriptor of type " + std::to_string(type));
    object_.reset(object);
  }

  template <class V>
  void set(cudnnBackendAttributeName_t name, std::span<V const> values) {
    put(name, cudnn_type<V>, values);
  }
  template <class V>
  requires(std::is_scalar_v<V>) void set(cudnnBackendAttributeName_t name, V const& value) {
    put(name, cudnn_type<V>, std::span{&value, 1});
  }
  void set(cudnnBackendAttributeName_t name, CudnnDescriptor const& other) {
    auto const object = other.get();
    put(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, std::span{&object, 1});
  }
  void set(cudnnBackendAttributeName_t name, std::deque<CudnnDescriptor> const& others) {
    auto objects = std::vector<cudnnBackendDescriptor_t>{};
    for (auto const& other : others) objects.push_back(other.get());
    put(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, std::span<cudnnBackendDescriptor_t const>{objects});
  }

  std::int64_t get_number(cudnnBackendAttributeName_t name, std::string const& what) const {
    auto number = std::int64_t{0};
    auto count = std::int64_t{0};
    check(cudnnBackendGetAttribute(get(), name, CUDNN_TYPE_INT64, 1, &count, &number), what);
    return number;
  }

  void finalize(std::string const& what) { check(cudnnBackendFinalize(get()), what); }
  /// False where cuDNN has nothing that can do it.
  bool finalize_if_supported(std::string const& what) {
    auto const status = cudnnBackendFinalize(get());
    if (!unsupported(status)) check(status, what);
    return status == CUDNN_STATUS_SUCCESS;
  }

  cudnnBackendDescriptor_t get() const { return object_.get(); }

 private:
  template <class V>
  void put(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
           std::span<V const> values) {
    auto const count = static_cast<std::int64_t>(values.size());
    auto const status = cudnnBackendSetAttribute(get(), name, type, count, values.data());
    if (status != CUDNN_STATUS_SUCCESS) {
      check(status, "cudnnBackendSetAttribute of attribute " + std::to_string(name));
    }
  }

  struct Destroy {
    void operator()(void* object) const noexcept { cudnnBackendDestroyDescriptor(object); }
  };
  std::unique_ptr<void, Destroy> object_;
};

/// A device as cuDNN's heuristics and compilers see it.
inline CudnnDescriptor cudnn_device(std::int32_t number) {
  auto device = CudnnDescriptor{CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR};
  device.set(CUDNN_ATTR_DEVICEPROP_DEVICE_ID, number);
  device.finalize("properties of device " + std::to_string(number));
  return device;
}
/// One that need not be there.
inline CudnnDescriptor cudnn_device(std::string_view json) {
  auto device = CudnnDescriptor{CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR};
  device.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, std::span<char const>{json});
  device.finalize("properties of a device");
  return device;
}

/// Operations on tensors of four dimensions. Sums are kept in float.
class CudnnGraph {
 public:
  using Sizes = std::array<std::int64_t, 4>;
  using Tensor = CudnnDescriptor const*;  ///< which the graph owns

  /// `what`: a name for messages.
  explicit CudnnGraph(std::string what) : what_{std::move(what)} {}

  /// A tensor whose address, 16 bytes aligned, is given when the graph is run. `starts`: where each
  /// index of the first dimension starts, in elements; else its stride says so.
  Tensor data(std::int64_t id, cudnnDataType_t type, Sizes const& sizes, Sizes const& strides,
              Tensor starts = nullptr) {
    return add({id, type, sizes, strides, starts});
  }
  /// One that lives between operations only.
  Tensor between(cudnnDataType_t type, Sizes const& sizes, Sizes const& strides,
                 Tensor starts = nullptr) {
    return add({next_id_++, type, sizes, strides, starts, Place::nowhere});
  }
  Tensor constant(float value) {
    auto const id = next_id_++;
    constants_.push_back({id, value});
    return add({id, CUDNN_DATA_FLOAT, {1, 1, 1, 1}, {1, 1, 1, 1}, nullptr, Place::host});
  }

  /// y = x z; of the sizes of x (m, k) and z (k, n), those that are not null are what count.
  struct Lengths {
    Tensor m = nullptr, n = nullptr, k = nullptr;
  };
  Tensor multiply(Tensor x, Tensor z, Tensor y, Lengths const& lengths) {
    auto product = CudnnDescriptor{CUDNN_BACKEND_MATMUL_DESCRIPTOR};
    product.set(CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_DATA_FLOAT);
    product.set(CUDNN_ATTR_MATMUL_PADDING_VALUE, 0.);
    product.finalize(what_ + ", a product");
    auto operation = CudnnDescriptor{CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR};
    operation.set(CUDNN_ATTR_OPERATION_MATMUL_DESC, product);
    operation.set(CUDNN_ATTR_OPERATION_MATMUL_ADESC, *x);
    operation.set(CUDNN_ATTR_OPERATION_MATMUL_BDESC, *z);
    operation.set(CUDNN_ATTR_OPERATION_MATMUL_CDESC, *y);
    link(operation, CUDNN_ATTR_OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC, lengths.m);
    link(operation, CUDNN_ATTR_OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC, lengths.n);
    link(operation, CUDNN_ATTR_OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC, lengths.k);
    return append(std::move(operation), y);
  }

  /// y = mode(x), mode(x, z) or, by a third, `choice ? x : z`, computed in `type`.
  struct Pointwise {
    cudnnPointwiseMode_t mode;
    cudnnDataType_t type = CUDNN_DATA_FLOAT;
    std::optional<std::int64_t> axis = {};
  };
  Tensor apply(Pointwise const& function, Tensor y, Tensor x, Tensor z = nullptr,
               Tensor choice = nullptr) {
    auto point = CudnnDescriptor{CUDNN_BACKEND_POINTWISE_DESCRIPTOR};
    point.set(CUDNN_ATTR_POINTWISE_MODE, function.mode);
    point.set(CUDNN_ATTR_POINTWISE_MATH_PREC, function.type);
    if (function.axis) point.set(CUDNN_ATTR_POINTWISE_AXIS, *function.axis);
    point.finalize(what_ + ", a function");
    auto operation = CudnnDescriptor{CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR};
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, point);
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, *x);
    operation.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, *y);
    link(operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, z);
    link(operation, CUDNN_ATTR_OPERATION_POINTWISE_TDESC, choice);
    return append(std::move(operation), y);
  }

  /// y = x reduced along the dimensions of which y has one.
  Tensor reduce(cudnnReduceTensorOp_t mode, Tensor y, Tensor x) {
    auto reduction = CudnnDescriptor{CUDNN_BACKEND_REDUCTION_DESCRIPTOR};
    reduction.set(CUDNN_ATTR_REDUCTION_OPERATOR, mode);
    reduction.set(CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_DATA_FLOAT);
    reduction.finalize(what_ + ", a reduction");
    auto operation = CudnnDescriptor{CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR};
    operation.set(CUDNN_ATTR_OPERATION_REDUCTION_DESC, reduction);
    operation.set(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, *x);
    operation.set(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, *y);
    return append(std::move(operation), y);
  }

  /// y = the numbers of x by other sizes and strides.
  Tensor reshape(Tensor y, Tensor x) {
    auto operation = CudnnDescriptor{CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR};
    operation.set(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, *x);
    operation.set(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, *y);
    return append(std::move(operation), y);
  }

  /// The engine that suits that device best, with its settings; none where cuDNN has none.
  std::optional<CudnnDescriptor> engine(CudnnDescriptor const& device) const {
    auto graph = CudnnDescriptor{CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR};
    graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operations_);
    graph.finalize(what_ + ", the graph");
    auto heuristics = CudnnDescriptor{CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR};
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_HEUR_MODE_A);
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device);
    if (!heuristics.finalize_if_supported(what_ + ", the heuristics")) return {};
    auto engine = CudnnDescriptor{CUDNN_BACKEND_ENGINECFG_DESCRIPTOR};
    auto object = engine.get();
    auto count = std::int64_t{0};
    check(cudnnBackendGetAttribute(heuristics.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                   CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &object),
          what_ + ", choosing an engine");
    if (count == 0) return {};
    return engine;
  }

  struct Constant {
    std::int64_t id;
    float value;
  };
  std::vector<Constant> const& constants() const { return constants_; }
  std::string const& what() const { return what_; }

 private:
  enum class Place { device, host, nowhere };
  struct Description {
    std::int64_t id;
    cudnnDataType_t type;
    Sizes const& sizes;
    Sizes const& strides;
    Tensor starts;
    Place place = Place::device;
  };

  Tensor add(Description const& description) {
    auto tensor = CudnnDescriptor{CUDNN_BACKEND_TENSOR_DESCRIPTOR};
    tensor.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, description.id);
    tensor.set(CUDNN_ATTR_TENSOR_DATA_TYPE, description.type);
    tensor.set(CUDNN_ATTR_TENSOR_DIMENSIONS, std::span<std::int64_t const>{description.sizes});
    tensor.set(CUDNN_ATTR_TENSOR_STRIDES, std::span<std::int64_t const>{description.strides});
    tensor.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, std::int64_t{16});
    tensor.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, description.place == Place::nowhere);
    tensor.set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, description.place == Place::host);
    link(tensor, CUDNN_ATTR_TENSOR_RAGGED_OFFSET_DESC, description.starts);
    tensor.finalize(what_ + ", tensor " + std::to_string(description.id));
    return &tensors_.emplace_back(std::move(tensor));
  }

  static void link(CudnnDescriptor& descriptor, cudnnBackendAttributeName_t name, Tensor tensor) {
    if (tensor != nullptr) descriptor.set(name, *tensor);
  }

  Tensor append(CudnnDescriptor operation, Tensor y) {
    operation.finalize(what_ + ", operation " + std::to_string(operations_.size()));
    operations_.push_back(std::move(operation));
    return y;
  }

  std::string what_;
  std::deque<CudnnDescriptor> tensors_, operations_;
  std::vector<Constant> constants_;
  std::int64_t next_id_ = 1'000;  ///< beyond those of data
};

/// What runs a graph on a device.
class CudnnPlan {
 public:
  CudnnPlan(CudnnGraph const& graph, CudnnDescriptor const& engine, CudnnDescriptor const& device)
      : what_{graph.what()}, constants_{graph.constants()} {
    plan_.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, engine);
    plan_.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, device);
    plan_.finalize(what_ + ", the plan");
    workspace_bytes_ = static_cast<std::size_t>(
        plan_.get_number(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, what_ + ", its workspace"));
  }

  std::size_t workspace_bytes() const { return workspace_bytes_; }

  struct Address {
    std::int64_t id;
    void* data;
  };
  /// Runs it on the stream of the handle. Throws SystemError.
  void run(cudnnHandle_t handle, std::span<Address const> data, void* workspace) const {
    auto ids = std::vector<std::int64_t>{};
    auto addresses = std::vector<void*>{};
    for (auto const& one : data) {
      ids.push_back(one.id);
      addresses.push_back(one.data);
    }
    for (auto const& constant : constants_) {
      ids.push_back(constant.id);
      addresses.push_back(const_cast<float*>(&constant.value));  // which is read only
    }
    auto pack = CudnnDescriptor{CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR};
    pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, std::span<std::int64_t const>{ids});
    pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, std::span<void* const>{addresses});
    pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, workspace);
    pack.finalize(what_ + ", its data");
    check(cudnnBackendExecute(handle, plan_.get(), pack.get()), what_);
  }

 private:
  std::string what_;
  std::vector<CudnnGraph::Constant> constants_;
  CudnnDescriptor plan_{CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR};
  std::size_t workspace_bytes_ = 0;
};

}  // namespace qlora::inline v1::cuda
