/// Predictions as tables, separated by tabs: a row a residue, or a row a segment.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <qlora/predict/prediction.hpp>

namespace qlora::inline v1::predict {

class Tsv {
 public:
  static constexpr std::string_view name = "tsv";

  explicit Tsv(Columns columns) : columns_{columns} {}

  void begin(std::string& text) const {
    text += "id\tposition\tresidue\tprobability\tlabel";
    if (columns_.logits) text += "\tlogit0\tlogit1";
    if (columns_.p_site) text += "\tp_site";
    if (columns_.spread) text += "\tspread";
    text += '\n';
  }
  void add(std::string& text, Prediction const& prediction) const {
    for (std::size_t i = 0; i < prediction.size(); ++i) {
      text.append(prediction.id).append("\t");
      append(text, i + 1);
      text.append("\t").append(1, prediction.sequence[i]).append("\t");
      append(text, prediction.probability[i]);
      text += prediction.is_site[i] ? "\t1" : "\t0";
      if (columns_.logits) {
        append(text += '\t', prediction.logits[2 * i]);
        append(text += '\t', prediction.logits[2 * i + 1]);
      }
      if (columns_.p_site) append(text += '\t', prediction.p_site[i]);
      if (columns_.spread) append(text += '\t', prediction.spread[i]);
      text += '\n';
    }
  }

 private:
  Columns columns_;
};

class Segments {
 public:
  static constexpr std::string_view name = "segments";

  explicit Segments(Columns) {}

  void begin(std::string& text) const {
    text += "id\tfirst\tlast\tresidues\tmean_probability\thighest_probability\n";
  }
  void add(std::string& text, Prediction const& prediction) const {
    for (auto const& segment : segments(prediction)) {
      append(text.append(prediction.id).append("\t"), segment.first);
      append(text += '\t', segment.last);
      text.append("\t").append(prediction.sequence.substr(segment.first - 1, segment.size()));
      append(text += '\t', segment.mean);
      append(text += '\t', segment.highest);
      text += '\n';
    }
  }
};

}  // namespace qlora::inline v1::predict
