/// Content as gzip compresses it.
#pragma once

#if defined(QLORA_HAS_ZLIB)

#include <string>
#include <string_view>

#include <zlib.h>

namespace qlora::testing {

inline std::string gzipped(std::string_view content) {
  auto stream = ::z_stream{};
  constexpr auto gzip = 16;
  constexpr auto memory = 8;
  ::deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, MAX_WBITS + gzip, memory,
                 Z_DEFAULT_STRATEGY);
  auto out = std::string(::deflateBound(&stream, content.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  ::deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  return out;
}

}  // namespace qlora::testing

#endif
