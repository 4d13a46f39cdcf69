// The workspace that csrc/ops/conv2d.h grants minimal filtering holds what its kernels put there,
// for vectors of 8 and 16 floats: the layouts of csrc/ops/conv2d_winograd_impl.h, counted again.
// tests/ops/test_conv2d_winograd.py builds and runs it; exits with 1 where anything is short.
#include "ops/conv2d.h"

#include <algorithm>
#include <cstdio>
#include <initializer_list>

using namespace ranvier;

namespace {

int64_t round_up(int64_t x, int64_t to) { return (x + to - 1) / to * to; }
int64_t plane(int64_t rows, int64_t row) { return round_up(rows * row, 32) + 16; }

// The patches of all tiles, or the filters of all blocks of outputs, at their points.
int64_t needed(const Conv2dMinimal& m, int64_t tiles, int64_t C, int64_t K, int64_t lanes) {
  const int64_t points = m.edge * m.edge, depth = m.phases * C;
  if (tiles < K) return points * plane(tiles, round_up(depth, lanes));
  const int64_t blocks = (K + kWinogradBlock - 1) / kWinogradBlock;
  const int64_t last = std::min(kWinogradBlock, round_up(K - (blocks - 1) * kWinogradBlock, lanes));
  return points * ((blocks - 1) * plane(depth, kWinogradBlock) + plane(depth, last));
}

int64_t checked = 0, short_of = 0;

void check(const char* pass, const Conv2dShape& s, int64_t need, int64_t given) {
  ++checked;
  if (need <= given || ++short_of > 20) return;
  std::printf("%s %ldx%ldx%ldx%ld -> %ld, %ldx%ld stride %ld: needs %ld, has %ld\n", pass,
              long(s.N), long(s.C), long(s.H), long(s.W), long(s.K), long(s.R), long(s.S),
              long(s.stride_h), long(need), long(given));
}

void check(const Conv2dShape& s) {
  const Conv2dMinimal m = conv2d_minimal(s);
  for (int64_t lanes : {8, 16}) {
    if (conv2d_stem(s)) {  // edge^2 points of every phase, in whole vectors of outputs
      const int64_t edge = conv2d_stem_cut(s).edge, phases = s.stride_h * s.stride_h;
      check("stem", s, edge * edge * phases * s.C * round_up(s.K, lanes),
            conv2d_workspace(s, true));
    } else if (conv2d_prefers_minimal(s)) {
      const int64_t tiles = conv2d_tiles(s.N, s.P, s.Q);
      check("forward", s, needed(m, tiles, s.C, s.K, lanes), conv2d_workspace(s, true));
    }
    if (conv2d_data_stem(s)) {
      const int64_t edge = conv2d_stem_cut(s).edge, phases = s.stride_h * s.stride_h;
      check("stem data", s, edge * edge * phases * s.C * round_up(s.K, lanes),
            conv2d_data_workspace(s, true));
    }
    for (int64_t a = 0; a < s.stride_h && conv2d_data_prefers_minimal(s); ++a) {  // classes
      const int64_t tiles = conv2d_tiles(s.N, (s.H + a) / s.stride_h, (s.W + a) / s.stride_w);
      check("data", s, needed({m.edge, s.stride_h > 1 ? 1 : m.phases}, tiles, s.K, s.C, lanes),
            conv2d_data_workspace(s, true));
    }
  }
  if (conv2d_weight_stem(s)) {
    const int64_t pieces = conv2d_stem_pieces(s);
    check("stem weight", s, pieces * (s.C * s.K * s.R * s.S + s.K),
          conv2d_weight_workspace(s, true));
  } else if (conv2d_weight_prefers_minimal(s)) {
    const int64_t pieces = conv2d_minimal_pieces(s);
    check("weight", s, pieces * (s.C * s.K * s.R * s.S + s.K), conv2d_weight_workspace(s, true));
  }
}

}  // namespace

int main() {
  for (int64_t taps : {2, 3, 4, 5, 7}) {
    for (int64_t stride : {1, 2}) {
      for (int64_t C = 2; C <= 150; C += C < 40 ? 3 : 13) {
        for (int64_t K = 8; K <= 150; K += K < 40 ? 3 : 13) {
          for (int64_t N : {1, 2, 5}) {
            for (int64_t H = 7; H < 40; H += 3) {
              const int64_t W = H + 1, P = (H + 2 - taps) / stride + 1;
              const int64_t Q = (W + 2 - taps) / stride + 1;
              check({N, C, H, W, K, P, Q, taps, taps, stride, stride, 1, 1, 1, 1, 1});
            }
          }
        }
      }
    }
  }
  std::printf("%ld checked, %ld short\n", long(checked), long(short_of));
  return short_of != 0 || checked < 1000;
}
