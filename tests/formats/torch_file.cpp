#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <qlora/core/safetensors.hpp>
#include <qlora/core/shard_index.hpp>
#include <qlora/formats/torch_file.hpp>

#include "archives.hpp"
#include "support/files.hpp"

namespace qlora {
namespace {

using testing::archive;
using testing::input_error_of;
using testing::little_endian;
using testing::TemporaryFolder;
using namespace std::string_literals;

auto const pickled = std::filesystem::path{QLORA_TEST_DATA} / "pickled";

void expect_model(TensorSet const& found) {
  auto const expected = SafetensorsFile{pickled / "model.safetensors"};
  auto count = std::size_t{0};
  for (auto const& file : found.files()) count += file.tensors().size();
  EXPECT_EQ(count, expected.tensors().size());
  for (auto const& tensor : expected.tensors()) {
    auto const [stored, file] = found.find(tensor.name);
    ASSERT_NE(stored, nullptr) << tensor.name;
    EXPECT_EQ(stored->shape, tensor.shape) << tensor.name;
    if (tensor.dtype == Dtype::i64) {
      EXPECT_TRUE(std::ranges::equal(stored->bytes, tensor.bytes)) << tensor.name;
    } else {
      EXPECT_EQ(read_floats(*stored, "f"), read_floats(tensor, "f")) << tensor.name;
    }
    file->release(*stored);
    if (tensor.dtype != Dtype::i64) {
      EXPECT_EQ(read_floats(*stored, "f"), read_floats(tensor, "f")) << tensor.name;
    }
  }
}

TEST(TorchFile, ReadsBothFormatsAndShards) {
  expect_model(TensorSet::open(pickled / "model" / "pytorch_model.bin", open_torch));
  expect_model(TensorSet::open(pickled / "legacy" / "pytorch_model.bin", open_torch));
  expect_model(
      TensorSet::open_sharded(pickled / "sharded" / "pytorch_model.bin.index.json", open_torch));
}

/// The pickle of one tensor "w": its parts can be chosen.
struct Draft {
  std::string storage_class = "ctorch\nFloatStorage\n";
  std::string persistent = "(X\7\0\0\0storage"s;  // then class, key, device, count
  std::string key = "X\1\0\0\0"s + "0";
  std::string count = "K\6";
  std::string view = "K\0K\2K\3\x86K\3K\1\x86"s;  // offset, shape, strides
  std::string rebuild = "ctorch._utils\n_rebuild_tensor_v2\n";
  std::string rest = "\x89}";  // requires_grad, hooks
  std::string name = "X\1\0\0\0w"s;
  std::string content = std::string(24, '\x3c');
  std::string byteorder = "little";
  std::string after = "s.";

