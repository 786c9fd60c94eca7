/// What the model card "ESM-2 QLoRA for Binding Site Prediction" and its relatives published for
/// ESM-2 8M, to be read beside one's own numbers: other data, one run each, and rows that come from
/// different protocols.
#pragma once

#include <array>
#include <string_view>

#include <qlora/report/table.hpp>

namespace qlora::inline v1::report {

/// The card's seven numbers; `auc_card` is the balanced accuracy that it called AUC.
struct PublishedRow {
  std::string_view run, split;
  double loss, accuracy, precision, recall, f1, auc_card, mcc;
};

inline constexpr auto published_rows = std::to_array<PublishedRow>({
    {"all matrices, epoch 1", "test", .4149, .8625, .1137, .7801, .1985, .8222, .2639},
    {"qkv, epoch 1", "test", .3399, .8557, .1079, .7726, .1894, .8151, .2536},
    {"all, epoch 1, again", "train", .3560, .8440, .1153, .9162, .2048, .8793, .2929},
    {"all, epoch 1, again", "test", .3942, .8247, .0942, .8169, .1690, .8209, .2394},
    {"qkv, checkpoint 4", "train", .2407, .9019, .1662, .8652, .2789, .8839, .3537},
    {"qkv, checkpoint 4", "test", .2678, .8903, .1301, .7085, .2198, .8014, .2721},
    {"full fine-tuning", "train", .1365, .9656, .3862, .9618, .5511, .9638, .5978},
    {"full fine-tuning", "test", .2910, .9233, .1489, .5335, .2328, .7327, .2533},
});

inline Table published_table() {
  auto table = Table{{{"published, 8M", Align::left},
                      {"split", Align::left},
                      {"loss"},
                      {"accuracy"},
                      {"precision"},
                      {"recall"},
                      {"f1"},
                      {"auc_card"},
                      {"mcc"}}};
  for (auto const& row : published_rows) {
    table.add({row.run, row.split, row.loss, row.accuracy, row.precision, row.recall, row.f1,
               row.auc_card, row.mcc});
  }
  return table;
}

/// An array with an object a row.
template <class Json>
Json published_json() {
  auto rows = Json::array();
  for (auto const& row : published_rows) {
    rows.push_back({{"model", "8M"},
                    {"run", row.run},
                    {"split", row.split},
                    {"loss", row.loss},
                    {"accuracy", row.accuracy},
                    {"precision", row.precision},
                    {"recall", row.recall},
                    {"f1", row.f1},
                    {"auc_card", row.auc_card},
                    {"mcc", row.mcc}});
  }
  return rows;
}

}  // namespace qlora::inline v1::report
