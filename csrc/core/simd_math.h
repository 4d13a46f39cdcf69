// Elementary functions on vectors: exp expm1 log log1p tanh sigmoid softplus erf sin cos tan pow
// rsqrt. For `*.simd.cpp` files; the rules of simd.h hold here too.
//
// float: polynomials and short range reductions, the same for every lane, so that a tail of three
// elements has the bits that a whole vector would have given them. The largest errors in units in
// the last place, denormal results included, measured by tests/cpp/simd_math_check.cpp against
// long double over every 31st float, the worst of the three x86-64 levels:
//
//   exp 1.01   expm1 1.56   log 0.80   log1p 1.38   tanh 1.32   sigmoid 2.00   softplus 1.63
//   erf 1.20   sin 1.57     cos 1.57   tan 0.57     pow 0.53 (by roots 1.43)    rsqrt 1.49
//
// exp, expm1, log, log1p, tanh and sigmoid never decrease where x increases (checked over every
// float). Denormals are read and written in full; NaN gives NaN; the limits are those of C:
// exp(-inf) = 0, log(0) = -inf, log(-1) = NaN, tanh(-0) = -0, pow(x, 0) = 1 and so on. Neither
// floating-point flags nor errno mean anything afterwards.
//
// double: one call of the C library per lane, within 2.1 ulp. Doubles serve gradient checks, where
// being right matters and speed does not.
//
// The coefficients are minimax fits of our own: tests/cpp/minimax.py prints them and their errors.
// Range reductions: Cody and Waite, Software Manual for the Elementary Functions (1980).
#pragma once

#include "core/simd.h"

