#include "inspect_data.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <qlora/baseline/alignment.hpp>
#include <qlora/baseline/relatives.hpp>
#include <qlora/core/error.hpp>
#include <qlora/data/census.hpp>
#include <qlora/data/group_file.hpp>
#include <qlora/data/overlap.hpp>
#include <qlora/data/read.hpp>
#include <qlora/report/table.hpp>

#include "grouping.hpp"
#include "notes.hpp"

namespace qlora::cli {
namespace {

using report::Align;
using report::Cell;

struct File {
  std::string path;
  DataFormat format;
  bool grouped;  ///< families are the groups that a groups.tsv lists
  Census census;
  Contents contents;
  std::vector<Overlap> overlaps;  ///< with each file before it
};

/// The groups.tsv that `prepare` and `synth` leave beside their files.
std::optional<GroupFile> find_groups(std::vector<std::string> const& paths) try {
  auto const file = groups_beside(paths);
  return file.empty() ? std::nullopt : std::optional{GroupFile{file}};
} catch (InputError const& error) {  // nobody asked for it: it may belong to other data
  hold_note(error.what());
  return std::nullopt;
}

File read(std::string const& path, std::optional<GroupFile> const& groups,
          std::vector<File> const& before) {
  auto file = File{.path = path,
                   .format = recognise(path),
                   .grouped = false,
                   .census = {},
                   .contents = {},
                   .overlaps = std::vector<Overlap>(before.size())};
  for_each_annotated(path, file.format, [&](AnnotatedProtein protein) {
    auto const* const listed = groups ? groups->find(protein.id) : nullptr;
    if (listed != nullptr) {
      file.grouped = true;
      protein.family = listed->group;
      std::ranges::replace(protein.family, ',',
                           ';');  // of a family, what follows is no superfamily
    }
    file.census.add(protein);
    file.contents.add(protein);
    for (auto i = std::size_t{0}; i < before.size(); ++i) {
      file.overlaps[i].add(protein, before[i].contents);
    }
  });
  return file;
}

std::string fixed(double value, int decimals) {
  return Cell{value}.rounded(decimals);
}

/// A table with a column a file; rows where every file would say the same nothing are left out.
class ByFile {
 public:
  ByFile(std::string heading, std::vector<File> const& files) : files_{files} {
    auto columns = std::vector<report::Column>{{std::move(heading), Align::left}};
    for (auto const& file : files) columns.push_back({file.path});
    table_.emplace(std::move(columns));
  }

  template <class Value>
  ByFile& add(std::string name, Value&& value) {
    auto row = std::vector<Cell>{std::move(name)};
    for (auto const& file : files_) row.emplace_back(std::invoke(value, file));
    table_->add(std::move(row));
    return *this;
  }
  /// Of counts; a row of zeros is none.
  template <class Count>
  ByFile& add_some(std::string name, Count&& count) {
    auto const is_some = [&](File const& file) { return std::invoke(count, file) > 0; };
    return std::ranges::any_of(files_, is_some) ? add(std::move(name), count) : *this;
  }

  void print() const { std::cout << table_->text(report::Terminal::of(stdout)); }

