/// What the readers of pickles must hold for any bytes whatever; shared as model_files.hpp is.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include <qlora/data/pickled.hpp>
#include <qlora/formats/torch_file.hpp>

#include "fuzz/model_files.hpp"

namespace qlora::fuzz {

/// As sequences and as labels, beside a small honest partner.
inline bool pickled_data(std::string_view bytes) {
  auto const honest_sequences = std::string_view{"](X\2\0\0\0MKe.", 11};
  auto const honest_labels = std::string_view{"](](K\0K\1ee.", 11};
  auto const read = [](std::string_view sequences, std::string_view labels) {
    return accepts([&] {
      auto residues = std::size_t{0};
      for_each_pickled({std::as_bytes(std::span{sequences}), "sequences"},
                       {std::as_bytes(std::span{labels}), "labels"}, "p", [&](Protein&& protein) {
                         require(protein.sequence.size() == protein.labels.size());
                         residues += protein.labels.size();
                       });
      require(residues <= labels.size());
    });
  };
  auto const as_sequences = read(bytes, honest_labels);
  auto const as_labels = read(honest_sequences, bytes);
  return as_sequences || as_labels;
}

inline bool torch_file(std::string_view bytes) {
  auto const memory = MemoryFile{bytes};
  return accepts([&] {
    auto const file = open_torch(memory.path());
    for (auto const& tensor : file.tensors()) {
      require(file.find(tensor.name) == &tensor);
      require(tensor_bytes(tensor.dtype, tensor.shape) == tensor.bytes.size());
      accepts([&] { require(all_finite(read_floats(tensor, "fuzz"))); });
      file.release(tensor);
    }
  });
}

}  // namespace qlora::fuzz
