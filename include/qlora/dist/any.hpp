/// The communicator chosen at run time: satisfies the same concept, and asks the one that it stands
/// for.
#pragma once

#include <concepts>
#include <memory>
#include <span>
#include <utility>

#include <qlora/dist/communicator.hpp>

namespace qlora::inline v1::dist {

class Any {
 public:
  /// Self.
  Any() = default;

  template <Communicator C>
  requires(!std::same_as<C, Any>) explicit Any(std::unique_ptr<C> communicator)
      : communicator_{std::make_unique<Of<C>>(std::move(communicator))} {}

  int rank() const { return communicator_ ? communicator_->rank() : 0; }
  int size() const { return communicator_ ? communicator_->size() : 1; }
  void exchange(std::span<Sent const> to, std::span<Received const> from) {
    if (communicator_) communicator_->exchange(to, from);
  }

 private:
  struct Base {
    virtual ~Base() = default;
    virtual int rank() const = 0;
    virtual int size() const = 0;
    virtual void exchange(std::span<Sent const> to, std::span<Received const> from) = 0;
  };
  template <class C>
  struct Of final : Base {
    explicit Of(std::unique_ptr<C> of) : of_{std::move(of)} {}
    int rank() const override { return of_->rank(); }
    int size() const override { return of_->size(); }
    void exchange(std::span<Sent const> to, std::span<Received const> from) override {
      of_->exchange(to, from);
    }
    std::unique_ptr<C> of_;
  };

  std::unique_ptr<Base> communicator_;
};

}  // namespace qlora::inline v1::dist
