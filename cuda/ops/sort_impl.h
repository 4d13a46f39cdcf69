// The k smallest of each lane of keys, in order, with their places: what `sort` and drawing without
// replacement share.
//
// Tiles are sorted by a bitonic network (Batcher, "Sorting networks and their applications", AFIPS
// 1968), by shuffles where partners are in one warp, else in shared memory; then runs are merged
// two by two: each thread finds where its piece of the result begins by a binary search over both
// (Green, McColl and Bader, "GPU merge path", ICS 2012). Only the first k of a run go on. Equal
// keys keep the order of their places, so the result is one and the same however the work is cut.
#pragma once

#include "cuda/core/elementwise.h"

namespace ranvier::sorting {

struct Item {
  uint64_t key;
  uint32_t place;
  __device__ bool before(const Item& o) const {
    return key != o.key ? key < o.key : place < o.place;
  }
};

// A number whose unsigned order is the order of the elements: -0 equals 0, NaN comes last.
inline __device__ uint64_t key_of(double v) {
  if (v != v) return ~uint64_t{0};
  if (v == 0) v = 0;
  uint64_t bits;
  memcpy(&bits, &v, 8);
  return bits >> 63 ? ~bits : bits | uint64_t{1} << 63;
}
inline __device__ uint64_t key_of(int64_t v) {
  return static_cast<uint64_t>(v) ^ uint64_t { 1 } << 63;
}

// Runs of sorted items, `room` apart; lanes are `lane` apart.
struct Runs {
  uint64_t* keys;
  uint32_t* places;
  int64_t lane, room;
  __device__ Item at(int64_t i) const { return {keys[i], places[i]}; }
  __device__ void put(int64_t i, const Item& item) const {
    keys[i] = item.key;
    places[i] = item.place;
  }
};

// The end of a merge to runs of `size`, whose partners are less than a warp apart; i is the item's
// place in the tile. Most steps of the network are such, and need neither barriers nor memory.
inline __device__ void merge_in_warp(Item& item, int i, int size) {
  for (int stride = size / 2 < 16 ? size / 2 : 16; stride > 0; stride /= 2) {
    const Item other{__shfl_xor_sync(0xffffffffu, item.key, stride),
                     __shfl_xor_sync(0xffffffffu, item.place, stride)};
    const bool first = (i & stride) == 0, rising = (i & size) == 0;
    if (other.before(item) == (first == rising)) item = other;
  }
}

// A block per tile of a lane: keys (lanes, n) to sorted runs of at most k.
template <int TILE, int THREADS>
__global__ void __launch_bounds__(THREADS)
    tile_sort_kernel(const uint64_t* keys, int64_t n, int64_t k, int64_t lanes, Runs to) {
  RV_SHARED(uint64_t, key, TILE);
  RV_SHARED(uint32_t, place, TILE);
  static_assert(TILE % THREADS == 0 && THREADS % 32 == 0 && TILE > 32);
  const int me = static_cast<int>(threadIdx.x);
  const int64_t tiles = (n + TILE - 1) / TILE;
  for (int64_t b = blockIdx.x; b < lanes * tiles; b += gridDim.x) {
    const int64_t lane = b / tiles, tile = b % tiles, first = tile * TILE;
    for (int i = me; i < TILE; i += THREADS) {
      const bool inside = first + i < n;
      Item item{inside ? keys[lane * n + first + i] : ~uint64_t{0},
                inside ? static_cast<uint32_t>(first + i) : ~uint32_t{0}};
      for (int size = 2; size <= 32; size *= 2) merge_in_warp(item, i, size);
      key[i] = item.key;
      place[i] = item.place;
    }
    for (int size = 64; size <= TILE; size *= 2) {
      for (int stride = size / 2; stride >= 32; stride /= 2) {
        __syncthreads();
        for (int p = me; p < TILE / 2; p += THREADS) {
          const int i = 2 * p - (p & (stride - 1)), j = i + stride;
          const Item a{key[i], place[i]}, z{key[j], place[j]};
          const bool rising = (i & size) == 0;
          if (rising ? z.before(a) : a.before(z)) {
            key[i] = z.key;
            place[i] = z.place;
            key[j] = a.key;
            place[j] = a.place;
          }
        }
      }
      __syncthreads();
      for (int i = me; i < TILE; i += THREADS) {
        Item item{key[i], place[i]};
        merge_in_warp(item, i, size);
        if (size < TILE) {
          key[i] = item.key;
          place[i] = item.place;
        } else if (i < k && first + i < n) {
          to.put(lane * to.lane + tile * to.room + i, item);
        }
      }
    }
  }
}

// Pairs of neighbouring runs, each of `width` elements before they were cut to k, to runs of twice
// the width. A thread writes kMerged items.
constexpr int kMerged = 8;
struct Merge {
  Runs from, to;
  int64_t n, k, width, pieces;  // pieces of a lane
  __device__ int64_t length(int64_t begin, int64_t size) const {
    const int64_t inside = begin >= n ? 0 : n - begin < size ? n - begin : size;
    return inside < k ? inside : k;
  }
  __device__ void operator()(int64_t e) const {
    const int64_t lane = e / pieces, per_run = (to.room + kMerged - 1) / kMerged;
    const int64_t run = e % pieces / per_run, first = e % pieces % per_run * kMerged;
    const int64_t begin = run * 2 * width, count = length(begin, 2 * width);
    if (first >= count) return;
    const int64_t a_count = length(begin, width), b_count = length(begin + width, width);
    const int64_t a = lane * from.lane + 2 * run * from.room, b = a + from.room;
    // How many of the first `first` results come from a.
    int64_t low = first > b_count ? first - b_count : 0, high = first < a_count ? first : a_count;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (from.at(a + middle).before(from.at(b + first - middle - 1)))
        low = middle + 1;
      else
        high = middle;
    }
    int64_t i = low, j = first - low;
    const int64_t out = lane * to.lane + run * to.room + first;
    for (int64_t s = 0; s < kMerged && first + s < count; ++s) {
      const bool take_a = j >= b_count || (i < a_count && from.at(a + i).before(from.at(b + j)));
      to.put(out + s, from.at(take_a ? a + i++ : b + j++));
    }
  }
};

