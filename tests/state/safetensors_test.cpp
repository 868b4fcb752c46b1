// Layers to and from safetensors files: those that Python has written (generate.py), and those that nobody should have.
#include <gtest/gtest.h>
#include <normkit/normkit.hpp>
#include <normkit/safetensors.hpp>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#if defined(__linux__)
#include <sys/resource.h>
#endif

#include "support/expect_error.hpp"
#include "support/judge.hpp"
#include "support/snapshot.hpp"

namespace {

using namespace support;
using Eigen::Index;
using normkit::Safetensors;
using normkit::StateNames;

std::string data(const std::string& name) { return std::string(NORMKIT_STATE_DIR) + "/" + name + ".safetensors"; }

std::vector<std::byte> bytes_of_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  std::vector<std::byte> bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

/// A file with this header, whatever it says, and so many bytes of data.
std::vector<std::byte> file_of(const std::string& header, std::size_t data_bytes = 0) {
  std::vector<std::byte> file(8 + header.size() + data_bytes);
  for (std::size_t i = 0; i < 8; ++i) file[i] = static_cast<std::byte>(header.size() >> 8 * i & 0xff);
  std::memcpy(file.data() + 8, header.data(), header.size());
  return file;
}

/// What generate.py has written: row `row` of eighths, for channel c.
double eighths(int row, Index c) { return (3 * row + static_cast<double>(c)) / 8 - 0.5; }

constexpr const char* prefix = "layer1.0.bn1.";

template <class T>
class StateOf : public ::testing::Test {};
using Scalars = ::testing::Types<float, double>;
TYPED_TEST_SUITE(StateOf, Scalars);

TYPED_TEST(StateOf, PythonsFilesAreReadInEveryDtype) {
  for (const char* dtype : {"f32", "f64", "f16", "bf16"}) {
    SCOPED_TRACE(dtype);
    const Safetensors file = Safetensors::load(data(std::string("batch_norm_") + dtype));
    EXPECT_EQ(file.metadata.at("format"), "pt");
    normkit::BatchNorm2d<TypeParam> norm(3);
    const TypeParam* const weight = norm.weight().data();
    file.get(prefix, norm);
    EXPECT_EQ(norm.weight().data(), weight) << "what points at it stays valid";
    EXPECT_EQ(norm.num_batches_tracked(), 41);
    for (Index c = 0; c < 3; ++c) {
      EXPECT_EQ(norm.weight()(c), eighths(0, c));
      EXPECT_EQ(norm.bias()(c), eighths(1, c));
      EXPECT_EQ(norm.running_mean()(c), eighths(2, c));
      EXPECT_EQ(norm.running_var()(c), eighths(3, c) + 1);
    }
  }
}

TYPED_TEST(StateOf, FilesAreThoseOfPythonByteForByte) {
  for (const auto& [file, dtype] : {std::pair("f32", "F32"), {"f64", "F64"}, {"f16", "F16"}, {"bf16", "BF16"}}) {
    const std::vector<std::byte> expected = bytes_of_file(data(std::string("batch_norm_") + file));
    normkit::BatchNorm2d<TypeParam> norm(3);
    Safetensors::parse(expected).get(prefix, norm);
    Safetensors own;
    own.metadata["format"] = "pt";
    own.put(prefix, norm, {}, dtype);
    EXPECT_EQ(own.bytes(), expected) << dtype;
  }
}

TYPED_TEST(StateOf, EveryLayerComesBack) {
  const auto check = [](auto norm) {
    using Norm = decltype(norm);
    set_parameters(norm, 3);
    if constexpr (requires { norm.running_mean(); }) {
      if (norm.running_mean().size() > 0) {
        norm.running_mean().setRandom();
        norm.set_num_batches_tracked((std::int64_t{1} << 53) + 1);
      }
    }
    Norm other = norm;
    for (auto parameter : other.parameters()) parameter.value.setConstant(-7);
    Safetensors file;
    file.put("a.", norm);
    Safetensors::parse(file.bytes()).get("a.", other);
    EXPECT_TRUE(same_bits(other.weight(), norm.weight()));
    EXPECT_TRUE(same_bits(other.bias(), norm.bias()));
    if constexpr (requires { norm.running_mean(); }) {
      EXPECT_TRUE(same_bits(other.running_mean(), norm.running_mean()));
      EXPECT_TRUE(same_bits(other.running_var(), norm.running_var()));
      EXPECT_EQ(other.num_batches_tracked(), norm.num_batches_tracked());
    }
  };
  using T = TypeParam;
  check(normkit::BatchNorm<T>(5));
  check(normkit::BatchNorm<T>(5, {.affine = false}));
  check(normkit::BatchNorm<T>(5, {.track_running_stats = false, .bias = false}));
  check(normkit::LayerNorm<T>(7));
  check(normkit::LayerNorm<T, 3>({2, 3, 5}));
  check(normkit::LayerNorm<T, 3, Eigen::ColMajor>({2, 3, 5}));
  check(normkit::RMSNorm<T>(7));
  check(normkit::GroupNorm<T>(2, 6));
  check(normkit::InstanceNorm2d<T>(3, {.affine = true, .track_running_stats = true}));
}

/// In a file tensors are in row-major order, whatever the layer's layout.
TYPED_TEST(StateOf, LayoutsAreOneInAFile) {
  normkit::LayerNorm<TypeParam, 2> rows({2, 3});
  normkit::LayerNorm<TypeParam, 2, Eigen::ColMajor> columns({2, 3});
  const Safetensors file = Safetensors::load(data("layer_norm"), "ln.");
  EXPECT_EQ(file.tensors.size(), 2u) << "the other is not read";
  file.get("ln.", rows);
  file.get("ln.", columns);
  for (Index i = 0; i < 2; ++i)
    for (Index j = 0; j < 3; ++j) {
      EXPECT_EQ(rows.weight()(i, j), static_cast<TypeParam>(3 * i + j));
      EXPECT_EQ(columns.weight()(i, j), rows.weight()(i, j));
      EXPECT_EQ(columns.bias()(i, j), rows.bias()(i, j));
    }
}

TYPED_TEST(StateOf, NamesOfOtherSystems) {
  normkit::BatchNorm<TypeParam> norm(3);
  Safetensors::load(data("keras")).get("bn/", norm, StateNames::keras());
  EXPECT_EQ(norm.weight()(2), TypeParam(2));
  EXPECT_EQ(norm.bias()(0), TypeParam(3));
  EXPECT_EQ(norm.running_mean()(0), TypeParam(1));
  EXPECT_EQ(norm.running_var()(2), TypeParam(7));
  Safetensors file;
  file.put("", norm, StateNames::onnx());
  std::string names;
  for (const auto& [name, tensor] : file.tensors) names += name + " ";
  EXPECT_EQ(names, "B input_mean input_var scale ");
}

/// To nearest, ties to even, in one step: from double not by way of float.
TEST(StateNumbers, AreRoundedOnce) {
  normkit::BatchNorm<double> norm(3, {.track_running_stats = false, .bias = false});
  norm.weight()(0) = 1 + 0x1p-11 + 0x1p-40;  // above the middle of two numbers of half, beside which it is in float
  norm.weight()(1) = 1 + 0x1p-8 - 0x1p-40;   // the same of bfloat16, below
  norm.weight()(2) = -1 - 0x1p-11;           // a tie of half
  Safetensors file;
  file.put("half.", norm, {}, "F16");
  file.put("bfloat.", norm, {}, "BF16");
  file.get("half.", norm);
  EXPECT_EQ(norm.weight()(0), 1 + 0x1p-10);
  EXPECT_EQ(norm.weight()(2), -1.0);
  file.get("bfloat.", norm);
  EXPECT_EQ(norm.weight()(1), 1.0);

  const double most = std::numeric_limits<double>::max(), least = std::numeric_limits<double>::denorm_min();
  for (const double value : {most, -most, least, std::numeric_limits<double>::infinity(), -0.0}) {
    norm.weight().setConstant(value);
    file.put("half.", norm, {}, "F16");
    file.get("half.", norm);
    EXPECT_EQ(norm.weight()(0), std::fabs(value) > 1 ? std::copysign(HUGE_VAL, value) : 0.0);
    EXPECT_EQ(std::signbit(norm.weight()(0)), std::signbit(value));
  }
  norm.weight().setConstant(std::nan(""));
  file.put("half.", norm, {}, "BF16");
  file.get("half.", norm);
  EXPECT_TRUE(std::isnan(norm.weight()(1)));
}

TEST(StateFiles, AreSavedAndLoaded) {
  const std::filesystem::path path = "normkit_state_test.safetensors";  // where it is run: other builds have another
  normkit::BatchNorm<float> norm(3);
  Safetensors file;
  file.put("bn.", norm);
  file.save(path);
  EXPECT_EQ(bytes_of_file(path.string()), file.bytes());
  EXPECT_EQ(Safetensors::load(path).tensors.size(), 5u);
  EXPECT_EQ(Safetensors::load(path, "bn.running").tensors.size(), 2u);
  std::filesystem::remove(path);
  expect_error<normkit::format_error>([&] { Safetensors::load(path); }, {"normkit_state_test", "cannot be read"});
  expect_error<normkit::format_error>([&] { file.save(path / "folder"); }, {"cannot be written"});
  EXPECT_EQ(Safetensors::parse(Safetensors().bytes()).tensors.size(), 0u);
}

#if defined(__linux__)
TEST(StateFiles, ThatAreThereAndCannotBeRead) {
  const std::filesystem::path shorter = "/sys/devices/system/cpu/online";  // says 4096 bytes, and has a few
  if (std::filesystem::exists(shorter))
    expect_error<normkit::format_error>([&] { Safetensors::load(shorter); }, {"online", "cannot be read"});
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit none{0, before.rlim_max};  // not one more may be opened
  setrlimit(RLIMIT_NOFILE, &none);
  EXPECT_THROW(Safetensors::load(data("batch_norm_f32")), normkit::format_error);
  setrlimit(RLIMIT_NOFILE, &before);
}
#endif

TEST(StateNames, ThatAreEmptyAreOfNoTensor) {
  normkit::BatchNorm<float> norm(3), other(3);
  norm.weight()(1) = norm.bias()(1) = 5;
  const StateNames names{.weight = "", .bias = "b"};
  Safetensors file;
  file.put("", norm, names);
  EXPECT_EQ(file.tensors.size(), 4u);
  file.get("", other, names);
  EXPECT_EQ(other.weight()(1), 1.0f);
  EXPECT_EQ(other.bias()(1), 5.0f);
  EXPECT_EQ(StateNames::pytorch().weight, StateNames().weight);
}

TEST(StateErrors, LeaveTheLayerAlone) {
  const Safetensors good = Safetensors::load(data("batch_norm_f32"));
  normkit::BatchNorm2d<float> norm(3);
  const auto refused = [&]<class Error>(const Error*, const Safetensors& file,
                                        std::initializer_list<const char*> words) {
    expect_error<Error>([&] { file.get(prefix, norm); }, words);
    EXPECT_EQ(norm.weight()(1), 1.0f);
    EXPECT_EQ(norm.running_mean()(1), 0.0f);
    EXPECT_EQ(norm.num_batches_tracked(), 0);
  };
  const normkit::format_error* const format = nullptr;
  const std::string of_prefix(prefix);
  Safetensors file = good;
  file.tensors.erase(of_prefix + "running_var");
  refused(format, file, {"layer1.0.bn1.running_var", "none of that name"});
  file = good;
  file.tensors[of_prefix + "running_var"].dtype = "I32";
  refused(format, file, {"running_var", "expected dtype F64, F32, F16 or BF16, got I32"});
  file.tensors[of_prefix + "running_var"].dtype = "F64";
  refused(format, file, {"running_var", "(3,) elements of F64, got 12 bytes"});
  file = good;
  file.tensors[of_prefix + "running_var"].shape = {3, 1};
  refused(static_cast<normkit::shape_error*>(nullptr), file, {"expected shape (3,), got (3, 1)"});
  file = good;
  file.tensors[of_prefix + "num_batches_tracked"].bytes.back() = std::byte{0x80};
  refused(static_cast<normkit::argument_error*>(nullptr), file, {"num_batches_tracked", "-"});
  file = good;
  file.tensors[of_prefix + "num_batches_tracked"].dtype = "F64";
  refused(format, file, {"expected dtype I64, got F64"});
  file.tensors[of_prefix + "num_batches_tracked"] = {"I64", {2}, std::vector<std::byte>(16)};
  refused(static_cast<normkit::shape_error*>(nullptr), file, {"expected one number", "(2,)"});

  normkit::BatchNorm2d<float> plain(3, {.affine = false});
  expect_error<normkit::format_error>([&] { good.get(prefix, plain); }, {"without weight"});
  file = good;
  file.tensors.erase(of_prefix + "num_batches_tracked");
  norm.set_num_batches_tracked(5);
  file.get(prefix, norm);
  EXPECT_EQ(norm.num_batches_tracked(), 5);

  expect_error<normkit::argument_error>([&] { file.put("", norm, {}, "I8"); }, {"F64, F32, F16 or BF16, got I8"});
  EXPECT_FALSE(file.tensors.contains("weight"));
  file.tensors["broken"] = {"F32", {2}, {}};
  expect_error<normkit::format_error>([&] { file.bytes(); }, {"broken", "(2,) elements of F32, got 0 bytes"});
  file = {};
  file.tensors["\xff"] = {"F32", {0}, {}};
  expect_error<normkit::format_error>([&] { file.bytes(); }, {"UTF-8"});
  file = {};
  file.tensors["__metadata__"] = {"F32", {0}, {}};
  expect_error<normkit::format_error>([&] { file.bytes(); }, {"__metadata__"});
}

TEST(StateErrors, HostileHeaders) {
  const auto refused = [](const std::vector<std::byte>& file, std::initializer_list<const char*> words) {
    expect_error<normkit::format_error>([&] { Safetensors::parse(file); }, words);
  };
  const auto entry = [](const std::string& shape, const std::string& offsets, const std::string& dtype = "\"F32\"") {
    return R"({"a":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
  };
  EXPECT_EQ(Safetensors::parse(file_of(entry("[2]", "[0,8]"), 8)).tensors.at("a").bytes.size(), 8u);
  EXPECT_EQ(Safetensors::parse(file_of(entry("[0,5]", "[0,0]"))).tensors.at("a").bytes.size(), 0u);

  refused({}, {"8 bytes of the header's length", "got a file of 0"});
  refused(std::vector<std::byte>(7), {"got a file of 7"});
  refused(std::vector<std::byte>(8), {"begins with {"});
  refused(std::vector<std::byte>(8, std::byte{0xff}), {"at most 0 bytes", "18446744073709551615"});
  auto huge = file_of("{}");
  huge[3] = std::byte{0x40};  // 1 GB
  refused(huge, {"at most 2 bytes", "1073741826"});
  refused(file_of(" {}"), {"begins with {"});
  refused(file_of("{"), {"JSON"});
  refused(file_of("{}x"), {"JSON"});
  refused(file_of("{\"a\":1e999}"), {"JSON"});
  refused(file_of("{\"\xff\":1}"), {"JSON"});
  refused(file_of("{\"a\":" + std::string(100'000, '[')), {"deep"});
  refused(file_of("{\"a\":" + std::string(100'000, '{')), {"JSON"});
  refused(file_of(R"({"a":1})"), {"a: expected dtype, shape and data_offsets"});
  refused(file_of(R"({"a":{"dtype":"F32","shape":[]}})"), {"dtype, shape and data_offsets"});
  refused(file_of(R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0,4],"x":1}})", 4), {"dtype, shape and"});
  const std::string one = R"({"dtype":"F32","shape":[],"data_offsets":[0,4]})";
  refused(file_of(R"({"a":)" + one + R"(,"a":)" + one + "}", 4), {"each name once", "a twice"});
  refused(file_of(R"({"a":{"dtype":"F32","dtype":"F32","shape":[],"data_offsets":[0,4]}})", 4), {"dtype twice"});
  refused(file_of(R"({"a":)" + one + R"(,"b":)" + one + "}", 4), {"b: expected data from 4 on", "got 0"});
  refused(file_of(R"({"__metadata__":{"a":1}})"), {"__metadata__"});
  refused(file_of(R"({"__metadata__":[]})"), {"__metadata__"});
  refused(file_of(entry("[2]", "[0,8]", "7"), 8), {"a dtype that is a text"});
  refused(file_of(entry("[2]", "[0,8]", "\"F33\""), 8), {"got F33"});
  refused(file_of(entry("2", "[0,8]"), 8), {"a shape that is a list"});
  refused(file_of(entry("[-2]", "[0,8]"), 8), {"a shape of numbers from 0"});
  refused(file_of(entry("[2.0]", "[0,8]"), 8), {"a shape of numbers from 0"});
  refused(file_of(entry("[18446744073709551615]", "[0,8]"), 8), {"a shape of numbers from 0"});
  refused(file_of(entry("[4294967296,4294967296,2]", "[0,0]")), {"elements of F32"});
  refused(file_of(entry("[4611686018427387905]", "[0,4]"), 4), {"elements of F32", "got 4 bytes"});
  refused(file_of(entry("[2]", "[0,7]"), 7), {"(2,) elements of F32, got 7 bytes"});
  refused(file_of(entry("[2]", "[8,0]"), 8), {"the second not below the first"});
  refused(file_of(entry("[2]", "[0,8,8]"), 8), {"data_offsets of two numbers"});
  refused(file_of(entry("[2]", "[-8,0]"), 8), {"data_offsets of two numbers"});
  refused(file_of(entry("[2]", "[0,-8]"), 8), {"data_offsets of two numbers"});
  refused(file_of(entry("[2]", "[4,12]"), 12), {"a: expected data from 0 on", "got 4"});
  refused(file_of(entry("[2]", "[0,8]"), 7), {"expected 8 bytes of data", "got 7"});
  refused(file_of(entry("[2]", "[0,8]"), 9), {"expected 8 bytes of data", "got 9"});
  refused(file_of(entry("[4611686018427387903]", "[0,18446744073709551612]")), {"expected 18446744073709551612 bytes"});
}

/// Cut off anywhere, or with any byte another one: an error that has a type, or a file.
TEST(StateErrors, DamagedFiles) {
  const std::vector<std::byte> good = bytes_of_file(data("batch_norm_f32"));
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_THROW(Safetensors::parse(std::span(good).first(size)), normkit::format_error) << size;
  int read = 0;
  for (std::size_t at = 0; at < good.size(); ++at)
    for (const int flip : {1, 2, 0x20, 0x80, 0xff}) {
      std::vector<std::byte> file = good;
      file[at] ^= static_cast<std::byte>(flip);
      try {
        normkit::BatchNorm<float> norm(3);
        Safetensors::parse(file).get(prefix, norm);
        ++read;
      } catch (const normkit::format_error&) {
      } catch (const normkit::shape_error&) {
      } catch (const normkit::argument_error&) {
      }
    }
  EXPECT_GE(read, 4 * 12 * 5) << "what is in the numbers alone is no error";
}

TEST(StateErrors, StateOfAnotherKindOfLayer) {
  Safetensors file;
  file.put("bn.", normkit::BatchNorm<float>(3));
  normkit::LayerNorm<float> rows(3);
  normkit::GroupNorm<float> groups(1, 3);
  rows.weight().setConstant(7);
  const Bytes before = state_of(rows);
  expect_error<normkit::format_error>([&] { file.get("bn.", rows); },
                                      {"expected no bn.running_mean", "without running statistics"});
  EXPECT_EQ(state_of(rows), before);
  expect_error<normkit::format_error>([&] { file.get("bn.", groups); }, {"bn.running_mean"});
  file.put("ln.", rows);
  normkit::BatchNorm<float> norm(3);
  expect_error<normkit::format_error>([&] { file.get("ln.", norm); }, {"expected a tensor ln.running_mean"});
}

/// Runs Python, NORMKIT_PYTHON or python3, quietly. Returns whether all went well.
bool python(const std::string& arguments, const std::string& more = "") {
  const char* const given = std::getenv("NORMKIT_PYTHON");
  return std::system(("'" + std::string(given ? given : "python3") + "' " + arguments + more).c_str()) == 0;
}

// What other_side.py reads and writes: eighths above a quarter, then twice that.
TEST(Python, ReadsWhatIsWrittenAndWritesWhatIsRead) {
  // An interpreter that is named has to have it.
  if (!std::getenv("NORMKIT_PYTHON") && !python("-c 'import safetensors.numpy, ml_dtypes'", " 2>/dev/null"))
    GTEST_SKIP() << "no safetensors (pip install safetensors numpy ml_dtypes)";
  const std::filesystem::path folder = "normkit_state_python";  // where it is run: other builds have another
  std::filesystem::create_directories(folder);
  const std::string written = (folder / "written.safetensors").string(),
                    to_read = (folder / "to_read.safetensors").string();
  const auto row = [](auto& tensor, int number, double factor) {
    for (Index c = 0; c < 3; ++c) tensor(c) = factor * ((3 * number + static_cast<double>(c)) / 8 + 0.25);
  };
  const auto filled = [&](double factor) {
    normkit::BatchNorm2d<double> norm(3);
    row(norm.weight(), 0, factor), row(norm.bias(), 1, factor);
    row(norm.running_mean(), 2, factor), row(norm.running_var(), 3, factor);
    norm.set_num_batches_tracked(static_cast<std::int64_t>(7 * factor));
    return norm;
  };
  Safetensors file;
  for (const auto& [name, dtype] : {std::pair{"f32.", "F32"}, {"f64.", "F64"}, {"f16.", "F16"}, {"bf16.", "BF16"}})
    file.put(name, filled(1), StateNames::pytorch(), dtype);
  file.save(written);
  ASSERT_TRUE(python("'" NORMKIT_STATE_DIR "/../other_side.py' '" + written + "' '" + to_read + "'"));
  const Safetensors back = Safetensors::load(to_read);
  for (const char* name : {"f32.", "f64.", "f16.", "bf16."}) {
    normkit::BatchNorm2d<double> norm(3), expected = filled(2);
    back.get(name, norm);
    EXPECT_EQ(state_of(norm), state_of(expected)) << name;
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
