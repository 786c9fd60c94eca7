#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/adapt/placement.hpp>

namespace {
using namespace qlora;
using enum SiteKind;

static_assert(Placement<Qkv> && Placement<AllLinear> && Placement<CardLiteral> &&
              Placement<HeadOnly> && Placement<placement::Sites>);
static_assert(!Placement<int>);

constexpr auto layers = 3;

/// Every weight matrix of a model.
std::vector<Site> all_sites() {
  auto sites = std::vector<Site>{};
  for (auto layer = 0; layer < layers; ++layer) {
    for (auto const kind : {query, key, value, attention_output, intermediate, output}) {
      sites.push_back({layer, kind});
    }
  }
  sites.push_back({layers, classifier});
  return sites;
}

template <Placement P>
std::set<SiteKind> adapted_kinds(P const& policy) {
  auto kinds = std::set<SiteKind>{};
  for (auto const site : all_sites()) {
    if (policy.adapts(site)) kinds.insert(site.kind);
  }
  return kinds;
}

TEST(Site, HasANumberOfItsOwn) {
  auto ids = std::set<std::uint32_t>{};
  for (auto const site : all_sites()) ids.insert(site.id());
  EXPECT_EQ(ids.size(), all_sites().size());
  // Targets that read the same input are drawn masks by consecutive numbers.
  EXPECT_EQ((Site{2, key}.id()), (Site{2, query}.id()) + 1);
  EXPECT_EQ((Site{2, value}.id()), (Site{2, query}.id()) + 2);
}

TEST(ModulePath, IsThatOfHuggingFace) {
  EXPECT_EQ(module_path({0, query}), "esm.encoder.layer.0.attention.self.query");
  EXPECT_EQ(module_path({0, key}), "esm.encoder.layer.0.attention.self.key");
  EXPECT_EQ(module_path({1, value}), "esm.encoder.layer.1.attention.self.value");
  EXPECT_EQ(module_path({1, attention_output}), "esm.encoder.layer.1.attention.output.dense");
  EXPECT_EQ(module_path({2, intermediate}), "esm.encoder.layer.2.intermediate.dense");
  EXPECT_EQ(module_path({11, output}), "esm.encoder.layer.11.output.dense");
  EXPECT_EQ(module_path({12, classifier}), "classifier");
}

TEST(Placement, AdaptsWhatItsNameSays) {
  EXPECT_EQ(adapted_kinds(Qkv{}), (std::set{query, key, value}));
  EXPECT_EQ(adapted_kinds(AllLinear{}),
            (std::set{query, key, value, attention_output, intermediate, output}));
  EXPECT_EQ(adapted_kinds(CardLiteral{}), (std::set{query, key, value, classifier}));
  EXPECT_TRUE(adapted_kinds(HeadOnly{}).empty());
}

TEST(CardLiteral, AdaptsWhatPeftFindsByTheCardsTargets) {
  for (auto const site : all_sites()) {
    auto const path = module_path(site);
    // PEFT's rule: the path is a target, or ends with a dot and a target.
    auto const found = std::any_of(
        CardLiteral::targets.begin(), CardLiteral::targets.end(),
        [&](auto target) { return path == target || path.ends_with("." + std::string{target}); });
    EXPECT_EQ(CardLiteral::adapts(site), found) << path;
  }
}

TEST(Sites, IsFoundByName) {
  for (auto const* const name : {"qkv", "all", "card", "head"}) {
    EXPECT_EQ(placement::Sites::parse(name).name, name);
  }
  auto const all = placement::Sites::parse("all");
  for (auto const site : all_sites()) EXPECT_EQ(all.adapts(site), AllLinear::adapts(site));
  EXPECT_THROW(placement::Sites::parse("qvk"), InputError);
}

TEST(Sites, IsAnyPlacementAtRunTime) {
  auto const runtime = placement::Sites::of(CardLiteral{});
  EXPECT_EQ(runtime.name, "card");
  for (auto const site : all_sites()) EXPECT_EQ(runtime.adapts(site), CardLiteral::adapts(site));

  auto const last = placement::Sites{
      .name = "last", .predicate = [](Site site) { return site.layer == layers - 1; }};
  EXPECT_FALSE(last.adapts({0, query}));
  EXPECT_TRUE(last.adapts({layers - 1, output}));
  for (auto const site : all_sites()) EXPECT_FALSE(placement::Sites{}.adapts(site));
}

}  // namespace
