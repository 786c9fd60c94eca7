#include "fuzz/targets.hpp"

#include <algorithm>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <qlora/core/safetensors_writer.hpp>

#include "data/gzip_file.hpp"
#include "fuzz/data_files.hpp"
#include "fuzz/model_files.hpp"
#include "fuzz/pickles.hpp"
#include "fuzz/program_files.hpp"
#include "support/files.hpp"

namespace qlora::fuzz {
namespace {
using namespace std::literals;

std::string golden(std::string_view name) {
  return testing::read_file(std::filesystem::path{QLORA_TEST_DATA} / name);
}

constexpr auto uniprot_table =
    "Entry\tProtein families\tSequence\tBinding site\tActive site\n"
    "P1\tA superfamily, B family\tMKVLAMKVLA\tBINDING 3..5; /ligand=\"ATP\"; "
    "/ligand_id=\"ChEBI:CHEBI:30616\"; /evidence=\"ECO:0000269|PubMed:1\"; BINDING <7\t"
    "\"ACT_SITE 9; /note=\"\"x\"\"\"\n"
    "P2\t\tMKVLA\tBINDING 1 2 ATP; by water. {ECO:0000250}.; METAL 5 5 Zinc 1.\t\n"sv;
constexpr auto uniprot_entry =
    "ID   A_B   Reviewed; 12 AA.\nAC   P1; P2;\n"
    "CC   -!- SIMILARITY: Belongs to the A superfamily. B\nCC       family.\n"
    "FT   BINDING         3..4\nFT                   /ligand=\"A-\nFT                   B\"\n"
    "FT   HELIX           4..5\nFT   ACT_SITE     12     12       Base.\n"
    "SQ   SEQUENCE   12 AA;\n     MKVLAMKVLA MK\n//\n"sv;
constexpr auto yu_table =
    "pdb_id;chain_id;binding_residues;sequence\n1abc;A;K2 L4;MKVLA\n1abc;B;;MKV\n"sv;
constexpr auto fasta = ">sp|P1|A_B text OX=1\nMKVLA\nMK*\n\n>b\nmkvu\n"sv;
constexpr auto three_lines = ">a\nMKV\n01-\n>b\nMK\n10\n"sv;
constexpr auto space =
    "# what is tried\nplacement = [\"qkv\", 'all']\nlr = {log_uniform = true, low = 1e-3, high = "
    "2}\n"
    "seeds = 2\r\n\"metric\" = \"a\\u00e9\\n\"\nquiet = true\n"sv;
constexpr auto pdb =
    "ATOM      1  N   MET A  10      11.104   6.134  -6.504  1.00 12.34           N\n"
    "ATOM      2  N   GLY A  10A     12.104   6.134  -6.504  1.00  5.00           N\n"
    "HETATM    3  N   MSE B   1      13.104   6.134  -6.504  1.00  5.00           N\r\nTER\nEND\n"sv;
constexpr auto mmcif =
    "data_A\n#\nloop_\n_atom_site.group_PDB\n_atom_site.label_atom_id\n_atom_site.label_comp_id\n"
    "_atom_site.label_asym_id\n_atom_site.label_seq_id\n_atom_site.pdbx_PDB_ins_code\n"
    "_atom_site.B_iso_or_equiv\n_atom_site.auth_seq_id\n_atom_site.auth_asym_id\n"
    "_atom_site.pdbx_PDB_model_num\nATOM \"C5'\" MET A 1 ? 12.34 10 X 1\n"
    "ATOM N GLY A 2 A 5 10 X 1\n#\n_other.value 1\n"sv;

std::string small_safetensors() {
  return testing::safetensors_bytes(
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
      R"("b":{"dtype":"BF16","shape":[3],"data_offsets":[16,22]}}  )",
      std::string(22, '\x3c'));
}

std::string small_checkpoint() {
  auto const identity = OrderedJson{{"version", "1"}, {"lr", .001}};
  auto run = cli::Checkpoint{};
  run.training = {.steps = 2,
                  .failures = 0,
                  .updates = 2,
                  .parameters = {1.f, 2.f},
                  .first_moments = {.5f, .25f},
                  .second_moments = {.1f, .2f}};
  run.steps = {{.step = 1,
                .epoch = 1,
                .loss = .5,
                .gradient_norm = 1.,
                .learning_rate = .1,
                .tokens = 7,
                .tokens_per_second = 100.,
                .skipped = false}};
  run.epochs.losses = {.5};
  run.epochs.held_out_losses = {.75};
  run.epochs.groups = {{.25, .5}};
  run.best_epoch = 1;
  run.best_value = .25;
  run.best_parameters = {1.f, 2.f};
  cli::write_checkpoint(scratch_file(), identity, run);
  auto bytes = testing::read_file(scratch_file());
  std::filesystem::remove(scratch_file());
  return bytes;
}

std::string written(std::vector<StoredTensor> tensors) {
  std::ranges::sort(tensors, {}, &StoredTensor::name);
  write_safetensors(scratch_file(), tensors, {});
  auto bytes = testing::read_file(scratch_file());
  std::filesystem::remove(scratch_file());
  return bytes;
}

std::string small_adapter() {
  static auto const numbers = std::vector<float>{1.f, -2.f, .5f, 0.f};
  auto const prefix = std::string{peft::prefix};
  auto const tensor = [&](std::string const& name, Extents const& shape) {
    auto const bytes = std::as_bytes(std::span{numbers});
    return StoredTensor{prefix + name, Dtype::f32, shape,
                        bytes.first(static_cast<std::size_t>(*tensor_bytes(Dtype::f32, shape)))};
  };
  auto tensors = std::vector{tensor("classifier.weight", {2, 2}), tensor("classifier.bias", {2})};
  for (auto const* const kind : {"query", "key", "value"}) {
    auto const path = std::string{"esm.encoder.layer.0.attention.self."} + kind;
    tensors.push_back(tensor(path + ".lora_A.weight", {1, 2}));
    tensors.push_back(tensor(path + ".lora_B.weight", {2, 1}));
  }
  return written(std::move(tensors));
}

/// In 4 bits, with scales that are quantized or not, or in 8.
std::string small_quantized(bool in_8_bits, bool nested) {
  auto const of = [](std::string_view text) { return std::as_bytes(std::span{text}); };
  auto const numbers = std::vector<float>(256, .5f);
  auto const floats = std::as_bytes(std::span{numbers});
  auto const codes = std::string(64, '\x15');
  if (in_8_bits) {
    return written({{"w.weight", Dtype::i8, {8, 8}, of(codes)},
                    {"w.SCB", Dtype::f32, {8}, floats.first(32)},
                    {"w.weight_format", Dtype::u8, {}, of("\0"sv)}});
  }
  auto state = R"({"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [8, 8])"s;
  if (nested) {
    state += R"(, "nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 0.25)";
  }
  state += "}";
  auto tensors =
      std::vector<StoredTensor>{{"w.weight", Dtype::u8, {32, 1}, of(codes).first(32)},
                                {"w.weight.quant_map", Dtype::f32, {16}, floats.first(64)},
                                {"w.weight.quant_state.bitsandbytes__nf4",
                                 Dtype::u8,
                                 {static_cast<std::int64_t>(state.size())},
                                 of(state)}};
  if (nested) {
    tensors.push_back({"w.weight.absmax", Dtype::u8, {1}, of("\3"sv)});
    tensors.push_back({"w.weight.nested_absmax", Dtype::f32, {1}, floats.first(4)});
    tensors.push_back({"w.weight.nested_quant_map", Dtype::f32, {256}, floats});
  } else {
    tensors.push_back({"w.weight.absmax", Dtype::f32, {1}, floats.first(4)});
  }
  return written(std::move(tensors));
}

