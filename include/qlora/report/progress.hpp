/// How far a long piece of work has come: a live bar on a terminal, plain lines elsewhere.
///
///     auto progress = report::Progress{"train", steps, "steps"};
///     for (...) progress.update(done, "loss 0.4149");
///     progress.finish();
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

#include <qlora/report/terminal.hpp>

namespace qlora::inline v1::report {

/// "12 s", "3:07", "2:05:00".
inline std::string duration(double seconds) {
  auto const whole = std::llround(seconds);
  char text[32];
  if (whole < 60) {
    std::snprintf(text, sizeof text, "%lld s", whole);
  } else if (whole < 3600) {
    std::snprintf(text, sizeof text, "%lld:%02lld", whole / 60, whole % 60);
  } else {
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60,
                  whole % 60);
  }
  return text;
}

/// A number with its thousand, million or thousand million as k, M or G: "42", "3.96k".
inline std::string magnitude(double value) {
  auto unit = std::string{};
  for (auto const* const next : {"k", "M", "G"}) {
    if (std::abs(value) < 1000.) break;
    value /= 1000.;
    unit = next;
  }
  char text[32];
  auto const decimals = unit.empty() || value >= 100. ? 0 : value >= 10. ? 1 : 2;
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text + unit;
}

class Progress {
 public:
  enum class Style { automatic, silent };

  /// `total` units of work are expected; 0 where nobody knows.
  Progress(std::string label, double total, std::string unit, Style style = Style::automatic,
           std::FILE* stream = stderr)
      : label_{std::move(label)},
        unit_{std::move(unit)},
        total_{total},
        silent_{style == Style::silent},
        stream_{stream},
        terminal_{Terminal::of(stream)} {}
  Progress(Progress const&) = delete;
  Progress& operator=(Progress const&) = delete;
  ~Progress() { finish(); }

  /// So many units were done before: they count as behind, but not for the rate.
  void start_from(double done) { before_ = done_ = done; }

  /// `done` units lie behind; `note` follows the numbers. Draws at most ten times a second on a
  /// terminal, and a line every ten seconds elsewhere.
  void update(double done, std::string_view note = {}) {
    done_ = done;
    note_ = note;
    if (silent_) return;
    auto const now = Clock::now();
    auto const pause =
        terminal_.width > 0 ? std::chrono::milliseconds{100} : std::chrono::seconds{10};
    if (now - drawn_ < pause) return;
    drawn_ = now;
    draw();
  }

  /// The last state, as a line that stays; later calls do nothing. Where there is no terminal, work
  /// of less than a second leaves no line.
  void finish() {
    if (std::exchange(silent_, true) || done_ == before_) return;
    if (terminal_.width == 0 && Clock::now() - start_ < std::chrono::seconds{1}) return;
    draw();
    if (terminal_.width > 0) std::fputc('\n', stream_);
  }

  /// What is shown, without the line's end: label, bar, units, rate, note, time left or taken.
  std::string line() const {
    auto const seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    auto const rate = seconds > 0. ? (done_ - before_) / seconds : 0.;
    auto const complete = total_ > 0. && done_ >= total_;
    auto text = " " + magnitude(done_);
    if (total_ > 0.) text += "/" + magnitude(total_);
    text += " " + unit_ + ", " + magnitude(rate) + "/s";
    if (!note_.empty()) text += ", " + note_;
    auto const known = !complete && total_ > 0. && rate > 0.;
    text += ", " + (known ? duration((total_ - done_) / rate) + " left" : duration(seconds));
    return label_ + bar(label_.size() + text.size()) + text;
  }

 private:
  using Clock = std::chrono::steady_clock;

  /// The bar in what `taken` characters leave of a terminal's line.
  std::string bar(std::size_t taken) const {
    constexpr auto frame = std::size_t{4};  // " [] " and the line's last column
    constexpr auto least = std::size_t{5};
    if (total_ == 0. || terminal_.width < taken + frame + least) return {};
    auto const cells = std::min(terminal_.width - taken - frame, std::size_t{20});
    auto const share = std::min(1., done_ / total_);
    auto const full = static_cast<std::size_t>(share * static_cast<double>(cells));
    return " [" + std::string(full, '#') + std::string(cells - full, '.') + "]";
  }

  void draw() {
    auto text = line();
    if (terminal_.width == 0) {
      std::fprintf(stream_, "%s\n", text.c_str());
    } else {
      text.resize(terminal_.width - 1, ' ');
      auto const label = terminal_.styled(label_, report::Style::strong);
      text.replace(0, std::min(label_.size(), text.size()), label);
      std::fprintf(stream_, "\r%s", text.c_str());
    }
    std::fflush(stream_);
  }

  std::string label_, unit_, note_;
  double total_;
  double done_ = 0., before_ = 0.;
  bool silent_;
  std::FILE* stream_;
  Terminal terminal_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point drawn_ = start_;
};

}  // namespace qlora::inline v1::report
