// What is written of predictions, letter by letter.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <qlora/core/error.hpp>
#include <qlora/predict/attributes.hpp>
#include <qlora/predict/gff3.hpp>
#include <qlora/predict/json_lines.hpp>
#include <qlora/predict/prediction.hpp>
#include <qlora/predict/tables.hpp>

namespace qlora::predict {
namespace {

/// Sites at 2, 3 and 5; calibrated probabilities are half the others.
Prediction example(std::string_view id = "a;b=1") {
  return {.id = id,
          .sequence = "MKVLW",
          .logits = {0, -1, 0, 1, 0, 2, .5f, .25f, 0, 3},
          .probability = {.25f, .75f, .875f, .5f, 1.f},
          .p_site = {},
          .spread = {},
          .is_site = {false, true, true, false, true}};
}

template <class F>
std::string written(std::vector<Prediction> const& predictions, Columns columns = {}) {
  auto format = F{columns};
  auto text = std::string{};
  format.begin(text);
  for (auto const& prediction : predictions) format.add(text, prediction);
  return text;
}

TEST(Formats, FindSegments) {
  auto const found = segments(example());
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].first, 2u);
  EXPECT_EQ(found[0].last, 3u);
  EXPECT_EQ(found[0].mean, .8125f);
  EXPECT_EQ(found[0].highest, .875f);
  EXPECT_EQ(found[1].first, 5u);
  EXPECT_EQ(found[1].size(), 1u);
}

TEST(Formats, WriteTables) {
  auto calibrated = example("p");
  calibrated.p_site = {.125f, .375f, .4375f, .25f, .5f};
  EXPECT_EQ(written<Tsv>({calibrated}, {.logits = true, .p_site = true}),
            "id\tposition\tresidue\tprobability\tlabel\tlogit0\tlogit1\tp_site\n"
            "p\t1\tM\t0.25\t0\t0\t-1\t0.125\n"
            "p\t2\tK\t0.75\t1\t0\t1\t0.375\n"
            "p\t3\tV\t0.875\t1\t0\t2\t0.4375\n"
            "p\t4\tL\t0.5\t0\t0.5\t0.25\t0.25\n"
            "p\t5\tW\t1\t1\t0\t3\t0.5\n");
  EXPECT_EQ(written<Segments>({example("p"), calibrated}),
            "id\tfirst\tlast\tresidues\tmean_probability\thighest_probability\n"
            "p\t2\t3\tKV\t0.8125\t0.875\n"
            "p\t5\t5\tW\t1\t1\n"
            "p\t2\t3\tKV\t0.40625\t0.4375\n"
            "p\t5\t5\tW\t0.5\t0.5\n");
}

TEST(Formats, WriteGff3) {
  EXPECT_EQ(written<Gff3>({example("a;b=\xc3\xa9"), example("p|1")}),
            "##gff-version 3\n"
            "##sequence-region a%3Bb%3D%C3%A9 1 5\n"
            "a%3Bb%3D%C3%A9\tqlora\tbinding_site\t2\t3\t0.8125\t.\t.\t"
            "ID=a%3Bb%3D%C3%A9_site1;residues=KV;highest_probability=0.875\n"
            "a%3Bb%3D%C3%A9\tqlora\tbinding_site\t5\t5\t1\t.\t.\t"
            "ID=a%3Bb%3D%C3%A9_site2;residues=W;highest_probability=1\n"
            "##sequence-region p|1 1 5\n"
            "p|1\tqlora\tbinding_site\t2\t3\t0.8125\t.\t.\t"
            "ID=p|1_site1;residues=KV;highest_probability=0.875\n"
            "p|1\tqlora\tbinding_site\t5\t5\t1\t.\t.\t"
            "ID=p|1_site2;residues=W;highest_probability=1\n");
}

TEST(Formats, WriteJsonLines) {
  auto const text = written<JsonLines>({example("p\xff"), example("q")}, {.logits = true});
  ASSERT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
  auto const object = nlohmann::json::parse(text.substr(text.find('\n') + 1));
  EXPECT_EQ(object.at("id"), "q");
  EXPECT_EQ(object.at("sequence"), "MKVLW");
  EXPECT_EQ(object.at("probability"), (nlohmann::json{.25, .75, .875, .5, 1.}));
  EXPECT_EQ(object.at("label"), (nlohmann::json{0, 1, 1, 0, 1}));
  EXPECT_EQ(object.at("logits").at(3), (nlohmann::json{.5, .25}));
  EXPECT_EQ(object.at("segments").at(1),
            (nlohmann::json{
                {"first", 5}, {"last", 5}, {"mean_probability", 1.}, {"highest_probability", 1.}}));
  EXPECT_FALSE(object.contains("p_site"));
}

TEST(Formats, WriteAttributes) {
  EXPECT_EQ(written<Attributes>({example("sp|P06732|KCRM_RAT")}),
            "attribute: site_probability\nrecipient: residues\n# sp|P06732|KCRM_RAT\n"
            "\t:1\t0.25\n\t:2\t0.75\n\t:3\t0.875\n\t:4\t0.5\n\t:5\t1\n");
  auto const chains = written<Attributes>({example("1abc_A"), example("1abcB")});
  EXPECT_NE(chains.find("\t/A:2\t0.75\n"), std::string::npos) << chains;
  EXPECT_NE(chains.find("\t/B:2\t0.75\n"), std::string::npos) << chains;
  EXPECT_THROW(written<Attributes>({example("one"), example("two")}), InputError);
  EXPECT_THROW(written<Attributes>({example("1abc_A"), example("two")}), InputError);
  EXPECT_THROW(written<Attributes>({example("two"), example("1abc_A")}), InputError);
  EXPECT_THROW(written<Attributes>({example("1abc_A"), example("2abc_B")}), InputError);
  EXPECT_THROW(written<Attributes>({example("1abc_A"), example("1abcA")}), InputError);
  EXPECT_THROW(written<Attributes>({example("one"), example("one")}), InputError);
}

/// A format of a user's own.
struct Counts {
  static constexpr std::string_view name = "counts";
  explicit Counts(Columns) {}
  void begin(std::string&) const {}
  void add(std::string& text, Prediction const& prediction) const {
    append(text, segments(prediction).size());
  }
};
static_assert(Format<Counts> && Format<Tsv> && Format<Gff3> && Format<JsonLines>);

TEST(Formats, MayBeAUsersOwn) {
  EXPECT_EQ(written<Counts>({example(), example()}), "22");
}

}  // namespace
}  // namespace qlora::predict