std::vector<std::string> data_seeds() {
  auto seeds = std::vector<std::string>{};
  for (auto const seed : {uniprot_table, uniprot_entry, yu_table, fasta, three_lines}) {
    seeds.emplace_back(seed);
#if defined(QLORA_HAS_ZLIB)
    seeds.push_back(testing::gzipped(seed));
#endif
  }
  return seeds;
}

template <DataFormat format>
bool data_of(std::string_view bytes) {
  return data_file(bytes, format);
}

}  // namespace

std::vector<Target> const& targets() {
  static auto const json = std::vector{"{"sv,  "}"sv,    "["sv,    "]"sv,       ","sv,  ":"sv,
                                       "\""sv, "null"sv, "true"sv, "\\u0000"sv, "-1"sv, "1e400"sv};
  static auto const with_json = [](std::vector<std::string_view> words) {
    words.insert(words.end(), json.begin(), json.end());
    return words;
  };
  static auto const uniprot = std::vector{"BINDING "sv,
                                          "METAL "sv,
                                          "ACT_SITE "sv,
                                          ".."sv,
                                          "<"sv,
                                          ">"sv,
                                          "?"sv,
                                          "; /ligand=\""sv,
                                          "; /ligand_id=\"ChEBI:CHEBI:"sv,
                                          "; /evidence=\"ECO:"sv,
                                          " {ECO:"sv,
                                          "P12345-2:"sv};
  static auto const all = std::vector<Target>{
      {"safetensors",
       safetensors,
       {small_safetensors()},
       with_json({"\"dtype\""sv, "\"shape\""sv, "\"data_offsets\""sv, "\"__metadata__\""sv, "F64"sv,
                  "BF16"sv, "I8"sv, "BOOL"sv, "9007199254740993"sv})},
      {"shard_index",
       shard_index,
       {golden("models/odd_sharded/model.safetensors.index.json")},
       with_json({"\"weight_map\""sv, "\"metadata\""sv, "\"total_size\""sv, "../"sv, "/etc"sv})},
      {"config",
       config,
       {golden("models/tiny_nf4/config.json"), golden("models/odd/config.json")},
       with_json({"\"hidden_size\""sv, "\"quantization_config\""sv, "\"bnb_4bit_quant_type\""sv,
                  "\"nf4\""sv, "NaN"sv})},
      {"adapter_config",
       adapter_config,
       {golden("lora/all/adapter_config.json"),
        R"({"peft_type": "LORA", "r": 2, "lora_alpha": 1, "target_modules": ".*\\.(query|[^k]ey)+"})"},
       with_json({"\"target_modules\""sv, "\"modules_to_save\""sv, "\"rank_pattern\""sv, "\\\\."sv,
                  "(?:"sv, "[^"sv, ")*"sv, "{2,3}"sv, "|"sv})},
      {"adapter_tensors",
       adapter_tensors,
       {small_adapter()},
       with_json({"lora_A"sv, "lora_B"sv, "lora_embedding_A"sv, "modules_to_save."sv,
                  "original_module."sv, "esm.encoder.layer."sv, "attention.output.dense"sv,
                  "classifier"sv, "\"data_offsets\""sv})},
      {"quantized_weight",
       quantized_weight,
       {small_quantized(false, true), small_quantized(false, false), small_quantized(true, false)},
       with_json({"\"blocksize\""sv, "\"nested_blocksize\""sv, "\"nested_offset\""sv, "\"shape\""sv,
                  "\"dtype\""sv, "bfloat16"sv, "nf4"sv, "fp4"sv, "NaN"sv, "\"data_offsets\""sv})},
      {"pickle",
       pickled_data,
       {"\x80\2]q\0]q\1(K\0K\1ea."s, "](X\2\0\0\0MKq\1e."s},
       {"\x80\4"sv, "\x95"sv, "\x94"sv, "q\0"sv, "h\0"sv, "K\1"sv, "J"sv, "\x8a\1"sv, "]"sv, "("sv,
        "e"sv, "a"sv, "0"sv, "cos\nsystem\n"sv, "R"sv, "."sv}},
      {"torch_file",
       torch_file,
       {golden("pickled/adapter/adapter_model.bin"), golden("pickled/legacy/pytorch_model.bin")},
       {"PK\3\4"sv, "PK\1\2"sv, "PK\5\6"sv, "ctorch._utils\n_rebuild_tensor_v2\n"sv,
        "ccollections\nOrderedDict\n"sv, "ctorch\nFloatStorage\n"sv, "../"sv, "data.pkl"sv, "R"sv,
        "}"sv, "\x89"sv, "Q"sv}},
      {"data_file", any_data_file, data_seeds(), {">"sv, "\n"sv, "\t"sv, ";"sv, "\x1f\x8b\x08"sv}},
      {"uniprot_tsv", data_of<DataFormat::uniprot_tsv>, {std::string{uniprot_table}}, uniprot},
      {"uniprot_text", data_of<DataFormat::uniprot_text>, {std::string{uniprot_entry}}, uniprot},
      {"yu", data_of<DataFormat::yu>, {std::string{yu_table}}, {";"sv, "\n"sv, "K2"sv, " "sv}},
      {"three_line",
       data_of<DataFormat::three_line>,
       {std::string{three_lines}},
       {">"sv, "\n"sv, "01-"sv, "MK"sv}},
      {"fasta",
       data_of<DataFormat::fasta>,
       {std::string{fasta}},
       {">"sv, "\n"sv, "\r\n"sv, "*"sv, "|"sv}},
      {"groups",
       groups,
       {std::string{GroupFile::header} + "\nA_0\tA\t0\tF\t1\ttrain\nA_1\tA\t9\tF\t1\ttrain\n"},
       {"\t"sv, "\n"sv, "\r\n"sv, "train"sv}},
      {"clusters", clusters, {"a\ta\na\tb\nc\tc\n"}, {"\t"sv, "\n"sv, "\r\n"sv}},
      {"structure",
       structure,
       {std::string{pdb}, std::string{mmcif}},
       {"ATOM  "sv, "HETATM"sv, "MODEL "sv, "ENDMDL"sv, "TER"sv, "loop_\n"sv, "_atom_site."sv,
        "\n;"sv, "?"sv, "#"sv, "'"sv}},
      {"toml",
       toml,
       {std::string{space}},
       {"="sv, "[\""sv, "\"]"sv, "{"sv, "}"sv, "'"sv, "\\U0001"sv, "\\n"sv, "#"sv, "true"sv,
        "inf"sv}},
      {"checkpoint",
       checkpoint,
       {small_checkpoint()},
       with_json({"\"steps\\\":"sv, "\"failures\\\":"sv, "history"sv, "numbers"sv, "F64"sv})},
  };
  return all;
}

}  // namespace qlora::fuzz