 private:
  std::vector<File> const& files_;
  std::optional<report::Table> table_;
};

void print_counts(std::vector<File> const& files) {
  auto table = ByFile{"data", files};
  auto const is_labelled = [](Census const& census) {
    return census.positives + census.negatives > 0;
  };
  table.add("format", [](File const& file) { return std::string{format_name(file.format)}; })
      .add("records", [](File const& file) { return file.census.lengths.size(); })
      .add("residues", [](File const& file) { return file.census.residues; })
      .add_some("letters beyond the twenty", [](File const& file) { return file.census.unusual; })
      .add("positives", [](File const& file) { return file.census.positives; })
      .add("negatives", [](File const& file) { return file.census.negatives; })
      .add("unknown", [](File const& file) { return file.census.unknown(); })
      .add("prevalence",
           [&](File const& file) {
             return is_labelled(file.census) ? fixed(file.census.prevalence(), 4) : "-";
           })
      .add("balanced class weights",
           [](File const& file) {
             auto const& census = file.census;
             if (census.positives == 0 || census.negatives == 0) return std::string{"-"};
             auto const weight = [&](std::size_t count) {
               return fixed(static_cast<double>(census.positives + census.negatives) / 2. /
                                static_cast<double>(count),
                            4);
             };
             return weight(census.negatives) + ", " + weight(census.positives);
           })
      .add("records with sites", [](File const& file) { return file.census.with_sites; });
  for (auto const& [name, share] : {std::pair{"shortest", 0.},
                                    {"median length", .5},
                                    {"90 % are at most", .9},
                                    {"longest", 1.}}) {
    table.add(name, [&, share = share](File const& file) { return file.census.length(share); });
  }
  auto const of = [](bool grouped) {
    return [=](File const& file) {
      return file.grouped == grouped ? file.census.superfamilies.size() : 0;
    };
  };
  table
      .add_some("families",
                [](File const& file) { return file.grouped ? 0 : file.census.families.size(); })
      .add_some("superfamilies", of(false))
      .add_some("groups", of(true));
  auto const has_families = [](File const& file) { return !file.census.families.empty(); };
  if (std::ranges::any_of(files, has_families)) {
    table.add_some("without a family or group",
                   [](File const& file) { return file.census.without_family; });
  }
  auto reasons = SkipCounts{};
  for (auto const& file : files) {
    if (file.format == DataFormat::fasta) continue;  // which has none anyway
    reasons.insert(file.census.unlabelled.begin(), file.census.unlabelled.end());
  }
  for (auto const& [reason, ignored] : reasons) {
    table.add("without labels: " + reason, [&, &reason = reason](File const& file) {
      auto const found = file.census.unlabelled.find(reason);
      return found == file.census.unlabelled.end() ? std::size_t{0} : found->second;
    });
  }
  table.print();
}

/// Sites by kind and evidence, and the ligands that most of them name.
void print_sites(std::vector<File> const& files) {
  constexpr auto kinds = std::array<std::string_view, 2>{"binding", "active"};
  constexpr auto evidence =
      std::array<std::string_view, 3>{"automatic or none", "by a curator", "experimental"};
  auto const lists_sites = [](File const& file) {
    return file.format == DataFormat::uniprot_tsv || file.format == DataFormat::uniprot_text;
  };
  if (std::ranges::none_of(files, lists_sites)) return;
  auto sites = ByFile{"annotated sites", files};
  for (auto kind = std::size_t{0}; kind < kinds.size(); ++kind) {
    for (auto how = evidence.size(); how-- > 0;) {
      sites.add(std::string{kinds[kind]} + ", " + std::string{evidence[how]},
                [=](File const& file) { return file.census.sites[kind][how]; });
    }
  }
  sites.add_some("at uncertain positions",
                 [](File const& file) { return file.census.unplaced_sites; });
  std::cout << "\n";
  sites.print();

  constexpr auto most_ligands = std::size_t{10};
  auto total = std::map<std::string, std::size_t, std::less<>>{};
  for (auto const& file : files) {
    for (auto const& [name, count] : file.census.ligands) total[name] += count;
  }
  if (total.empty()) return;
  auto ranked = std::vector<std::pair<std::string, std::size_t>>(total.begin(), total.end());
  auto const shown = std::min(most_ligands, ranked.size());
  std::ranges::partial_sort(ranked, ranked.begin() + static_cast<std::ptrdiff_t>(shown),
                            std::ranges::greater{}, [](auto const& one) { return one.second; });
  ranked.resize(shown);
  auto ligands = ByFile{"ligands, of " + std::to_string(total.size()), files};
  for (auto const& [name, ignored] : ranked) {
    ligands.add(printable(name), [&, &name = name](File const& file) {
      auto const found = file.census.ligands.find(name);
      return found == file.census.ligands.end() ? std::size_t{0} : found->second;
    });
  }
  std::cout << "\n";
  ligands.print();
}

/// How many proteins are how long, with bars.
void print_lengths(std::vector<File> const& files) {
  constexpr auto ends =
      std::to_array<std::uint32_t>({50, 100, 200, 300, 400, 500, 750, 1000, 2000, 5000, 35'000});
  constexpr auto longest_bar = 24.;
  using Counts = std::array<std::size_t, ends.size() + 1>;
  auto counts = std::vector<Counts>(files.size());
  auto columns = std::vector<report::Column>{{"length"}};
  auto lowest = ends.size();
  auto highest = std::size_t{0};
  for (auto f = std::size_t{0}; f < files.size(); ++f) {
    for (auto const length : files[f].census.lengths) {
      auto const bin =
          static_cast<std::size_t>(std::ranges::lower_bound(ends, length) - ends.begin());
      ++counts[f][bin];
      lowest = std::min(lowest, bin);
      highest = std::max(highest, bin);
    }
    columns.push_back({files.size() == 1 ? "proteins" : files[f].path});
    columns.push_back({"", Align::left});
  }
  auto table = report::Table{columns};
  for (auto bin = lowest; bin <= highest; ++bin) {
    auto const first = std::to_string(bin == 0 ? 1 : ends[bin - 1] + 1);
    auto row = std::vector<Cell>{bin < ends.size() ? first + "-" + std::to_string(ends[bin])
                                                   : first + " and more"};
    for (auto const& of_file : counts) {
      auto const most = static_cast<double>(std::ranges::max(of_file));
      auto const cells = longest_bar * static_cast<double>(of_file[bin]) / most;
      row.emplace_back(of_file[bin]);
      row.emplace_back(std::string(static_cast<std::size_t>(std::lround(cells)), '#'));
    }
    table.add(std::move(row));
  }
  std::cout << "\n" << table.text(report::Terminal::of(stdout));
}

/// For each record of `file`, the share of its residues that the nearest of `others` has, too.
std::vector<double> nearest(std::string const& path, std::vector<Protein> const& others,
                            report::Progress::Style style) {
  constexpr auto candidates = std::size_t{5};
  auto relatives = baseline::Relatives{};
  for (auto const& other : others) relatives.add(other.sequence);
  auto const proteins = read_proteins(path);
  auto progress = report::Progress{"nearest relatives of " + path,
                                   static_cast<double>(proteins.size()), "proteins", style};
  auto shares = std::vector<double>{};
  for (auto const& protein : proteins) {
    auto best = std::size_t{0};
    for (auto const number : relatives.of(protein.sequence, candidates)) {
      auto const& other = others[number].sequence;
      auto const found = baseline::align(protein, others[number]);
      best = std::max(best, baseline::identical(found, protein.sequence, other));
    }
    shares.push_back(static_cast<double>(best) / static_cast<double>(protein.sequence.size()));
    progress.update(static_cast<double>(shares.size()));
  }
  return shares;
}

/// What each file shares with those before it.
void print_overlaps(std::vector<File> const& files, bool relatives, report::Progress::Style style) {
  auto columns = std::vector<report::Column>{
      {"records of", Align::left},
      {"that are in", Align::left},
      {"by identifier"},
      {"of other sequence"},
      {"by sequence"},
      {std::ranges::any_of(files, &File::grouped) ? "by group" : "by superfamily"}};
  constexpr auto limits = std::to_array({.9, .5, .3});
  if (relatives) {
    for (auto const limit : limits) columns.push_back({">= " + fixed(limit, 1) + " identical"});
  }
  auto table = report::Table{columns};
  for (auto second = std::size_t{1}; second < files.size(); ++second) {
    for (auto first = std::size_t{0}; first < second; ++first) {
      auto const& overlap = files[second].overlaps[first];
      auto const knows_families = !files[first].contents.superfamilies.empty() &&
                                  !files[second].contents.superfamilies.empty();
      auto row = std::vector<Cell>{
          files[second].path, files[first].path,
          overlap.id,         overlap.contradicts,
          overlap.sequence,   knows_families ? Cell{overlap.superfamily} : Cell{"-"}};
      if (relatives) {
        auto const shares = nearest(files[second].path, read_proteins(files[first].path), style);
        for (auto const limit : limits) {
          row.emplace_back(
              std::ranges::count_if(shares, [&](double share) { return share >= limit; }));
        }
      }
      table.add(std::move(row));
    }
  }
  std::cout << "\n" << table.text(report::Terminal::of(stdout));
}

}  // namespace

void inspect_data(std::vector<std::string> const& paths, bool relatives,
                  report::Progress::Style style) {
  auto files = std::vector<File>{};
  auto const groups = find_groups(paths);
  for (auto const& path : paths) files.push_back(read(path, groups, files));
  print_counts(files);
  print_sites(files);
  print_lengths(files);
  if (files.size() > 1) print_overlaps(files, relatives, style);
}

std::vector<std::string> data_sets_in(std::string const& folder) {
  auto sets = std::vector<std::string>{};
  for (auto const* const name : {"train.txt", "valid.txt", "test.txt"}) {
    auto const path = std::filesystem::path{folder} / name;
    auto ignored = std::error_code{};
    if (std::filesystem::is_regular_file(path, ignored)) sets.push_back(path.string());
  }
  return sets;
}

}  // namespace qlora::cli
