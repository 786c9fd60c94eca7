// AMX: registers of 16 rows of 64 bytes, and products of them. In assembler, as compilers differ in
// what they call these instructions and know of no such registers. Rows of operands are words of
// two bf16 numbers, and of sums floats.

// What registers hold: sums of 16 x 16, and operands: left ones of 16 rows and right ones of 16
// columns, of 16 words or of as many as a chunk of features has.
enum Tile { sums, more_sums, left, more_left, right, chunk_left, more_chunk_left, chunk_right };

// Shapes the registers of this thread, and gives them back.
class Tiles {
 public:
  explicit Tiles(Index chunk) {
    struct {
      std::uint8_t palette = 1, start = 0, reserved[14] = {};
      std::uint16_t row_bytes[16] = {};
      std::uint8_t rows[16] = {};
    } shapes;
    for (auto t = 0; t < 8; ++t) {
      auto const narrow = t == chunk_left || t == more_chunk_left;
      shapes.row_bytes[t] = static_cast<std::uint16_t>(narrow ? 4 * chunk : 64);
      shapes.rows[t] = static_cast<std::uint8_t>(t == chunk_right ? chunk : 16);
    }
    __asm__ volatile("ldtilecfg %0" : : "m"(shapes));
  }
  Tiles(Tiles const&) = delete;
  Tiles& operator=(Tiles const&) = delete;
  ~Tiles() { __asm__ volatile("tilerelease"); }
};

template <Tile T>
QLORA_SIMD_INLINE void zero_tile() {
  __asm__ volatile("{tilezero %%tmm%c0|tilezero tmm%c0}" : : "i"(int{T}));
}

// From and to rows that are `stride` words apart.
template <Tile T>
QLORA_SIMD_INLINE void load_tile(void const* from, Index stride) {
  __asm__ volatile("{tileloadd (%1,%2,1), %%tmm%c0|tileloadd tmm%c0, [%1+%2*1]}"
                   :
                   : "i"(int{T}), "r"(from), "r"(4 * stride)
                   : "memory");
}
template <Tile T>
QLORA_SIMD_INLINE void store_tile(float* to, Index stride) {
  __asm__ volatile("{tilestored %%tmm%c0, (%1,%2,1)|tilestored [%1+%2*1], tmm%c0}"
                   :
                   : "i"(int{T}), "r"(to), "r"(4 * stride)
                   : "memory");
}

// c += a b.
template <Tile C, Tile A, Tile B>
QLORA_SIMD_INLINE void multiply_tiles() {
  __asm__ volatile("{tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0|tdpbf16ps tmm%c0, tmm%c1, tmm%c2}"
                   :
                   : "i"(int{C}), "i"(int{A}), "i"(int{B}));
}
