// Where the tiles of Winograd's minimal filtering lie (conv2d_winograd_impl.h).
#pragma once

#include "ops/conv2d_impl.h"

namespace ranvier::RV_ISA::conv::winograd {

// Outputs (h, w) and on of image n, as many as are there.
struct Tile {
  int64_t n, h, w, rows, cols;
};

// 4x4 outputs each, numbered (image, row, column).
//
// The point at infinity counts for the last of 4 outputs alone: a tile of 3 does without it, 25
// products instead of 36. So where 4 does not divide the outputs of small images, tiles are as near
// to each other in size as can be: 7 is 4 + 3 and 14 is 4 + 4 + 3 + 3, 16 % fewer products than
// 4 + 4 and 4 + 4 + 4 + 4. Tiles with the same points follow each other: first 4 rows and 3 columns
// of outputs, then 4 and 4, 3 and 4, 3 and 3. In large images that would gain little and part
// neighbours, which share pixels.
struct Tiles {
  int64_t h, w, count;
  int64_t fours_h, fours_w;  // along each axis, the tiles of 4, which come first
  int64_t kinds[4];          // where each kind ends
  int64_t rows, cols;
  explicit Tiles(const Correlation<float>& p)
      : h(ceil_div(p.rows, 4)),
        w(ceil_div(p.cols, 4)),
        count(p.images * h * w),
        fours_h(p.rows <= kConv2dEven && p.cols <= kConv2dEven ? max(0, p.rows - 3 * h) : h),
        fours_w(p.rows <= kConv2dEven && p.cols <= kConv2dEven ? max(0, p.cols - 3 * w) : w),
        rows(p.rows),
        cols(p.cols) {
    const int64_t threes_h = h - fours_h, threes_w = w - fours_w;
    kinds[0] = p.images * fours_h * threes_w;
    kinds[1] = kinds[0] + p.images * fours_h * fours_w;
    kinds[2] = kinds[1] + p.images * threes_h * fours_w;
    kinds[3] = kinds[2] + p.images * threes_h * threes_w;
  }
  // All of them are of one kind, and in the order of memory.
  RV_ALWAYS_INLINE bool alike() const { return kinds[0] == 0 && kinds[1] == count; }
  RV_ALWAYS_INLINE Tile at(int64_t t) const {
    const bool low = t >= kinds[1], right = t < kinds[0] || t >= kinds[2];
    t -= t < kinds[0] ? 0 : !low ? kinds[0] : !right ? kinds[1] : kinds[2];
    const int64_t down = low ? h - fours_h : fours_h, across = right ? w - fours_w : fours_w;
    const int64_t y = t / across % down, x = t % across, n = t / (across * down);
    const int64_t i = low ? 4 * fours_h + 3 * y : 4 * y, j = right ? 4 * fours_w + 3 * x : 4 * x;
    return {n, i, j, min(low ? 3 : 4, rows - i), min(right ? 3 : 4, cols - j)};
  }
  // Of the tiles t0 <= t < t1, those that need the point (i, j) of E x E.
  template <int E>
  RV_ALWAYS_INLINE void cut(int64_t i, int64_t j, int64_t* t0, int64_t* t1) const {
    if (i == E - 1) *t1 = min(*t1, kinds[1]);
    if (j == E - 1) *t0 = max(*t0, kinds[0]), *t1 = min(*t1, kinds[2]);
    *t1 = max(*t0, *t1);
  }
};

// at[i * E + j] = pixel (h + i * step, w + j * step) of an image with rows of `row` numbers, or
// `zeros` outside of it.
template <int E>
void find_pixels(const float* image, int64_t height, int64_t width, int64_t row, int64_t pixel,
                 int64_t h, int64_t w, int64_t step, const float* zeros,
                 const float* (&at)[E * E]) {
  for (int64_t i = 0; i < E; ++i, h += step) {
    const bool inside = h >= 0 && h < height;
    const float* from = image + h * row + w * pixel;
    for (int64_t j = 0; j < E; ++j, from += step * pixel) {
      const int64_t v = w + j * step;
      at[i * E + j] = inside && v >= 0 && v < width ? from : zeros;
    }
  }
}

}  // namespace ranvier::RV_ISA::conv::winograd
