/// Streams, events and graphs on the CPU. What is asked of a stream is done when somebody waits for
/// it, streams taking turns in a random order, so that results show where an order was forgotten.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "emulation/fibers.hpp"

namespace emulation {

/// A place in a stream: reached or not.
using Mark = std::shared_ptr<bool>;

/// A kernel or a library's work in a graph.
struct Node {
  std::function<void()> run;
  /// The same kernel with other arguments.
  std::function<std::function<void()>(void**)> rebind;
  std::vector<Node*> after;
};
struct Graph {
  std::vector<std::unique_ptr<Node>> nodes;
};

struct Stream {
  struct Item {
    std::function<void()> run;
    Mark needs, reaches;
  };
  std::deque<Item> items;
  Graph* recorded = nullptr;  ///< the graph that work goes to
  std::vector<Node*> last;    ///< what the next node comes after
};

struct Event {
  Mark mark;
  Graph* recorded = nullptr;
  std::vector<Node*> last;
};

struct Queues {
  std::set<Stream*> streams;
  std::map<std::byte*, std::size_t> pinned;
  std::mt19937_64 random{1};
  std::exception_ptr failure;
};

inline Queues& queues() {
  static Queues queues;
  return queues;
}

inline bool is_pinned(void const* data) {
  auto const next = queues().pinned.upper_bound(static_cast<std::byte*>(const_cast<void*>(data)));
  if (next == queues().pinned.begin()) return false;
  auto const& [first, bytes] = *std::prev(next);
  return static_cast<std::byte const*>(data) < first + bytes;
}

/// Does one piece of work of a stream that has some; false when all wait for others.
inline bool advance() {
  auto ready = std::vector<Stream*>{};
  for (auto* const stream : queues().streams) {
    if (stream->items.empty()) continue;
    auto const& needs = stream->items.front().needs;
    if (needs == nullptr || *needs) ready.push_back(stream);
  }
  if (ready.empty()) return false;
  auto& items = ready[queues().random() % ready.size()]->items;
  auto const item = std::move(items.front());
  items.pop_front();
  if (item.run) item.run();
  if (item.reaches != nullptr) *item.reaches = true;
  return true;
}

/// Works until `done()`. Throws what a kernel threw, and Error when nothing can go on.
template <class Done>
void work_until(Done&& done) {
  if (queues().failure) std::rethrow_exception(std::exchange(queues().failure, nullptr));
  while (!done()) {
    if (!advance()) throw Error{"streams wait for each other"};
  }
}
inline void finish_all() {
  work_until([] {
    return std::ranges::all_of(queues().streams,
                               [](auto* stream) { return stream->items.empty(); });
  });
}
/// The same where nothing may be thrown: whoever waits next is told.
inline void finish_quietly() noexcept {
  try {
    finish_all();
  } catch (...) {
    queues().failure = std::current_exception();
    for (auto* const stream : queues().streams) stream->items.clear();
  }
}

/// Puts work into a stream, or into the graph that is being recorded.
inline void enqueue(Stream& stream, std::function<void()> run,
                    std::function<std::function<void()>(void**)> rebind = {}) {
  if (stream.recorded == nullptr) {
    stream.items.push_back({std::move(run), {}, {}});
    return;
  }
  auto node = std::make_unique<Node>(Node{std::move(run), std::move(rebind), stream.last});
  stream.last = {node.get()};
  stream.recorded->nodes.push_back(std::move(node));
}

inline void record(Event& event, Stream& stream) {
  event.recorded = stream.recorded;
  event.last = stream.last;
  event.mark = std::make_shared<bool>(false);
  if (stream.recorded == nullptr) stream.items.push_back({{}, {}, event.mark});
}
inline void wait(Stream& stream, Event const& event) {
  if (event.recorded == nullptr && stream.recorded == nullptr) {
    if (event.mark != nullptr) stream.items.push_back({{}, event.mark, {}});
    return;
  }
  if (event.recorded == nullptr) throw Error{"a recording waits for an event outside of it"};
  if (std::ranges::none_of(queues().streams,
                           [&](auto* other) { return other->recorded == event.recorded; })) {
    throw Error{"a stream waits for the inside of a recording"};
  }
  if (stream.recorded == nullptr) {
    stream.recorded = event.recorded;
    stream.last.clear();
  }
  if (stream.recorded != event.recorded) throw Error{"an event of another recording"};
  stream.last.insert(stream.last.end(), event.last.begin(), event.last.end());
}

inline void begin_recording(Stream& stream) {
  stream.recorded = new Graph;
  stream.last.clear();
}
/// What was asked for since. Throws Error unless all of it comes together in `stream`.
inline std::unique_ptr<Graph> end_recording(Stream& stream) {
  auto graph = std::unique_ptr<Graph>{stream.recorded};
  for (auto* const other : queues().streams) {
    if (other->recorded == graph.get()) other->recorded = nullptr;
  }
  auto joined = std::set<Node*>{};
  auto open = stream.last;
  while (!open.empty()) {
    auto* const node = open.back();
    open.pop_back();
    if (joined.insert(node).second) open.insert(open.end(), node->after.begin(), node->after.end());
  }
  if (joined.size() != graph->nodes.size()) {
    throw Error{"a recording ends before work of its streams"};
  }
  return graph;
}

/// The graph's work as it is now, in a random order that its edges allow.
inline std::function<void()> work_of(Graph const& graph) {
  struct Step {
    std::function<void()> run;
    std::vector<std::size_t> after;
  };
  auto steps = std::vector<Step>{};
  auto number = std::map<Node*, std::size_t>{};
  for (auto const& node : graph.nodes) {
    number[node.get()] = steps.size();
    steps.push_back({node->run, {}});
    for (auto* const other : node->after) steps.back().after.push_back(number.at(other));
  }
  return [steps] {
    auto left = std::vector<std::size_t>(steps.size());
    std::iota(left.begin(), left.end(), std::size_t{0});
    auto done = std::vector<bool>(steps.size());
    while (!left.empty()) {
      auto const may_run = [&](std::size_t i) {
        return std::ranges::all_of(steps[i].after, [&](std::size_t other) { return done[other]; });
      };
      // The first one that is left can always run: nodes come after those they wait for.
      auto at = queues().random() % std::min<std::size_t>(left.size(), 8);
      while (!may_run(left[at])) --at;
      steps[left[at]].run();
      done[left[at]] = true;
      left.erase(left.begin() + static_cast<std::ptrdiff_t>(at));
    }
  };
}

}  // namespace emulation
