/// Labelled proteins as they were published with the model card: two pickles, a list of sequences
/// and a list of label lists (`train_sequences_chunked_by_family.pkl`,
/// `train_labels_chunked_by_family.pkl`).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <qlora/core/error.hpp>
#include <qlora/data/protein.hpp>
#include <qlora/data/source.hpp>
#include <qlora/formats/pickle.hpp>

namespace qlora::inline v1 {

/// Whether a file of these first bytes is a pickle: of protocol 2 or later, or a list in an earlier
/// one. No text of proteins begins so.
inline bool is_pickle(std::string_view head) {
  if (head.size() >= 2 && head[0] == '\x80') return head[1] >= 2 && head[1] <= 5;
  return head.starts_with("(lp") || head.starts_with("]q");
}

/// One of the two files: its bytes, and its name for messages.
struct PickledFile {
  std::span<std::byte const> bytes;
  std::string name;
};

/// The two files that belong together.
struct PickledPair {
  std::filesystem::path sequences;
  std::filesystem::path labels;

  /// The pair of which `path` is one: "labels" stands in one name where "sequences" does in the
  /// other. Throws InputError for a name with neither; the other file is not looked for.
  static PickledPair of(std::filesystem::path const& path) {
    constexpr auto sequences = std::string_view{"sequences"};
    constexpr auto labels = std::string_view{"labels"};
    auto const name = path.filename().string();
    auto const partner = [&](std::string_view own, std::string_view other) {
      auto const found = name.rfind(own);
      return path.parent_path() /
             (name.substr(0, found) + std::string{other} + name.substr(found + own.size()));
    };
    if (name.find(sequences) != name.npos) return {path, partner(sequences, labels)};
    if (name.find(labels) != name.npos) return {partner(labels, sequences), path};
    throw InputError{at(path.string(),
                        "expected a pickle with \"sequences\" or \"labels\" in its name, whose "
                        "partner has the other")};
  }
};

namespace detail {

/// A list whose elements are checked as they are taken.
class PickledList {
 public:
  explicit PickledList(PickledFile const& file) : machine_{file.bytes, file.name} {
    auto const root = machine_.run_all();
    if (kind(root) != pickle::Kind::list) fail("expected a list, found " + name_of(root));
    items_ = machine_.values().items(root);
  }
  PickledList(PickledList const&) = delete;
  PickledList& operator=(PickledList const&) = delete;

  [[nodiscard]] std::size_t size() const { return items_.size(); }

  [[nodiscard]] std::string_view text(std::size_t i) const {
    if (kind(items_[i]) != pickle::Kind::string) {
      fail(i, "expected a string, found " + name_of(items_[i]));
    }
    return machine_.values().text(items_[i]);
  }
  [[nodiscard]] std::span<pickle::Value const> list(std::size_t i) const {
    if (kind(items_[i]) != pickle::Kind::list) {
      fail(i, "expected a list, found " + name_of(items_[i]));
    }
    return machine_.values().items(items_[i]);
  }
  /// Nothing is known of a residue labelled -100, which torch leaves out of the loss.
  [[nodiscard]] std::int8_t label(std::size_t i, std::size_t residue, pickle::Value value) const {
    if (kind(value) == pickle::Kind::integer) {
      auto const number = machine_.values().integer(value);
      if (number == 0) return label_negative;
      if (number == 1) return label_positive;
      if (number == -100) return label_unknown;
      fail(i, residue, "expected a label 0, 1 or -100, found " + std::to_string(number));
    }
    fail(i, residue, "expected a label 0, 1 or -100, found " + name_of(value));
  }

  [[noreturn]] void fail(std::string const& what) const {
    throw InputError{at(machine_.file(), what)};
  }
  [[noreturn]] void fail(std::size_t i, std::string const& what) const {
    fail("element " + std::to_string(i + 1) + ": " + what);
  }
  [[noreturn]] void fail(std::size_t i, std::size_t residue, std::string const& what) const {
    fail(i, "residue " + std::to_string(residue + 1) + ": " + what);
  }

 private:
  [[nodiscard]] pickle::Kind kind(pickle::Value value) const {
    return machine_.values().kind(value);
  }
  [[nodiscard]] std::string name_of(pickle::Value value) const {
    return std::string{pickle::kind_name(kind(value))};
  }

  pickle::Machine<> machine_;
  std::span<pickle::Value const> items_;
};

}  // namespace detail

/// Calls `use(Protein&&)` for every element of the two lists, in order. The pickles name no
/// proteins: identifiers are `id_prefix` and a number from 1. Throws InputError for anything but
/// lists of strings and of integer lists, for lists of different lengths, for residues that are no
/// letters and labels other than 0, 1 and -100.
template <class Use>
void for_each_pickled(PickledFile const& sequences, PickledFile const& labels,
                      std::string const& id_prefix, Use&& use) {
  auto const texts = detail::PickledList{sequences};
  auto const lists = detail::PickledList{labels};
  if (lists.size() != texts.size()) {
    lists.fail("expected " + std::to_string(texts.size()) + " lists of labels as in " +
               sequences.name + ", found " + std::to_string(lists.size()));
  }
  if (texts.size() == 0) texts.fail("expected sequences, found an empty list");
  // A pickle may name an object any number of times; honest labels take a byte each at least.
  auto left = labels.bytes.size();
  for (auto i = std::size_t{0}; i < texts.size(); ++i) {
    auto const text = texts.text(i);
    auto const list = lists.list(i);
    if (text.empty()) texts.fail(i, "expected a sequence, found an empty one");
    if (list.size() != text.size()) {
      lists.fail(i, "expected " + std::to_string(text.size()) + " labels as in " + sequences.name +
                        ", found " + std::to_string(list.size()));
    }
    if (list.size() > left) lists.fail(i, "expected lists of their own, found shared ones");
    left -= list.size();

    auto protein = Protein{.id = id_prefix + std::to_string(i + 1), .sequence = {}, .labels = {}};
    protein.sequence.resize(text.size());
    protein.labels.resize(text.size());
    for (auto j = std::size_t{0}; j < text.size(); ++j) {
      auto const upper = static_cast<char>(text[j] & 0xDF);
      if (upper < 'A' || upper > 'Z') {
        texts.fail(i, j, "expected a letter, found \"" + printable(text.substr(j, 1)) + "\"");
      }
      protein.sequence[j] = upper;
      protein.labels[j] = lists.label(i, j, list[j]);
    }
    use(std::move(protein));
  }
}

/// The same from files, gzip-compressed or not: `path` is one of the two, its partner lies beside
/// it. Identifiers begin with what the names have in front of "sequences" and "labels": "train_1",
/// "train_2" and so on.
template <class Use>
void for_each_pickled(std::filesystem::path const& path, Use&& use) {
  auto const pair = PickledPair::of(path);
  auto const sequences = Source{pair.sequences}.read_all();
  auto const labels = Source{pair.labels}.read_all();
  auto const name = pair.sequences.filename().string();
  for_each_pickled({std::as_bytes(std::span{sequences}), pair.sequences.string()},
                   {std::as_bytes(std::span{labels}), pair.labels.string()},
                   name.substr(0, name.rfind("sequences")), use);
}

}  // namespace qlora::inline v1
