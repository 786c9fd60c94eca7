/// Ranks with a GPU each: what lies on devices is added up there. Link qlora::nccl.
#pragma once

#if !defined(QLORA_HAS_NCCL)
#error "qlora/dist/nccl.cuh needs NCCL: link qlora::nccl, which CMake finds where there is one"
#endif

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <exception>
#include <span>
#include <string>
#include <utility>

#if defined(QLORA_EMULATE_CUDA)
#include <emulation/nccl.hpp>  // of the tests
#else
#include <nccl.h>
#endif

#include <qlora/backend/cuda/kernel.cuh>
#include <qlora/backend/cuda/memory.cuh>
#include <qlora/core/error.hpp>
#include <qlora/core/tensor.hpp>
#include <qlora/dist/collective.hpp>
#include <qlora/dist/communicator.hpp>

namespace qlora::inline v1::dist {

/// Throws SystemError "what: reason" unless a call succeeded.
inline void check(ncclResult_t status, char const* what) {
  if (status != ncclSuccess)
    throw SystemError{std::string{what} + ": " + ncclGetErrorString(status)};
}

/// out[i] = parts(0, i) + parts(1, i) + ..., in this order.
template <class T>
struct AddParts {
  T const* parts;
  Index count, ranks;
  T* out;

  __device__ void operator()(Index, Index i) const {
    auto sum = parts[i];
    for (auto r = Index{1}; r < ranks; ++r) sum += parts[r * count + i];
    out[i] = sum;
  }
};

/// Another communicator, over which its ranks find each other and which exchanges what lies on the
/// host; sums of what lies on devices go through NCCL, in the stream that computes it. Move-only
/// handles of both must outlive it.
template <Communicator C>
class Nccl {
 public:
  /// Whether each rank has made a GPU of its own current: NCCL takes no others.
  static bool has_gpu_each(C& ranks) {
    auto device = 0;
    auto properties = cudaDeviceProp{};
    cuda::check(cudaGetDevice(&device), "current device");
    cuda::check(cudaGetDeviceProperties(&properties, device), "properties of a device");
    auto own = std::array<char, sizeof properties.uuid.bytes>{};
    std::ranges::copy(properties.uuid.bytes, own.begin());
    auto all = Collective{ranks}.each(own);
    std::ranges::sort(all);
    return std::ranges::adjacent_find(all) == all.end();
  }

  Nccl(C& ranks, cuda::Stream const& stream) : ranks_{ranks}, stream_{stream} {
    auto id = ncclUniqueId{};
    if (ranks.rank() == 0) check(ncclGetUniqueId(&id), "NCCL: identifier");
    auto const first = Collective{ranks}.each(id).front();
    check(ncclCommInitRank(&handle_, ranks.size(), first, ranks.rank()), "NCCL: start");
  }
  Nccl(Nccl const&) = delete;
  Nccl& operator=(Nccl const&) = delete;
  ~Nccl() {
    if (std::uncaught_exceptions() > exceptions_) {
      ncclCommAbort(handle_);  // the others may never come to take leave
    } else {
      ncclCommDestroy(handle_);
    }
  }

  int rank() const { return ranks_.rank(); }
  int size() const { return ranks_.size(); }
  void exchange(std::span<Sent const> to, std::span<Received const> from) {
    ranks_.exchange(to, from);
  }

  /// As Collective::sum, and queued.
  template <class T>
  void sum(Vector<T, Space::device> values) {
    auto const part = [&](int r) { return part_of(values.size(), r, size()); };
    auto const own = part(rank());
    auto* const parts = reserve<T>(own.count * size());
    exchange_on_device<T>(
        [&](int r) {
          return std::pair{values.data() + part(r).first, part(r).count};
        },
        [&](int r) {
          return std::pair{parts + own.count * r, own.count};
        });
    cuda::for_each_element(1, own.count, stream_,
                           AddParts<T>{parts, own.count, Index{size()}, values.data() + own.first});
    exchange_on_device<T>(
        [&](int) {
          return std::pair{values.data() + own.first, own.count};
        },
        [&](int r) {
          return std::pair{values.data() + part(r).first, part(r).count};
        });
  }

 private:
  /// `to(r)` and `from(r)` are where a rank's elements lie, and how many.
  template <class T, class To, class From>
  void exchange_on_device(To const& to, From const& from) {
    constexpr auto type = std::same_as<T, double> ? ncclDouble : ncclFloat;
    static_assert(std::same_as<T, double> || std::same_as<T, float>);
    check(ncclGroupStart(), "NCCL: begin");
    for (auto r = 0; r < size(); ++r) {
      auto const [sent, send_count] = to(r);
      auto const [received, receive_count] = from(r);
      if (r == rank() && sent == received) continue;  // what it keeps is there already
      check(ncclSend(sent, static_cast<std::size_t>(send_count), type, r, handle_, stream_),
            "NCCL: send");
      check(ncclRecv(received, static_cast<std::size_t>(receive_count), type, r, handle_, stream_),
            "NCCL: receive");
    }
    check(ncclGroupEnd(), "NCCL: exchange");
  }

  template <class T>
  T* reserve(Index count) {
    auto const bytes = count * static_cast<Index>(sizeof(T));
    if (parts_.size() < bytes) {
      stream_.synchronize();  // until nobody reads what it had
      parts_ = VectorTensor<std::byte, Space::device>{{bytes}};
    }
    return reinterpret_cast<T*>(parts_.data());
  }

  C& ranks_;
  cuda::Stream const& stream_;
  ncclComm_t handle_ = nullptr;
  int exceptions_ = std::uncaught_exceptions();
  VectorTensor<std::byte, Space::device> parts_;  // of all ranks, of what this one adds up
};

}  // namespace qlora::inline v1::dist
