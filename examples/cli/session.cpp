#include "session.hpp"

#include <cstddef>

#include <qlora/adapt/peft.hpp>
#include <qlora/model/adapter.hpp>

namespace qlora::cli {

namespace {

std::unique_ptr<Session> make_session(SessionOptions const& options) {
  return options.compute == "bf16" ? open_bf16(options) : open_fp32(options);
}

void note_fresh_head(Session& session, std::string const& model) {
  if (!session.fresh_head()) return;
  session.notes.push_back(model + ": no classifier, so the head is a fresh one");
}

}  // namespace

std::unique_ptr<Session> open_session(SessionOptions const& options) {
  auto session = make_session(options);
  note_fresh_head(*session, options.model);
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
    session->notes.push_back(adapter.string() + ": target \"" + target + "\" matches no module");
  }
  note_fresh_head(*session, options.model);
  return session;
}

metrics::Scores evaluate(Session& session, std::span<Protein const> proteins,
                         std::string const& label, report::Progress::Style style) {
  auto progress =
      report::Progress{label, static_cast<double>(residues(proteins)), "residues", style};
  auto done = 0.;
  auto set = metrics::Chosen{metrics::Options{.class_weights = session.class_weights()}};
  session.predict(proteins, [&](std::size_t i, Matrix<float const> logits) {
    set.add(static_cast<std::uint32_t>(i),
            std::span{logits.data(), static_cast<std::size_t>(logits.size())}, proteins[i].labels);
    progress.update(done += static_cast<double>(logits.rows()));
  });
  return set.scores();
}

}  // namespace qlora::cli