  std::string tensor() const {
    return rebuild + "(" + persistent + storage_class + key + "X\3\0\0\0cpu"s + count + "tQ" +
           view + rest + "tR";
  }
  std::string pickle() const { return "\x80\2}" + name + tensor() + after; }
  std::string file() const {
    return archive({{"x/data.pkl", pickle()}, {"x/byteorder", byteorder}, {"x/data/0", content}});
  }
};

std::string torch_error(std::string const& content) {
  auto const folder = TemporaryFolder{};
  auto const path = folder.write("f.bin", content);
  auto const error = input_error_of([&] { open_torch(path); });
  return error.substr(error.find("f.bin") == error.npos ? 0 : error.find("f.bin"));
}

TEST(TorchFile, RefusesEverythingElse) {
  EXPECT_EQ(torch_error(Draft{}.file()), "no error");
  using Change = void (*)(Draft&);
  auto const cases = std::vector<std::pair<Change, std::string>>{
      {[](Draft& d) { d.rebuild = "cposix\nsystem\n"; },
       "f.bin, data.pkl: byte 9: expected plain data, found the global \"posix.system\""},
      {[](Draft& d) { d.rebuild = "ctorch._utils\n_rebuild_tensor_v2\n0"; }, "found 0x30"},
      {[](Draft& d) { d.rebuild = "ccollections\nOrderedDict\n"; },
       "expected a call that makes a dictionary or a tensor"},
      {[](Draft& d) { d.rebuild = "ctorch\nFloatStorage\n"; }, "expected a call that makes"},
      {[](Draft& d) { d.rebuild = "N"; }, "expected a global as what is called, found None"},
      {[](Draft& d) { d.rest = "\x89"; }, "\"torch._utils _rebuild_tensor_v2\" with 5 arguments"},
      {[](Draft& d) { d.rest = "\x89}}N\x88s"; }, "expected a tensor without metadata"},
      {[](Draft& d) { d.storage_class = "ctorch\nComplexFloatStorage\n"; },
       "found the global \"torch.ComplexFloatStorage\""},
      {[](Draft& d) { d.storage_class = "ccollections\nOrderedDict\n"; },
       "expected a storage's class"},
      {[](Draft& d) { d.storage_class = "N"; }, "expected a global as a storage's class"},
      {[](Draft& d) { d.storage_class = "ctorch\nDoubleStorage\n"; },
       "\"w\": expected a storage of 6 elements, found one of 24 bytes"},
      {[](Draft& d) { d.name = "X\xc\0\0\0__metadata__"s; }, "names of tensors as keys"},
      {[](Draft& d) { d.persistent = "(X\6\0\0\0module"s; }, "persistent id of a whole storage"},
      {[](Draft& d) { d.key = "K\1"; }, "expected a string as a storage's key"},
      {[](Draft& d) { d.key = "X\4\0\0\0../0"s; }, "expected its storage \"../0\" in the file"},
      {[](Draft& d) { d.count = "K\7"; }, "expected a storage of 7 elements"},
      {[](Draft& d) { d.count = "J\xff\xff\xff\xff"; }, "expected a storage of -1 elements"},
      {[](Draft& d) { d.count = "\x8a\x08\0\0\0\0\0\0\0\x40"s; }, "expected a storage of 461168"},
      {[](Draft& d) { d.count = "K\6K\1"; }, "persistent id of a whole storage"},
      {[](Draft& d) { d.view = "K\1K\2K\3\x86K\3K\1\x86"s; }, "to stay inside a storage of 6"},
      {[](Draft& d) { d.view = "NK\2K\3\x86K\3K\1\x86"s; }, "expected an integer as a tensor's"},
      {[](Draft& d) { d.view = "K\0]K\3K\1\x86"s; }, "expected a tuple as a tensor's shape"},
      {[](Draft& d) { d.view = "K\0N\x85K\3\x85"s; }, "expected an integer as a tensor's extent"},
      {[](Draft& d) { d.view = "K\0("s + std::string(65, ')') + "t)"; },
       "expected fewer dimensions"},
      {[](Draft& d) { d.view = "K\0J\0\0\0\x70\x85K\0\x85"s; }, "share less of their storages"},
      {[](Draft& d) { d.name = "K\1"; }, "expected names of tensors as keys"},
      {[](Draft& d) { d.name = "X\0\0\0\0"s; }, "expected names of tensors as keys"},
      {[](Draft& d) { d.name = "X\2\0\0\0\xff\xfe"s; }, "expected names of tensors as keys"},
      {[](Draft& d) { d.after = "sX\1\0\0\0wh\0s."s; }, "expected a memo index that was set"},
      {[](Draft& d) { d.after = "q\0sX\1\0\0\0wh\0s."s; }, "duplicate tensor \"w\""},
      {[](Draft& d) { d.after = "sq\0X\1\0\0\0yh\0s."s; }, "\"y\": expected a tensor, found"},
      {[](Draft& d) { d.after = "s"s; }, "expected an opcode, found the end of the file"},
      {[](Draft& d) { d.after = "s.."s; }, "expected the end of the file, found 1 more"},
      {[](Draft& d) { d.after = "sX\1\0\0\0xK\1s."s; },
       "\"x\": expected a tensor, found an integer"},
      {[](Draft& d) { d.after = "sNb."s; }, "expected a dict as attributes, found None"},
      {[](Draft& d) { d.byteorder = "big"; }, "expected little-endian numbers"},
      {[](Draft& d) { d.content.pop_back(); }, "found one of 23 bytes"},
  };
  for (auto const& [change, expected] : cases) {
    auto draft = Draft{};
    change(draft);
    auto const error = torch_error(draft.file());
    EXPECT_NE(error.find(expected), std::string::npos) << error << " lacks " << expected;
  }
  EXPECT_NE(torch_error(archive({{"x/data.pkl", "]."}})).find("expected a dictionary of tensors"),
            std::string::npos);
  EXPECT_NE(torch_error(archive({{"x/data", "a"}})).find("expected a data.pkl"), std::string::npos);
  EXPECT_NE(
      torch_error(archive({{"x/data.pkl", "}."}, {"y/data.pkl", "}."}})).find("found several"),
      std::string::npos);
  EXPECT_NE(
      torch_error(archive({{"x/data.pkl", "}."}, {"x/constants.pkl", ""}})).find("TorchScript"),
      std::string::npos);
  EXPECT_NE(torch_error("").find("found an empty file"), std::string::npos);
  EXPECT_NE(torch_error("version https://git-lfs.github.com/spec/v1\n").find("git lfs"),
            std::string::npos);
  EXPECT_NE(torch_error("\x80\4}.").find("load it with torch and save it again"),
            std::string::npos);
}

TEST(TorchFile, AcceptsWhatTorchHasWrittenSince) {
  using Change = void (*)(Draft&);
  for (Change const change : std::vector<Change>{
           [](Draft& d) { d.count = "K\6N"; },  // version 1.5 and earlier
           [](Draft& d) { d.rest = "\x89}N"; },
           [](Draft& d) { d.rest = "\x89}}"; },
           [](Draft& d) { d.after = "s}X\1\0\0\0a]sb."s; },  // attributes of the dictionary
           [](Draft& d) { d.rebuild = "\x8c\x0ctorch._utils\x8c\x12_rebuild_tensor_v2\x93"; },
       }) {
    auto draft = Draft{};
    change(draft);
    EXPECT_EQ(torch_error(draft.file()), "no error");
  }
}

TEST(TorchFile, RefusesDamagedLegacyFiles) {
  auto const good = testing::read_file(pickled / "legacy" / "pytorch_model.bin");
  EXPECT_EQ(torch_error(good), "no error");
  EXPECT_NE(torch_error(good + "x").find("found 1 more bytes"), std::string::npos);
  for (auto const size : {15u, 16u, 21u, 40u, 200u, 3000u, 5000u}) {
    EXPECT_NE(torch_error(good.substr(0, size)), "no error") << size;
  }
  for (auto cut = 1u; cut < 60; ++cut) {
    EXPECT_NE(torch_error(good.substr(0, good.size() - cut)), "no error") << cut;
  }
  auto old = good;
  old.replace(15, 6, "\x80\2M\xea\3."s);
  EXPECT_NE(torch_error(old).find("expected protocol version 1001"), std::string::npos);
  auto big = good;
  auto const order = big.find("little_endian");
  big.replace(big.find('\x88', order), 1, "\x89");
  EXPECT_NE(torch_error(big).find("expected little-endian numbers"), std::string::npos);
}

}  // namespace
}  // namespace qlora
