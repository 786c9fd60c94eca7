/// What the parsers of model files must hold for any bytes whatever: they accept or throw
/// InputError, and what they accept is consistent. Shared by the fuzz targets and the test that
/// mutates good files.
#pragma once

#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <tuple>

#include <sys/mman.h>
#include <unistd.h>

#include <qlora/adapt/peft.hpp>
#include <qlora/core/safetensors.hpp>
#include <qlora/core/shard_index.hpp>
#include <qlora/model/config.hpp>
#include <qlora/model/stored_weight.hpp>

namespace qlora::fuzz {

inline void require(bool holds) {
  if (!holds) std::abort();
}

/// A file in memory, with a path.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view content) : fd_{::memfd_create("fuzz", MFD_CLOEXEC)} {
    require(fd_ >= 0);
    require(::write(fd_, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
  }
  MemoryFile(MemoryFile const&) = delete;
  MemoryFile& operator=(MemoryFile const&) = delete;
  ~MemoryFile() { ::close(fd_); }

  [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

/// Returns whether the input was accepted.
template <class Parse>
bool accepts(Parse&& parse) {
  try {
    parse();
    return true;
  } catch (InputError const& error) {
    require(std::string_view{error.what()}.size() < 1'000);
    return false;
  }
}

inline bool safetensors(std::string_view bytes) {
  auto const memory = MemoryFile{bytes};
  return accepts([&] {
    auto const file = SafetensorsFile{memory.path()};
    auto covered = std::size_t{0};
    for (auto const& tensor : file.tensors()) {
      require(file.find(tensor.name) == &tensor);
      require(tensor_bytes(tensor.dtype, tensor.shape) == tensor.bytes.size());
      covered += tensor.bytes.size();
      accepts([&] { require(all_finite(read_floats(tensor, "fuzz"))); });
    }
    require(covered <= bytes.size());
  });
}

inline bool shard_index(std::string_view text) {
  return accepts([&] {
    auto const index = ShardIndex::parse(text, "folder/model.safetensors.index.json");
    for (auto const& [tensor, shard] : index.shard_of) require(shard.find('/') == shard.npos);
  });
}

inline bool config(std::string_view text) {
  return accepts([&] {
    auto const first = EsmConfig::from_json(json::parse(text, "fuzz"), "fuzz");
    require(first.shape.head_dim() % 2 == 0);
    require(EsmConfig::from_json(first.to_json(), "fuzz").to_json() == first.to_json());
  });
}

inline bool adapter_config(std::string_view text) {
  return accepts([&] {
    auto const first = PeftConfig::from_json(json::parse(text, "fuzz"), "fuzz");
    std::ignore = first.adapts("esm.encoder.layer.11.attention.self.query");
    require(PeftConfig::from_json(first.to_json(), "fuzz").to_json() == first.to_json());
  });
}

/// The tensors of an adapter of query, key and value of one layer, and of a saved head.
inline bool adapter_tensors(std::string_view bytes) {
  static auto const config = PeftConfig::from_json(
      json::parse(R"({"peft_type": "LORA", "r": 1, "lora_alpha": 1, "target_modules":
                      ["query", "key", "value"], "modules_to_save": ["classifier"]})",
                  "fuzz"),
      "fuzz");
  auto const memory = MemoryFile{bytes};
  return accepts([&] {
    auto const adapter = PeftAdapter::from(config, SafetensorsFile{memory.path()});
    for (auto const& [path, pair] : adapter.pairs) {
      require(all_finite(pair.a) && all_finite(pair.b));
      require(path == "classifier" || peft::find_site(path).has_value());
    }
    auto const shape_of = [](Site) { return Extents{2, 2}; };
    accepts([&] {
      try {
        adapter.check(1, shape_of, "fuzz");
      } catch (ShapeError const& error) {  // of another model
        require(std::string_view{error.what()}.size() < 1'000);
      }
    });
  });
}

/// The parts of a quantized matrix (8, 8), "w.weight", as `ModelFolder` finds them.
inline bool quantized_weight(std::string_view bytes) {
  auto const memory = MemoryFile{bytes};
  return accepts([&] {
    auto const set = TensorSet::open(memory.path());
    auto const found = set.find("w.weight");
    if (found.tensor == nullptr) throw InputError{"no weight"};
    auto const reader = detail::QuantizedReader{set, found, 8, 8};
    auto const prefix = std::string{"w.weight.quant_state.bitsandbytes__"};
    for (auto const type : {FourBitWeight::Type::nf4, FourBitWeight::Type::fp4}) {
      auto const state = set.find(prefix + (type == FourBitWeight::Type::nf4 ? "nf4" : "fp4"));
      if (state.tensor == nullptr) continue;
      auto const weight = reader.four_bit(type, state);
      auto const blocks = static_cast<std::size_t>(weight.blocks());
      require(weight.codes.size() == 32 && weight.map.size() == 16);
      require((weight.nested ? weight.nested->codes.size() : weight.absmax.size()) == blocks);
      return;
    }
    auto const weight = reader.int8();
    require(weight.codes.size() == 64 && weight.absmax.size() == 8);
  });
}

}  // namespace qlora::fuzz
