/// Which identifiers came already, in 16 to 20 bytes each.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string_view>
#include <utility>
#include <vector>

namespace qlora::inline v1 {

/// A set of texts that keeps 95 bits of hash of each. Among n texts, some two are taken for one
/// with a chance of n^2 / 2^96: one in 10^12 for all proteins that are known. The hash is another
/// in every process, so that nobody can choose texts that crowd one place.
class IdSet {
 public:
  /// Whether the text is new.
  bool insert(std::string_view text) {
    auto const hash = hash_of(text);
    auto const is_new = shards_[hash[1] % shards_.size()].insert(hash);
    size_ += is_new ? 1 : 0;
    return is_new;
  }
  bool contains(std::string_view text) const {
    auto const hash = hash_of(text);
    return shards_[hash[1] % shards_.size()].contains(hash);
  }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }

 private:
  using Hash = std::array<std::uint32_t, 3>;

  /// One of many small tables with linear probing, so that growing copies little at a time.
  class Shard {
   public:
    bool insert(Hash const& hash) {
      if (4 * (size_ + 1) > 3 * slots_.size()) grow();
      auto const is_new = place(hash);
      size_ += is_new ? 1 : 0;
      return is_new;
    }

    bool contains(Hash const& hash) const {
      return !slots_.empty() && slots_[slot_of(hash)] == hash;
    }

   private:
    /// Where the hash is, or the empty slot that it would take.
    std::size_t slot_of(Hash const& hash) const {
      auto slot = static_cast<std::size_t>((std::uint64_t{hash[0]} * slots_.size()) >> 32);
      while (slots_[slot][2] != 0 && slots_[slot] != hash) {
        if (++slot == slots_.size()) slot = 0;
      }
      return slot;
    }
    bool place(Hash const& hash) {
      auto& slot = slots_[slot_of(hash)];
      return std::exchange(slot, hash) != hash;
    }
    void grow() {
      auto const old = std::exchange(slots_, std::vector<Hash>(slots_.size() * 5 / 4 + 8));
      for (auto const& hash : old) {
        if (hash[2] != 0) place(hash);
      }
    }

    std::vector<Hash> slots_;
    std::size_t size_ = 0;
  };

  /// Multiplies and folds eight bytes at a time, as wyhash does, twice with constants of its own.
  static Hash hash_of(std::string_view text) {
    auto a = secrets()[0] ^ text.size();
    auto b = secrets()[1];
    for (auto at = std::size_t{0}; at < text.size(); at += 8) {
      auto word = std::uint64_t{0};
      std::memcpy(&word, text.data() + at, std::min<std::size_t>(8, text.size() - at));
      a = fold(a ^ word, 0xa0761d6478bd642f);
      b = fold(b ^ word, 0xe7037ed1a0b428db) + word;
    }
    a = fold(a ^ b, 0x8ebc6af09c88c6e3);
    b = fold(b, 0x589965cc75374cc3) + a;
    // The last word is not 0, which stands for an empty slot.
    return {static_cast<std::uint32_t>(a >> 32), static_cast<std::uint32_t>(a),
            static_cast<std::uint32_t>(b >> 32) | 1};
  }
  static std::array<std::uint64_t, 2> const& secrets() {
    static auto const drawn = [] {
      auto device = std::random_device{};
      auto const draw = [&] { return std::uint64_t{device()} << 32 | device(); };
      return std::array{draw(), draw()};
    }();
    return drawn;
  }
  static std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
    __extension__ using Wide = unsigned __int128;
    auto const product = Wide{a} * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  }

  std::array<Shard, 64> shards_;
  std::size_t size_ = 0;
};

}  // namespace qlora::inline v1
