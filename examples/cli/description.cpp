#include "description.hpp"

#include <algorithm>

#include <qlora/version.hpp>

namespace qlora::cli {

OrderedJson description(RunOptions const& options, Splits const& splits, Session const& session,
                        std::int64_t epoch) {
  auto positives = std::int64_t{0};
  auto labelled = std::int64_t{0};
  for (auto const& protein : splits.train.proteins) {
    positives += std::ranges::count(protein.labels, label_positive);
    labelled += std::ranges::count_if(protein.labels, is_known);
  }
  auto data = OrderedJson::object();
  splits.for_each([&](char const* name, DataSet const& set) {
    data[name] = {{"file", set.file}, {"fingerprint", set.fingerprint}};
    if (!set.skipped.empty()) data[name]["skipped"] = set.skipped;
  });
  return {{"qlora", version},
          {"model", {{"name", options.model}, {"fingerprint", options.fingerprint}}},
          {"data", data},
          {"quant", session.quantization()},
          {"device", options.machine.device},
          {"compute", options.machine.compute},
          {"placement", options.placement.name},
          {"seed", options.machine.seed},
          {"class_weights", session.class_weights()},
          {"prior", static_cast<double>(positives) / static_cast<double>(labelled)},
          {"label_alignment", "residue"},
          {"labels", options.training.labels},
          {"base", options.training.base},
          {"epoch", epoch},
          // Without validation data there is no threshold, and class weights alone are undone.
          {"calibration",
           {{"method", "prior_correction"},
            {"slope", 1},
            {"intercept", metrics::prior_correction(session.class_weights()).intercept}}}};
}

void add_decision(OrderedJson& description, metrics::Decision const& decision) {
  auto const point = [](char const* metric, metrics::OperatingPoint const& chosen) {
    return OrderedJson{{"metric", metric},
                       {"margin", chosen.threshold},
                       {"probability", metrics::LogOdds{}.probability(chosen.threshold)},
                       {"valid", chosen.value}};
  };
  description["threshold"] = point("mcc", decision.mcc);
  description["threshold_f1"] = point("f1", decision.f1);
  auto const& fit = decision.calibration.log_odds;
  description["calibration"] = {
      {"method", "platt"}, {"slope", fit.slope}, {"intercept", fit.intercept}};
}

}  // namespace qlora::cli