namespace ranvier::RV_ISA {

// f(x) for every lane, one at a time; f is slow, so the loop stays one.
template <class T, class F>
RV_INLINE Vec<T> lanewise(Vec<T> x, const F& f) {
#pragma GCC unroll 1
  for (int i = 0; i < Vec<T>::N; ++i) x.v[i] = f(x.v[i]);
  return x;
}

// c0 + x (c1 + x (c2 + ...))
template <class T, class... C>
RV_INLINE Vec<T> polynomial(Vec<T> x, T c0, C... rest) {
  if constexpr (sizeof...(rest) == 0) {
    return Vec<T>(c0);
  } else {
    return fma(x, polynomial(x, rest...), Vec<T>(c0));
  }
}

// 2^n for n in [-126, 127].
RV_INLINE Vec<float> power_of_two(Vec<int32_t> n) { return from_bits((n + 127) << 23); }

// ---- exp and its relatives ---------------------------------------------------------------

// e^x = 2^n (1 + p), or 2^-n (1 + p), with p = e^r - 1, |r| <= ln(2) / 2.
struct ExpParts {
  Vec<float> p;
  Vec<float> n;
  Vec<int32_t> exponent;  // n as an integer
};

// Needs |x| <= 150 or NaN, which ends in p. Sign is that of n in the power.
template <int Sign = 1>
RV_INLINE ExpParts exp_parts(Vec<float> x) {
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
  const Vec<float> magic = 0x1.8p23f;
  const Vec<float> shifted = fma(x, Sign * 0x1.715476p0f, magic);
  const Vec<float> n = shifted - magic;
  // ln(2) in two parts; the first has so few bits that n times it is exact.
  Vec<float> r = fma(n, Sign * -0x1.62e4p-1f, x);
  r = fma(n, Sign * -0x1.7f7d1cp-20f, r);
  const Vec<float> q =
      polynomial(r, 0.49999994f, 0.166665167f, 0.0416681059f, 0.00836914033f, 0.00138367142f);
  return {fma(r * r, q, r), n, as_int(shifted) - as_int(magic)};
}

// a * 2^n, rounded once, for |n| <= 250. a is normal.
RV_INLINE Vec<float> scale(Vec<float> a, const ExpParts& parts) {
#if defined(__AVX512F__)
  return Vec<float>(_mm512_maskz_scalef_ps(0xffff, a.v, parts.n.v));
#else
  const Vec<int32_t> half = parts.exponent >> 1;
  return a * power_of_two(half) * power_of_two(parts.exponent - half);
#endif
}

RV_INLINE Vec<float> exp(Vec<float> x) {
  // Beyond these the result is 0 or infinite anyway. The order of arguments lets NaN through.
  x = min(Vec<float>(89.0f), max(Vec<float>(-104.0f), x));
  const ExpParts parts = exp_parts(x);
  return scale(parts.p + 1.0f, parts);
}

// e^x - 1, accurate near 0.
RV_INLINE Vec<float> expm1(Vec<float> x) {
  const Vec<float> y = min(Vec<float>(89.0f), max(Vec<float>(-50.0f), x));
  const ExpParts parts = exp_parts(y);
  // 2^n p + (2^n - 1). 2^128 is no float: there 2^127 is used, and the result doubled.
  const Vec<float> power = power_of_two(min(parts.exponent, Vec<int32_t>(127)));
  Vec<float> result = fma(power, parts.p, power - 1.0f);
  result += select(parts.n > 127.0f, result, 0.0f);
  return copysign(result, x);  // expm1(-0) = -0
}

// 1 / (1 + e^-x). Built from monotone steps, it is monotone itself, as e^x / (1 + e^x) is not.
RV_INLINE Vec<float> sigmoid(Vec<float> x) {
  // e^-x = 2^-n (1 + p), so the result is 2^n / (1 + p + 2^n): no overflow, and a result below
  // the smallest normal number keeps the bits it can.
  const ExpParts parts = exp_parts<-1>(min(Vec<float>(105.0f), max(Vec<float>(-60.0f), -x)));
#if defined(__AVX512F__)
  const Vec<float> power = scale(1.0f, parts);
#else
  const Vec<float> power = power_of_two(max(Vec<int32_t>(-60), parts.exponent));
#endif
  // Adding the smaller two terms first leaves one rounding that counts.
  const Vec<float> sum = (min(Vec<float>(1.0f), power) + parts.p) + max(Vec<float>(1.0f), power);
  return scale(1.0f / sum, parts);
}

// ---- log and its relatives ---------------------------------------------------------------

// x = 2^exponent * mantissa, mantissa in [sqrt(1/2), sqrt(2)); x is positive and normal.
struct LogParts {
  Vec<float> mantissa;
  Vec<int32_t> exponent;
};

RV_INLINE LogParts log_parts(Vec<float> x) {
  const int32_t root = 0x3f3504f3;  // the bits of sqrt(1/2)
  const Vec<int32_t> bits = as_int(x) - root;
  return {from_bits((bits & 0x007fffff) + root), bits >> 23};
}

// log(1 + f) + exponent * ln(2), for f in [sqrt(1/2) - 1, sqrt(2) - 1].
RV_INLINE Vec<float> log_sum(Vec<float> f, Vec<float> exponent) {
  const Vec<float> z = f * f;
  const Vec<float> q =
      polynomial(f, 0.333333135f, -0.250001669f, 0.200022221f, -0.16659373f, 0.142096385f,
                 -0.125495687f, 0.121078841f, -0.109170064f, 0.0534256548f);
  Vec<float> y = fma(exponent, 0x1.7f7d1cp-20f, f * z * q);
  y = fnma(z, 0.5f, y) + f;
  return fma(exponent, 0x1.62e4p-1f, y);
}

RV_INLINE Vec<float> log(Vec<float> x) {
#if defined(__AVX512F__)
  // The same parts by instructions that take denormals as they are; of 0, infinity and what has no
  // logarithm they make -infinity, infinity and NaN, which go through the sum.
  const Vec<float> m(_mm512_maskz_getmant_ps(0xffff, x.v, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_nan));
  const Vec<float> e(_mm512_maskz_getexp_ps(0xffff, x.v));
  const Mask<float> upper = m >= 0x1.6a09e6p0f;  // sqrt(2)
  return log_sum(select(upper, m * 0.5f, m) - 1.0f, select(upper, e + 1.0f, e));
#else
  const Vec<float> infinity = __builtin_inff();
  const Mask<float> denormal = x < 0x1p-126f;
  const LogParts parts = log_parts(select(denormal, x * 0x1p25f, x));
  const Vec<float> exponent = to_float(parts.exponent) - select(denormal, Vec<float>(25.0f), 0.0f);
  Vec<float> result = log_sum(parts.mantissa - 1.0f, exponent);
  result = select(x < infinity, result, x);  // +infinity and NaN
  result = select(x == 0.0f, -infinity, result);
  return select(x < 0.0f, __builtin_nanf(""), result);
#endif
}

// log(1 + x) for finite x > -1, or NaN.
RV_INLINE Vec<float> log1p_finite(Vec<float> x) {
  const Vec<float> u = x + 1.0f;
  // u + correction = 1 + x exactly (Knuth's two-sum).
  const Vec<float> rounded = u - 1.0f;
  const Vec<float> correction = (x - rounded) + (1.0f - (u - rounded));
  const LogParts parts = log_parts(u);
  // Where the exponent is 0, f is x itself; where it is large, the correction is lost anyway.
  const Vec<float> power = power_of_two(max(Vec<int32_t>(-126), -parts.exponent));
  const Vec<float> f = fma(correction, power, parts.mantissa - 1.0f);
  return log_sum(f, to_float(parts.exponent));
}

RV_INLINE Vec<float> log1p(Vec<float> x) {
  const Vec<float> infinity = __builtin_inff();
  Vec<float> result = select(x < infinity, log1p_finite(x), x);
  result = select(x == -1.0f, -infinity, result);
  result = select(x < -1.0f, __builtin_nanf(""), result);
  return copysign(result, x);  // log1p(-0) = -0
}

// log(1 + e^x)
RV_INLINE Vec<float> softplus(Vec<float> x) {
  return max(Vec<float>(0.0f), x) + log1p_finite(exp(-abs(x)));
}

// ---- tanh and erf ------------------------------------------------------------------------

// By tables that lie in registers: of 16 stretches the centre c, float(f(c)) and the polynomial of
// r = t - c that is the rest. A stretch is where u, which grows as t, has the same exponent and
// first three bits of mantissa, which are also its number. A centre lies near the middle, where
// f(c) is a float to within 2^-28. Without such look-ups formulas are faster: tanh takes 0.24 ns a
// number by its formula with AVX-512 and 0.17 by the table, erf 0.31 and 0.15 (Zen 5); with AVX2
// 0.47 either way, 0.61 and 0.46; without either erf takes 2.2 ns and 2.6.

#if defined(__AVX2__)

// table[i & 15] for every lane i.
RV_INLINE Vec<float> lookup(const float (&table)[16], Vec<int32_t> i) {
#if defined(__AVX512F__)
  return Vec<float>(_mm512_maskz_permutexvar_ps(0xffff, (__m512i)i.v, _mm512_load_ps(table)));
#else
  const __m256 low = _mm256_permutevar8x32_ps(_mm256_load_ps(table), (__m256i)i.v);
  const __m256 high = _mm256_permutevar8x32_ps(_mm256_load_ps(table + 8), (__m256i)i.v);
  return Vec<float>(_mm256_blendv_ps(low, high, (__m256)(i << 28).v));
#endif
}

// q(r) r + first, where table[0] has what is first and the rows after it have q.
template <int K>
RV_INLINE Vec<float> by_stretch(const float (&table)[K][16], Vec<int32_t> stretch, Vec<float> r,
                                Vec<float> first) {
  Vec<float> q = lookup(table[K - 1], stretch);
#pragma GCC unroll 8
  for (int k = K - 2; k > 0; --k) q = fma(q, r, lookup(table[k], stretch));
  return fma(q, r, first);
}

#endif

#if defined(__AVX512F__)

// u = 1.40625 + 0.453125 t for t in [0, 9.02]; the first stretch, below 0.207, stands in column 11.
alignas(64) constexpr float kTanhCentre[16] = {
    1.58610009f,  2.13768689f,  2.69029604f,  3.24162345f, 3.79227947f, 4.34490388f,
    4.89586508f,  5.44786387f,  6.27479395f,  7.46524784f, 8.31926724f, 0.0f,
    0.346094066f, 0.618477131f, 0.897436734f, 1.17256638f};
alignas(64) constexpr float kTanh[7][16] = {
    {0.919549227f, 0.972567797f, 0.990832031f, 0.99694699f, 0.998984039f, 0.999663472f,
     0.999888182f, 0.999962926f, 0.999992907f, 0.999999344f, 0.999999881f, 0.0f, 0.332907021f,
     0.550066829f, 0.715047479f, 0.82509315f},
    {0.154429168f, 0.0541118756f, 0.0182518903f, 0.00609669974f, 0.00203089113f, 0.000672943133f,
     0.000223623341f, 7.41463082e-5f, 1.41855489e-5f, 1.31169145e-6f, 2.37703716e-7f,
     1.83354569e-12f, 0.889172912f, 0.697426498f, 0.488707095f, 0.319221288f},
    {-0.14200522f, -0.0526274592f, -0.0180845559f, -0.00607808586f, -0.00202882756f,
     -0.000672716647f, -0.000223598312f, -7.41435579e-5f, -1.41853916e-5f, -1.31186562e-6f,
     -2.37677384e-7f, -5.00877661e-7f, -0.296011895f, -0.38363114f, -0.3494488f, -0.263387293f},
    {0.0791163445f, 0.0331476219f, 0.0118343635f, 0.00402705418f, 0.00134971226f, 0.000448144099f,
     0.000149022002f, 4.94219712e-5f, 9.44577278e-6f, 8.73783563e-7f, 1.5846696e-7f, -0.333299667f,
     -0.197847083f, -0.02146082f, 0.0869700089f, 0.110913612f},
    {-0.0254107639f, -0.014696138f, -0.00569807133f, -0.00198890339f, -0.000672134571f,
     -0.000223773925f, -7.44801146e-5f, -2.47078206e-5f, -4.72450984e-6f, -4.33913357e-7f,
     -7.9769471e-8f, -0.000740836374f, 0.164528549f, 0.139670178f, 0.0543007292f, -0.00371799502f},
    {3.11863259e-5f, 0.00440931879f, 0.00211976632f, 0.000783702766f, 0.000269628392f,
     9.03024993e-5f, 3.0108693e-5f, 9.99470558e-6f, 1.98068983e-6f, 1.81291611e-7f, 3.21302132e-8f,
     0.140501052f, 0.0311070923f, -0.0532289445f, -0.0567487329f, -0.0269524306f},
    {0.00506481109f, -0.000558691565f, -0.000589860254f, -0.000247384887f, -8.80924854e-5f,
     -2.9891622e-5f, -9.98795895e-6f, -3.32277318e-6f, -6.54695896e-7f, -7.03217964e-8f,
     -8.40528447e-9f, -0.0318407007f, -0.0709301829f, -0.0250180438f, 0.0144237503f,
     0.0174917486f}};

RV_INLINE Vec<float> tanh(Vec<float> x) {
  const Vec<float> t = min(Vec<float>(9.02f), abs(x));  // tanh(9.02) rounds to 1; NaN passes
  const Vec<float> u = fma(t, Vec<float>(0.453125f), Vec<float>(1.40625f));
  const Vec<int32_t> stretch = as_int(u) >> 20;
  // Near 0 it is t + t q: a small x keeps its digits.
  const Vec<float> first = select(u < 1.5f, t, lookup(kTanh[0], stretch));
  return copysign(by_stretch(kTanh, stretch, t - lookup(kTanhCentre, stretch), first), x);
}

#else

RV_INLINE Vec<float> tanh(Vec<float> x) {
  const Vec<float> t = abs(x);
  // 1 - 2 / (e^2t + 1), which cancels near 0; there an odd polynomial.
  const ExpParts parts = exp_parts(min(Vec<float>(40.0f), t + t));
  const Vec<float> power = power_of_two(parts.exponent);
  const Vec<float> large = 1.0f - 2.0f / (fma(power, parts.p, power) + 1.0f);
  const Vec<float> z = t * t;
  const Vec<float> q =
      polynomial(z, -0.333332896f, 0.133315578f, -0.0537449718f, 0.0206467789f, -0.00570594193f);
  const Vec<float> small = fma(z * q, t, t);
  return copysign(select(t < 0.625f, small, large), x);
}

#endif

#if defined(__AVX2__)

// u = 1.5 + t for t in [0, 4]; the first stretch, [0, 1/8), stands in column 12, and column 11 is
// t = 4 alone.
alignas(64) constexpr float kErfCentre[16] = {
    0.625106812f, 0.874801636f, 1.1257782f,   1.37480164f, 1.62518311f, 1.87475586f,
    2.12541199f,  2.37472534f,  2.75001526f,  3.25038147f, 3.7469635f,  4.0f,
    0.0f,         0.186462402f, 0.313354492f, 0.437774658f};
alignas(64) constexpr float kErf[6][16] = {
    {0.623322427f, 0.783970952f, 0.888635695f, 0.94813627f, 0.978458464f, 0.991981864f, 0.99735105f,
     0.999215961f, 0.999899387f, 0.999995708f, 0.999999881f, 1.0f, 0.0f, 0.2079871f, 0.342342883f,
     0.464154035f},
    {0.763397574f, 0.524927199f, 0.317716986f, 0.170452729f, 0.0804243833f, 0.0335765518f,
     0.0123192286f, 0.00401170785f, 0.000586237817f, 2.91195047e-5f, 9.01912983e-7f, 0.0f,
     0.128379166f, 1.08982158f, 1.02284837f, 0.931588173f},
    {-0.477201283f, -0.459206045f, -0.357680291f, -0.234340504f, -0.130705535f, -0.0629481673f,
     -0.0261832923f, -0.00952646695f, -0.00161010562f, -9.43108898e-5f, -3.35369054e-6f, 0.0f,
     3.32665422e-7f, -0.203210592f, -0.320513964f, -0.407825291f},
    {-0.0555820093f, 0.0928433985f, 0.162530079f, 0.157958254f, 0.114803441f, 0.0674830377f,
     0.032994546f, 0.0137450276f, 0.00275815628f, 0.000194800406f, 8.09985067e-6f, 0.0f,
     -0.376144439f, -0.337972254f, -0.274103999f, -0.191461518f},
    {0.175570965f, 0.112227075f, 0.0280696731f, -0.0300227255f, -0.0494286232f, -0.0421915017f,
     -0.0263715833f, -0.0132053876f, -0.00338777876f, -0.000306938047f, -1.57102804e-5f, 0.0f,
     0.000327117043f, 0.0991047174f, 0.149598733f, 0.177547976f},
    {-0.0283841379f, -0.0675705001f, -0.0604451075f, -0.0303528085f, -0.00212204177f, 0.0113483947f,
     0.0124225365f, 0.00835939031f, 0.00282582757f, 0.000332517899f, 2.02695865e-5f, 0.0f,
     0.1107876f, 0.0834107846f, 0.0917889997f, 0.0149873113f}};

RV_INLINE Vec<float> erf(Vec<float> x) {
  const Vec<float> t = min(Vec<float>(4.0f), abs(x));  // erf(4) rounds to 1; NaN passes
  const Vec<float> u = t + 1.5f;
  const Vec<int32_t> stretch = as_int(u) >> 20;
  // Near 0 it is t + t q, which keeps the digits that a rounded 2 / sqrt(pi) would cost.
  const Vec<float> first = select(u < 1.625f, t, lookup(kErf[0], stretch));
  return copysign(by_stretch(kErf, stretch, t - lookup(kErfCentre, stretch), first), x);
}

#else

RV_INLINE Vec<float> erf(Vec<float> x) {
  const Vec<float> t = min(Vec<float>(4.0f), abs(x));  // erf(4) rounds to 1; NaN passes
  const Vec<float> z = t * t;
  const Vec<float> p = polynomial(z, 0.128379166f, -0.37612626f, 0.112835787f, -0.0268533472f,
                                  0.0051871622f, -0.00079978531f, 7.80690389e-5f);
  const Vec<float> small = fma(p, t, t);
  // 1 - e^q with q = log(erfc(t)).
  const Vec<float> q = polynomial(t, -0.000341523933f, -1.12708914f, -0.63814497f, -0.103106603f,
                                  0.0218379889f, -0.00294764293f, 0.000186378238f);
  const ExpParts parts = exp_parts(q);
  const Vec<float> power = power_of_two(parts.exponent);
  const Vec<float> large = (1.0f - power) - power * parts.p;
  return copysign(select(t < 1.0f, small, large), x);
}

#endif

// ---- sin, cos, tan -----------------------------------------------------------------------

// x = r + quadrant * pi / 2, |r| <= pi / 4, for |x| <= 2^20. In double, because float numbers come
// as close to multiples of pi / 2 as 2^-30.
struct Angle {
  Vec<double> r;
  Vec<double> quadrant;
};

RV_INLINE Angle reduce_angle(Vec<double> x) {
  const Vec<double> magic = 0x1.8p52;
  const Vec<double> n = fma(x, Vec<double>(0x1.45f306dc9c883p-1), magic) - magic;
  // pi / 2 in two parts, of 33 and 53 bits.
  const Vec<double> r = fnma(n, Vec<double>(0x1.921fb544p0), x);
  return {fnma(n, Vec<double>(0x1.0b4611a626331p-34), r), n};
}

template <class T>
RV_INLINE Vec<T> sin_reduced(Vec<T> r) {
  const Vec<T> z = r * r;
  const Vec<T> q = polynomial(z, T(-0.166666552f), T(0.0083321901f), T(-0.000195184053f));
  return fma(z * q, r, r);
}

template <class T>
RV_INLINE Vec<T> cos_reduced(Vec<T> r) {
  const Vec<T> z = r * r;
  const Vec<T> q = polynomial(z, T(0.0416666456f), T(-0.00138873013f), T(2.44306702e-5f));
  return fma(z * z, q, fnma(z, Vec<T>(T(0.5)), Vec<T>(T(1))));
}

// Larger arguments, infinities and NaN go to the C library, lane by lane.
RV_INLINE Mask<float> beyond_reduction(Vec<float> x) { return ~(abs(x) <= 0x1p20f); }

// sin(x + shift * pi / 2)
RV_INLINE Vec<float> sin_shifted(Vec<float> x, int32_t shift) {
  Vec<double> low, high;
  widen(x, low, high);
  const Angle a = reduce_angle(low), b = reduce_angle(high);
  const Vec<float> r = narrow(a.r, b.r);
  const Vec<int32_t> quadrant = to_int(narrow(a.quadrant, b.quadrant)) + shift;
  const Vec<float> magnitude = select((quadrant & 1) == 0, sin_reduced(r), cos_reduced(r));
  return from_bits(as_int(magnitude) ^ ((quadrant & 2) << 30));
}

// In double to the end: two float roundings more would cost two ulp.
RV_INLINE Vec<double> tan_reduced(Vec<double> x) {
  const Angle angle = reduce_angle(x);
  const Vec<double> s = sin_reduced(angle.r), c = cos_reduced(angle.r);
  const Mask<double> even = (to_int(angle.quadrant) & 1) == 0;
  return select(even, s, -c) / select(even, c, s);
}

RV_INLINE Vec<float> sin(Vec<float> x) {
  Vec<float> result = select(x == 0.0f, x, sin_shifted(x, 0));
  const Mask<float> far = beyond_reduction(x);
  if (any(far)) {
    result = select(far, lanewise(x, [](float t) { return __builtin_sinf(t); }), result);
  }
  return result;
}

RV_INLINE Vec<float> cos(Vec<float> x) {
  Vec<float> result = sin_shifted(x, 1);
  const Mask<float> far = beyond_reduction(x);
  if (any(far)) {
    result = select(far, lanewise(x, [](float t) { return __builtin_cosf(t); }), result);
  }
  return result;
}

RV_INLINE Vec<float> tan(Vec<float> x) {
  Vec<double> low, high;
  widen(x, low, high);
  Vec<float> result = narrow(tan_reduced(low), tan_reduced(high));
  result = select(x == 0.0f, x, result);
  const Mask<float> far = beyond_reduction(x);
  if (any(far)) {
    result = select(far, lanewise(x, [](float t) { return static_cast<float>(__builtin_tan(t)); }),
                    result);
  }
  return result;
}

// ---- pow and rsqrt -----------------------------------------------------------------------

// 2^(y (exponent + log2(mantissa))) in double: 45 bits of the logarithm are enough for every y.
RV_INLINE Vec<double> pow_double(Vec<double> mantissa, Vec<double> exponent, Vec<double> y) {
  const Vec<double> s = (mantissa - 1.0) / (mantissa + 1.0);
  const Vec<double> q =
      polynomial(s * s, 0x1.71547652bee6dp+1, 0x1.ec709d12508f3p-1, 0x1.2777803a85d42p-1,
                 0x1.a58d66ec50f4ep-2, 0x1.5cea833b4278ep-2);
  // Beyond +-400 the result is 0 or infinite as a float. NaN (from infinite y) passes.
  const Vec<double> power =
      min(Vec<double>(400.0), max(Vec<double>(-400.0), y * fma(s, q, exponent)));
  const Vec<double> magic = 0x1.8p52;
  const Vec<double> shifted = power + magic;
  const Vec<double> r = power - (shifted - magic);
  const Vec<double> two_to_r = polynomial(
      r, 0x1.00000002614cfp+0, 0x1.62e430c7e9640p-1, 0x1.ebfbdadcb2467p-3, 0x1.c6aed4b8e281fp-5,
      0x1.3b2dbbc0ba2f7p-7, 0x1.5f456acd9b052p-10, 0x1.41d333cd7a046p-13);
  // The integer in the low bits of `shifted` goes straight onto the exponent field.
  return from_bits(as_int(two_to_r) + (as_int(shifted) << 52));
}

RV_INLINE Vec<float> pow_any(Vec<float> x, Vec<float> y) {
  const Vec<float> infinity = __builtin_inff();
  const Vec<float> base = abs(x);
  const Mask<float> denormal = base < 0x1p-126f;
  const LogParts parts = log_parts(select(denormal, base * 0x1p25f, base));
  const Vec<float> exponent = to_float(parts.exponent) - select(denormal, Vec<float>(25.0f), 0.0f);
  Vec<double> m[2], e[2], power[2];
  widen(parts.mantissa, m[0], m[1]);
  widen(exponent, e[0], e[1]);
  widen(y, power[0], power[1]);
  for (int i = 0; i < 2; ++i) power[i] = pow_double(m[i], e[i], power[i]);
  Vec<float> result = narrow(power[0], power[1]);

  // |x| = 0 or infinity, then |x| = 1 (for y = +-infinity), then the sign, then NaN.
  const Mask<float> grows = (base > 1.0f) ^ (y < 0.0f);
  result = select((base == 0.0f) | (base == infinity), select(grows, infinity, 0.0f), result);
  result = select(base == 1.0f, 1.0f, result);
  const Vec<float> half = y * 0.5f;
  const Mask<float> integer = round(y) == y;
  const Mask<float> odd = integer & (round(half) != half);
  result = select(odd, copysign(result, x), result);
  const Mask<float> no_root = (x < 0.0f) & ~integer & (base < infinity);
  result = select(no_root | is_nan(x) | is_nan(y), __builtin_nanf(""), result);
  return select((y == 0.0f) | (x == 1.0f), 1.0f, result);
}

template <class T>
RV_INLINE Vec<T> rsqrt(Vec<T> x) {
  return T(1) / sqrt(x);
}

// ---- double ------------------------------------------------------------------------------

#define RV_LANEWISE(name)                                             \
  RV_INLINE Vec<double> name(Vec<double> x) {                         \
    return lanewise(x, [](double t) { return __builtin_##name(t); }); \
  }
RV_LANEWISE(exp)
RV_LANEWISE(expm1)
RV_LANEWISE(log)
RV_LANEWISE(log1p)
RV_LANEWISE(tanh)
RV_LANEWISE(erf)
RV_LANEWISE(sin)
RV_LANEWISE(cos)
RV_LANEWISE(tan)
#undef RV_LANEWISE

RV_INLINE Vec<double> sigmoid(Vec<double> x) {
  return lanewise(
      x, [](double t) { return t < -40.0 ? __builtin_exp(t) : 1.0 / (1.0 + __builtin_exp(-t)); });
}

RV_INLINE Vec<double> softplus(Vec<double> x) {
  return lanewise(x, [](double t) {
    return (t > 0.0 ? t : 0.0) + __builtin_log1p(__builtin_exp(-__builtin_fabs(t)));
  });
}

RV_INLINE Vec<double> pow_any(Vec<double> x, Vec<double> y) {
#pragma GCC unroll 1
  for (int i = 0; i < Vec<double>::N; ++i) x.v[i] = __builtin_pow(x.v[i], y.v[i]);
  return x;
}

// ---- pow, float and double ---------------------------------------------------------------

// x^0.5 and x^-0.5: roots, in which neither -0 nor -infinity keeps its sign.
RV_INLINE Vec<float> pow_root(Vec<float> x, Vec<float> y) {
  const Vec<float> infinity = __builtin_inff();
  const Vec<float> root = select(x == -infinity, infinity, sqrt(x) + 0.0f);
  return select(y < 0.0f, 1.0f / root, root);
}

// x^2 and x^3 are products, as a user who writes them expects. Whether a vector holds nothing else
// decides the speed only: a lane has the same bits beside any neighbours.
template <class T>
RV_INLINE Vec<T> pow(Vec<T> x, Vec<T> y) {
  const Mask<T> square = y == T(2), cube = y == T(3);
  const Vec<T> product = x * x;
  if (all(square)) return product;
  if (all(cube)) return product * x;
  if constexpr (__is_same(T, float)) {
    const Mask<T> root = abs(y) == 0.5f;
    if (all(root)) return pow_root(x, y);
    const Vec<T> power = select(square, product, select(cube, product * x, pow_any(x, y)));
    return any(root) ? select(root, pow_root(x, y), power) : power;
  } else {
    return select(square, product, select(cube, product * x, pow_any(x, y)));
  }
}

}  // namespace ranvier::RV_ISA
