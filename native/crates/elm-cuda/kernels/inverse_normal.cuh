// The z with Φ(z) = p, by Wichura's algorithm AS 241 (PPND16, 1988): rational functions of p − ½ in the middle and of
// √(−ln p) in the tails, in f64 with the same steps as the CPU.
#pragma once
#include "philox.cuh"

// Numerator and denominator, constant terms first, the digits as published.
__device__ constexpr f64 MIDDLE[2][8] = {
    {3.387132872796366608, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
     4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3},
    {1.0, 4.2313330701600911252e1, 6.871870074920579083e2, 5.3941960214247511077e3, 2.1213794301586595867e4,
     3.930789580009271061e4, 2.8729085735721942674e4, 5.226495278852854561e3}};
__device__ constexpr f64 TAIL[2][8] = {
    {1.42343711074968357734, 4.6303378461565452959, 5.7694972214606914055, 3.64784832476320460504,
     1.27045825245236838258, 2.4178072517745061177e-1, 2.27238449892691845833e-2, 7.7454501427834140764e-4},
    {1.0, 2.05319162663775882187, 1.6763848301838038494, 6.8976733498510000455e-1, 1.4810397642748007459e-1,
     1.519866656361645719660e-2, 5.475938084995344946e-4, 1.05075007164441684324e-9}};
__device__ constexpr f64 FAR_TAIL[2][8] = {
    {6.6579046435011037772, 5.4637849111641143699, 1.7848265399172913358, 2.9656057182850489123e-1,
     2.6532189526576123093e-2, 1.2426609473880784386e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7},
    {1.0, 5.9983220655588793769e-1, 1.3692988092273580531e-1, 1.4875361290850614850250e-2, 7.868691311456132591e-4,
     1.8463183175100546818e-5, 1.4215117583164458887e-7, 2.04426310338993978564e-15}};

__device__ __forceinline__ f64 horner(f64 x, const f64 (&coefficients)[8]) {
  f64 sum = coefficients[7];
#pragma unroll
  for (int i = 6; i >= 0; --i) sum = __fma_rn(sum, x, coefficients[i]);
  return sum;
}

__device__ __forceinline__ f64 inverse_normal(f64 p) {
  constexpr f64 MIDDLE_END = 0.425;
  f64 q = __dsub_rn(p, 0.5);
  if (fabs(q) <= MIDDLE_END) {
    f64 r = __fma_rn(-q, q, MIDDLE_END * MIDDLE_END);
    return __ddiv_rn(__dmul_rn(q, horner(r, MIDDLE[0])), horner(r, MIDDLE[1]));
  }
  f64 r = __dsqrt_rn(-exact_ln(fmin(p, __dsub_rn(1.0, p))));
  f64 z;
  if (r <= 5.0) {
    r = __dsub_rn(r, 1.6);
    z = __ddiv_rn(horner(r, TAIL[0]), horner(r, TAIL[1]));
  } else {
    r = __dsub_rn(r, 5.0);
    z = __ddiv_rn(horner(r, FAR_TAIL[0]), horner(r, FAR_TAIL[1]));
  }
  return p < 0.5 ? -z : z;
}