// Sorts lanes of keys that `fill(keys)` launches the writing of, (lanes, n) dense; then
// use(runs) finds the k first of lane l, in order, at runs.lane * l.
template <class Fill, class Use>
void smallest(const Context& c, int64_t lanes, int64_t n, int64_t k, const Fill& fill,
              const Use& use) {
  RV_CHECK(n < int64_t{1} << 32, c.kernel, Runtime,
           "expected lanes of less than 2^32 elements, got ", n, " - sort on the cpu");
  const bool narrow = n <= 64;
  const int64_t tile = narrow ? 64 : 1024, tiles = divide_up(n, tile);
  auto room = [&](int64_t width) { return width < k ? width : k; };
  int64_t lane = tiles * room(tile);
  if (lane > n) lane = n;
  const Scratch key_memory(c, lanes * (n + lane) * 8), place_memory(c, lanes * 2 * lane * 4);
  uint64_t* keys = key_memory.as<uint64_t>();
  uint32_t* places = place_memory.as<uint32_t>();
  // The keys as they came, n a lane, are overwritten once the tiles are sorted.
  Runs here{keys + lanes * n, places, lane, room(tile)};
  Runs there{keys, places + lanes * lane, lane, 0};
  fill(keys);
  const int64_t blocks = lanes * tiles;
  const auto grid = static_cast<unsigned>(blocks < kEachBlocks ? blocks : kEachBlocks);
  const uint64_t* source = keys;
  if (narrow)
    launch(c, grid, 32, tile_sort_kernel<64, 32>, source, n, k, lanes, here);
  else
    launch(c, grid, 256, tile_sort_kernel<1024, 256>, source, n, k, lanes, here);
  for (int64_t width = tile; width < n; width *= 2) {
    there.room = room(2 * width);
    const int64_t pieces = divide_up(n, 2 * width) * divide_up(there.room, kMerged);
    each_index(c, lanes * pieces, Merge{here, there, n, k, width, pieces});
    const Runs done = there;
    there = here;
    here = done;
  }
  use(here);
}

}  // namespace ranvier::sorting
