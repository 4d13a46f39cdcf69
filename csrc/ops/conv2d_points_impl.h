// The transforms of Winograd's minimal filtering, of one vector of channels; where they come from
// says conv2d_winograd_impl.h. Overloads by the edge of a patch: 6 for 3 taps, 5 for 2.
#pragma once

#include "core/simd.h"

namespace ranvier::RV_ISA::conv::winograd {

using F = Vec<float>;

// B' d: each row is the product of all points but its own, as a polynomial.
template <class V>
RV_INLINE void input_points(const V (&d)[6], V (&t)[6]) {
  const V a = d[4] - d[2], b = d[3] - d[1];
  t[0] = fma(V(1.5f), b, a + (d[0] - d[2]));
  t[1] = fma(V(1.5f), d[2] + d[3], a + b);
  t[2] = fma(V(1.5f), d[3] - d[2], a - b);
  t[3] = fma(V(2.0f), b, a);
  t[4] = fnma(V(0.5f), b, a);
  t[5] = fma(V(1.5f), a, (d[5] - d[3]) - b);
}

template <class V>
RV_INLINE void input_points(const V (&d)[5], V (&t)[5]) {
  const V a = d[4] - d[2], b = d[3] - d[1];
  t[0] = fma(V(0.5f), d[0] - d[2], b);
  t[1] = fma(V(0.5f), d[2] - d[1], d[3]);
  t[2] = fma(V(0.5f), d[1] - d[2], d[3] - d[2]);
  t[3] = b;
  t[4] = fnma(V(0.5f), b, a);
}

// G g: the polynomial g at each point, over the product of that point's distances.
RV_INLINE void weight_points(const F (&g)[3], F (&t)[6]) {
  const F third(1.0f / 3), fifteenth(1.0f / 15);
  const F even = (g[0] + g[2]) * third;
  t[0] = g[0];
  t[1] = fma(g[1], third, even);
  t[2] = fma(g[1], third, -even);
  t[3] = fma(F(4.0f), g[0], fma(F(2.0f), g[1], g[2])) * F(-4.0f / 15);
  t[4] = fma(F(4.0f), g[2], fnma(F(2.0f), g[1], g[0])) * fifteenth;
  t[5] = g[2];
}
RV_INLINE void weight_points(const F (&g)[2], F (&t)[5]) {
  t[0] = g[0] + g[0];
  t[1] = g[0] + g[1];
  t[2] = (g[1] - g[0]) * F(1.0f / 3);
  t[3] = fma(F(2.0f), g[0], g[1]) * F(-4.0f / 3);
  t[4] = g[1];
}
// G' u
RV_INLINE void weight_sums(const F (&u)[6], F (&g)[3]) {
  const F third(1.0f / 3), fifteenth(1.0f / 15);
  const F odd = (u[1] - u[2]) * third;
  g[0] = fma(fnma(F(16.0f), u[3], u[4]), fifteenth, u[0] + odd);
  g[1] = fma(u[1] + u[2], third, fma(F(4.0f), u[3], u[4]) * F(-2.0f / 15));
  g[2] = fma(u[4] - u[3], F(4.0f / 15), u[5] + odd);
}

RV_INLINE void weight_sums(const F (&u)[5], F (&g)[2]) {
  const F third(1.0f / 3);
  g[0] = fma(F(2.0f), u[0], u[1]) - fma(F(8.0f), u[3], u[2]) * third;
  g[1] = fma(fnma(F(4.0f), u[3], u[2]), third, u[1] + u[4]);
}

// A' m
RV_INLINE void output_sums(const F (&m)[6], F (&y)[4]) {
  const F s = m[1] + m[2], d = m[1] - m[2];
  y[0] = (m[0] + s) + (m[3] + m[4]);
  y[1] = fma(F(0.5f), m[3], fnma(F(2.0f), m[4], d));
  y[2] = fma(F(0.25f), m[3], fma(F(4.0f), m[4], s));
  y[3] = fma(F(0.125f), m[3], fnma(F(8.0f), m[4], d + m[5]));
}
RV_INLINE void output_sums(const F (&m)[5], F (&y)[4]) {
  const F s = m[1] + m[2], d = m[1] - m[2];
  y[0] = (m[0] + m[3]) + s;
  y[1] = fma(F(0.5f), m[3], d);
  y[2] = fma(F(0.25f), m[3], s);
  y[3] = fma(F(0.125f), m[3], d + m[4]);
}
// A y: the polynomial y at each point.
RV_INLINE void output_points(const F (&y)[4], F (&t)[6]) {
  const F even = y[0] + y[2], odd = y[1] + y[3];
  t[0] = y[0];
  t[1] = even + odd;
  t[2] = even - odd;
  t[3] = fma(F(0.125f), y[3], fma(F(0.25f), y[2], fma(F(0.5f), y[1], y[0])));
  t[4] = fnma(F(8.0f), y[3], fma(F(4.0f), y[2], fnma(F(2.0f), y[1], y[0])));
  t[5] = y[3];
}

RV_INLINE void output_points(const F (&y)[4], F (&t)[5]) {
  const F even = y[0] + y[2], odd = y[1] + y[3];
  t[0] = y[0];
  t[1] = even + odd;
  t[2] = even - odd;
  t[3] = fma(F(0.125f), y[3], fma(F(0.25f), y[2], fma(F(0.5f), y[1], y[0])));
  t[4] = y[3];
}

// Applies `step`, From numbers to To, along both axes: load(i, j) gives and store(i, j, x) takes.
template <int From, int To, class Step, class Load, class Store>
RV_INLINE void both_axes(const Step& step, const Load& load, const Store& store) {
  F half[To][From];
#pragma GCC unroll 6
  for (int j = 0; j < From; ++j) {
    F x[From], t[To];
#pragma GCC unroll 6
    for (int i = 0; i < From; ++i) x[i] = load(i, j);
    step(x, t);
#pragma GCC unroll 6
    for (int i = 0; i < To; ++i) half[i][j] = t[i];
  }
#pragma GCC unroll 6
  for (int i = 0; i < To; ++i) {
    F t[To];
    step(half[i], t);
#pragma GCC unroll 6
    for (int j = 0; j < To; ++j) store(i, j, t[j]);
  }
}

}  // namespace ranvier::RV_ISA::conv::winograd
