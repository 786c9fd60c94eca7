/// Predictions as JSON lines: an object a protein.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include <qlora/predict/prediction.hpp>

namespace qlora::inline v1::predict {

/// Keys `id`, `sequence`, `probability`, `label`, `segments` [{first, last, mean_probability,
/// highest_probability}], and `logits` (residues, 2), `p_site` and `spread` where they are wanted.
class JsonLines {
 public:
  static constexpr std::string_view name = "jsonl";

  explicit JsonLines(Columns columns) : columns_{columns} {}

  void begin(std::string&) const {}
  void add(std::string& text, Prediction const& prediction) const {
    using Json = nlohmann::ordered_json;
    auto labels = Json::array();
    for (auto const is_site : prediction.is_site) labels.push_back(is_site ? 1 : 0);
    auto sites = Json::array();
    for (auto const& segment : segments(prediction)) {
      sites.push_back({{"first", segment.first},
                       {"last", segment.last},
                       {"mean_probability", segment.mean},
                       {"highest_probability", segment.highest}});
    }
    auto object = Json{{"id", prediction.id},
                       {"sequence", prediction.sequence},
                       {"probability", prediction.probability},
                       {"label", labels},
                       {"segments", sites}};
    if (columns_.logits) {
      auto rows = Json::array();
      for (std::size_t i = 0; i < prediction.size(); ++i) {
        rows.push_back({prediction.logits[2 * i], prediction.logits[2 * i + 1]});
      }
      object["logits"] = rows;
    }
    if (columns_.p_site) object["p_site"] = prediction.p_site;
    if (columns_.spread) object["spread"] = prediction.spread;
    text += object.dump(-1, ' ', false, Json::error_handler_t::replace);
    text += '\n';
  }

 private:
  Columns columns_;
};

}  // namespace qlora::inline v1::predict
