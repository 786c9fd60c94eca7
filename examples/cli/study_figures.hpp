/// The figures of a comparison, one function each; arm i is series i.
#pragma once

#include <qlora/report/page.hpp>

#include "comparison.hpp"
#include "splits.hpp"

namespace qlora::cli {

void add_loss_figures(report::Page& page, Comparison const& comparison);
void add_curve_figures(report::Page& page, Comparison const& comparison);
void add_group_figures(report::Page& page, Comparison const& comparison, Splits const& splits);
void add_difference_figure(report::Page& page, Comparison const& comparison);
void add_cost_figures(report::Page& page, Comparison const& comparison);
void add_tracks(report::Page& page, Comparison const& comparison, Splits const& splits);

}  // namespace qlora::cli
