#include "session.hpp"

#include <qlora/adapt/peft.hpp>
#include <qlora/core/error.hpp>
#include <qlora/model/adapter.hpp>

#include "cuda.hpp"

namespace qlora::cli {

namespace {

std::unique_ptr<Session> make_session(SessionOptions const& options) {
  auto const narrow = options.compute == "bf16";
  if (options.device == "cuda") return narrow ? open_cuda_bf16(options) : open_cuda_fp32(options);
  return narrow ? open_bf16(options) : open_fp32(options);
}

void note_fresh_weights(Session& session, SessionOptions const& options) {
  if (options.random_base) {
    session.notes.push_back(options.model + ": its weights are not used, but random ones");
    return;
  }
  if (!session.fresh_head()) return;
  session.notes.push_back(options.model +
                          ": no classifier, so the head is a fresh one: until it has been "
                          "trained, its predictions mean nothing");
}

}  // namespace

std::optional<std::string> note_of_other_base(std::filesystem::path const& adapter,
                                              std::string const& base, std::string const& model) {
  auto const name = [](std::filesystem::path path) {
    path = path.lexically_normal();
    return path.has_filename() ? path.filename() : path.parent_path().filename();
  };
  if (base.empty() || name(base) == name(model)) return std::nullopt;
  return adapter.string() + ": was made for the base model " + printable(base) + ", not " + model;
}

std::unique_ptr<Session> open_session(SessionOptions const& options) {
  auto session = make_session(options);
  note_fresh_weights(*session, options);
  return session;
}

std::unique_ptr<Session> open_session(SessionOptions options,
                                      std::filesystem::path const& adapter) {
  auto const stored = PeftAdapter::read(adapter);
  auto const from_caller = options.lora;
  options.lora = stored.config.lora;
  options.lora.dropout = from_caller.dropout;
  options.lora.seed = from_caller.seed;
  options.placement = placement_of(stored);
  auto session = make_session(options);
  for (auto const& target : session->load_adapter(adapter)) {
    session->notes.push_back(adapter.string() + ": target \"" + printable(target) +
                             "\" matches no module");
  }
  note_fresh_weights(*session, options);
  if (auto note = note_of_other_base(adapter, stored.config.base_model, options.model)) {
    session->notes.push_back(std::move(*note));
  }
  return session;
}

void note_stored_quantization(Session& session, std::string const& model,
                              std::string const& asked) {
  auto const stored = session.quantization();
  if (asked.empty() || asked == stored) return;
  session.notes.push_back(model + ": is quantized already and stays " + stored + "; --quant " +
                          asked + " does not apply");
}

}  // namespace qlora::cli
