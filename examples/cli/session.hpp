/// A model with adapters, whatever the types behind it: the only place where the program's run-time
/// choices meet the library's templates.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <qlora/adapt/lora.hpp>
#include <qlora/adapt/placement.hpp>
#include <qlora/core/tensor.hpp>
#include <qlora/data/protein.hpp>
#include <qlora/dist/any.hpp>
#include <qlora/quant/any.hpp>
#include <qlora/train/checkpointing.hpp>
#include <qlora/train/trainer.hpp>

namespace qlora::cli {

using ClassWeights = std::array<double, 2>;

class Session {
 public:
  using OnStep = std::function<void(StepRecord const&)>;
  using OnEpoch = std::function<void(std::int64_t epoch)>;  // from 1
  using OnLogits = std::function<void(std::size_t protein, Matrix<float const> logits)>;

  /// What the user should know of what was opened.
  std::vector<std::string> notes;

  virtual ~Session() = default;

  virtual bool fresh_head() const = 0;
  virtual Index trainable_parameters() const = 0;
  /// How the frozen weights are stored: as asked, unless the folder was quantized already.
  virtual std::string quantization() const = 0;
  /// The most that was held of a device's memory since the session was opened; 0 on the CPU.
  virtual std::size_t device_peak_bytes() const = 0;
  virtual ClassWeights class_weights() const = 0;
  virtual void set_class_weights(ClassWeights const& weights) = 0;
  /// That share fitting and predicting.
  virtual dist::Any& ranks() = 0;
  virtual std::int64_t fit(std::span<Protein const> proteins, FitOptions const& options,
                           OnStep const& on_step, OnEpoch const& on_epoch,
                           Checkpointing<float> const& checkpointing) = 0;
  /// Logits (residues, 2) of each protein, in order.
  virtual void predict(std::span<Protein const> proteins, OnLogits const& on_logits) = 0;
  virtual void save_adapter(std::filesystem::path const& folder) const = 0;
  /// Returns the targets that match no module.
  virtual std::vector<std::string> load_adapter(std::filesystem::path const& folder) = 0;
  /// The trained numbers, to be put back later.
  virtual std::vector<float> parameters() const = 0;
  virtual void set_parameters(std::span<float const> values) = 0;
};

/// What to say where an adapter was made for `base`, by PEFT's account a path or a name, and is
/// used with `model`: nothing where they are called the same.
std::optional<std::string> note_of_other_base(std::filesystem::path const& adapter,
                                              std::string const& base, std::string const& model);

/// Residues of all proteins.
inline std::int64_t residues(std::span<Protein const> proteins) {
  return std::accumulate(proteins.begin(), proteins.end(), std::int64_t{0},
                         [](std::int64_t sum, Protein const& protein) {
                           return sum + static_cast<std::int64_t>(protein.sequence.size());
                         });
}

/// What a session is opened with.
struct SessionOptions {
  std::string model;
  std::string device = "cpu";
  std::string compute = "fp32";
  quant::Any quant;
  placement::Sites placement = placement::Sites::of(HeadOnly{});
  LoraOptions lora{.rank = 1};
  bool random_base = false;    ///< weights without pre-training, of lora.seed
  dist::Any* ranks = nullptr;  ///< that share its work; none: this process alone
};

/// Opens the model with fresh adapters. Throws InputError for a folder that cannot be used.
std::unique_ptr<Session> open_session(SessionOptions const& options);

/// Opens the model with the adapter in that folder, and its rank, alpha and placement.
std::unique_ptr<Session> open_session(SessionOptions options, std::filesystem::path const& adapter);

/// Notes that a scheme that was asked for, if one was, does not apply: the model is quantized.
void note_stored_quantization(Session& session, std::string const& model, std::string const& asked);

// One for each compute type, each compiled in a file of its own.
std::unique_ptr<Session> open_fp32(SessionOptions const& options);
std::unique_ptr<Session> open_bf16(SessionOptions const& options);

}  // namespace qlora::cli
