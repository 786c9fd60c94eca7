// qlora train: what it computes, what it leaves, and that it can be repeated.
#include <cmath>
#include <string>

#include <gtest/gtest.h>

#include "program.hpp"

namespace qlora::testing {
namespace {

void expect_golden_curve(std::string const& arm, std::string const& base,
                         std::string const& quant) {
  auto const program = Program{};
  program.done({"train",
                "--model",
                golden("models/odd"),
                "--train",
                golden("train/data.txt"),
                "--init-adapter",
                golden("train/" + arm + ".init"),
                "--quant",
                quant,
                "--out",
                "run",
                "--batch-sequences",
                "6",
                "--no-shuffle",
                "--dropout",
                "0",
                "--epochs",
                "10",
                "--lr",
                "5e-3",
                "--weight-decay",
                "0.3",
                "--clip",
                "0.5",
                "--quiet"});
  auto const reference = nlohmann::json::parse(read_file(golden("train/" + arm + base + ".json")));
  auto const rows = cells(program.read("run/history.csv"), ',');
  ASSERT_EQ(rows.size(), 51u);
  EXPECT_EQ(rows[0], (std::vector<std::string>{"step", "epoch", "loss", "grad_norm",
                                               "learning_rate", "tokens", "tokens_per_second"}));
  for (auto i = std::size_t{0}; i < 50; ++i) {
    auto const& row = rows[i + 1];
    auto const loss = reference.at("loss_f64").at(i).get<double>();
    auto const norm = reference.at("grad_norm_f64").at(i).get<double>();
    EXPECT_EQ(row[0], std::to_string(i + 1));
    EXPECT_EQ(row[1], std::to_string(i / 5 + 1));
    EXPECT_NEAR(std::stod(row[2]), loss, 1e-4 * loss);
    EXPECT_NEAR(std::stod(row[3]), norm, 1e-3 * norm);
    EXPECT_NEAR(std::stod(row[4]), reference.at("learning_rates").at(i).get<double>(), 1e-12);
  }
}

TEST(Train, CountsTheStepsThatItSkips) {
  auto const program = Program{};
  program.write("train.txt", ">a\nMKVLA\n01-00\n>b\nMKVLA\n-----\n");
  auto const train = std::vector<std::string>{"train",
                                              "--model",
                                              golden("models/odd"),
                                              "--train",
                                              "train.txt",
                                              "--out",
                                              "run",
                                              "--ci",
                                              "none",
                                              "--batch-sequences",
                                              "1",
                                              "--epochs",
                                              "3",
                                              "--placement",
                                              "head",
                                              "--lr",
                                              "1e-3"};
  auto const outcome = program.done(train);
  EXPECT_NE(outcome.err.find("3 steps were skipped: no labelled residue"), std::string::npos)
      << outcome.err;
  EXPECT_EQ(program.json("run/qlora.json").at("skipped_steps"), 3);
}

TEST(Train, RemembersWhatWasSkippedThoughItIsQuiet) {
  auto const program = Program{};
  program.write("sites.tsv",
                "Entry\tSequence\tBinding site\nP1\tMKV\tBINDING 2\nP2\tMKV\tBINDING ?\n");
  program.done({"train", "--model", golden("models/odd"), "--train", "sites.tsv", "--epochs", "1",
                "--out", "run", "--quiet"});
  EXPECT_EQ(program.json("run/qlora.json").at("data").at("train").at("skipped"),
            (nlohmann::json{{"uncertain position", 1}}));
}

TEST(Train, FollowsTheReference) {
  expect_golden_curve("qkv", ".full", "none");
}
TEST(Train, FollowsTheReferenceOnNf4) {
  expect_golden_curve("all", ".nf4", "nf4");
}

TEST(Train, LeavesWhatUsingTheAdapterNeeds) {
  auto const program = Program{};
  program.done(quick_training("train", "run") + std::vector<std::string>{"--placement", "qkv"});
  auto const config = program.json("run/adapter_config.json");
  EXPECT_EQ(config.at("target_modules"), (nlohmann::json{"key", "query", "value"}));
  EXPECT_EQ(config.at("modules_to_save"), nlohmann::json{"classifier"});
  auto const remembered = program.json("run/qlora.json");
  EXPECT_EQ(remembered.at("quant"), "nf4");
  auto const prior = remembered.at("prior").get<double>();
  auto const weights = remembered.at("class_weights").get<std::vector<double>>();
  EXPECT_NEAR(weights.at(1) / weights.at(0), (1. - prior) / prior, 1e-9);
  auto const metrics = program.json("run/metrics.json");
  ASSERT_TRUE(metrics.contains("train") && metrics.contains("test"));
  for (auto const* const name :
       {"loss", "accuracy", "precision", "recall", "f1", "mcc", "auc_card", "loss_unweighted",
        "roc_auc", "average_precision", "balanced_accuracy", "prevalence", "confusion", "residues",
        "proteins"}) {
    EXPECT_TRUE(metrics.at("test").contains(name)) << name;
  }
  // Both splits are the same file here.
  EXPECT_EQ(metrics.at("train"), metrics.at("test"));

  program.done({"evaluate", "--model", golden("models/odd"), "--adapter", "run", "--data",
                golden("train/data.txt"), "--out", "metrics.json", "--quiet"});
  EXPECT_EQ(program.json("metrics.json"), metrics.at("test"));
}

TEST(Train, IsRepeatedByItsSettingsOnAnyNumberOfThreads) {
  auto const program = Program{};
  auto const flags = std::vector<std::string>{
      "--rank",          "3",     "--rslora",   "--lr",   "2e-3",     "--seed", "11",
      "--class-weights", "0.6,3", "--schedule", "linear", "--warmup", "2"};
  program.done(quick_training("train", "first") + flags);
  program.done({"train", "--config", "first/config.toml", "--out", "second", "--threads", "3"});
  EXPECT_EQ(program.read("first/adapter_model.safetensors"),
            program.read("second/adapter_model.safetensors"));
  EXPECT_EQ(program.read("first/metrics.json"), program.read("second/metrics.json"));
  program.done({"train", "--config", "first/config.toml", "--out", "again", "--recompute"});
  EXPECT_EQ(program.read("first/adapter_model.safetensors"),
            program.read("again/adapter_model.safetensors"));
  program.done({"train", "--config", "first/config.toml", "--out", "third", "--seed", "12"});
  EXPECT_NE(program.read("first/adapter_model.safetensors"),
            program.read("third/adapter_model.safetensors"));
}

TEST(Train, TakesTheCardsRecipeAndChangesToIt) {
  auto const program = Program{};
  program.done({"train", "--recipe", "card", "--dropout", "0.25", "--epochs", "1", "--model",
                golden("models/odd"), "--train", golden("train/data.txt"), "--out", "run",
                "--quiet"});
  auto const settings = program.read("run/config.toml");
  for (auto const* const line :
       {"recipe = \"card\"\n", "rank = 2\n", "alpha = 1\n", "dropout = 0.25\n", "epochs = 1\n",
        "lr = 3.701568055793089e-4\n", "weight-decay = 0.3\n", "clip = 0.5\n",
        "batch-sequences = 36\n", "class-weights = \"balanced\"\n", "schedule = \"cosine\"\n"}) {
    EXPECT_NE(settings.find(line), std::string::npos) << line << settings;
  }
  EXPECT_EQ(cells(program.read("run/history.csv"), ',').size(), 2u);  // 30 records in one step

  program.done({"train", "--config", "run/config.toml", "--batch-tokens", "300", "--out", "other"});
  EXPECT_GT(cells(program.read("other/history.csv"), ',').size(), 3u);
}

TEST(Train, TakesARecipeOverAFilesValues) {
  auto const program = Program{};
  auto const train = std::vector<std::string>{
      "train", "--model", golden("models/odd"), "--train", golden("train/data.txt"), "--epochs",
      "1",     "--quiet"};
  program.done(train + std::vector<std::string>{"--lr", "0.5", "--placement", "qkv", "--quant",
                                                "none", "--batch-tokens", "300", "--max-length",
                                                "50", "--no-shuffle=1", "--recompute",
                                                "--rslora=yes", "--out", "first"});
  auto const first = program.read("first/config.toml");
  for (auto const* const line : {"no-shuffle = true\n", "recompute = true\n", "rslora = true\n"}) {
    EXPECT_NE(first.find(line), std::string::npos) << line << first;
  }
  program.done({"train", "--config", "first/config.toml", "--recipe", "card", "--epochs", "1",
                "--quant", "fp4", "--out", "card"});
  auto const card = program.read("card/config.toml");
  for (auto const* const line : {"lr = 3.701568055793089e-4\n", "batch-sequences = 36\n",
                                 "quant = \"fp4\"\n", "no-shuffle = false\n"}) {
    EXPECT_NE(card.find(line), std::string::npos) << line << card;
  }
  program.done(train + std::vector<std::string>{"--out", "standard"});
  for (auto const* const start : {"first", "card"}) {
    auto const out = std::string{"standard from "} + start;
    program.done({"train", "--config", std::string{start} + "/config.toml", "--recipe", "standard",
                  "--epochs", "1", "--out", out});
    EXPECT_EQ(program.read(out + "/config.toml"), program.read("standard/config.toml"));
  }
}

TEST(Train, NeverSavesWhatIsNotANumber) {
  auto const program = Program{};
  program.refuses(quick_training("train", "run") +
                      std::vector<std::string>{"--lr", "1e38", "--clip", "0", "--epochs", "1"},
                  {"finite"}, 1);
  EXPECT_FALSE(std::filesystem::exists(program.path("run/adapter_model.safetensors")));
  // Numbers that are finite, but from a run that had gone astray.
  program.refuses(quick_training("train", "astray") +
                      std::vector<std::string>{"--lr", "1e20", "--clip", "0", "--epochs", "1"},
                  {"step 5, the last: expected a finite loss"}, 1);
  EXPECT_FALSE(std::filesystem::exists(program.path("astray/adapter_model.safetensors")));
}

TEST(Train, LeavesNoAdapterWithoutWhatItWasTrainedWith) {
  auto const program = Program{};  // one step, after which there is no computing with it
  program.refuses(quick_training("train", "run") +
                      std::vector<std::string>{"--lr", "1e20", "--clip", "0", "--epochs", "1",
                                               "--batch-sequences", "30"},
                  {"train/data.txt: protein_0, residue 1: expected finite logits"}, 1);
  EXPECT_TRUE(std::filesystem::exists(program.path("run/adapter_model.safetensors")));
  EXPECT_TRUE(std::filesystem::exists(program.path("run/qlora.json")));
}

TEST(Train, RemembersWhatItTrainedOn) {
  auto const program = Program{};
  auto const adapter = golden("lora/all_rslora");
  program.done({"train", "--model", golden("models/odd"), "--train", golden("train/data.txt"),
                "--init-adapter", adapter, "--epochs", "1", "--out", "run", "--quiet"});
  EXPECT_EQ(program.json("run/adapter_config.json").at("r"), 3);
  EXPECT_EQ(program.json("run/adapter_config.json").at("use_rslora"), true);
  auto const settings = program.read("run/config.toml");
  EXPECT_EQ(settings.find("rank"), std::string::npos);
  for (auto const* const line : {"device = \"cpu\"\n", "compute = \"fp32\"\n"}) {
    EXPECT_NE(settings.find(line), std::string::npos) << settings;
  }
}

TEST(Train, KeepsTheWeightsOfAQuantizedModel) {
  auto const program = Program{};
  auto const stored = [&](std::vector<std::string> const& flags, std::string const& out) {
    auto const outcome = program.done(
        std::vector<std::string>{"train", "--train", golden("train/data.txt"), "--epochs", "1",
                                 "--model", golden("models/tiny_int8"), "--out", out} +
        flags);
    EXPECT_EQ(program.json(out + "/qlora.json").at("quant"), "int8");
    EXPECT_NE(program.read(out + "/config.toml").find("quant = \"int8\"\n"), std::string::npos);
    return outcome.err.find("stays int8; --quant none does not apply") != std::string::npos;
  };
  EXPECT_FALSE(stored({}, "default"));
  EXPECT_TRUE(stored({"--quant", "none"}, "asked"));
  auto const again =
      program.done({"train", "--config", "default/config.toml", "--out", "again"}).err;
  EXPECT_EQ(again.find("does not apply"), std::string::npos) << again;

  program.done({"compare", "--model", golden("models/tiny_int8"), "--train",
                golden("train/data.txt"), "--test", golden("train/data.txt"), "--epochs", "1",
                "--arms", "head", "--out", "study", "--quiet"});
  EXPECT_NE(program.read("study/config.toml").find("quant = \"int8\"\n"), std::string::npos);
}

TEST(Train, KeepsTheBestEpoch) {
  auto const program = Program{};
  auto const data = golden("train/data.txt");
  program.done({"train", "--model", golden("models/odd"), "--train", data, "--valid", data, "--out",
                "run", "--epochs", "4", "--lr", "0.5", "--schedule", "constant", "--select", "loss",
                "--quiet"});
  program.done({"train", "--model", golden("models/odd"), "--train", data, "--valid", data, "--out",
                "last", "--epochs", "4", "--lr", "0.5", "--schedule", "constant", "--quiet"});
  EXPECT_LT(program.json("run/qlora.json").at("epoch").get<int>(), 4);
  EXPECT_LT(program.json("run/metrics.json").at("valid").at("loss").get<double>(),
            program.json("last/metrics.json").at("valid").at("loss").get<double>());
}

TEST(Train, CutsLongRecordsAndSaysSo) {
  auto const program = Program{};
  program.write("long.txt", ">a\n" + std::string(25, 'M') + "\n" + std::string(24, '0') + "1\n");
  auto const outcome =
      program.done({"train", "--model", golden("models/odd"), "--train", "long.txt", "--max-length",
                    "10", "--epochs", "1", "--out", "run"});
  EXPECT_NE(outcome.err.find("1 of 1 proteins are longer than 10 residues and train as 3 chunks"),
            std::string::npos)
      << outcome.err;
  EXPECT_EQ(cells(program.read("run/history.csv"), ',').at(1).at(5), "31");  // 25 + 3 x 2 tokens
}

TEST(Train, ReportsTheCardsTargets) {
  auto const program = Program{};
  auto const outcome =
      program.done({"train", "--model", golden("models/odd"), "--train", golden("train/data.txt"),
                    "--placement", "card", "--epochs", "1", "--out", "run"});
  EXPECT_NE(outcome.err.find("match modules: query, key, value, classifier; that match nothing: "
                             "EsmSelfOutput.dense"),
            std::string::npos)
      << outcome.err;
}

TEST(Train, RepeatsRunsOnFilesOfAnyName) {
  auto const program = Program{};
  auto const names = std::vector<std::string>{
      "#1.txt", R"(we'ird "q\.txt)", "two\nlines", "caf\xe9", "true", "010"};
  for (auto const& name : names) {
    std::filesystem::copy_file(golden("train/data.txt"), program.path(name));
    program.done({"train", "--model", golden("models/odd"), "--train", name, "--epochs", "1",
                  "--out", "first " + name, "--quiet"});
    program.done({"train", "--config", "first " + name + "/config.toml", "--out", "second " + name,
                  "--quiet"});
    EXPECT_EQ(program.read("first " + name + "/adapter_model.safetensors"),
              program.read("second " + name + "/adapter_model.safetensors"));
  }
}

TEST(Train, RefusesSettingsThatAreNoToml) {
  auto const program = Program{};
  auto const cases = std::vector<std::pair<std::string, std::string>>{
      {"", "expected `flag = value`"},
      {"# nothing\n", "expected `flag = value`"},
      {"epochs = 1\nmodel = \"cut", "settings.toml:2: expected a string that ends on its line"},
      {"model = \"\"\"cut", "settings.toml:1: expected a string on one line"},
      {"rslora", "expected = after the key, found nothing"},
      {"rslora =", "found nothing"},
      {"rslora = 2", "rslora: expected true or false, found 2"},
      {"epochs = true", "epochs: expected a string or a number, found true"},
      {"[train]\nepochs = 1", "expected no sections, found [train]"},
      {"a.b = 1", "expected = after the key, found .b = 1"},
      {"; epochs = 1", "expected a key, found ;"},
      {"rank = 3,", "found 3,"},
      {"rank = 0x10", "found 0x10"},
      {"rank = 010", "found 010"},
      {"rank = -03", "found -03"},
      {"rank = 1__0", "found 1__0"},
      {"rank = 1_", "found 1_"},
      {"rank = _1", "found _1"},
      {R"(quant = "\u0000")", "expected a Unicode character after \\u"},
      {"warmup = 99999999999999999999", "warmup: expected an integer"},
      {"quant = [\"none\"]", "found [\"none\"]"},
      {"quant = \"none\" x", "expected the end of the line, found x"},
      {R"(quant = "\q")", "expected an escape of TOML after \\"},
      {R"(quant = "\ud800")", "expected a Unicode character after \\u"},
      {std::string{"quant = \"a\0\"", 11}, "found a control character"}};
  for (auto const& [text, expected] : cases) {
    program.write("settings.toml", text);
    program.refuses(
        quick_training("train", "run") + std::vector<std::string>{"--config", "settings.toml"},
        {"settings.toml", expected});
  }
  EXPECT_FALSE(std::filesystem::exists(program.path("run")));
}

TEST(Train, ReadsSettingsAsTomlSpellsThem) {
  auto const program = Program{};
  program.write("settings.toml",
                "\xef\xbb\xbf# a comment\r\n  rank=+3 # another\n\"lr\" = 1_0e-3\n"
                "\tquant = \"n\\u006fne\"\nschedule = 'linear'\n");
  program.done(quick_training("train", "run") +
               std::vector<std::string>{"--config", "settings.toml"});
  auto const settings = program.read("run/config.toml");
  for (auto const* const line :
       {"rank = 3\n", "lr = 10e-3\n", "quant = \"none\"\n", "schedule = \"linear\"\n"}) {
    EXPECT_NE(settings.find(line), std::string::npos) << settings;
  }
}

TEST(Train, RefusesAndWritesNothing) {
  auto const program = Program{};
  auto const model = golden("models/odd");
  auto const data = golden("train/data.txt");
  program.write("bad.txt", ">a\nMKV\n01\n");
  program.write("negative.txt", ">a\nMKV\n000\n");
  program.write("unknown.toml", "ranks = 3\n");
  program.write("twice.toml", "rank = 3\nalpha = 2\nrank = 4\n");
  program.write("wrong.toml", "rank = \"many\"\n");
  auto const train = [&](std::string const& file) {
    return std::vector<std::string>{"train", "--model", model, "--train", file, "--out", "run"};
  };
  auto const with = [&](std::vector<std::string> const& more) { return train(data) + more; };
  program.refuses(train("bad.txt"), {"bad.txt:3", "expected 3 labels", "found 2"});
  program.refuses(train("absent.txt"), {"absent.txt", "expected a file"});
  program.refuses({"train", "--model", "absent", "--train", data, "--out", "run"}, {"absent"});
  program.refuses(train("negative.txt"), {"negative.txt", "both classes"});
  program.refuses({"train", "--model", model, "--train", data, "--out", ""}, {"an empty one"});
  program.refuses(with({"--seed", "-1"}), {"--seed"});
  program.refuses(with({"--rank", "0"}), {"--rank"});
  program.refuses(with({"--dropout", "1"}), {"dropout", "less than 1"});
  program.refuses(with({"--lr", "nan"}), {"--lr", "nan"});
  program.refuses(with({"--placement", "some"}), {"--placement", "some"});
  program.refuses(with({"--class-weights", "1,x"}), {"--class-weights", "1,x"});
  program.refuses(with({"--select", "f1"}), {"--select", "--valid"});
  program.refuses(with({"--valid", data, "--select", "f7"}),
                  {"--select", "f7", "average_precision"});
  program.refuses(with({"--valid", data, "--select", "f1,mcc"}), {"--select", "f1,mcc"});
  program.refuses(with({"--valid", "negative.txt", "--select", "roc_auc"}),
                  {"negative.txt", "both classes", "--select roc_auc"});
  program.refuses(with({"--class-weights", "1,-1"}), {"class_weights", "above 0"});
  program.refuses(with({"--seed", "010"}), {"--seed", "leading zeros"});
  program.refuses(with({"--epochs", "1e1"}), {"--epochs", "1e1"});
  program.refuses(with({"--alpha", "2e9"}), {"alpha", "1e9"});
  program.refuses(with({"--checkpoint-every", "-1"}), {"--checkpoint-every"});
  program.refuses(with({"--config", "unknown.toml"}), {"unknown.toml", "ranks"});
  program.refuses(with({"--config", "twice.toml"}), {"twice.toml", "duplicate", "rank"});
  program.refuses(with({"--config", "wrong.toml"}), {"wrong.toml", "rank"});
  program.refuses(with({"--device", "cuda"}), {"cuda"}, 1);
  EXPECT_FALSE(std::filesystem::exists(program.path("run")));

  program.write("full/file", "x");
  program.refuses({"train", "--model", model, "--train", data, "--out", "full"},
                  {"full", "empty folder"});
  EXPECT_EQ(program.read("full/file"), "x");
}

}  // namespace
}  // namespace qlora::testing
