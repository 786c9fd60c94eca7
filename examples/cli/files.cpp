#include "files.hpp"

#include <cstdio>
#include <utility>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <qlora/core/file.hpp>
#include <qlora/data/read.hpp>
#include <qlora/model/cache.hpp>
#include <qlora/model/folder.hpp>

namespace qlora::cli {
namespace {

class Hash {
 public:
  Hash() { XXH3_128bits_reset(&state_); }

  void add(std::filesystem::path const& file) {
    auto const mapped = MappedFile{file};
    auto const bytes = mapped.bytes();
    XXH3_128bits_update(&state_, bytes.data(), bytes.size());
  }
  std::string text() const {
    auto const hash = XXH3_128bits_digest(&state_);
    char digits[33];
    std::snprintf(digits, sizeof digits, "%016llx%016llx",
                  static_cast<unsigned long long>(hash.high64),
                  static_cast<unsigned long long>(hash.low64));
    return std::string{"xxh3:"} + digits;
  }

 private:
  XXH3_state_t state_;
};

}  // namespace

DataSet DataSet::read(std::string const& file) {
  auto proteins = read_binding_sites(file);
  auto hash = Hash{};
  hash.add(file);
  return {file, hash.text(), std::move(proteins)};
}

std::string model_fingerprint(std::string const& model) {
  auto const folder = ModelFolder{find_model(model)};
  auto hash = Hash{};
  hash.add(folder.path() / "config.json");
  for (auto const& file : folder.tensors().files()) hash.add(file.path());
  return hash.text();
}

void write_json(std::filesystem::path const& file, OrderedJson const& document) {
  write_atomically(file, document.dump(2) + "\n");
}

}  // namespace qlora::cli
