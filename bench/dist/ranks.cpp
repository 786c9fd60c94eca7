/// What ranks cost each other: `mpirun -n 2 bench_dist_ranks`, or alone to compare with.
/// exchange/FLOATS adds up so many numbers over the ranks, training/... takes the steps of
/// train/step.hpp together. There, `waits_%` is the share of the time that the first rank spends in
/// exchanges, most of it waiting for ranks that have more to do, and `sends_%` what the same
/// exchanges take of it where nobody has anything else to do.
#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <qlora/backend/cpu.hpp>
#include <qlora/core/parallel.hpp>
#include <qlora/dist/any.hpp>
#include <qlora/dist/collective.hpp>
#include <qlora/dist/launcher.hpp>
#if defined(QLORA_HAS_MPI)
#include <qlora/dist/mpi.hpp>
#endif

#include "train/step.hpp"

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Another communicator, and the time that is spent in it.
struct Timed {
  dist::Any& of;
  double seconds = 0.;

  int rank() const { return of.rank(); }
  int size() const { return of.size(); }
  void exchange(std::span<dist::Sent const> to, std::span<dist::Received const> from) {
    auto const start = Clock::now();
    of.exchange(to, from);
    seconds += seconds_since(start);
  }
};

dist::Any& ranks() {
  static auto communicator = dist::Any{};
  return communicator;
}

/// Seconds that a sum of so many numbers takes.
double sum_seconds(Index count, int repeats) {
  auto values = std::vector<float>(static_cast<std::size_t>(count));
  auto collective = dist::Collective{ranks()};
  collective.sum(Vector<float>{values.data(), {count}});  // the first connects the ranks
  collective.wait();
  auto const start = Clock::now();
  for (auto i = 0; i < repeats; ++i) collective.sum(Vector<float>{values.data(), {count}});
  return seconds_since(start) / repeats;
}

void exchange(benchmark::State& state) {
  for (auto _ : state) state.SetIterationTime(sum_seconds(state.range(0), 100));
}

template <class T>
void train_together(benchmark::State& state, Setting const& setting) {
  auto run = Run<backend::Cpu<backend::BestProducts, T>>{setting};
  auto timed = Timed{ranks()};
  auto const options = FitOptions{.batch = setting.batch};
  auto trainer =
      Trainer{run.backend, run.model, std::span<Protein const>{run.proteins}, options, timed};
  auto const plan = EpochPlan{run.proteins, setting.batch, Order::as_given, 0, 0};
  auto step = std::int64_t{0};
  auto const train_on_all = [&] {
    for (auto i = std::size_t{0}; i < plan.steps(); ++i) {
      trainer.learn(plan.step(i), step++, 0);
      dist::Collective{timed}.any(false);  // whether to stop, as `qlora train` asks
    }
  };
  train_on_all();  // takes memory
  auto seconds = 0.;
  timed.seconds = 0.;
  auto const first_step = step;
  for (auto _ : state) {
    dist::Collective{ranks()}.wait();
    auto const start = Clock::now();
    train_on_all();
    auto const took = seconds_since(start);
    state.SetIterationTime(took);
    seconds += took;
  }
  run.finish(state, Pass::training, ranks().size());
  auto const steps = static_cast<double>(step - first_step);
  auto const sends =
      steps * (sum_seconds(run.model.parameters().size(), 100) + 2 * sum_seconds(1, 100));
  state.counters["waits_%"] = 100. * timed.seconds / seconds;
  state.counters["sends_%"] = 100. * sends / seconds;
}

/// Every rank has to do as much as the others, so that the number of iterations is given.
void add_benchmarks() {
  for (auto const count : {1, 1 << 10, 1 << 15, 1 << 20}) {
    benchmark::RegisterBenchmark("exchange", exchange)
        ->Arg(count)
        ->UseManualTime()
        ->Iterations(5)
        ->Unit(benchmark::kMicrosecond);
  }
  for (auto const& [name, shape] : std::span{models}.first(2)) {
    for (auto const& placement : {placement::Sites::of(Qkv{}), placement::Sites::of(AllLinear{})}) {
      auto const setting = Setting{
          shape,    placement, quant::Any::parse("nf4"), uniprot_lengths(), {.tokens = 4'096},
          "uniprot"};
      benchmark::RegisterBenchmark(name_of("training", name, setting, "fp32").c_str(),
                                   train_together<float>, setting)
          ->UseManualTime()
          ->Iterations(2)
          ->Unit(benchmark::kMillisecond);
    }
  }
}

/// Says nothing.
class Silent : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(Context const&) override { return true; }
  void ReportRuns(std::vector<Run> const&) override {}
};

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
#if defined(QLORA_HAS_MPI)
  if (qlora::dist::is_launched()) {
    auto mpi = std::make_unique<qlora::dist::Mpi>();
    // Of a machine whose cores the launcher has not dealt out, ranks take equal parts.
    auto& threads = qlora::thread_count();
    if (threads == static_cast<int>(std::thread::hardware_concurrency())) {
      threads = std::max(1, threads / mpi->local_size());
    }
    bench::ranks() = qlora::dist::Any{std::move(mpi)};
  }
#endif
  bench::add_benchmarks();
  benchmark::Initialize(&argc, argv);
  auto silent = bench::Silent{};
  benchmark::RunSpecifiedBenchmarks(bench::ranks().rank() == 0 ? nullptr : &silent);
  bench::ranks() = {};
}
