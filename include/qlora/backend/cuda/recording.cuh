/// Work that is asked for again and again, kept as a CUDA graph. What asks for it runs every time:
/// its calls are compared with those that were recorded, numbers that differ are put into the
/// graph, and all of it starts at once. So kernels and verbs know nothing of graphs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <qlora/backend/cuda/runtime.cuh>

namespace qlora::inline v1::cuda {

/// A kernel and where its arguments lie.
struct KernelCall {
  void const* function;
  dim3 grid, block;
  std::span<void*> arguments;
  std::span<std::size_t const> sizes;  ///< of the arguments, in bytes
};

class Recording {
 public:
  /// Records and queues what `body` asks of these streams. All of it must come together in the
  /// first one in the end, and no memory that it uses may go before the recording does.
  template <class Stream, class Body>
  void record(Stream& stream, Stream& side, Body&& body) {
    calls_.clear();
    bytes_.clear();
    graph_ = {};
    begin(State::recording);
    {
      auto const watched = Watch{*this, stream, side};
      check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), "begin of a recording");
      try {
        body();
      } catch (...) {
        auto* abandoned = cudaGraph_t{};
        cudaStreamEndCapture(stream, &abandoned);
        if (abandoned != nullptr) cudaGraphDestroy(abandoned);
        throw;
      }
      auto* graph = cudaGraph_t{};
      check(cudaStreamEndCapture(stream, &graph), "end of a recording");
      graph_.nodes.reset(graph);
    }
    auto* program = cudaGraphExec_t{};
    check(cudaGraphInstantiate(&program, graph_.nodes.get(), 0), "graph of a recording");
    graph_.program.reset(program);
    start(stream);
  }

  /// Queues what `body` asks for if it is what was recorded, but for kernels' numbers. If not,
  /// queues nothing and returns false; the recording is of no more use.
  template <class Stream, class Body>
  bool repeat(Stream& stream, Stream& side, Body&& body) {
    if (calls_.empty()) return false;
    begin(State::comparing);
    {
      auto const watched = Watch{*this, stream, side};
      body();
    }
    if (!same_ || next_ != calls_.size()) return false;
    start(stream);
    return true;
  }

  /// Before a kernel is started: whether to go on with it.
  bool wants(KernelCall const& call) {
    if (state_ == State::recording) return true;
    compare(call);
    return false;
  }
  /// After it was.
  void started(KernelCall const& call, cudaStream_t stream) {
    auto status = cudaStreamCaptureStatus{};
    auto const* last = static_cast<cudaGraphNode_t const*>(nullptr);
    auto count = std::size_t{0};
    check(cudaStreamGetCaptureInfo(stream, &status, nullptr, nullptr, &last, nullptr, &count),
          "a recorded kernel's place");
    remember(call.function, count == 1 ? *last : nullptr, call.grid, call.block);
    for (auto i = std::size_t{0}; i < call.sizes.size(); ++i) {
      auto const* const argument = static_cast<std::byte const*>(call.arguments[i]);
      bytes_.insert(bytes_.end(), argument, argument + call.sizes[i]);
    }
  }

  /// Before a library is asked for something that `what`, plain data without padding, describes:
  /// whether to go on with it.
  template <class What>
  bool wants_call(What const& what) {
    static_assert(std::has_unique_object_representations_v<What>);
    if (state_ == State::recording) {
      remember(nullptr, nullptr, {}, {});
      auto const* const bytes = reinterpret_cast<std::byte const*>(&what);
      bytes_.insert(bytes_.end(), bytes, bytes + sizeof what);
      return true;
    }
    auto const* const call = expected(nullptr);
    if (call != nullptr && std::memcmp(bytes_.data() + call->bytes, &what, sizeof what) != 0) {
      same_ = false;
    }
    return false;
  }

  /// Whether streams are to order their work.
  bool wants_order() const { return state_ == State::recording; }

 private:
  enum class State { recording, comparing };

  struct Call {
    void const* function;  ///< null for a library's
    cudaGraphNode_t node;
    dim3 grid, block;
    std::size_t bytes;  ///< offset of its arguments
  };

  /// Shows a recording what happens in two streams.
  template <class Stream>
  class Watch {
   public:
    Watch(Recording& recording, Stream& stream, Stream& side) : stream_{stream}, side_{side} {
      stream_.watch(&recording);
      side_.watch(&recording);
    }
    Watch(Watch const&) = delete;
    Watch& operator=(Watch const&) = delete;
    ~Watch() {
      stream_.watch(nullptr);
      side_.watch(nullptr);
    }

   private:
    Stream& stream_;
    Stream& side_;
  };

  void begin(State state) {
    state_ = state;
    next_ = 0;
    same_ = true;
  }
  void start(cudaStream_t stream) {
    check(cudaGraphLaunch(graph_.program.get(), stream), "start of a recording");
  }
  void remember(void const* function, cudaGraphNode_t node, dim3 grid, dim3 block) {
    calls_.push_back({function, node, grid, block, bytes_.size()});
  }

  /// The recorded call that comes next, if it is of this function.
  Call const* expected(void const* function) {
    same_ = same_ && next_ < calls_.size() && calls_[next_].function == function;
    return same_ ? &calls_[next_++] : nullptr;
  }

  void compare(KernelCall const& call) {
    auto const* const before = expected(call.function);
    if (before == nullptr) return;
    auto const same_size = [](dim3 a, dim3 b) { return a.x == b.x && a.y == b.y && a.z == b.z; };
    if (!same_size(before->grid, call.grid) || !same_size(before->block, call.block)) {
      same_ = false;
      return;
    }
    auto* bytes = bytes_.data() + before->bytes;
    auto changed = false;
    for (auto i = std::size_t{0}; i < call.sizes.size(); bytes += call.sizes[i++]) {
      if (std::memcmp(bytes, call.arguments[i], call.sizes[i]) == 0) continue;
      std::memcpy(bytes, call.arguments[i], call.sizes[i]);
      changed = true;
    }
    if (!changed) return;
    if (before->node == nullptr) {
      same_ = false;
      return;
    }
    auto parameters = cudaKernelNodeParams{};
    parameters.func = const_cast<void*>(call.function);
    parameters.gridDim = call.grid;
    parameters.blockDim = call.block;
    parameters.kernelParams = call.arguments.data();
    check(cudaGraphExecKernelNodeSetParams(graph_.program.get(), before->node, &parameters),
          "new arguments of a recorded kernel");
  }

  struct Destroy {
    void operator()(cudaGraph_t graph) const noexcept { cudaGraphDestroy(graph); }
    void operator()(cudaGraphExec_t program) const noexcept { cudaGraphExecDestroy(program); }
  };
  struct Graph {
    std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, Destroy> nodes;
    std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, Destroy> program;
  };

  Graph graph_;
  std::vector<Call> calls_;
  std::vector<std::byte> bytes_;  // arguments of all calls
  State state_ = State::recording;
  std::size_t next_ = 0;
  bool same_ = true;
};

}  // namespace qlora::inline v1::cuda
