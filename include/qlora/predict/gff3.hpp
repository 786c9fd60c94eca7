/// Predictions as GFF3 (github.com/The-Sequence-Ontology/Specifications, version 1.26): a feature
/// of type binding_site (SO:0000409) a segment, its score the mean probability.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <qlora/predict/prediction.hpp>

namespace qlora::inline v1::predict {

class Gff3 {
 public:
  static constexpr std::string_view name = "gff3";

  explicit Gff3(Columns) {}

  void begin(std::string& text) const { text += "##gff-version 3\n"; }
  void add(std::string& text, Prediction const& prediction) const {
    auto const seqid = escaped(prediction.id, in_seqid);
    append(text.append("##sequence-region ").append(seqid).append(" 1 "), prediction.size());
    text += '\n';
    auto number = std::size_t{0};
    for (auto const& segment : segments(prediction)) {
      append(text.append(seqid).append("\tqlora\tbinding_site\t"), segment.first);
      append(text += '\t', segment.last);
      append(text += '\t', segment.mean);
      text.append("\t.\t.\tID=").append(escaped(prediction.id, in_attribute));
      append(text += "_site", ++number);
      text.append(";residues=")
          .append(prediction.sequence.substr(segment.first - 1, segment.size()));
      append(text += ";highest_probability=", segment.highest);
      text += '\n';
    }
  }

 private:
  static bool is_alphanumeric(char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
  }
  static bool in_seqid(char c) {
    return is_alphanumeric(c) || std::string_view{".:^*$@!+_?-|"}.find(c) != std::string_view::npos;
  }
  static bool in_attribute(char c) {
    return c > ' ' && c < 0x7f && std::string_view{"%;=&,"}.find(c) == std::string_view::npos;
  }

  /// All bytes but those that are allowed as %XX.
  static std::string escaped(std::string_view text, bool (*allowed)(char)) {
    constexpr auto digits = std::string_view{"0123456789ABCDEF"};
    auto result = std::string{};
    for (auto const c : text) {
      if (allowed(c)) {
        result += c;
      } else {
        auto const byte = static_cast<unsigned char>(c);
        result.append(1, '%').append(1, digits[byte / 16]).append(1, digits[byte % 16]);
      }
    }
    return result;
  }
};

}  // namespace qlora::inline v1::predict
