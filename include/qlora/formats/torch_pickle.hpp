/// The pickle inside what `torch.save` writes: tensors as views of storages that lie elsewhere.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <qlora/core/stored_tensor.hpp>
#include <qlora/formats/pickle.hpp>

namespace qlora::inline v1::torch {

using pickle::Kind;
using pickle::Value;

/// Element types, by the class of their storage.
inline constexpr auto storages =
    std::array<std::pair<std::string_view, Dtype>, 10>{{{"torch DoubleStorage", Dtype::f64},
                                                        {"torch FloatStorage", Dtype::f32},
                                                        {"torch HalfStorage", Dtype::f16},
                                                        {"torch BFloat16Storage", Dtype::bf16},
                                                        {"torch LongStorage", Dtype::i64},
                                                        {"torch IntStorage", Dtype::i32},
                                                        {"torch ShortStorage", Dtype::i16},
                                                        {"torch CharStorage", Dtype::i8},
                                                        {"torch ByteStorage", Dtype::u8},
                                                        {"torch BoolStorage", Dtype::boolean}}};

inline constexpr std::size_t rank_limit = 64;

inline constexpr std::string_view ordered_dict = "collections OrderedDict";
inline constexpr std::string_view rebuild_tensor = "torch._utils _rebuild_tensor_v2";
inline constexpr std::string_view rebuild_parameter = "torch._utils _rebuild_parameter";

/// What a state dictionary names besides plain data. Nothing is called: the few callables stand for
/// what they would return. A storage has the items (class, key, count of elements), a tensor
/// (storage, offset, shape, strides); both are checked for kind alone.
struct StateDictPolicy {
  template <class Machine>
  Value global(Machine& machine, std::string_view module, std::string_view name) const {
    auto const spelled = std::string{module} + " " + std::string{name};
    for (auto const known : {ordered_dict, rebuild_tensor, rebuild_parameter}) {
      if (spelled == known) return machine.values().text(Kind::global, known);
    }
    for (auto const& [storage, dtype] : storages) {
      if (spelled == storage) return machine.values().text(Kind::global, storage);
    }
    machine.refuse_global(module, name);
  }

  template <class Machine>
  Value call(Machine& machine, Value callable, Value arguments) const {
    auto& values = machine.values();
    machine.expect(Kind::global, callable, "what is called");
    machine.expect(Kind::tuple, arguments, "arguments");
    auto const name = values.text(callable);
    auto const items = values.items(arguments);
    if (name == ordered_dict && items.empty()) return values.items(Kind::dict, {});
    if (name == rebuild_parameter && items.size() == 3) {
      machine.expect(Kind::tensor, items[0], "a parameter's data");
      return items[0];
    }
    // storage, offset, shape, strides, requires_grad, hooks[, metadata]
    if (name == rebuild_tensor && (items.size() == 6 || items.size() == 7)) {
      machine.expect(Kind::storage, items[0], "a tensor's storage");
      machine.expect(Kind::integer, items[1], "a tensor's offset");
      for (auto const extents : {items[2], items[3]}) {
        machine.expect(Kind::tuple, extents, "a tensor's shape and strides");
        if (values.items(extents).size() > rank_limit) machine.fail("expected fewer dimensions");
        for (auto const extent : values.items(extents)) {
          machine.expect(Kind::integer, extent, "a tensor's extent");
        }
      }
      if (items.size() == 7 && !values.items(items[6]).empty()) {
        machine.fail("expected a tensor without metadata (conjugate or negative), found some");
      }
      return values.items(Kind::tensor, {items.begin(), items.begin() + 4});
    }
    machine.fail("expected a call that makes a dictionary or a tensor, found one of \"" +
                 std::string{name} + "\" with " + std::to_string(items.size()) + " arguments");
  }

  /// ("storage", class, key, device, count[, None])
  template <class Machine>
  Value persistent(Machine& machine, Value id) const {
    auto& values = machine.values();
    machine.expect(Kind::tuple, id, "a persistent id");
    auto const items = values.items(id);
    auto const whole =
        items.size() == 5 || (items.size() == 6 && values.kind(items[5]) == Kind::none);
    if (!whole || values.kind(items[0]) != Kind::string || values.text(items[0]) != "storage") {
      machine.fail("expected the persistent id of a whole storage, found another");
    }
    machine.expect(Kind::global, items[1], "a storage's class");
    machine.expect(Kind::string, items[2], "a storage's key");
    machine.expect(Kind::integer, items[4], "a storage's count of elements");
    if (!dtype(values, items[1])) machine.fail("expected a storage's class, found a callable");
    return values.items(Kind::storage, {items[1], items[2], items[4]});
  }

  /// A module's state dictionary carries versions as an attribute, which nobody needs here.
  template <class Machine>
  void build(Machine& machine, Value object, Value state) const {
    machine.expect(Kind::dict, object, "what has attributes");
    machine.expect(Kind::dict, state, "attributes");
  }

  /// The element type of a storage's class.
  static std::optional<Dtype> dtype(pickle::Values const& values, Value storage_class) {
    auto const found = std::ranges::find(storages, values.text(storage_class),
                                         &std::pair<std::string_view, Dtype>::first);
    return found == storages.end() ? std::nullopt : std::optional{found->second};
  }
};

using StateDictMachine = pickle::Machine<StateDictPolicy>;

}  // namespace qlora::inline v1::torch
